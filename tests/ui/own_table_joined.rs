// The message is diesel's.
use diesel::prelude::*;
use wundr_db::schema::public::users;

diesel::table! {
    shop.orders (id) {
        id -> Uuid,
        user_id -> Uuid,
    }
}

fn main() {
    let mut connection = PgConnection::establish("").unwrap();
    let joined = orders::table.inner_join(users::table.on(orders::user_id.eq(users::id)));
    let _ = joined.select((orders::id, users::name)).load::<(wundr_db::uuid::Uuid, String)>(&mut connection);
}
