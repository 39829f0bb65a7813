use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::observer::Observer;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::{Config, Error, NewUser, Result, UserFilter};

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

/// The text of an SQL expression.
#[both_engines]
async fn ask(db: &Db, expression: &str) -> Result<String> {
    let question = format!("SELECT ({expression})::text AS answer");
    db.transaction(async |tx| -> Result<_> {
        let question = diesel::sql_query(&question);
        let answer: Answer = question.get_result(tx.connection_mut()).await?;
        Ok(answer.answer)
    })
    .await
}

fn config_of(database: &TestDatabase, parameters: &str) -> Config {
    Config::new(&format!("{}?{parameters}", database.url())).unwrap()
}

#[both_engines]
#[case]
async fn settings_are_in_force_on_every_connection() {
    let database = migrated_database().unwrap();
    let settings = "concat_ws('|', current_setting('application_name'), current_setting('statement_timeout'), \
                    current_setting('idle_in_transaction_session_timeout'), current_setting('work_mem'))";

    let default = Db::connect(config_of(&database, "")).await.unwrap();
    assert_eq!(
        ask(&default, settings).await.unwrap(),
        "wundr-db|30s|1min|4MB"
    );
    let chosen = config_of(&database, "application_name=a%20b%26c%25d")
        .statement_timeout(Duration::from_millis(1500))
        .idle_in_transaction_timeout(None);
    let chosen = Db::connect(chosen).await.unwrap();
    assert_eq!(
        ask(&chosen, settings).await.unwrap(),
        "a b&c%d|1500ms|0|4MB"
    );
    let in_url = config_of(
        &database,
        "options=-c%20work_mem%3D8MB%20-c%20statement_timeout%3D5s",
    )
    .application_name("other")
    .idle_in_transaction_timeout(Duration::from_secs(2));
    let in_url = Db::connect(in_url).await.unwrap();
    assert_eq!(ask(&in_url, settings).await.unwrap(), "other|5s|2s|8MB");
}

#[both_engines]
#[case]
async fn a_transaction_that_says_nothing_is_ended() {
    for phase in [
        "a prepared statement",
        "a new statement",
        "a savepoint",
        "the commit",
    ] {
        is_ended_before(phase).await;
    }
}

#[both_engines]
async fn is_ended_before(phase: &str) {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let config = config_of(&database, "").idle_in_transaction_timeout(Duration::from_millis(50));
    let db = Db::connect(config.max_connections(1)).await.unwrap();

    let silent: Result<()> = db
        .transaction(async |tx| {
            tx.users().create(NewUser::new("a@x", "a")).await?;
            let started = Instant::now();
            while observer.count("pg_stat_activity WHERE datname = current_database()") > 1 {
                assert!(
                    started.elapsed() < Duration::from_secs(20),
                    "it is still there"
                );
                pause().await;
            }
            match phase {
                "a prepared statement" => {
                    tx.users().create(NewUser::new("b@x", "b")).await?;
                }
                "a new statement" => {
                    tx.users().find_by_email("a@x").await?;
                }
                "a savepoint" => tx.savepoint(async |_| Ok::<_, Error>(())).await?,
                _ => {}
            }
            Ok(())
        })
        .await;

    // The async engine may find the connection closed while it writes, before it has read why.
    let is_blocking = std::any::type_name::<Db>().contains("blocking");
    let is_reason = match &silent {
        Err(Error::Timeout(_)) => true,
        Err(Error::Connection { .. }) => !is_blocking,
        _ => false,
    };
    assert!(is_reason, "{phase}: {silent:?}");
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn a_server_in_another_language_is_asked_for_english() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    // No other language is installed everywhere; to the server this is one.
    observer.run(&format!(
        "ALTER DATABASE {} SET lc_messages = 'C.UTF-8'",
        database.name()
    ));
    let db = Db::connect(config_of(&database, "")).await.unwrap();
    assert_eq!(
        ask(&db, "current_setting('lc_messages')").await.unwrap(),
        "C"
    );

    let role = format!("plain_{}", database.name());
    observer.run(&format!("CREATE ROLE {role} LOGIN"));
    let plain = database.url().replace("postgres@", &format!("{role}@"));
    let db = Db::connect_to(&plain).await.unwrap();
    assert_eq!(
        ask(&db, "current_setting('lc_messages')").await.unwrap(),
        "C.UTF-8"
    );
    drop(db);
    observer.run(&format!("DROP ROLE {role}"));
}

