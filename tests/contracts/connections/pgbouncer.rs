use wundr_db::testing::{TestDatabase, migrated_database};

use wundr_db::{
    Actor, Config, Error, NewUser, Result, Table, UserChanges, UserFilter, UserId, blocking,
};

use crate::observer::Observer;
use wundr_db::testing::PostgresServer;

use crate::pgbouncer::{PgBouncer, SERVER_CONNECTIONS, old_program};

const TASKS: usize = 50;
const ROUNDS: usize = 20;

fn user(task: usize, round: usize) -> NewUser {
    NewUser::new(format!("{task}-{round}@x"), "x")
}

/// Some of everything, many times, side by side; the errors.
async fn load_async(config: Config) -> Vec<Error> {
    use wundr_db::{Db, UserRepository};
    let db = Db::lazy(config).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let db = db.clone();
            tokio::spawn(async move {
                let mut errors = Vec::new();
                for round in 0..ROUNDS {
                    let outcome = db
                        .transaction(async |tx| -> Result<_> {
                            let created = tx.users().create(user(task, round)).await?;
                            tx.users().set_active(created.id, false).await?;
                            tx.users().find(created.id).await
                        })
                        .await;
                    errors.extend(outcome.err());
                    errors.extend(
                        db.users()
                            .count(&UserFilter::new().is_active(false))
                            .await
                            .err(),
                    );
                }
                errors
            })
        })
        .collect();
    let mut errors = Vec::new();
    for task in tasks {
        errors.extend(task.await.unwrap());
    }
    errors
}

