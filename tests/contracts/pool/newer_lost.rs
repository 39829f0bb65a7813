//! Features that are newer than the list of faults: behind PgBouncer, on servers that crash, and on
//! a standby that takes over.

use super::sessions::ask;
use super::*;
use crate::observer::Observer;
use crate::pgbouncer::PgBouncer;
use wundr_db::testing::PostgresServer;
use wundr_db::{
    Actor, AnalysisIssueChanges, AnalysisIssueFilter, Config, ConfigurationScope, Error, Fate,
    IntegrationType, Keyring, NewIntegration, NewOrganization, NewUser, OrganizationId,
    ProjectFilter, QualityGate, Result, Secret, SessionClient, SessionKeys, SessionPolicy, Table,
    TransactionOptions, UserChanges, UserId,
};

/// The rows that the features are used on.
struct Rows {
    user: UserId,
    lab: OrganizationId,
}

#[both_engines]
async fn rows(db: &Db) -> Rows {
    let user = db.users().create(NewUser::new("ada@x", "Ada")).await;
    let lab = NewOrganization::new("Lab", "lab");
    Rows {
        user: user.unwrap().id,
        lab: db.organizations().create(lab).await.unwrap().id,
    }
}

/// The features that write, and those that read.
const WRITES: usize = 7;

/// Uses each feature once. Returns their names and outcomes, those that write first.
#[both_engines]
async fn use_each(db: &Db, rows: &Rows, round: u32) -> Vec<(&'static str, Result<()>)> {
    let &Rows { user, lab } = rows;
    let mut all = Vec::new();
    let acting = db.acting_as(Actor {
        user: Some(user),
        ..Actor::default()
    });
    let name = UserChanges::new().name(format!("acting {round}"));
    let renamed = acting.users().update(user, name).await;
    all.push(("acting_as", renamed.map(drop)));
    let changes = AnalysisIssueChanges::new().title("a");
    let filter = AnalysisIssueFilter::new();
    let updated = db.analysis_issues().update_many(&filter, changes).await;
    all.push(("update_many", updated.map(drop)));
    let (scope, gate) = (ConfigurationScope::Global, QualityGate::new([]));
    let saved = db.quality_gates().save(scope, "main", &gate, user).await;
    all.push(("save", saved.map(drop)));
    let keys = SessionKeys::new(1, [7; 32]);
    let sessions = Sessions::new(db, keys, SessionPolicy::new()).unwrap();
    let client = SessionClient::new();
    let opened = sessions.open(user, &client).await;
    let token = opened.as_ref().ok().and_then(|opened| opened.as_ref());
    let token = token.map(|opened| opened.token.expose().to_owned());
    all.push(("open", opened.map(drop)));
    let secrets = db.with_secrets(Keyring::new(1, [1; 32]));
    let integration = NewIntegration::new(IntegrationType::Github, "Code", user)
        .organization_id(lab)
        .credentials(Secret::new("\"hunter2\"".parse().unwrap()));
    let created = secrets.integrations().create(integration).await;
    all.push(("secrets", created.map(drop)));
    let touched = db
        .transaction(async |tx| -> Result<()> {
            tx.touches([wundr_db::Touched::User(user)]);
            let sql = "UPDATE public.users SET name = 'touched'";
            Ok(tx.connection_mut().batch_execute(sql).await?)
        })
        .await;
    all.push(("touches", touched));
    let run = db
        .run(async |connection| -> Result<()> {
            let sql = "UPDATE public.users SET name = 'run'";
            Ok(connection.batch_execute(sql).await?)
        })
        .await;
    all.push(("run", run));
    assert_eq!(all.len(), WRITES);

    let of_lab = db.for_organization(lab);
    let counted = of_lab.projects().count(&ProjectFilter::new()).await;
    all.push(("for_organization", counted.map(drop)));
    let found = db.quality_gates().find(scope, "main").await;
    all.push(("find", found.map(drop)));
    if let Some(token) = token {
        let valid = sessions.authenticate(&token).await;
        all.push(("authenticate", valid.map(|valid| assert!(valid.is_some()))));
    }
    let opened = secrets
        .integrations()
        .list(&Default::default(), &Default::default())
        .await;
    let opened = opened.map(|page| {
        for integration in page.items {
            integration.credentials.unwrap().expose().unwrap();
        }
    });
    all.push(("sealed", opened));
    all
}

