use std::time::Duration;

use super::*;
use crate::observer::{Observer, SOMEBODY_WAITS};
use wundr_db::{
    Config, Constraint, Error, NewUser, Result, TransactionOptions, UserChanges, UserFilter, UserId,
};

#[both_engines]
async fn database_with(settings: impl FnOnce(Config) -> Config) -> (Db, Observer, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = settings(Config::new(&database.url()).unwrap());
    let db = Db::connect(config).await.unwrap();
    (db, Observer::of(&database.url()), database)
}

/// The error of statements that the server is to refuse.
#[both_engines]
async fn refusal(db: &Db, statements: &str) -> Error {
    db.transaction(async |tx| -> Result<()> {
        Ok(tx.connection_mut().batch_execute(statements).await?)
    })
    .await
    .unwrap_err()
}

fn names(constraint: &Constraint) -> (&str, &str) {
    (&constraint.table, &constraint.name)
}

const TABLES: &str = "
    CREATE DOMAIN public.percentage AS int CONSTRAINT within_100 CHECK (VALUE <= 100);
    CREATE DOMAIN public.named AS text NOT NULL;
    CREATE TABLE public.parent (id int PRIMARY KEY, size int NOT NULL CONSTRAINT positive CHECK (size > 0));
    CREATE TABLE public.child (
        id int PRIMARY KEY, parent int CONSTRAINT child_of REFERENCES public.parent,
        short varchar(3), amount numeric(4, 2), share public.percentage, label public.named DEFAULT '-', path text
    );
    CREATE INDEX child_path ON public.child (path);
    CREATE TABLE public.parted (day int NOT NULL) PARTITION BY RANGE (day);
    CREATE TABLE public.spans (span int4range, CONSTRAINT apart EXCLUDE USING gist (span WITH &&));
    INSERT INTO public.parent VALUES (1, 1);
    INSERT INTO public.child VALUES (1, 1);
    INSERT INTO public.spans VALUES ('[1,5)');
";

