use wundr_db::{Db, Page, ProjectOrder, UserFilter, UserRepository};

async fn list(db: &Db) {
    let page = Page::new().order(ProjectOrder::Newest);
    let _ = db.users().list(&UserFilter::new(), &page).await;
}

fn main() {}
