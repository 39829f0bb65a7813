use wundr_db::Db;

async fn escape(db: &Db) {
    let _ = db
        .transaction(async |tx| Ok::<_, wundr_db::Error>(tx.users()))
        .await;
}

fn main() {}
