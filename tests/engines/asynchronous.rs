// What the contracts need of the async engine beside its repositories.

/// Runs SQL that no repository offers, as the superuser even where the contracts run as another
/// role.
#[allow(dead_code, reason = "each test program uses a part of it")]
async fn execute(db: &Db, sql: &str) {
    let sql = match std::env::var_os("WUNDR_DB_TESTS_HOSTILE") {
        Some(_) => format!("SET LOCAL ROLE postgres; {sql}"),
        None => sql.to_owned(),
    };
    use diesel_async::SimpleAsyncConnection as _;
    db.transaction(async |tx| Ok::<_, Error>(tx.connection_mut().batch_execute(&sql).await?))
        .await
        .unwrap();
}

/// Runs SQL on the connection of a transaction.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! run {
    ($tx:expr, $sql:expr) => {{
        use diesel_async::SimpleAsyncConnection as _;
        $tx.connection_mut().batch_execute($sql).await?;
        Ok::<_, wundr_db::Error>(())
    }};
}

/// The outcomes of two calls that are in progress at the same time.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! concurrently {
    ($first:expr, $second:expr) => {
        tokio::join!($first, $second)
    };
}

/// The outcomes of so many calls that are in progress at the same time.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! all_concurrently {
    ($number:expr, $each:expr) => {
        futures_util::future::join_all((0..$number).map(|_| $each)).await
    };
}

/// Waits until a condition on the server's state holds.
async fn until(database: &TestDatabase, condition: &str) {
    Observer::of(&database.url()).eventually(condition).await;
}
