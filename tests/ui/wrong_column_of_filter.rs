// The message is diesel's.
use wundr_db::UserId;
use wundr_db::diesel::prelude::*;
use wundr_db::schema::public::{projects, users};

fn main() {
    let mut connection = PgConnection::establish("").unwrap();
    // Another table's column, without a join.
    let query = users::table.filter(projects::name.eq("Flask")).select(users::id);
    let _ = query.load::<UserId>(&mut connection);
}
