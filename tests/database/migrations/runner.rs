use super::*;
use crate::observer::Observer;

/// The databases that users built themselves may hold this.
const TWO_OF_ONE: &str =
    "INSERT INTO users (email, name) VALUES ('Ada@example.org', 'A'), ('ada@example.org', 'B')";

#[both_engines]
#[case]
async fn what_was_applied_is_not_applied_again() {
    let (config, _database) = empty_database();
    let status = migrations::status(&config).await.unwrap();
    assert!(status.iter().all(|migration| !migration.is_applied));
    assert_eq!(migrations::down(&config).await.unwrap(), [""; 0]);
    assert_eq!(migrations::down_by_one(&config).await.unwrap(), None);
    let all: Vec<_> = status.into_iter().map(|migration| migration.name).collect();
    assert!(all.is_sorted() && all.len() > 6);

    assert_eq!(migrations::up(&config).await.unwrap(), all);
    assert_eq!(migrations::up(&config).await.unwrap(), [""; 0]);

    let last = migrations::down_by_one(&config).await.unwrap();
    assert_eq!(last.as_ref(), all.last());
    let status = migrations::status(&config).await.unwrap();
    let applied = status.iter().filter(|migration| migration.is_applied);
    assert_eq!(applied.count(), all.len() - 1);
    assert_eq!(migrations::up(&config).await.unwrap(), all[all.len() - 1..]);

    let reverted = migrations::down(&config).await.unwrap();
    assert!(reverted.iter().eq(all.iter().rev()));
    assert_eq!(migrations::down(&config).await.unwrap(), [""; 0]);
}

#[both_engines]
#[case]
async fn a_migration_that_fails_is_named_and_leaves_nothing() {
    let (config, database) = designed_database();
    let mut connection = connect(&database);
    connection.batch_execute(TWO_OF_ONE).unwrap();

    let failure = migrations::adopt(&config).await.unwrap_err();

    let Error::Migration { version, message } = &failure else {
        panic!("{failure:?}");
    };
    assert_eq!(version, "2025-01-02-000800_users_email_lower");
    assert!(message.contains("ada@example.org"), "{message}");
    let status = migrations::status(&config).await.unwrap();
    let first = status.iter().find(|migration| !migration.is_applied);
    assert_eq!(&first.unwrap().name, version);
    let before = dump(&database);
    assert!(migrations::up(&config).await.is_err());
    assert_same("after a failure", before.lines(), dump(&database).lines());

    connection
        .batch_execute("UPDATE public.users SET email = 'b@example.org' WHERE name = 'B'")
        .unwrap();
    let rest = migrations::up(&config).await.unwrap();
    assert_eq!(rest.first(), Some(version));
    let status = migrations::status(&config).await.unwrap();
    assert!(status.iter().all(|migration| migration.is_applied));
}

#[both_engines]
#[case]
async fn a_database_is_adopted_once() {
    let (config, _database) = designed_database();
    migrations::adopt(&config).await.unwrap();
    for _ in 0..2 {
        let again = migrations::adopt(&config).await;
        assert!(
            matches!(again, Err(Error::InvalidInput { .. })),
            "{again:?}"
        );
    }
    assert_eq!(migrations::up(&config).await.unwrap(), [""; 0]);

    let (config, database) = empty_database();
    let nothing = migrations::adopt(&config).await;
    assert!(
        matches!(nothing, Err(Error::Migration { .. })),
        "{nothing:?}"
    );
    let schemas = "SELECT nspname::text AS line FROM pg_namespace WHERE nspname IN ('analysis', 'setup', 'audit')";
    assert!(lines(&mut connect(&database), schemas).is_empty());
}

/// A role that may create schemas in a database, and log in there.
fn role(database: &TestDatabase, name: &str) -> (Config, String) {
    let role = format!("{name}_{}", database.name());
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {0} TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        database.name()
    );
    connect(database).batch_execute(&sql).unwrap();
    let url = database.url().replace("//postgres@", &format!("//{role}@"));
    (Config::new(&url).unwrap(), role)
}

