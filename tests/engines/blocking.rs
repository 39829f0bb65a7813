// What the contracts need of the blocking engine beside its repositories.

/// Runs SQL that no repository offers.
fn execute(db: &Db, sql: &str) {
    use diesel::connection::SimpleConnection as _;
    db.transaction(|tx| Ok::<_, wundr_db::Error>(tx.connection_mut().batch_execute(sql)?))
        .unwrap();
}

/// Both answers of two calls that are under way at the same time.
macro_rules! at_once {
    ($first:expr, $second:expr) => {
        std::thread::scope(|scope| {
            let second = scope.spawn(|| $second);
            ($first, second.join().unwrap())
        })
    };
}

/// What so many calls answer that are under way at the same time.
macro_rules! all_at_once {
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
