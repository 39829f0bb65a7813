use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;
use crate::observer::{Observer, SOMEBODY_WAITS};
use crate::pgbouncer::PgBouncer;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::testing::PostgresServer;
use wundr_db::{
    Advice, Config, Error, Fate, NewUser, OrganizationFilter, Recycling, Result, Retry,
    TransactionOptions, UserChanges, UserFilter, UserId, UserRole,
};

/// No connection fails more often than this after its statements, its types or its server have
/// changed.
const FAILURES: usize = 1;

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

/// The text of an SQL expression, asked in a transaction.
#[both_engines]
async fn ask(db: &Db, options: &TransactionOptions, expression: &str) -> Result<String> {
    let question = format!("SELECT ({expression})::text AS answer");
    db.transaction_with(options, async |tx| -> Result<_> {
        let question = diesel::sql_query(&question);
        let answer: Answer = question.get_result(tx.connection_mut()).await?;
        Ok(answer.answer)
    })
    .await
}

#[both_engines]
async fn run(db: &Db, sql: &str) -> Result<()> {
    db.transaction(async |tx| -> Result<()> { Ok(tx.connection_mut().batch_execute(sql).await?) })
        .await
}

#[both_engines]
async fn one_connection() -> (Db, Observer, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    (db, Observer::of(&database.url()), database)
}

#[both_engines]
async fn find_in_transaction(db: &Db, id: UserId) -> Result<()> {
    db.transaction(async |tx| tx.users().find(id).await)
        .await
        .map(drop)
}

/// Returns the errors of a transaction, a read and a write, tried five times each.
#[both_engines]
async fn failures(db: &Db, id: UserId) -> Vec<Error> {
    let mut failures = Vec::new();
    for round in 0..5 {
        failures.extend(find_in_transaction(db, id).await.err());
        failures.extend(db.users().find(id).await.err());
        let user = NewUser::new(format!("{round}@x"), "x");
        failures.extend(db.users().create(user).await.err());
    }
    failures
}

#[both_engines]
#[case]
async fn a_plan_that_no_longer_fits_fails_one_transaction() {
    let (db, mut observer, _database) = one_connection().await;
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    db.users().find(ada.id).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN avatar_url TYPE varchar(2000)");

    let failures = failures(&db, ada.id).await;
    assert!(failures.len() <= FAILURES, "{failures:?}");
    assert!(failures.iter().all(Error::is_retryable), "{failures:?}");
}

#[both_engines]
#[case]
async fn statements_that_the_server_has_forgotten_fail_one_transaction() {
    let (db, _observer, _database) = one_connection().await;
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    find_in_transaction(&db, ada.id).await.unwrap();
    run(&db, "DEALLOCATE ALL").await.unwrap();

    let failures = failures(&db, ada.id).await;
    assert!(failures.len() <= FAILURES, "{failures:?}");
    assert!(failures.iter().all(Error::is_retryable), "{failures:?}");
}

/// A trigger that names the column is in the way of its change, and is made again.
const MAKE_THE_ENUM_ANEW: &str = "
    ALTER TYPE public.user_role RENAME TO old_role;
    DO $$ DECLARE words text; trigger text; BEGIN
        SELECT pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
          INTO words FROM pg_catalog.pg_enum WHERE enumtypid = 'public.old_role'::regtype;
        EXECUTE 'CREATE TYPE public.user_role AS ENUM (' || words || ')';
        SELECT pg_catalog.pg_get_triggerdef(oid) INTO STRICT trigger
          FROM pg_catalog.pg_trigger WHERE tgname = 'trg_users_end_sessions';
        DROP TRIGGER trg_users_end_sessions ON public.users;
        ALTER TABLE public.users ALTER COLUMN role DROP DEFAULT,
            ALTER COLUMN role TYPE public.user_role USING role::text::public.user_role;
        ALTER TABLE public.users ALTER COLUMN role SET DEFAULT 'viewer';
        EXECUTE trigger;
    END $$;
    DROP TYPE public.old_role;