#[both_engines]
#[case]
async fn the_list_is_found_wherever_a_search_path_leads() {
    let (_config, database) = empty_database();
    let (config, role) = role(&database, "owner");
    let all = migrations::up(&config).await.unwrap();
    connect(&database)
        .batch_execute(&format!("CREATE SCHEMA {role} AUTHORIZATION {role}"))
        .unwrap();
    let elsewhere = config_with(
        &database,
        &role,
        "options=-c%20search_path%3Danalysis,public",
    );
    for config in [&config, &elsewhere] {
        assert_eq!(migrations::up(config).await.unwrap(), [""; 0]);
        let status = migrations::status(config).await.unwrap();
        assert!(status.iter().all(|migration| migration.is_applied));
        assert_eq!(
            migrations::down_by_one(config).await.unwrap().as_ref(),
            all.last()
        );
        assert_eq!(migrations::up(config).await.unwrap(), all[all.len() - 1..]);
    }
    let lists = "SELECT relnamespace::REGNAMESPACE::TEXT AS line FROM pg_class WHERE relname = '__diesel_schema_migrations'";
    assert_eq!(lines(&mut connect(&database), lists), ["public"]);
    assert_eq!(migrations::down(&elsewhere).await.unwrap().len(), all.len());

    // As diesel's own runner may have made it.
    let (config, database) = empty_database();
    migrations::up(&config).await.unwrap();
    connect(&database)
        .batch_execute(
            "CREATE SCHEMA app; ALTER TABLE public.__diesel_schema_migrations SET SCHEMA app",
        )
        .unwrap();
    match migrations::up(&config).await {
        Err(Error::InvalidInput { reason, .. }) => {
            assert!(reason.contains("SET SCHEMA public"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

fn config_with(database: &TestDatabase, role: &str, parameters: &str) -> Config {
    let url = database.url().replace("//postgres@", &format!("//{role}@"));
    let joined = if url.contains('?') { '&' } else { '?' };
    Config::new(&format!("{url}{joined}{parameters}")).unwrap()
}

#[both_engines]
#[case]
async fn limits_of_requests_do_not_count_for_migrations() {
    let (_config, database) = empty_database();
    let sql = format!(
        "ALTER DATABASE {} SET statement_timeout = 10",
        database.name()
    );
    connect(&database).batch_execute(&sql).unwrap();
    let parameters =
        "options=-c%20statement_timeout%3D10%20-c%20lock_timeout%3D1%20-c%20search_path%3Dpg_temp";
    let config = config_with(&database, "postgres", parameters);
    // On a loaded machine, to open the connection can take longer than that.
    let mut attempts = 100;
    let applied = loop {
        match migrations::up(&config).await {
            Err(Error::Connection { .. }) if attempts > 0 => attempts -= 1,
            outcome => break outcome.unwrap(),
        }
    };
    assert!(applied.len() > 6);
    let invalid = "SELECT indexrelid::REGCLASS::TEXT AS line FROM pg_index WHERE NOT indisvalid";
    let reset = format!("ALTER DATABASE {} RESET statement_timeout", database.name());
    // From another database: a millisecond may not be enough for this one's own statements.
    let server = PostgresServer::shared().unwrap();
    let mut postgres = diesel::PgConnection::establish(&server.url("postgres")).unwrap();
    postgres.batch_execute(&reset).unwrap();
    assert_eq!(lines(&mut connect(&database), invalid), [""; 0]);
}

#[both_engines]
#[case]
async fn schemas_and_lists_of_other_roles_are_refused() {
    for planted in [
        "CREATE SCHEMA analysis",
        "CREATE SCHEMA cache",
        "CREATE TABLE public.__diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP)",
        "CREATE VIEW public.__diesel_schema_migrations AS SELECT 'x'::text AS version",
    ] {
        for is_designed in [false, true] {
            let (config, database) = if is_designed {
                designed_database()
            } else {
                empty_database()
            };
            let (_, mallory) = role(&database, "mallory");
            let sql = format!("SET ROLE {mallory}; {planted}");
            connect(&database).batch_execute(&sql).unwrap();
            let outcome = if is_designed {
                migrations::adopt(&config).await
            } else {
                migrations::up(&config).await
            };
            match outcome {
                Err(Error::InvalidInput { reason, .. }) => {
                    assert!(reason.contains(&mallory), "{reason}")
                }
                other => panic!("{planted}: {other:?}"),
            }
            // A member of the role may.
            let (owner, role) = role(&database, "member");
            let sql = format!("GRANT {mallory} TO {role}");
            connect(&database).batch_execute(&sql).unwrap();
            let outcome = migrations::status(&owner).await;
            assert!(
                !matches!(outcome, Err(Error::InvalidInput { .. })),
                "{outcome:?}"
            );
        }
    }
}

#[both_engines]
#[case]
async fn code_of_other_roles_that_an_older_version_took_in_is_named_or_replaced() {
    let (config, database) = empty_database();
    migrations::up(&config).await.unwrap();
    let back_to = async |name: &str| {
        while !migrations::down_by_one(&config)
            .await
            .unwrap()
            .unwrap()
            .contains(name)
        {}
    };
    back_to("users_email_ascii").await;
    let (_, mallory) = role(&database, "mallory");
    let mut connection = connect(&database);
    connection
        .batch_execute(&format!(
            "SET ROLE {mallory}; \
             CREATE FUNCTION public.lower(VARCHAR) RETURNS TEXT IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN $1; END $$; \
             RESET ROLE; DROP INDEX public.idx_users_email_lower; \
             CREATE UNIQUE INDEX idx_users_email_lower ON public.users (public.lower(email))"
        ))
        .unwrap();
    migrations::up(&config).await.unwrap();
    connection
        .batch_execute(&format!(
            "SET ROLE {mallory}; DROP FUNCTION public.lower(VARCHAR); \
             CREATE FUNCTION public.is_late(analysis.analysis_status) RETURNS BOOLEAN IMMUTABLE LANGUAGE plpgsql \
             AS $$ BEGIN RETURN true; END $$"
        ))
        .unwrap_err();
    connection
        .batch_execute(&format!(
            "RESET ROLE; GRANT USAGE ON SCHEMA analysis TO {mallory}; SET ROLE {mallory}; \
             CREATE FUNCTION public.is_late(analysis.analysis_status) RETURNS BOOLEAN IMMUTABLE LANGUAGE plpgsql \
             AS $$ BEGIN RETURN true; END $$; RESET ROLE; \
             CREATE INDEX late ON analysis.analyses (id) WHERE public.is_late(status)"
        ))
        .unwrap();
    back_to("nothing_of_other_roles").await;
    match migrations::up(&config).await {
        Err(Error::Migration { message, .. }) => {
            assert!(
                message.contains("index analysis.late") && message.contains(&mallory),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

/// A server in whose collation `lower('I')` is not `i`.
fn turkish_database() -> (Config, TestDatabase) {
    let (_config, database) = empty_database();
    let name = database.name();
    let mut postgres =
        diesel::PgConnection::establish(&PostgresServer::shared().unwrap().url("postgres"))
            .unwrap();
    postgres
        .batch_execute(&format!("DROP DATABASE {name}"))
        .unwrap();
    postgres
        .batch_execute(&format!(
            "CREATE DATABASE {name} LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
        ))
        .unwrap();
    (Config::new(&database.url()).unwrap(), database)
}

#[both_engines]
#[case]
async fn addresses_are_folded_alike_in_every_database() {
    let (config, _database) = turkish_database();
    migrations::up(&config).await.unwrap();
    let db = Db::connect(config).await.unwrap();
    let info = db
        .users()
        .create(NewUser::new("INFO@example.com", "Iris"))
        .await
        .unwrap();
    let taken = db
        .users()
        .create(NewUser::new("info@example.com", "Ida"))
        .await;
    assert!(matches!(taken, Err(Error::Unique(_))), "{taken:?}");
    let changed = db
        .users()
        .upsert(NewUser::new("Info@Example.com", "Ivy"))
        .await
        .unwrap();
    assert_eq!(changed.id, info.id);
    assert_eq!(
        db.users().find_by_email("info@EXAMPLE.com").await.unwrap(),
        Some(changed)
    );
    for search in ["INFO@", "info@", "ivy", "IVY"] {
        let found = db
            .users()
            .count(&UserFilter::new().search(search))
            .await
            .unwrap();
        assert_eq!(found, 1, "{search}");
    }
    // Other letters count as they are.
    db.users()
        .create(NewUser::new("\u{c4}@example.com", "A"))
        .await
        .unwrap();
    db.users()
        .create(NewUser::new("\u{e4}@example.com", "B"))
        .await
        .unwrap();
}

#[both_engines]
#[case]
async fn users_of_one_address_are_named_before_anything_is_changed() {
    let (config, database) = turkish_database();
    let mut connection = connect(&database);
    connection.batch_execute(DESIGN).unwrap();
    connection
        .batch_execute(
            "INSERT INTO users (email, name) VALUES ('INFO@x.org', 'A'), ('info@x.org', 'B')",
        )
        .unwrap();
    match migrations::adopt(&config).await {
        Err(Error::Migration { version, message }) => {
            assert!(version.ends_with("users_email_ascii"), "{version}");
            assert!(
                message.contains("info@x.org") && message.contains("INFO@x.org"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    connection
        .batch_execute("UPDATE public.users SET email = 'other@x.org' WHERE name = 'B'")
        .unwrap();
    assert!(!migrations::up(&config).await.unwrap().is_empty());
}

#[both_engines]
#[case]
async fn a_server_that_falls_silent_ends_the_wait_for_the_lock() {
    let database = PostgresServer::shared().unwrap().create_database().unwrap();
    let proxy = Proxy::start(PostgresServer::shared().unwrap()).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let mut holder = connect(&database);
    holder
        .batch_execute("SELECT pg_advisory_lock(x'77756e64725f6462'::BIGINT)")
        .unwrap();
    let silence = std::thread::spawn(move || {
        Observer::of(&database.url()).until(
            "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
             AND query LIKE 'SELECT pg_catalog.pg_try_advisory_lock%')",
        );
        proxy.set(ProxyMode::Silent).unwrap();
        (proxy, database)
    });
    let started = std::time::Instant::now();
    let outcome = migrations::down(&config).await;
    assert!(
        matches!(outcome, Err(Error::Connection { .. })),
        "{outcome:?}"
    );
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
    drop(silence.join().unwrap());
}

#[both_engines]
#[case]
async fn migrations_start_again_on_another_connection() {
    let server = PostgresServer::shared().unwrap();
    let database = server.create_database().unwrap();
    let proxy = Proxy::start(server).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let mut holder = connect(&database);
    holder
        .batch_execute("SELECT pg_advisory_lock(x'77756e64725f6462'::BIGINT)")
        .unwrap();
    let cut = std::thread::spawn(move || {
        let mut observer = Observer::of(&database.url());
        for _ in 0..2 {
            observer.until(
                "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                 AND query LIKE 'SELECT pg_catalog.pg_try_advisory_lock%')",
            );
            let before = proxy.accepted();
            proxy.cut();
            while proxy.accepted() == before {
                std::thread::yield_now();
            }
        }
        drop(holder);
        (proxy, database)
    });
    assert!(migrations::up(&config).await.unwrap().len() > 6);
    let (_proxy, database) = cut.join().unwrap();
    let config = Config::new(&database.url()).unwrap();
    let status = migrations::status(&config).await.unwrap();
    assert!(status.iter().all(|migration| migration.is_applied));
}

#[both_engines]
#[case]
async fn migrations_begin_anew_when_a_read_only_server_has_given_way() {
    let (config, database) = empty_database();
    let read_only = |is_read_only: &str| {
        format!(
            "ALTER DATABASE {} SET default_transaction_read_only = {is_read_only}",
            database.name()
        )
    };
    let mut connection = connect(&database);
    connection.batch_execute(&read_only("on")).unwrap();
    let url = database.url();
    let back = read_only("off");
    let writable = std::thread::spawn(move || {
        Observer::of(&url).until(
            "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
             AND application_name = 'wundr-db migrations')",
        );
        connection.batch_execute(&back).unwrap();
    });
    assert!(migrations::up(&config).await.unwrap().len() > 6);
    writable.join().unwrap();
}

#[both_engines]
#[case]
async fn a_claim_after_a_failover_has_a_greater_fence() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let user = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await
        .unwrap();
    let project = NewProject::new("Engine", user.id);
    let project = db.projects().create(project).await.unwrap();
    let new = NewAnalysis::new(project.id, AnalysisType::Quality, user.id);
    db.analyses().create(new).await.unwrap();
    let minute = std::time::Duration::from_secs(60);
    pair.wait_for_catch_up().unwrap();
    pair.cut_replication().unwrap();
    // More than the 32 numbers by which a sequence is ahead on a standby.
    let mut lost = Vec::new();
    for _ in 0..40 {
        let claim = db
            .analyses()
            .claim(AnalysisType::ALL, "old", minute)
            .await
            .unwrap()
            .unwrap();
        lost.push(claim.lease.fence);
        db.analyses().release(&claim.lease).await.unwrap();
    }
    pair.promote().unwrap();
    let db = Db::connect_to(&pair.standby_url(&database)).await.unwrap();
    let claim = db
        .analyses()
        .claim(AnalysisType::ALL, "new", minute)
        .await
        .unwrap()
        .unwrap();
    assert!(
        lost.iter().all(|fence| *fence < claim.lease.fence),
        "{lost:?} and {claim:?}"
    );
}