fn load_blocking(config: Config) -> Vec<Error> {
    use wundr_db::blocking::{Db, UserRepository};
    let db = Db::lazy(config).unwrap();
    let work = |task| {
        let mut errors = Vec::new();
        for round in 0..ROUNDS {
            let outcome = db.transaction(|tx| -> Result<_> {
                let created = tx.users().create(user(task, round))?;
                tx.users().set_active(created.id, false)?;
                tx.users().find(created.id)
            });
            errors.extend(outcome.err());
            errors.extend(db.users().count(&UserFilter::new().is_active(false)).err());
        }
        errors
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..TASKS)
            .map(|task| scope.spawn(move || work(task)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

fn count(database: &TestDatabase) -> u64 {
    use wundr_db::blocking::UserRepository;
    let db = blocking::Db::connect_to(&database.url()).unwrap();
    db.users().count(&UserFilter::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tasks_work_behind_it_in_transaction_mode() {
    fifty_tasks_work(&PgBouncer::start("transaction"), TASKS as u32).await;
}

/// In session mode a client keeps its server connection.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_tasks_work_behind_it_in_session_mode() {
    fifty_tasks_work(&PgBouncer::start("session"), SERVER_CONNECTIONS as u32).await;
}

async fn fifty_tasks_work(bouncer: &PgBouncer, connections: u32) {
    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let errors = load_async(config.clone().max_connections(connections)).await;
    assert!(
        errors.is_empty(),
        "{} errors, first {:?}",
        errors.len(),
        errors[0]
    );
    assert_eq!(count(&database), (TASKS * ROUNDS) as u64);

    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let errors =
        tokio::task::spawn_blocking(move || load_blocking(config.max_connections(connections)));
    let errors = errors.await.unwrap();
    assert!(
        errors.is_empty(),
        "{} errors, first {:?}",
        errors.len(),
        errors[0]
    );
    assert_eq!(count(&database), (TASKS * ROUNDS) as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_one_in_transaction_mode_is_told_by_the_error() {
    let Some(old) = old_program() else {
        return; // The machine has none.
    };
    let server = PostgresServer::shared().unwrap();
    let bouncer = PgBouncer::of_program(&old, server, "transaction", "auth_type = any", "");
    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let mut errors = load_async(config.clone()).await;
    errors.extend(
        tokio::task::spawn_blocking(move || load_blocking(config))
            .await
            .unwrap(),
    );
    let advises = |error: &Error| matches!(error, Error::Connection { message, .. } if message.contains("must be version 1.21 or later"));
    assert!(errors.iter().any(advises), "{errors:?}");
}

#[tokio::test]
async fn without_the_setting_the_error_names_it() {
    let bouncer = PgBouncer::start("session");
    let database = migrated_database().unwrap();
    let errors = [
        wundr_db::Db::connect(bouncer.config(&database))
            .await
            .unwrap_err(),
        blocking::Db::connect(bouncer.config(&database)).unwrap_err(),
    ];
    for error in errors {
        match error {
            Error::Connection { message, .. } => {
                assert!(
                    message.contains("use Config::behind_pgbouncer"),
                    "{message}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Each of several users renames itself as an actor, and a row of its own without one.
async fn rename_async(config: Config, users: &[(UserId, UserId)]) {
    use wundr_db::{Db, UserRepository};
    let db = Db::lazy(config).unwrap();
    let tasks = users.iter().map(|&(user, plain)| {
        let db = db.clone();
        tokio::spawn(async move {
            let acting = db.acting_as(actor(user));
            for round in 0..ROUNDS {
                let name = |name: &str| UserChanges::new().name(format!("{name} {round}"));
                let users = acting.users();
                let _ = users.update(user, name("Acting")).await;
                let _ = db.users().update(plain, name("Plain")).await;
                let taken = NewUser::new(format!("{user}@x"), "x");
                users.create(taken).await.unwrap_err();
                let _: Result<_> = acting
                    .transaction(async |tx| tx.users().update(user, name("Within")).await)
                    .await;
                let _ = db.users().update(plain, name("Plain again")).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

fn rename_blocking(config: Config, users: &[(UserId, UserId)]) {
    use wundr_db::blocking::{Db, UserRepository};
    let db = Db::lazy(config).unwrap();
    std::thread::scope(|scope| {
        for &(user, plain) in users {
            let db = db.clone();
            scope.spawn(move || {
                let acting = db.acting_as(actor(user));
                for round in 0..ROUNDS {
                    let name = |name: &str| UserChanges::new().name(format!("{name} {round}"));
                    acting.users().update(user, name("Acting")).unwrap();
                    db.users().update(plain, name("Plain")).unwrap();
                    let taken = NewUser::new(format!("{user}@x"), "x");
                    acting.users().create(taken).unwrap_err();
                    let outcome: Result<_> =
                        acting.transaction(|tx| tx.users().update(user, name("Within")));
                    outcome.unwrap();
                    db.users().update(plain, name("Plain again")).unwrap();
                }
            });
        }
    });
}

fn actor(user: UserId) -> Actor {
    Actor {
        user: Some(user),
        ..Actor::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_does_not_reach_the_next_user_of_a_connection() {
    let bouncer = PgBouncer::start("transaction");
    let database = migrated_database().unwrap();
    let users: Vec<_> = {
        use wundr_db::blocking::UserRepository;
        let db = blocking::Db::connect_to(&database.url()).unwrap();
        let create = |name| db.users().create(NewUser::new(name, "x")).unwrap().id;
        let pair = |number| {
            let (user, plain) = (UserId::new(), create(format!("{number}@plain")));
            let new = NewUser::new(format!("{user}@x"), "x").id(user);
            (db.users().create(new).unwrap().id, plain)
        };
        (0..10).map(pair).collect()
    };
    let owner = Config::new(&database.url()).unwrap();
    wundr_db::audit::watch(&owner, Table::Users, &["name"])
        .await
        .unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let config = config.max_connections(SERVER_CONNECTIONS as u32);
    rename_async(config.clone(), &users).await;
    let mut observer = Observer::of(&database.url());
    let plain: Vec<_> = users
        .iter()
        .map(|(_, plain)| format!("'{plain}'"))
        .collect();
    let counted = |condition: &str| {
        format!(
            "SELECT count(*)::text FROM audit.audit_logs WHERE action = 'update' AND {condition}"
        )
    };
    let plain = plain.join(", ");
    let wrong = counted(&format!(
        "user_id IS DISTINCT FROM CASE WHEN resource_id IN ({plain}) THEN NULL ELSE resource_id END"
    ));
    assert_eq!(observer.ask(&wrong), "0");
    let of_nobody = counted("user_id IS NULL");
    let dropped: usize = observer.ask(&of_nobody).parse().unwrap();
    assert!(dropped > 0);
    let (again, ours) = (config, users.clone());
    tokio::task::spawn_blocking(move || rename_blocking(again, &ours))
        .await
        .unwrap();
    assert_eq!(observer.ask(&wrong), "0");
    let blocking: usize = observer.ask(&of_nobody).parse().unwrap();
    assert_eq!(blocking - dropped, users.len() * ROUNDS * 2);
}

/// Counts projects for each of two organizations and without one, by the same server connections.
#[tokio::test(flavor = "multi_thread")]
async fn an_organization_does_not_reach_the_next_client_behind_it() {
    use wundr_db::migrations::{self, Rights};
    use wundr_db::{
        Db, NewOrganization, NewProject, OrganizationRepository, ProjectFilter, ProjectRepository,
        UserRepository,
    };
    let bouncer = PgBouncer::start("transaction");
    let database = migrated_database().unwrap();
    let owner = Db::connect_to(&database.url()).await.unwrap();
    let ada = owner.users().create(user(0, 0)).await.unwrap().id;
    let mut organizations = Vec::new();
    for name in ["one", "other"] {
        let lab = NewOrganization::new(name, name);
        let lab = owner.organizations().create(lab).await.unwrap().id;
        let project = NewProject::new(name, ada).organization_id(lab);
        owner.projects().create(project).await.unwrap();
        organizations.push(lab);
    }
    let role = format!("behind_{}", database.name());
    // PgBouncer connects as the superuser, and each of its sessions becomes this role.
    let settings = format!(
        "CREATE ROLE \"{role}\"; ALTER ROLE postgres IN DATABASE \"{}\" SET role = '{role}'",
        database.name()
    );
    let made = owner.transaction(async |tx| {
        use diesel_async::SimpleAsyncConnection as _;
        Ok::<_, Error>(tx.connection_mut().batch_execute(&settings).await?)
    });
    let config = Config::new(&database.url()).unwrap();
    migrations::isolate(&config).await.unwrap();
    made.await.unwrap();
    let grant = migrations::grant_sql(&role, Rights::Application).unwrap();
    let granted = owner.transaction(async |tx| {
        use diesel_async::SimpleAsyncConnection as _;
        let block = grant.replace("BEGIN;", "").replace("COMMIT;", "");
        Ok::<_, Error>(tx.connection_mut().batch_execute(&block).await?)
    });
    granted.await.unwrap();
    drop(owner);

    let config = bouncer.config(&database).behind_pgbouncer();
    let all = ProjectFilter::new();
    let db = Db::lazy(config.clone()).unwrap();
    for round in 0..20 {
        let lab = organizations[round % 2];
        let of_lab = db.for_organization(lab).projects();
        let of_none = db.projects();
        let (counted, without) = tokio::join!(of_lab.count(&all), of_none.count(&all));
        assert_eq!((counted.unwrap(), without.unwrap()), (1, 0));
    }
    let counts = tokio::task::spawn_blocking(move || {
        use wundr_db::blocking::ProjectRepository as _;
        let db = blocking::Db::lazy(config).unwrap();
        let of_lab = db.for_organization(organizations[0]).projects().count(&all);
        (of_lab.unwrap(), db.projects().count(&all).unwrap())
    });
    assert_eq!(counts.await.unwrap(), (1, 0));
}