";

#[both_engines]
#[case]
async fn an_enum_that_was_dropped_and_made_again_fails_one_statement() {
    let (db, mut observer, _database) = one_connection().await;
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    find_in_transaction(&db, ada.id).await.unwrap();
    observer.run(MAKE_THE_ENUM_ANEW);

    let failures = failures(&db, ada.id).await;
    assert!(failures.len() <= FAILURES, "{failures:?}");
}

/// Statements that have the type among their parameters alone: their result does not change with
/// it.
#[both_engines]
#[case]
async fn a_parameter_whose_type_was_made_again_fails_one_statement() {
    let (db, mut observer, _database) = one_connection().await;
    let viewers = UserFilter::new().role(UserRole::Viewer);
    let many = |round: usize| {
        let new = |n| NewUser::new(format!("{round}-{n}@x"), "x").role(UserRole::Viewer);
        [new(0), new(1)]
    };
    for in_transaction in [false, true] {
        db.users().count(&viewers).await.unwrap();
        db.users().create_many(&many(0)).await.unwrap();
        observer.run(MAKE_THE_ENUM_ANEW);
        let mut failures = Vec::new();
        for round in 1..6 {
            if in_transaction {
                let counted = db.transaction(async |tx| tx.users().count(&viewers).await);
                failures.extend(counted.await.err());
            }
            failures.extend(db.users().count(&viewers).await.err());
            failures.extend(db.users().create_many(&many(round)).await.err());
        }
        assert!(failures.len() <= FAILURES, "{failures:?}");
        assert!(failures.iter().all(Error::is_retryable), "{failures:?}");
        observer.run("DELETE FROM public.users");
    }
}

#[both_engines]
#[case]
async fn a_read_only_transaction_that_was_asked_for_retires_nothing() {
    let (db, _observer, _database) = one_connection().await;
    let (plain, read_only) = (
        TransactionOptions::new(),
        TransactionOptions::new().read_only(),
    );
    let before = ask(&db, &plain, "pg_backend_pid()").await.unwrap();

    for _ in 0..3 {
        let refused = db
            .transaction_with(&read_only, async |tx| {
                tx.users().create(NewUser::new("a@x", "a")).await
            })
            .await;
        assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    }
    assert_eq!(ask(&db, &plain, "pg_backend_pid()").await.unwrap(), before);
}

#[both_engines]
#[case]
async fn one_write_on_a_standby_retires_all_connections_to_it() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let address = Proxy::start(pair.standby()).unwrap();
    let config = Config::new(&address.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(10)).await.unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let opened = side_by_side(10, {
        let (db, inside) = (db.clone(), inside.clone());
        async move |_| {
            db.transaction(async |tx| -> Result<()> {
                tx.users().count(&UserFilter::new()).await?;
                inside.fetch_add(1, Ordering::Relaxed);
                while AtomicU32::load(&inside, Ordering::Relaxed) < 10 {
                    pause().await;
                }
                Ok(())
            })
            .await
        }
    })
    .await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    assert_eq!(db.health().await.unwrap().connections, 10);

    let refused = db.users().create(NewUser::new("a@x", "a")).await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    assert_eq!(refused.unwrap_err().advice(), Advice::AgainElsewhere);
    address.lead_to(pair.primary());
    for number in 0..10 {
        let user = NewUser::new(format!("{number}@x"), "x");
        db.transaction(async |tx| tx.users().create(user).await)
            .await
            .unwrap();
    }
}

#[both_engines]
#[case]
async fn a_commit_whose_answer_is_lost_may_have_been_done() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let proxy = Proxy::start(&database).unwrap();
    let db = Db::connect_to(&proxy.url_of(&database)).await.unwrap();
    proxy.set(ProxyMode::swallow_commit()).unwrap();

    let lost = db
        .transaction(async |tx| tx.users().create(NewUser::new("a@x", "a")).await)
        .await
        .unwrap_err();
    assert_eq!(lost.fate(), Some(Fate::Unknown), "{lost:?}");
    assert_eq!(lost.advice(), Advice::LookFirst);
    assert!(!lost.is_retryable());
    assert_eq!(observer.count("public.users"), 1);
}

