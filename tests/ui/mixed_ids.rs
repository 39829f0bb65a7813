use wundr_db::{Db, OrganizationId, UserRepository};

async fn find(db: &Db, id: OrganizationId) {
    let _ = db.users().find(id).await;
}

fn main() {}
