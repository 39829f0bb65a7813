// What the contracts need of the async engine beside its repositories.

/// Runs SQL that no repository offers.
async fn execute(db: &Db, sql: &str) {
    use diesel_async::SimpleAsyncConnection as _;
    db.transaction(async |tx| Ok::<_, Error>(tx.connection_mut().batch_execute(sql).await?))
        .await
        .unwrap();
}

/// Both answers of two calls that are under way at the same time.
macro_rules! at_once {
    ($first:expr, $second:expr) => {
        tokio::join!($first, $second)
    };
}

/// What so many calls answer that are under way at the same time.
macro_rules! all_at_once {
    ($number:expr, $each:expr) => {
        futures_util::future::join_all((0..$number).map(|_| $each)).await
    };
}

/// Waits until a condition on the server's state holds.
async fn until(database: &TestDatabase, condition: &str) {
    Observer::of(&database.url()).eventually(condition).await;
}