#[both_engines]
#[case]
async fn a_transaction_that_is_lost_before_its_commit_was_not_done() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let proxy = Proxy::start(&database).unwrap();
    let db = Db::connect_to(&proxy.url_of(&database)).await.unwrap();

    let lost = db
        .transaction(async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await?;
            proxy.cut();
            tx.users().create(NewUser::new("b@x", "b")).await
        })
        .await
        .unwrap_err();
    assert_eq!(lost.fate(), Some(Fate::NotSent), "{lost:?}");
    assert_eq!(lost.advice(), Advice::AgainElsewhere);

    proxy.set(ProxyMode::Refuse).unwrap();
    proxy.cut();
    let refused = loop {
        // The connection that was cut may fail first.
        let error = db.users().count(&UserFilter::new()).await.unwrap_err();
        if error.to_string().contains("refused") {
            break error;
        }
    };
    assert_eq!(refused.fate(), Some(Fate::NotSent), "{refused:?}");
    assert_eq!(observer.count("public.users"), 0);
}

#[both_engines]
#[case]
async fn what_a_role_may_not_do_has_the_code_of_that() {
    let (_, mut observer, database) = one_connection().await;
    let role = format!("guest_{}", database.name());
    observer.run(&format!(
        "CREATE ROLE {role} LOGIN; CREATE ROLE {role}_other;
         GRANT USAGE ON SCHEMA public TO {role};
         CREATE TABLE public.secured (id int); GRANT ALL ON public.secured TO {role};
         ALTER TABLE public.secured ENABLE ROW LEVEL SECURITY"
    ));
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let db = Db::connect_to(&url).await.unwrap();

    for sql in [
        "SELECT FROM public.users".to_owned(),
        "ALTER TABLE public.users ADD COLUMN x int".to_owned(),
        "INSERT INTO public.secured VALUES (1)".to_owned(),
        "SET LOCAL row_security = off; SELECT FROM public.secured".to_owned(),
        format!("ALTER TABLE public.secured OWNER TO {role}_other"),
        format!("CREATE SCHEMA x AUTHORIZATION {role}_other"),
        format!("SET ROLE {role}_other"),
        "COPY public.secured FROM '/etc/passwd'".to_owned(),
        "CREATE ROLE nobody".to_owned(),
        "SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity \
             WHERE datname = pg_catalog.current_database() AND usesysid = 10"
            .to_owned(),
    ] {
        let refused = run(&db, &sql).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Other { sqlstate: Some(state), .. } if state.as_str() == "42501"),
            "{sql}: {refused:?}"
        );
    }
    drop(db);
    observer.run(&format!(
        "DROP TABLE public.secured; DROP OWNED BY {role}; DROP ROLE {role}; DROP ROLE {role}_other"
    ));
}

/// A pool of one connection that waits for no response longer than four seconds.
#[both_engines]
async fn impatient() -> (Db, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let config = config.statement_timeout(None);
    let db = Db::connect(config.response_timeout(Duration::from_secs(4))).await;
    (db.unwrap(), database)
}

