use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
use wundr_db::{Config, Error, NewUser, Result, UserFilter, blocking};

const TASKS: usize = 50;
const ROUNDS: usize = 20;
/// Fewer than tasks, so that clients change their server connections.
const SERVER_CONNECTIONS: usize = 5;

/// A PgBouncer in front of the shared server.
struct PgBouncer {
    process: Child,
    directory: TempDir,
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    directories
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.exists())
        .expect(
            "pgbouncer is not installed: apt-get install pgbouncer, or `sh .ci/install-servers`",
        )
}

/// Major and minor version.
fn version() -> (u32, u32) {
    let output = Command::new(program()).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let number = text.split_whitespace().nth(1).unwrap();
    let mut parts = number.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Whether it follows prepared statements from one server connection to the next.
fn follows_statements() -> bool {
    version() >= (1, 21)
}

impl PgBouncer {
    fn start(pool_mode: &str) -> Self {
        let server = PostgresServer::shared().unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = directory.path().display();
        let statements = if follows_statements() {
            "max_prepared_statements = 100"
        } else {
            ""
        };
        let settings = format!(
            "[databases]\n* = host={} port={} user=postgres\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {path}\nauth_type = any\n\
             logfile = {path}/log\npool_mode = {pool_mode}\nmax_client_conn = 200\n\
             default_pool_size = {SERVER_CONNECTIONS}\n{statements}\n",
            server.socket_dir().display(),
            server.port(),
        );
        let file = directory.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let mut command = Command::new(program());
        command
            .arg("--quiet")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It refuses to run as root, as the server does.
        let owner = fs::metadata(server.data_dir()).unwrap();
        if owner.uid() != fs::metadata(&file).unwrap().uid() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        let process = command.spawn().unwrap();
        let bouncer = Self { process, directory };
        let started = Instant::now();
        while UnixStream::connect(bouncer.directory.path().join(".s.PGSQL.6432")).is_err() {
            let log = fs::read_to_string(bouncer.directory.path().join("log"));
            assert!(started.elapsed() < Duration::from_secs(20), "{log:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        bouncer
    }

    fn config(&self, database: &TestDatabase) -> Config {
        let host = self
            .directory
            .path()
            .display()
            .to_string()
            .replace('/', "%2F");
        let url = format!("postgres://postgres@{host}:6432/{}", database.name());
        Config::new(&url)
            .unwrap()
            .acquire_timeout(Duration::from_secs(60))
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

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

fn count(database: &TestDatabase) -> i64 {
    use wundr_db::blocking::UserRepository;
    let db = blocking::Db::connect_to(&database.url()).unwrap();
    db.users().count(&UserFilter::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tasks_work_behind_it_in_the_best_mode_of_its_version() {
    let mode = if follows_statements() {
        "transaction"
    } else {
        "session"
    };
    let bouncer = PgBouncer::start(mode);
    // In session mode a client keeps its server connection.
    let connections = if follows_statements() {
        TASKS
    } else {
        SERVER_CONNECTIONS
    } as u32;

    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let errors = load_async(config.clone().max_connections(connections)).await;
    assert!(
        errors.is_empty(),
        "{} errors, first {:?}",
        errors.len(),
        errors[0]
    );
    assert_eq!(count(&database), (TASKS * ROUNDS) as i64);

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
    assert_eq!(count(&database), (TASKS * ROUNDS) as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_one_in_transaction_mode_is_told_by_the_error() {
    if follows_statements() {
        return; // Then the other test covers transaction mode.
    }
    let bouncer = PgBouncer::start("transaction");
    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let mut errors = load_async(config.clone()).await;
    errors.extend(
        tokio::task::spawn_blocking(move || load_blocking(config))
            .await
            .unwrap(),
    );
    let tells = |error: &Error| matches!(error, Error::Connection { message, .. } if message.contains("needs PgBouncer 1.21"));
    assert!(errors.iter().any(tells), "{errors:?}");
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
