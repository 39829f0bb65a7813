#[wundr_db::test]
async fn a_user_is_created(db: wundr_db::blocking::Db) {
    let _ = db.users();
}

fn main() {}