/// A server that is stopped for one connection: its statement waits for a lock, without a limit of
/// the server's.
#[both_engines]
#[case]
async fn a_statement_that_is_never_answered_does_not_keep_the_pool_from_others() {
    let (db, database) = impatient().await;
    // Prepared: a statement that is lost while it is prepared was not sent.
    db.organizations()
        .count(&OrganizationFilter::new())
        .await
        .unwrap();
    let mut holder = Observer::of(&database.url());
    holder.run("BEGIN; LOCK TABLE public.organizations");
    let holder = Arc::new(Mutex::new(holder));
    let observer = Arc::new(Mutex::new(Observer::of(&database.url())));

    let outcomes = side_by_side(2, {
        let db = db.clone();
        async move |number| {
            if number == 0 {
                let started = Instant::now();
                let silent = db.organizations().count(&OrganizationFilter::new()).await;
                return (silent.map(drop), started.elapsed());
            }
            while observer.lock().unwrap().ask(SOMEBODY_WAITS) != "true" {
                pause().await;
            }
            let started = Instant::now();
            let other = db.users().count(&UserFilter::new()).await;
            let waited = started.elapsed();
            holder.lock().unwrap().run("ROLLBACK");
            (other.map(drop), waited)
        }
    })
    .await;

    // In the blocking engine the thread waits until the server goes on.
    if let (Err(error), waited) = &outcomes[0] {
        assert_eq!(error.fate(), Some(Fate::Unknown), "{error:?}");
        assert!(*waited < Duration::from_secs(20), "{waited:?}");
    }
    let (other, waited) = &outcomes[1];
    assert!(other.is_ok(), "{other:?}");
    assert!(*waited < Duration::from_secs(20), "{waited:?}");
    let health = db.health().await.unwrap();
    assert_eq!(health.connections, 1, "{health:?}");
}

#[both_engines]
#[case]
async fn a_statement_that_takes_long_is_answered_within_the_limit_of_silence() {
    let (db, _database) = impatient().await;
    for _ in 0..3 {
        let slept = ask(&db, &TransactionOptions::new(), "pg_sleep(1.5)").await;
        assert!(slept.is_ok(), "{slept:?}");
    }
}

