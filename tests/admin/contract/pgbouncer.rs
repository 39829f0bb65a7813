use super::*;

use std::fs;
use std::time::Duration;

use wundr_db::admin::pgbouncer::{self, Options, PoolMode};
use wundr_db::testing::PostgresServer;
use wundr_db::{Config, Error, NewUser, Result, UserFilter};

use crate::pgbouncer::PgBouncer;
use crate::servers::{Holder, migrated};

const DATABASE: &str = "wundr's \"odd\" data;base";
const ROLE: &str = "app's \"role\" = 1";
const AUTH_ROLE: &str = "auth \"role\"";
const AUTH_SCHEMA: &str = "auth's \"schema\"";

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A server that asks for passwords, with a migrated database and a role of odd names.
fn guarded() -> PostgresServer {
    let server = PostgresServer::start().unwrap();
    let template = migrated(&server);
    let mut observer = Observer::of(&server.url("postgres"));
    let database = DATABASE.replace('"', "\"\"");
    let role = ROLE.replace('"', "\"\"");
    observer.run(&format!(
        "CREATE DATABASE \"{database}\" TEMPLATE {}",
        template.name()
    ));
    observer.run(&format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'right'; \
         CREATE ROLE expired LOGIN PASSWORD 'right' VALID UNTIL '2020-01-01'; \
         CREATE ROLE chief LOGIN SUPERUSER PASSWORD 'right'"
    ));
    Observer::of(&server.url(DATABASE)).run(&format!(
        "GRANT USAGE ON SCHEMA public TO \"{role}\"; GRANT ALL ON public.users TO \"{role}\""
    ));
    server
}

fn ask_for_passwords(server: &PostgresServer) {
    let mut observer = Observer::of(&server.url("postgres"));
    let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
    fs::write(server.data_dir().join("pg_hba.conf"), rules).unwrap();
    observer.run("SELECT pg_reload_conf()");
    observer.until(
        "(SELECT count(*) FILTER (WHERE auth_method = 'scram-sha-256') = 1 FROM pg_hba_file_rules)",
    );
}

/// A PgBouncer with the configuration that the crate writes.
fn configured(server: &PostgresServer, mode: PoolMode, name: &str, patience: u64) -> PgBouncer {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let host = server.socket_dir().display().to_string();
    let url = format!(
        "postgres://{}@{}:{}/{}",
        encoded(ROLE),
        encoded(&host),
        server.port(),
        encoded(DATABASE)
    );
    let config = Config::without_environment(&url).unwrap();
    let config = config
        .statement_timeout(Duration::from_secs(7))
        .search_path(["it's \"mine\""])
        .acquire_timeout(Duration::from_secs(patience));
    let options = Options::new()
        .mode(mode)
        .listen("", 6432)
        .socket_directory(&path)
        .auth_role(AUTH_ROLE)
        .auth_schema(AUTH_SCHEMA)
        .auth_file(format!("{path}/users"))
        .server_connections(2);
    let files = pgbouncer::config(&config, &options).unwrap();
    let mut observer = Observer::of(&server.url(DATABASE));
    // It can be repeated.
    for _ in 0..2 {
        observer.run(&files.auth_sql);
        observer.run(&files.role_sql);
    }
    let role = AUTH_ROLE.replace('"', "\"\"");
    observer.run(&format!("ALTER ROLE \"{role}\" PASSWORD 'of the lookup'"));
    fs::write(
        directory.path().join("users"),
        format!("\"{role}\" \"of the lookup\"\n"),
    )
    .unwrap();
    PgBouncer::configured(server, name, directory, &files.ini)
}

fn behind(bouncer: &PgBouncer, role: &str, password: &str) -> Config {
    let url = format!(
        "postgres://{}:{password}@{}:6432/{}",
        encoded(role),
        bouncer.host(),
        encoded(DATABASE)
    );
    let config = Config::without_environment(&url).unwrap();
    // A loaded machine takes its time.
    let config = config
        .acquire_timeout(Duration::from_secs(60))
        .connect_timeout(Duration::from_secs(60));
    config.behind_pgbouncer().max_connections(4)
}