fn are_done(outcomes: &[(&str, Result<()>)]) {
    for (name, outcome) in outcomes {
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

/// Two pools share the server connections, of which each feature may leave something.
#[both_engines]
#[case]
async fn the_newer_features_work_behind_a_pgbouncer_and_leave_nothing() {
    for mode in ["transaction", "session"] {
        let database = migrated_database().unwrap();
        let owner = Config::new(&database.url()).unwrap();
        audit::watch(&owner, Table::Users, &["name"]).await.unwrap();
        let direct = Db::connect(owner).await.unwrap();
        let rows = rows(&direct).await;
        let bouncer = PgBouncer::start(mode);
        let config = bouncer.config(&database).behind_pgbouncer();
        let one = Db::connect(config.clone().max_connections(1))
            .await
            .unwrap();
        let other = Db::connect(config.max_connections(1)).await.unwrap();
        for round in 0..3 {
            are_done(&use_each(&one, &rows, 2 * round).await);
            are_done(&use_each(&other, &rows, 2 * round + 1).await);
            for db in [&one, &other] {
                let left = "SELECT pg_catalog.concat(pg_catalog.current_setting('wundr.actor', true), \
                    pg_catalog.current_setting('wundr.organization', true)) AS answer";
                assert_eq!(ask(db, left).await, "", "{mode}");
            }
        }
        // The changes of an actor have it, and no others.
        let mut observer = Observer::of(&database.url());
        let wrong = "SELECT count(*) FROM audit.audit_logs WHERE action = 'update' AND resource_type = 'user' \
            AND (user_id IS NOT NULL) <> (new_values ->> 'name' LIKE 'acting%')";
        assert_eq!(observer.ask(wrong), "0", "{mode}");
    }
}

/// Each call fails with an error of the connection, and the next one after the restart works.
#[both_engines]
#[case]
async fn the_newer_features_survive_a_server_that_crashes() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    migrations::up(&config).await.unwrap();
    let db = Db::connect(config.max_connections(2)).await.unwrap();
    let rows = rows(&db).await;
    are_done(&use_each(&db, &rows, 0).await);
    for round in 1..3 {
        server.kill().unwrap();
        for (name, outcome) in use_each(&db, &rows, round).await {
            let error = outcome.expect_err(name);
            assert!(
                matches!(error, Error::Connection { .. }),
                "{name}: {error:?}"
            );
            assert!(error.fate().is_some(), "{name}: {error:?}");
        }
        server.restart().unwrap();
        are_done(&use_each(&db, &rows, round).await);
    }
}

/// A write whose response is lost may have been done; one whose transaction had not begun to commit
/// was not.
#[both_engines]
#[case]
async fn the_newer_features_say_whether_a_lost_write_may_have_been_done() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let direct = Db::connect_to(&database.url()).await.unwrap();
    let rows = rows(&direct).await;
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    are_done(&use_each(&db, &rows, 0).await);
    let lost = |text: &str| ProxyMode::SwallowAnswerTo(text.to_owned());
    let write = async || {
        db.run(async |connection| -> Result<()> {
            let sql = "UPDATE public.users SET name = 'lost'";
            Ok(connection.batch_execute(sql).await?)
        })
        .await
    };
    proxy.set(lost("'lost'")).unwrap();
    let error = write().await.unwrap_err();
    assert_eq!(error.fate(), Some(Fate::Unknown), "{error:?}");
    let touch = async |text: &str| {
        proxy.set(lost(text)).unwrap();
        let error = db
            .transaction(async |tx| -> Result<()> {
                tx.touches([wundr_db::Touched::User(rows.user)]);
                let sql = "UPDATE public.users SET name = 'touched again'";
                Ok(tx.connection_mut().batch_execute(sql).await?)
            })
            .await
            .unwrap_err();
        proxy.set(ProxyMode::Pass).unwrap();
        error
    };
    for (text, fate) in [
        // The conversion of diesel's error has no transaction.
        ("touched again", Fate::Unknown),
        // The session is restored before the commit.
        ("pg_advisory_unlock_all", Fate::NotSent),
        ("COMMIT", Fate::Unknown),
    ] {
        let error = touch(text).await;
        assert_eq!(error.fate(), Some(fate), "{text}: {error:?}");
    }
    are_done(&use_each(&db, &rows, 1).await);
}

/// On a standby what reads works and what writes is refused. When it takes over, everything works.
#[both_engines]
#[case]
async fn the_newer_features_work_when_a_standby_has_taken_over() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let primary = Db::connect_to(&database.url()).await.unwrap();
    let rows = rows(&primary).await;
    are_done(&use_each(&primary, &rows, 0).await);
    pair.wait_for_catch_up().unwrap();
    let config = Config::new(&pair.standby_url(&database)).unwrap();
    let db = Db::connect(config.max_connections(2)).await.unwrap();
    for (number, (name, outcome)) in use_each(&db, &rows, 1).await.into_iter().enumerate() {
        // Without rows that match, nothing is written.
        if number < WRITES {
            assert!(
                matches!(outcome, Err(Error::ReadOnly)),
                "{name}: {outcome:?}"
            );
        } else {
            assert!(outcome.is_ok(), "{name}: {outcome:?}");
        }
    }
    let read_only = TransactionOptions::new().read_only();
    let refused = db
        .transaction_with(&read_only, async |tx| {
            tx.users().touch_last_login(rows.user).await
        })
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    pair.promote().unwrap();
    are_done(&use_each(&db, &rows, 2).await);
    are_done(&use_each(&db, &rows, 3).await);
}