#[both_engines]
#[case]
async fn a_busy_pool_says_so_and_is_told_from_a_server_that_does_not_answer() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let limit = Duration::from_secs(2);
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let config = config.max_connections(1).health_timeout(limit);
    let db = Db::connect(config.acquire_timeout(limit)).await.unwrap();
    let state = db.pool();
    assert_eq!(
        (state.connections, state.in_use, state.idle_connections()),
        (1, 0, 1)
    );
    assert_eq!(state.longest_use, None);

    let (busy, refused) = db
        .transaction(async |tx| -> Result<_> {
            tx.users().count(&UserFilter::new()).await?;
            assert!(db.pool().is_busy());
            let refused = db.users().count(&UserFilter::new()).await;
            assert!(db.pool().longest_use.unwrap() >= limit);
            Ok((db.health().await, refused))
        })
        .await
        .unwrap();
    assert!(matches!(busy, Err(Error::Pool(_))), "{busy:?}");
    match refused {
        Err(Error::Pool(why)) => {
            assert!(
                why.contains("1 connections in use, the longest for"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!db.pool().is_busy());
    db.health().await.unwrap();

    proxy.set(ProxyMode::Silent).unwrap();
    let started = Instant::now();
    let silent = db.health().await;
    assert!(
        matches!(silent, Err(Error::Timeout(_) | Error::Connection { .. })),
        "{silent:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(15));
    proxy.set(ProxyMode::Pass).unwrap();
}

/// The connection on which the server was asked is not in use by a caller, however the pool checks
/// its connections.
#[both_engines]
#[case]
async fn a_server_that_does_not_answer_is_no_busy_pool() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    for recycling in [Recycling::Fast, Recycling::Verified] {
        let config = Config::new(&proxy.url_of(&database)).unwrap();
        let config = config.max_connections(1).recycling(recycling);
        let config = config.health_timeout(Duration::from_secs(1));
        proxy.set(ProxyMode::Silent).unwrap();
        let unopened = Db::lazy(config.clone()).unwrap().health().await;
        proxy.set(ProxyMode::Pass).unwrap();
        let db = Db::connect(config).await.unwrap();
        proxy.set(ProxyMode::Silent).unwrap();
        for outcome in [unopened, db.health().await, db.health().await] {
            assert!(
                matches!(outcome, Err(Error::Timeout(_) | Error::Connection { .. })),
                "{recycling:?}: {outcome:?}"
            );
        }
        assert!(!db.pool().is_busy());
        proxy.set(ProxyMode::Pass).unwrap();
    }
}

/// Changes of other columns for each number.
fn changes(number: u32) -> UserChanges {
    let bit = |bit: u32| number & (1 << bit) != 0;
    let mut changes = UserChanges::new();
    changes.name = bit(0).then(|| "b".to_owned());
    changes.is_active = bit(1).then_some(true);
    changes.email_verified = bit(2).then_some(true);
    changes.email = bit(3).then(|| "b@x".to_owned());
    changes.role = bit(4).then_some(UserRole::Admin);
    if bit(5) {
        changes = changes.avatar_url("x".to_owned());
    }
    if bit(6) {
        changes = changes.github_username("x".to_owned());
    }
    changes
}

#[both_engines]
#[case]
async fn no_more_statements_stay_prepared_than_allowed() {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config.prepared_statements(20)).await.unwrap();
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    let most = async || {
        let count = "SELECT count(*) FROM pg_catalog.pg_prepared_statements";
        let count = ask(&db, &TransactionOptions::new(), count).await.unwrap();
        // The question itself may be one, and tokio-postgres keeps up to three that ask for types.
        assert!(count.parse::<u32>().unwrap() <= 24, "{count} are prepared");
    };

    for number in 1..128 {
        db.users().update(ada.id, changes(number)).await.unwrap();
        if number % 8 == 0 {
            most().await;
        }
    }
    db.transaction(async |tx| -> Result<()> {
        for number in 1..128 {
            tx.users().update(ada.id, changes(number)).await?;
        }
        Ok(())
    })
    .await
    .unwrap();
    most().await;
    // What is used again and again stays, and still works.
    for _ in 0..3 {
        let found = db.users().find(ada.id).await.unwrap().unwrap();
        assert_eq!(found.github_username.as_deref(), Some("x"));
    }
    for number in [0, 65_537] {
        let config = Config::new(&database.url()).unwrap();
        let refused = Db::lazy(config.prepared_statements(number)).err();
        assert!(
            matches!(refused, Some(Error::InvalidInput { .. })),
            "{refused:?}"
        );
    }
}

#[both_engines]
#[case]
async fn a_transaction_goes_through_a_failover_if_that_is_asked_for() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let proxy = Arc::new(Proxy::start(&database).unwrap());
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let options = TransactionOptions::new();
    let retry = Retry::default();
    let tries = AtomicU32::new(0);

    // Cut after its first statement, and nothing answers for a while.
    let cut_once = async |tx: &mut Tx| -> Result<()> {
        tx.users().create(NewUser::new("a@x", "a")).await?;
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            proxy.set(ProxyMode::Refuse).unwrap();
            proxy.cut();
            let proxy = Arc::clone(&proxy);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(300));
                proxy.set(ProxyMode::Pass).unwrap();
            });
        }
        tx.users().count(&UserFilter::new()).await?;
        Ok(())
    };
    let patient = retry.through_failover(Duration::from_secs(30));
    db.transaction_retrying(&options, &patient, cut_once)
        .await
        .unwrap();
    assert_eq!(tries.swap(0, Ordering::Relaxed), 2);
    assert_eq!(observer.count("public.users"), 1);

    let refused = db
        .transaction_retrying(&options, &retry, async |tx| -> Result<()> {
            tries.fetch_add(1, Ordering::Relaxed);
            proxy.cut();
            tx.users().count(&UserFilter::new()).await.map(drop)
        })
        .await
        .unwrap_err();
    assert_eq!(refused.fate(), Some(Fate::NotSent), "{refused:?}");
    assert_eq!(tries.swap(0, Ordering::Relaxed), 1);

    proxy.set(ProxyMode::swallow_commit()).unwrap();
    let unknown = db
        .transaction_retrying(&options, &patient, async |tx| {
            tries.fetch_add(1, Ordering::Relaxed);
            tx.users().create(NewUser::new("b@x", "b")).await
        })
        .await
        .unwrap_err();
    assert_eq!(unknown.fate(), Some(Fate::Unknown), "{unknown:?}");
    assert_eq!(tries.into_inner(), 1);
    assert_eq!(observer.count("public.users"), 2);
}

