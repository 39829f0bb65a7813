use wundr_db::blocking::Db;

fn escape(db: &Db) {
    let _ = db.transaction(|tx| Ok::<_, wundr_db::Error>(tx.users()));
}

fn main() {}
