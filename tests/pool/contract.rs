use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::observer::Observer;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::{
    Advice, Config, Error, Fate, NewUser, Result, TransactionOptions, UserFilter, UserId,
};

/// No connection fails more often than this after its statements, its types or its server have changed.
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

/// What fails of a transaction, a read and a write, tried five times each.
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

const MAKE_THE_ENUM_ANEW: &str = "
    ALTER TYPE public.user_role RENAME TO old_role;
    DO $$ DECLARE words text; BEGIN
        SELECT pg_catalog.string_agg(pg_catalog.quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
          INTO words FROM pg_catalog.pg_enum WHERE enumtypid = 'public.old_role'::regtype;
        EXECUTE 'CREATE TYPE public.user_role AS ENUM (' || words || ')';
    END $$;
    ALTER TABLE public.users ALTER COLUMN role DROP DEFAULT,
        ALTER COLUMN role TYPE public.user_role USING role::text::public.user_role;
    ALTER TABLE public.users ALTER COLUMN role SET DEFAULT 'viewer';
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
