//! Servers with the settings of a server that is monitored, and sessions that hold locks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use wundr_db::Config;
use wundr_db::testing::{PostgresServer, TestDatabase};

use crate::observer::Observer;

/// The settings that `admin::readiness` recommends.
pub const SETTINGS: [(&str, &str); 22] = [
    ("shared_preload_libraries", "pg_stat_statements"),
    ("pg_stat_statements.max", "10000"),
    ("track_io_timing", "on"),
    ("autovacuum", "on"),
    ("autovacuum_naptime", "1d"),
    ("log_min_duration_statement", "100ms"),
    (
        "log_line_prefix",
        "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    ),
    ("log_checkpoints", "on"),
    ("log_lock_waits", "on"),
    ("log_temp_files", "0"),
    ("log_autovacuum_min_duration", "0"),
    ("log_connections", "on"),
    ("log_disconnections", "on"),
    ("log_parameter_max_length", "0"),
    ("log_parameter_max_length_on_error", "0"),
    ("max_slot_wal_keep_size", "10GB"),
    ("archive_mode", "on"),
    ("archive_command", "/bin/true"),
    ("archive_timeout", "60"),
    ("wal_compression", "on"),
    ("lc_messages", "C"),
    ("password_encryption", "scram-sha-256"),
];

static MEASURED: Mutex<Option<&'static PostgresServer>> = Mutex::new(None);

/// A migrated database of a server.
pub fn migrated(server: &PostgresServer) -> TestDatabase {
    let migrated = server.create_database_from("migrated", |url| {
        wundr_db::blocking::migrations::up(&Config::new(url)?)?;
        Ok(())
    });
    migrated.unwrap()
}

/// A database of a server with all of the recommended settings, and the extension.
pub fn measured() -> TestDatabase {
    let mut server = MEASURED.lock().unwrap();
    let server = server.get_or_insert_with(|| {
        let mut builder = PostgresServer::builder();
        for (name, value) in SETTINGS {
            builder = builder.setting(name, value);
        }
        Box::leak(Box::new(builder.start().unwrap()))
    });
    let database = migrated(server);
    Observer::of(&database.url()).run(
        "CREATE SCHEMA monitoring; GRANT USAGE ON SCHEMA monitoring TO PUBLIC; \
         CREATE EXTENSION pg_stat_statements SCHEMA monitoring",
    );
    database
}

/// A database of a server whose archive command fails.
pub fn failing_archive() -> TestDatabase {
    let server = PostgresServer::builder()
        .setting("archive_mode", "on")
        .setting("archive_command", "/bin/false")
        .start()
        .unwrap();
    migrated(Box::leak(Box::new(server)))
}

/// The URL of a new role that may read and write the users, and is a member of `member_of` unless
/// that is empty.
pub fn role_of(database: &TestDatabase, member_of: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let role = format!("monitor_{}_{number}", database.name());
    let mut observer = Observer::of(&database.url());
    observer.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public TO {role}; \
         GRANT ALL ON public.users TO {role}"
    ));
    if !member_of.is_empty() {
        observer.run(&format!("GRANT {member_of} TO {role}"));
    }
    let url = database.url().replace("postgres@", &format!("{role}@"));
    assert!(url.contains(&role), "{url}");
    url
}

/// A session that keeps what it did.
pub struct Holder(PgConnection);

impl Holder {
    pub fn of(url: &str, application: &str) -> Self {
        let url = format!(
            "{url}{}application_name={application}",
            if url.contains('?') { '&' } else { '?' }
        );
        Self(PgConnection::establish(&url).unwrap())
    }

    pub fn run(&mut self, statements: &str) {
        self.0.batch_execute(statements).unwrap();
    }
}

/// Sessions that wait for each other.
pub struct Queue {
    worker: Holder,
    waiting: Vec<JoinHandle<()>>,
}

impl Queue {
    pub fn end(mut self) {
        self.worker.run("ROLLBACK");
        for session in self.waiting {
            session.join().unwrap();
        }
    }
}

/// A worker that is idle in a transaction, ALTER TABLE that waits for it, and two reads that wait
/// for that.
pub fn waiting_for_each_other(database: &TestDatabase) -> Queue {
    let url = database.url();
    let mut worker = Holder::of(&url, "worker");
    worker.run("BEGIN; SELECT count(*) FROM public.projects");
    let mut observer = Observer::of(&url);
    let mut waiting = Vec::new();
    for (number, (application, statement)) in [
        ("alter", "ALTER TABLE public.projects ADD COLUMN later int"),
        ("read", "SELECT count(*) FROM public.projects"),
        ("read", "SELECT count(*) FROM public.projects"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut session = Holder::of(&url, application);
        waiting.push(std::thread::spawn(move || session.run(statement)));
        observer.until(&format!(
            "(SELECT count(*) = {} FROM pg_locks WHERE NOT granted \
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            number + 1
        ));
    }
    Queue { worker, waiting }
}