#[both_engines]
#[case]
async fn a_written_configuration_serves_an_application() {
    let server = guarded();
    ask_for_passwords(&server);
    for (mode, name) in [
        (PoolMode::Transaction, "transaction"),
        (PoolMode::Session, "session"),
    ] {
        let bouncer = configured(&server, mode, name, 60);
        // In session mode a client keeps its server connection, of which there are two. PgBouncer
        // needs one to look up the other roles.
        let config = behind(&bouncer, ROLE, "right").max_connections(1);
        let db = Db::connect(config.min_idle(0)).await.unwrap();
        let address = format!("{name}@example.org");
        let ada = db.users().create(NewUser::new(&address, "Ada")).await;
        let ada = ada.unwrap().id;
        for _ in 0..3 {
            let found = db.users().find_by_email(&address).await.unwrap();
            assert_eq!(found.unwrap().id, ada);
        }
        // The settings of the role are in force. The blocking engine's pool checks them by itself.
        let readiness = admin::readiness(&db).await.unwrap();
        let timeout = readiness.check("statement_timeout").unwrap();
        assert_eq!(timeout.value, "7000 ms");
        for (role, password) in [(ROLE, "wrong"), ("expired", "right"), ("chief", "right")] {
            let refused = Db::connect(behind(&bouncer, role, password)).await;
            let refused = refused.unwrap_err();
            assert!(
                matches!(refused, Error::Connection { .. }),
                "{role}: {refused:?}"
            );
        }
    }
    let mut observer = Observer::of(&server.url(DATABASE));
    let path = observer.ask(
        "SELECT setting FROM pg_roles CROSS JOIN unnest(rolconfig) AS setting \
                             WHERE rolname LIKE 'app%' AND setting LIKE 'search_path%'",
    );
    assert_eq!(
        path,
        "search_path=pg_catalog, \"it's \"\"mine\"\"\", pg_temp"
    );
    // The function is for the lookup alone.
    let schema = AUTH_SCHEMA.replace('"', "\"\"");
    let refused = observer.refusal(&format!(
        "SET ROLE expired; SELECT * FROM \"{schema}\".get_auth('expired')"
    ));
    assert!(refused.unwrap().contains("permission denied"));
}

#[both_engines]
#[case]
async fn a_schema_of_another_role_is_not_used_for_the_lookup() {
    let server = PostgresServer::start().unwrap();
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("CREATE ROLE mallory; CREATE SCHEMA pgbouncer AUTHORIZATION mallory");
    let config = Config::without_environment("postgres://app@db.example/postgres").unwrap();
    let files = pgbouncer::config(&config, &Options::new()).unwrap();
    let refused = observer.refusal(&files.auth_sql).unwrap();
    assert!(
        refused.contains("belongs to a role that is no superuser"),
        "{refused}"
    );
    // The engine makes no difference here: the texts are the same for both.
    drop(Db::connect_to(&server.url("postgres")).await.unwrap());
}

/// A client behind PgBouncer with one connection, which is open. It has prepared one query.
#[both_engines]
async fn waiting_client(bouncer: &PgBouncer) -> Db {
    let config = behind(bouncer, ROLE, "right").max_connections(1);
    let db = Db::connect(config.min_idle(0)).await.unwrap();
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
    db
}

fn is_full_pool<T: std::fmt::Debug>(phase: &str, outcome: Result<T>) {
    let error = outcome.unwrap_err();
    assert!(
        matches!(&error, Error::Pool(message) if message.contains("query_wait_timeout")),
        "{phase}: {error:?}"
    );
}

/// Two transactions have both connections to the server. Every other call waits for one.
#[both_engines]
#[case]
async fn a_full_pool_of_pgbouncer_is_a_pool_error_in_every_phase() {
    let server = guarded();
    ask_for_passwords(&server);
    let bouncer = configured(&server, PoolMode::Transaction, "transaction", 3);
    let everybody = UserFilter::new();
    // PgBouncer closes the connection of a client that has waited, so that each phase has its own.
    let clients = [
        waiting_client(&bouncer).await,
        waiting_client(&bouncer).await,
        waiting_client(&bouncer).await,
        waiting_client(&bouncer).await,
        waiting_client(&bouncer).await,
    ];
    let [prepared, other, text, transaction, unit] = &clients;
    let url = format!(
        "postgres://{}:right@{}:6432/{}",
        encoded(ROLE),
        bouncer.host(),
        encoded(DATABASE)
    );
    let mut holders = ["one", "other"].map(|name| Holder::of(&url, name));
    for holder in &mut holders {
        holder.run("BEGIN; SELECT 1");
    }
    let connected = Db::connect(behind(&bouncer, ROLE, "right")).await;
    is_full_pool("connect", connected.map(drop));
    let found = prepared.users().count(&everybody).await;
    is_full_pool("a statement that is prepared", found);
    let found = other.users().find_by_email("ada@example.org").await;
    is_full_pool("a statement that is new", found);
    let found = admin::archiver(text).await;
    is_full_pool("a statement that is not prepared", found);
    let begun = transaction.transaction(async |tx| tx.users().count(&everybody).await);
    is_full_pool("a transaction", begun.await);
    let many = (0..1_500).map(|number| NewUser::new(format!("{number}@example.org"), "N"));
    let many: Vec<_> = many.collect();
    is_full_pool("a unit", unit.users().create_many(&many).await);
    for holder in &mut holders {
        holder.run("ROLLBACK");
    }
    // Nothing was executed, and the connections that PgBouncer closed are replaced.
    for db in &clients {
        assert_eq!(db.users().count(&everybody).await.unwrap(), 0);
    }
}