#[both_engines]
#[case]
async fn a_broken_constraint_is_named_with_its_table() {
    let (db, mut observer, _database) = database_with(|config| config).await;
    observer.run(TABLES);

    match refusal(&db, "INSERT INTO public.parent VALUES (1, 2)").await {
        Error::Unique(constraint) => {
            assert_eq!(names(&constraint), ("parent", "parent_pkey"));
            assert_eq!(
                constraint.detail.as_deref(),
                Some("Key (id)=(1) already exists.")
            );
        }
        other => panic!("{other:?}"),
    }
    match refusal(&db, "INSERT INTO public.spans VALUES ('[3,9)')").await {
        Error::Unique(constraint) => assert_eq!(names(&constraint), ("spans", "apart")),
        other => panic!("{other:?}"),
    }
    let missing_parent = "INSERT INTO public.child VALUES (2, 9)";
    let wanted_parent = "DELETE FROM public.parent";
    match refusal(&db, missing_parent).await {
        Error::MissingReference(constraint) => {
            assert_eq!(names(&constraint), ("child", "child_of"))
        }
        other => panic!("{other:?}"),
    }
    match refusal(&db, wanted_parent).await {
        Error::StillReferenced(constraint) => assert_eq!(names(&constraint), ("child", "child_of")),
        other => panic!("{other:?}"),
    }
    match refusal(&db, "INSERT INTO public.parent VALUES (2, 0)").await {
        Error::Check(constraint) => assert_eq!(names(&constraint), ("parent", "positive")),
        other => panic!("{other:?}"),
    }
    match refusal(&db, "UPDATE public.child SET share = 101").await {
        Error::Check(constraint) => {
            assert_eq!(names(&constraint), ("", "within_100"));
            assert_eq!(constraint.to_string(), "within_100");
        }
        other => panic!("{other:?}"),
    }
    match refusal(&db, "INSERT INTO public.parent VALUES (2, NULL)").await {
        Error::NotNull { table, column } => {
            assert_eq!((table.as_str(), column.as_str()), ("parent", "size"))
        }
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn a_value_that_cannot_be_stored_is_invalid_input() {
    let (db, mut observer, _database) = database_with(|config| config).await;
    observer.run(TABLES);
    // Text that cannot be compressed, of 32 bytes for each.
    let path_of = |number: u32| {
        format!(
            "INSERT INTO public.child (id, path) \
             SELECT 2, string_agg(md5(n::text), '') FROM generate_series(1, {number}) n"
        )
    };
    let (long_path, longer_path) = (path_of(150), path_of(300));
    let expected = [
        ("UPDATE public.child SET short = 'long'", "value"),
        ("UPDATE public.child SET amount = 100", "value"),
        ("UPDATE public.child SET id = 3000000000", "value"),
        ("SELECT 32767::smallint + 1::smallint", "value"),
        ("SELECT '{\"a\": \"\\u0000\"}'::jsonb", "value"),
        ("SELECT 'x'::int", "value"),
        ("SELECT 'x'::date", "value"),
        ("SELECT '2000-13-01'::date", "value"),
        ("SELECT 'x'::public.user_role", "value"),
        ("UPDATE public.child SET label = NULL", "named"),
        ("INSERT INTO public.parted VALUES (1)", "parted"),
        (&*long_path, "child_path"),
        // Of this one the server does not say which index it is.
        (&*longer_path, "index"),
    ];
    for (statement, expected) in expected {
        match refusal(&db, statement).await {
            Error::InvalidInput { field, reason } => {
                assert_eq!(field, expected, "{statement}");
                assert!(reason.len() > 10, "{reason}");
            }
            other => panic!("{statement}: {other:?}"),
        }
    }
    let zero = db.users().create(NewUser::new("a@x", "\0")).await;
    assert!(matches!(zero, Err(Error::InvalidInput { field, .. }) if field == "name"));
    let sought = db.users().find_by_email("\0").await;
    assert!(
        matches!(sought, Err(Error::InvalidInput { .. })),
        "{sought:?}"
    );
}

#[both_engines]
#[case]
async fn a_row_that_is_gone_or_has_changed_is_told_apart() {
    let (db, _observer, _database) = database_with(|config| config).await;
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    let rename = UserChanges::new().name("b");

    let gone = db.users().update(UserId::new(), rename.clone()).await;
    assert!(matches!(gone, Err(Error::NotFound { what: "User" })));
    db.users().update(ada.id, rename.clone()).await.unwrap();
    let stale = db
        .users()
        .update(ada.id, rename.unchanged_since(ada.updated_at))
        .await;
    assert!(matches!(stale, Err(Error::StaleWrite { what: "User" })));
}

#[both_engines]
#[case]
async fn conflicts_and_time_limits_have_variants_of_their_own() {
    let (db, mut observer, database) =
        database_with(|config| config.statement_timeout(Duration::from_secs(2))).await;
    observer.run(TABLES);

    // What a real conflict looks like is `transactions`'s; here it is the codes that count.
    for (code, message, is_expected) in [
        (
            "40001",
            "could not serialize access due to read/write dependencies",
            (|error| matches!(error, Error::Serialization)) as fn(&Error) -> bool,
        ),
        ("40001", "in any language", |error| {
            matches!(error, Error::Serialization)
        }),
        ("40P01", "deadlock detected", |error| {
            matches!(error, Error::Deadlock)
        }),
        ("25006", "in any language", |error| {
            matches!(error, Error::ReadOnly)
        }),
        ("40P01", "Verklemmung (Deadlock) entdeckt", |error| {
            matches!(error, Error::Deadlock)
        }),
    ] {
        let raise = format!(
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{message}'; END $$"
        );
        let error = refusal(&db, &raise).await;
        assert!(is_expected(&error), "{message}: {error:?}");
    }

    let is_timeout = |error: &Error| matches!(error, Error::Timeout(_));
    let slow = refusal(&db, "SELECT pg_sleep(30)").await;
    assert!(is_timeout(&slow), "{slow:?}");
    let mut holder = Observer::of(&database.url());
    holder.run("BEGIN; LOCK TABLE public.parent");
    let locked = refusal(
        &db,
        "SET LOCAL lock_timeout = 50; SELECT FROM public.parent",
    )
    .await;
    assert!(is_timeout(&locked), "{locked:?}");
    let refused = refusal(&db, "LOCK TABLE public.parent NOWAIT").await;
    assert!(is_timeout(&refused), "{refused:?}");

    let read_only = db
        .transaction_with(&TransactionOptions::new().read_only(), async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await
        })
        .await;
    assert!(matches!(read_only, Err(Error::ReadOnly)));
}

/// A server whose messages are in another language, with a role that may not change that.
#[both_engines]
#[case]
async fn errors_are_the_same_in_every_language_of_the_server() {
    for language in ["de", "fr", "ja", "zh_CN"] {
        let server = PostgresServer::builder()
            .environment("LANGUAGE", language)
            // A refused login is described in the character set of the server's own locale.
            .environment("LC_ALL", "C.UTF-8")
            .setting("lc_messages", "C.UTF-8")
            .setting("deadlock_timeout", "10ms")
            .start()
            .unwrap();
        let url = server.url("postgres");
        let mut observer = Observer::of(&url);
        let message = observer.refusal("SELECT 1/0").unwrap();
        assert!(
            !message.contains("division by zero"),
            "the server does not write {language}: install PostgreSQL's message catalogs (package postgresql-15) and \
             the locale C.UTF-8"
        );
        observer.run(
            "CREATE ROLE app LOGIN; CREATE TABLE public.shared (id int); INSERT INTO public.shared VALUES (1), (2); \
             CREATE TABLE public.parent (id int PRIMARY KEY); INSERT INTO public.parent VALUES (1); \
             CREATE TABLE public.child (parent int REFERENCES public.parent); INSERT INTO public.child VALUES (1); \
             GRANT ALL ON public.shared, public.parent, public.child TO app; CREATE TABLE public.secret (id int); \
             CREATE TABLE public.isolated (id int); ALTER TABLE public.isolated ENABLE ROW LEVEL SECURITY; \
             GRANT ALL ON public.isolated TO app",
        );
        let app = url.replace("postgres@", "app@");
        let db = Db::connect(Config::new(&app).unwrap()).await.unwrap();

        let timeout = "SET LOCAL statement_timeout = 20; SELECT pg_catalog.pg_sleep(60)";
        let error = refusal(&db, timeout).await;
        assert!(matches!(error, Error::Timeout(_)), "{error:?}");

        let mut holder = Observer::of(&url);
        holder.run("BEGIN; LOCK TABLE public.shared");
        for locked in [
            "SET LOCAL lock_timeout = 20; SELECT FROM public.shared",
            "LOCK TABLE public.shared NOWAIT",
        ] {
            let error = refusal(&db, locked).await;
            assert!(matches!(error, Error::Timeout(_)), "{error:?}");
        }
        holder.run("ROLLBACK");

        let missing = refusal(&db, "INSERT INTO public.child VALUES (2)").await;
        assert!(matches!(missing, Error::MissingReference(_)), "{missing:?}");
        let referenced = refusal(&db, "DELETE FROM public.parent").await;
        assert!(
            matches!(referenced, Error::StillReferenced(_)),
            "{referenced:?}"
        );

        for forbidden in [
            "SELECT FROM public.secret",
            "ALTER TABLE public.secret ADD COLUMN name text",
            "INSERT INTO public.isolated VALUES (1)",
        ] {
            let error = refusal(&db, forbidden).await;
            let code = match &error {
                Error::Other { sqlstate, .. } => sqlstate.as_ref().map(wundr_db::SqlState::as_str),
                _ => None,
            };
            assert_eq!(code, Some("42501"), "{error:?}");
            assert_eq!((error.code(), error.http_status()), ("forbidden", 403));
        }

        // The server detects the deadlock in the transaction that waits last.
        let mut rival = Observer::of(&url);
        rival.run(
            "SET deadlock_timeout = '1h'; BEGIN; UPDATE public.shared SET id = 1 WHERE id = 1",
        );
        let outcome = db
            .transaction(async |tx| -> Result<()> {
                let second = "UPDATE public.shared SET id = 2 WHERE id = 2";
                tx.connection_mut().batch_execute(second).await?;
                std::thread::spawn(move || rival.run(&format!("{second}; COMMIT")));
                observer.until(SOMEBODY_WAITS);
                let first = "UPDATE public.shared SET id = 1 WHERE id = 1";
                Ok(tx.connection_mut().batch_execute(first).await?)
            })
            .await;
        assert!(matches!(outcome, Err(Error::Deadlock)), "{outcome:?}");

        let ended = db
            .transaction(async |tx| -> Result<()> {
                tx.connection_mut().batch_execute("SELECT 1").await?;
                observer.run(
                    "SELECT pg_catalog.pg_terminate_backend(pid, 20000) FROM pg_catalog.pg_stat_activity \
                     WHERE usename = 'app'",
                );
                Ok(tx.connection_mut().batch_execute("SELECT 1").await?)
            })
            .await
            .unwrap_err();
        assert!(matches!(ended, Error::Connection { .. }), "{ended:?}");

        let stranger = url.replace("postgres@", "stranger@");
        let refused = Db::connect(Config::new(&stranger).unwrap())
            .await
            .unwrap_err();
        assert_eq!(refused.advice(), wundr_db::Advice::Never, "{refused:?}");
    }
}

#[both_engines]
#[case]
async fn what_has_no_variant_has_its_code_where_that_is_known() {
    let (db, _observer, _database) = database_with(|config| config).await;
    // diesel does not pass on the code that libpq has.
    let undefined_table = module_path!().contains("asynchronous").then_some("42P01");
    for (statement, expected) in [
        ("SELECT 1/0", Some("22012")),
        ("SELECT FROM public.nowhere", undefined_table),
    ] {
        match refusal(&db, statement).await {
            Error::Other { sqlstate, message } => {
                let sqlstate = sqlstate.as_ref().map(wundr_db::SqlState::as_str);
                assert_eq!(sqlstate, expected, "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[both_engines]
#[case]
async fn a_value_of_another_schema_is_an_error_that_names_its_column() {
    let (db, mut observer, _database) = database_with(|config| config).await;
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN name TYPE bytea USING '\\xff'");

    for outcome in [
        db.users().find(ada.id).await.map(drop),
        db.users().find_many(&[ada.id]).await.map(drop),
    ] {
        match outcome {
            Err(Error::Decode { column, .. }) => assert_eq!(column.as_deref(), Some("name")),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn a_server_that_is_absent_or_refuses_is_an_immediate_connection_error() {
    let server = PostgresServer::builder().listen_tcp().start().unwrap();
    let hba = server.data_dir().join("pg_hba.conf");
    std::fs::write(
        &hba,
        "local all all trust\nhost all all all scram-sha-256\n",
    )
    .unwrap();
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("SELECT pg_reload_conf(); CREATE ROLE app LOGIN PASSWORD 'right'");
    let with_password = |password: &str| {
        let url = server.tcp_url("postgres").unwrap();
        url.replace("postgres@", &format!("app:{password}@"))
    };
    Db::connect_to(&with_password("right")).await.unwrap();

    let socket = server.url("postgres");
    let nowhere = server.url("nowhere");
    for (url, said) in [
        (with_password("wrong"), "password authentication failed"),
        (nowhere, "\"nowhere\" does not exist"),
    ] {
        for lazily in [false, true] {
            let config = Config::new(&url).unwrap();
            let started = std::time::Instant::now();
            let error = if lazily {
                Db::lazy(config).unwrap().health().await.unwrap_err()
            } else {
                Db::connect(config).await.unwrap_err()
            };
            match &error {
                Error::Connection { message, .. } => assert!(message.contains(said), "{message}"),
                other => panic!("{other:?}"),
            }
            assert!(!format!("{error:?} {error}").contains("wrong"));
            assert!(started.elapsed() < Duration::from_secs(5));
        }
    }

    let db = Db::connect_to(&socket).await.unwrap();
    server.kill().unwrap();
    for _ in 0..3 {
        let error = db.health().await.unwrap_err();
        assert!(matches!(error, Error::Connection { .. }), "{error:?}");
    }
    server.restart().unwrap();
    db.health().await.unwrap();
}

#[both_engines]
#[case]
async fn an_ended_session_is_a_connection_error() {
    let (db, mut observer, _database) = database_with(|config| config.max_connections(1)).await;

    let ended = refusal(&db, "SELECT pg_terminate_backend(pg_backend_pid())").await;
    assert!(matches!(ended, Error::Connection { .. }), "{ended:?}");
    let between_statements = db
        .transaction(async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await?;
            observer.run(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            );
            tx.users().create(NewUser::new("b@x", "b")).await
        })
        .await;
    assert!(
        matches!(between_statements, Err(Error::Connection { .. })),
        "{between_statements:?}"
    );
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn a_pool_that_has_none_left_or_is_closed_says_so() {
    let (db, _observer, _database) = database_with(|config| {
        config
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(2))
    })
    .await;

    let exhausted = db
        .transaction(async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await?;
            db.users().count(&UserFilter::new()).await
        })
        .await;
    match exhausted {
        Err(Error::Pool(reason)) => assert!(reason.contains("2s"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
    assert_eq!(db.close().await, 0);
    let closed = db.users().count(&UserFilter::new()).await;
    assert!(matches!(closed, Err(Error::Pool(reason)) if reason == "closed"));
}

/// A constraint that is looked at when the transaction is committed: for a single statement, when
/// its rows have been sent already.
pub(super) const LATE: &str = "
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE 'too late' USING ERRCODE = 'check_violation', TABLE = 'users', CONSTRAINT = 'late';
    END $$;
    CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE OR DELETE ON public.users
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse();
";

#[both_engines]
#[case]
async fn what_is_refused_at_the_commit_was_not_done() {
    let (db, mut observer, _database) = database_with(|config| config.max_connections(1)).await;
    let users = db.users();
    let ada = NewUser::new("ada@example.org", "Ada");
    let ada = users.create(ada).await.unwrap();
    observer.run(LATE);

    fn late<T: std::fmt::Debug>(outcome: Result<T>) {
        match outcome {
            Err(Error::Check(constraint)) => assert_eq!(names(&constraint), ("users", "late")),
            other => panic!("{other:?}"),
        }
    }
    let bob = || NewUser::new("bob@example.org", "Bob");
    late(users.create(bob()).await);
    late(users.upsert(bob()).await);
    late(users.create_many(&[bob()]).await);
    late(users.update(ada.id, UserChanges::new().name("Eve")).await);
    late(users.set_active(ada.id, false).await);
    late(users.delete(ada.id).await);
    // The connection takes what comes next for what it is.
    assert_eq!(users.find(ada.id).await.unwrap(), Some(ada));
    assert_eq!(users.count(&UserFilter::new()).await.unwrap(), 1);
}
