//! Streams that are longer than what a connection holds in memory.

use core::prelude::v1::test;

use super::beside::user;
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Integer, Text};

use tokio::task::coop::consume_budget;

/// The units of work for which a task may run before it has to yield to others.
const BUDGET: usize = 128;

/// The rows of a stream are passed on within the task that reads them. It may use up its budget at
/// any step of that.
#[test]
fn a_stream_goes_on_whenever_its_task_has_to_yield() {
    const ROWS: usize = 20_000;
    let (over, result) = channel();
    let read = async {
        let (db, _observer, _database) = database().await;
        let many: Vec<_> = (0..ROWS).map(user).collect();
        db.users().create_many(&many).await.unwrap();
        let (users, filter) = (db.users(), UserFilter::new());
        let mut stream = users.stream(&filter);
        let mut read = 0;
        while stream.next().await.transpose().unwrap().is_some() {
            read += 1;
            if read % 16 == 0 {
                tokio::task::yield_now().await;
                // Each number of units is what is left at some time.
                for _ in 0..BUDGET.saturating_sub(read / 16 % 12) {
                    consume_budget().await;
                }
            }
        }
        read
    };
    // A task that does not yield cannot be ended.
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        over.send(runtime.block_on(read))
    });
    let read = result.recv_timeout(Duration::from_secs(60));
    assert_eq!(read, Ok(ROWS));
}

/// The number of values that were decoded.
static DECODED: AtomicUsize = AtomicUsize::new(0);

#[derive(FromSqlRow)]
struct Counted(usize);

impl FromSql<Integer, Pg> for Counted {
    fn from_sql(bytes: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        let number: i32 = FromSql::<Integer, Pg>::from_sql(bytes)?;
        Ok(Self(usize::try_from(number)?))
    }
}

diesel::define_sql_function! {
    #[sql_name = "pg_catalog.generate_series"]
    fn generate_series(first: Integer, last: Integer) -> Integer;
}

diesel::define_sql_function! {
    #[sql_name = "pg_catalog.repeat"]
    fn repeat(text: Text, times: Integer) -> Text;
}

/// However fast the rows come and however slowly they are taken.
#[case]
async fn a_stream_of_a_million_rows_holds_few_of_them() {
    const ROWS: usize = 1_000_000;
    // A chunk that is being taken, and one that waits.
    const MOST: usize = 2 * 128;
    let (db, _observer, _database) = database().await;
    let mut rows = db.stream::<_, Counted>(diesel::select(generate_series(1, 1_000_000)));
    let (mut taken, mut held) = (0, 0);
    while let Some(Counted(number)) = rows.next().await.transpose().unwrap() {
        taken += 1;
        assert_eq!(number, taken);
        held = held.max(AtomicUsize::load(&DECODED, Ordering::Relaxed) - taken);
        if taken % 100_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(taken, ROWS);
    assert!(held <= MOST, "{held} were held");
}

diesel::define_sql_function! {
    #[sql_name = "pg_catalog.nextval"]
    fn nextval(sequence: Text) -> diesel::sql_types::BigInt;
}

/// Beyond what is held, the rows wait in the server, whatever else the runtime does.
#[case]
async fn the_server_waits_for_a_reader_that_pauses() {
    const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event = 'ClientWrite')";
    const ROWS: i64 = 200_000;
    let (_, mut observer, database) = database().await;
    let db = Db::connect_to(&database.url()).await.unwrap();
    // The number of rows that the server has sent, of 200 MB.
    observer.run("CREATE SEQUENCE public.sent");
    let sent = |observer: &mut Observer| -> i64 {
        let sent = observer.ask("SELECT last_value FROM public.sent");
        sent.parse().unwrap()
    };
    let long = diesel::select((
        generate_series(1, 200_000),
        nextval("public.sent"),
        repeat("x", 1_000),
    ));
    let mut rows = db.stream::<_, (i32, i64, String)>(long);
    assert_eq!(rows.next().await.unwrap().unwrap().0, 1);
    observer.eventually(WAITS).await;
    // What is read ahead is read while others work, until nothing is sent any more.
    let mut before = 0;
    loop {
        for _ in 0..100 {
            db.users().count(&UserFilter::new()).await.unwrap();
        }
        match sent(&mut observer) {
            now if now == before => break,
            now => before = now,
        }
    }
    assert!(before < ROWS / 2, "{before} rows were sent");
    assert_eq!(observer.ask(WAITS), "true");
    assert_eq!(rows.next().await.unwrap().unwrap().0, 2);
    drop(rows);
    observer.eventually(crate::observer::ALL_AT_REST).await;
}

/// Takes what `axum` takes as the body of a response.
async fn body(rows: RowStream<'static, User>) -> String {
    let lines = rows.map(|row| row.map(|user| format!("{};", user.name)));
    let body = axum::body::Body::from_stream(lines);
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[case]
async fn a_stream_that_owns_its_filter_is_the_body_of_a_response() {
    let (db, _observer, _database) = database().await;
    let many: Vec<_> = (0..1_000).map(user).collect();
    db.users().create_many(&many).await.unwrap();
    let named = |word: &str| UserFilter::new().search(word);
    let expected = db.users().count(&named("1")).await.unwrap();
    let sent = tokio::spawn(body(db.users().into_stream(named("1"))));
    let sent = sent.await.unwrap();
    assert_eq!(sent.matches(';').count() as u64, expected);
    let shared: std::sync::Arc<dyn UserRepository> = std::sync::Arc::new(db.users());
    let rows = RowStream::owning(shared, named("1"), |users, filter| users.stream(filter));
    assert_eq!(body(rows).await, sent);
    let own = diesel::QueryDsl::filter(
        schema::public::users::table,
        diesel::ExpressionMethods::eq(schema::public::users::is_active, true),
    );
    let own = diesel::QueryDsl::select(own, diesel::SelectableHelper::as_select());
    let sent = body(db.own_tables().stream(own)).await;
    assert_eq!(sent.matches(';').count(), 1_000);
    assert_eq!(db.pool().in_use, 0);
}

#[case]
async fn a_stream_that_owns_its_filter_is_dropped_and_kept_as_any_other() {
    let (db, _observer, _database) = database().await;
    let many: Vec<_> = (0..5_000).map(user).collect();
    db.users().create_many(&many).await.unwrap();
    let all = UserFilter::new();
    // Kept without being polled it has no connection, of which the pool has one.
    let kept = db.users().into_stream(all.clone());
    assert_eq!(db.users().count(&all).await.unwrap(), 5_000);
    drop(kept);
    let mut dropped = db.users().into_stream(all.clone());
    dropped.next().await.unwrap().unwrap();
    assert_eq!(db.pool().in_use, 1);
    drop(dropped);
    assert_eq!(db.users().count(&all).await.unwrap(), 5_000);
    // After the end it is at its end again and again.
    let mut rows = db.users().into_stream(all.search("no one"));
    for _ in 0..3 {
        assert!(rows.next().await.is_none());
    }
    let failed = RowStream::owning((), (), |(), ()| {
        RowStream::<User>::failed(Error::StaleWrite { what: "test" })
    });
    let rows: Vec<_> = failed.collect().await;
    assert!(matches!(*rows, [Err(Error::StaleWrite { .. })]), "{rows:?}");
}