/// The error ends the connection although the server keeps it, as one behind a pooler that closes
/// it later. An error that ends the statement alone keeps it.
#[both_engines]
#[case]
async fn a_conflict_with_recovery_ends_a_connection_by_its_error() {
    let (db, _observer, _database) = one_connection().await;
    let options = TransactionOptions::new();
    let process = "pg_catalog.pg_backend_pid()";
    for (message, is_kept) in [
        ("canceling statement due to conflict with recovery", true),
        (
            "terminating connection due to conflict with recovery",
            false,
        ),
    ] {
        let before = ask(&db, &options, process).await.unwrap();
        let ended = db
            .run(async |connection| -> Result<()> {
                let raise = format!(
                    "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = '{message}'; END $$"
                );
                Ok(connection.batch_execute(&raise).await?)
            })
            .await
            .unwrap_err();
        assert!(matches!(ended, Error::Serialization), "{ended:?}");
        assert!(ended.is_retryable());
        let after = ask(&db, &options, process).await.unwrap();
        assert_eq!(after == before, is_kept, "{message}");
    }
}

/// The server closes the connection after its error, which both drivers notice by themselves, too.
/// What the crate makes of the error is tested by
/// `a_conflict_with_recovery_ends_a_connection_by_its_error`.
#[both_engines]
#[case]
async fn a_conflict_with_recovery_ends_the_connection_that_it_ends() {
    let standby = PostgresServer::builder().setting("max_standby_streaming_delay", "0");
    let pair = Pair::start_with(PostgresServer::builder(), standby).unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let mut primary = Observer::of(&database.url());
    let mut observer = Observer::of(&pair.standby_url(&database));
    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();

    let ended = db
        .transaction(async |tx| -> Result<()> {
            tx.users().count(&UserFilter::new()).await?;
            // Its lock, which the standby has to take, excludes readers.
            primary.run("ALTER TABLE public.users ADD COLUMN of_a_conflict integer");
            let started = Instant::now();
            while observer.count("pg_stat_activity WHERE state = 'idle in transaction'") > 0 {
                assert!(started.elapsed() < Duration::from_secs(20));
                pause().await;
            }
            tx.users().count(&UserFilter::new()).await.map(drop)
        })
        .await
        .unwrap_err();
    assert!(
        matches!(
            ended,
            Error::Serialization
                | Error::Connection {
                    fate: Fate::NotSent,
                    ..
                }
        ),
        "{ended:?}"
    );
    assert!(ended.is_retryable());
    db.users().count(&UserFilter::new()).await.unwrap();
}

#[both_engines]
#[case]
async fn what_a_pgbouncer_says_of_a_server_that_is_gone_is_a_connection_error() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let bouncer = PgBouncer::in_front_of(&server, "session");
    let config = bouncer
        .config(&database)
        .behind_pgbouncer()
        .max_connections(1);
    let db = Db::connect(config.acquire_timeout(Duration::from_secs(3)))
        .await
        .unwrap();
    let options = TransactionOptions::new();
    assert_eq!(ask(&db, &options, "1").await.unwrap(), "1");

    let crashed = db
        .transaction(async |tx| -> Result<()> {
            tx.connection_mut().batch_execute("SELECT 1").await?;
            server.kill().unwrap();
            Ok(tx.connection_mut().batch_execute("SELECT 2").await?)
        })
        .await
        .unwrap_err();
    assert!(matches!(crashed, Error::Connection { .. }), "{crashed:?}");
    for _ in 0..3 {
        let failing = ask(&db, &options, "1").await.unwrap_err();
        assert_eq!(failing.fate(), Some(Fate::NotSent), "{failing:?}");
    }
}

