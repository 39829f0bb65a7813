// What the contracts need of the blocking engine beside its repositories.

/// Runs SQL that no repository offers, as the superuser even where the contracts run as another
/// role.
#[allow(dead_code, reason = "each test program uses a part of it")]
fn execute(db: &Db, sql: &str) {
    let sql = match std::env::var_os("WUNDR_DB_TESTS_HOSTILE") {
        Some(_) => format!("SET LOCAL ROLE postgres; {sql}"),
        None => sql.to_owned(),
    };
    use diesel::connection::SimpleConnection as _;
    db.transaction(|tx| Ok::<_, wundr_db::Error>(tx.connection_mut().batch_execute(&sql)?))
        .unwrap();
}

/// Runs SQL on the connection of a transaction.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! run {
    ($tx:expr, $sql:expr) => {{
        use diesel::connection::SimpleConnection as _;
        $tx.connection_mut().batch_execute($sql)?;
        Ok::<_, wundr_db::Error>(())
    }};
}

/// The outcomes of two calls that are in progress at the same time.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! concurrently {
    ($first:expr, $second:expr) => {
        std::thread::scope(|scope| {
            let second = scope.spawn(|| $second);
            ($first, second.join().unwrap())
        })
    };
}

/// The outcomes of so many calls that are in progress at the same time.
#[allow(unused_macros, reason = "each test program uses a part of it")]
macro_rules! all_concurrently {
    ($number:expr, $each:expr) => {
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..$number).map(|_| scope.spawn(|| $each)).collect();
            let answers = calls.into_iter().map(|call| call.join().unwrap());
            answers.collect::<Vec<_>>()
        })
    };
}

/// Waits until a condition on the server's state holds.
fn until(database: &TestDatabase, condition: &str) {
    Observer::of(&database.url()).until(condition);
}
