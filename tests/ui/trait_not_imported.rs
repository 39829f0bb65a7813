use wundr_db::{Db, UserId};

async fn find(db: &Db, id: UserId) {
    let _ = db.users().find(id).await;
}

fn main() {}