/// A connection to PgBouncer outlives the server. A statement on it is passed to no server.
#[both_engines]
#[case]
async fn a_statement_that_a_pgbouncer_passed_to_no_server_was_not_sent() {
    let server = PostgresServer::start().unwrap();
    let database = server
        .create_database_from("migrated", |url| {
            wundr_db::blocking::migrations::up(&Config::new(url)?)?;
            Ok(())
        })
        .unwrap();
    let settings = "auth_type = any\nquery_wait_timeout = 1";
    let bouncer = PgBouncer::with(&server, "transaction", settings, "");
    let config = bouncer.config(&database).behind_pgbouncer();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let everybody = UserFilter::new();
    assert_eq!(db.users().count(&everybody).await.unwrap(), 0);
    server.kill().unwrap();
    let lost = db.users().count(&everybody).await.unwrap_err();
    // PgBouncer has waited for a connection to the server, and says no more.
    assert!(
        matches!(lost, Error::Pool(_)) || lost.fate() == Some(Fate::NotSent),
        "{lost:?}"
    );
}

#[both_engines]
#[case]
async fn no_more_statements_stay_prepared_behind_a_pgbouncer() {
    let database = migrated_database().unwrap();
    let bouncer = PgBouncer::start("session");
    let config = bouncer
        .config(&database)
        .behind_pgbouncer()
        .max_connections(1);
    let db = Db::connect(config.prepared_statements(20)).await.unwrap();
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    for number in 1..128 {
        db.users().update(ada.id, changes(number)).await.unwrap();
        if number % 8 == 0 {
            let count = "SELECT count(*) FROM pg_catalog.pg_prepared_statements";
            let count = ask(&db, &TransactionOptions::new(), count).await.unwrap();
            assert!(count.parse::<u32>().unwrap() <= 24, "{count} are prepared");
        }
    }
}

/// `BEGIN` has no effect: it is sent again, on a new connection.
#[both_engines]
#[case]
async fn a_transaction_begins_on_another_connection_if_an_idle_one_was_closed() {
    const IDLE: usize = 4;
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(4)).await.unwrap();
    let inside = Arc::new(AtomicU32::new(0));
    let mut made = 0;
    for round in 0..3 {
        // All connections are open and idle.
        inside.store(0, Ordering::Relaxed);
        let opened = side_by_side(IDLE, {
            let (db, inside) = (db.clone(), inside.clone());
            async move |_| {
                db.transaction(async |tx| -> Result<()> {
                    tx.users().count(&UserFilter::new()).await?;
                    inside.fetch_add(1, Ordering::Relaxed);
                    while AtomicU32::load(&inside, Ordering::Relaxed) < 4 {
                        pause().await;
                    }
                    Ok(())
                })
                .await
            }
        })
        .await;
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
        assert_eq!(db.pool().idle_connections(), 4);
        match round {
            0 => proxy.cut(),
            _ => observer.run(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            ),
        }
        for number in 0..2 {
            let user = NewUser::new(format!("{round}-{number}@x"), "x");
            db.transaction(async |tx| tx.users().create(user).await)
                .await
                .unwrap();
        }
        // So do units of the crate's own.
        let many = (0..1_500).map(|number| NewUser::new(format!("{round}+{number}@x"), "x"));
        let many: Vec<_> = many.collect();
        db.users().create_many(&many).await.unwrap();
        made += 1_502;
        assert_eq!(observer.count("public.users"), made);
    }

    // A new connection that is lost says so.
    proxy
        .set(ProxyMode::SwallowAnswerTo("BEGIN".to_owned()))
        .unwrap();
    proxy.cut();
    let lost = db
        .transaction(async |tx| tx.users().count(&UserFilter::new()).await)
        .await
        .unwrap_err();
    assert_eq!(lost.fate(), Some(Fate::NotSent), "{lost:?}");
}