#[both_engines]
#[case]
async fn fifty_share_no_more_connections_than_allowed() {
    let database = migrated_database().unwrap();
    let db = Db::connect(config_of(&database, "").max_connections(4))
        .await
        .unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));

    let errors = side_by_side(50, {
        let (db, most, now) = (db.clone(), most.clone(), now.clone());
        async move |number| {
            db.transaction(async |tx| -> Result<()> {
                let inside = now.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(inside, Ordering::Relaxed);
                tx.users()
                    .create(NewUser::new(format!("{number}@x"), "x"))
                    .await?;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            })
            .await
        }
    })
    .await;

    assert!(errors.is_empty(), "{errors:?}");
    let most = most.fetch_max(0, Ordering::Relaxed);
    assert!((2..=4).contains(&most), "{most} at a time");
    let health = db.health().await.unwrap();
    assert!(health.connections <= 4, "{health:?}");
    assert!(health.server_version >= 150_000 && !health.is_standby);
    assert!(health.round_trip < Duration::from_secs(5));
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 50);
}

#[both_engines]
#[case]
async fn close_lets_work_end_and_refuses_more() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let config = config_of(&database, "").max_connections(3).min_idle(2);
    let db = Db::connect(config).await.unwrap();
    let is_inside = Arc::new(AtomicBool::new(false));

    let errors = side_by_side(2, {
        let (db, is_inside) = (db.clone(), is_inside.clone());
        async move |number| {
            if number == 0 {
                let late = db
                    .transaction(async |tx| -> Result<()> {
                        tx.users().create(NewUser::new("a@x", "a")).await?;
                        is_inside.store(true, Ordering::Relaxed);
                        // Until the other one has begun to close.
                        while !matches!(db.health().await, Err(Error::Pool(_))) {
                            pause().await;
                        }
                        tx.users().create(NewUser::new("b@x", "b")).await?;
                        Ok(())
                    })
                    .await;
                return late;
            }
            while !is_inside.fetch_or(false, Ordering::Relaxed) {
                pause().await;
            }
            assert_eq!(db.close().await, 0);
            Ok(())
        }
    })
    .await;

    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(observer.count("public.users"), 2);
    let started = Instant::now();
    assert!(matches!(
        db.users().count(&UserFilter::new()).await,
        Err(Error::Pool(_))
    ));
    assert!(matches!(db.health().await, Err(Error::Pool(_))));
    assert!(started.elapsed() < Duration::from_secs(1));
    while observer.count("pg_stat_activity WHERE datname = current_database()") > 1 {
        assert!(started.elapsed() < Duration::from_secs(20));
        pause().await;
    }
}

/// The only connection is in use until the call that waits for it has received its error.
#[both_engines]
#[case]
async fn close_refuses_those_who_wait() {
    let database = migrated_database().unwrap();
    let patience = Duration::from_secs(60);
    let config = config_of(&database, "").max_connections(1);
    let db = Db::connect(config.acquire_timeout(patience)).await.unwrap();
    let step = Arc::new(AtomicU32::new(0));

    let errors = side_by_side(3, {
        let (db, step) = (db.clone(), step.clone());
        async move |number| {
            let until = async |wanted| {
                while AtomicU32::load(&step, Ordering::Relaxed) < wanted {
                    pause().await;
                }
            };
            match number {
                0 => {
                    db.transaction(async |tx| -> Result<()> {
                        tx.users().count(&UserFilter::new()).await?;
                        step.store(1, Ordering::Relaxed);
                        until(3).await;
                        Ok(())
                    })
                    .await
                }
                1 => {
                    until(1).await;
                    step.store(2, Ordering::Relaxed);
                    let started = Instant::now();
                    let refused = db.users().count(&UserFilter::new()).await;
                    step.store(3, Ordering::Relaxed);
                    assert!(matches!(refused, Err(Error::Pool(_))), "{refused:?}");
                    assert!(started.elapsed() < patience / 2);
                    Ok(())
                }
                _ => {
                    until(2).await;
                    // By now the other one waits, in most runs.
                    for _ in 0..20 {
                        pause().await;
                    }
                    assert_eq!(db.close().await, 0);
                    Ok(())
                }
            }
        }
    })
    .await;
    assert!(errors.is_empty(), "{errors:?}");
}

#[both_engines]
#[case]
async fn a_statement_whose_plan_no_longer_fits_is_prepared_again() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    let db = Db::connect(config_of(&database, "").max_connections(1))
        .await
        .unwrap();
    let ada = db.users().create(NewUser::new("a@x", "a")).await.unwrap();
    db.users().find(ada.id).await.unwrap();
    observer.run("ALTER TABLE public.users ALTER COLUMN avatar_url TYPE varchar(2000)");

    let _ = db.users().find(ada.id).await;

    assert_eq!(db.users().find(ada.id).await.unwrap(), Some(ada));
}
