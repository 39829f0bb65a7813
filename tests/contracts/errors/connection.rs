//! The async engine's connection, as diesel-async's traits use it.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::{ExpressionMethods as _, QueryDsl as _, QueryResult};
use diesel_async::{AsyncConnection as _, RunQueryDsl as _};
use wundr_db::schema::public::users;

use super::contract::LATE;
use super::*;
use crate::observer::Observer;

#[case]
async fn a_row_is_given_when_its_statement_is_committed() {
    let database = migrated_database().unwrap();
    Observer::of(&database.url()).run(LATE);
    let mut connection = Connection::establish(&database.url()).await.unwrap();
    let new = (users::email.eq("eve@example.org"), users::name.eq("Eve"));
    let insert = diesel::insert_into(users::table)
        .values(new)
        .returning(users::id);
    let stored: QueryResult<UserId> = insert.get_result(&mut connection).await;
    let refused = stored.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)
        ),
        "{refused:?}"
    );
    let count: i64 = users::table
        .count()
        .get_result(&mut connection)
        .await
        .unwrap();
    assert_eq!(count, 0);
}
