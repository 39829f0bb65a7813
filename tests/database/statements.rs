//! The round trips of the repositories: each statement is prepared once on a connection, and no
//! method takes more round trips than it must. Counted by a proxy between the pool and the server,
//! on both engines.

mod golden;
mod names;

use wundr_db::Table;
use wundr_db::testing::TestDatabase;

/// The number of calls of each method.
const CALLS: usize = 100;
/// The number of these calls that may prepare statements and look up types.
const FIRST_CALLS: usize = 3;

/// Set where the calls are made on behalf of an actor, with all tables watched.
const AUDITED: &str = "WUNDR_DB_TESTS_AUDITED";

fn is_audited() -> bool {
    std::env::var_os(AUDITED).is_some()
}

/// The tables that can be watched, each with all columns that have no secrets.
fn audited_tables(database: &TestDatabase) -> Vec<(Table, Vec<String>)> {
    let is_log = |table: &Table| table.as_str().starts_with("audit.");
    let tables = Table::ALL.iter().copied().filter(|table| !is_log(table));
    let mut connection = crate::catalog::connect(database);
    let secrets = [
        "token_hash",
        "refresh_token_hash",
        "credentials",
        "webhook_secret",
    ];
    tables
        .map(|table| {
            let columns = crate::catalog::lines(
                &mut connection,
                &format!(
                    "SELECT attname::text AS line FROM pg_attribute \
                     WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
                ),
            );
            let is_secret = |column: &String| {
                secrets.contains(&&**column)
                    || (table == Table::Configurations && column == "value")
            };
            (
                table,
                columns
                    .into_iter()
                    .filter(|column| !is_secret(column))
                    .collect(),
            )
        })
        .collect()
}

/// The entries of a test's database that have no actor, and whether there are others.
fn entries(database: &TestDatabase) -> (Vec<String>, bool) {
    let mut connection = crate::catalog::connect(database);
    let of_nobody = "SELECT DISTINCT action || ' ' || resource_type AS line FROM audit.audit_logs \
         WHERE user_id IS NULL AND metadata ? 'role'";
    let of_nobody = crate::catalog::lines(&mut connection, of_nobody);
    let number = "SELECT count(*)::text AS line FROM audit.audit_logs WHERE metadata ? 'role'";
    (
        of_nobody,
        crate::catalog::value(&mut connection, number) != "0",
    )
}

#[test]
fn every_write_of_an_actor_is_recorded_with_it() {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let again = again.env(AUDITED, "1").arg("statements::");
    let again = again.args(["--skip", "golden", "--skip", "every_write_of_an_actor"]);
    let output = again.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert!(stdout.matches("... ok").count() > 20, "{stdout}");
}

#[path = "statements"]
mod asynchronous {
    use super::*;
    use crate::wire::Wire;
    use diesel_async::RunQueryDsl;
    use tokio::test as case;
    use wundr_db::testing::migrated_database;
    use wundr_db::{repository as both_engines, *};

    /// A call that can be repeated.
    type Call<'c> = &'c (dyn Fn() -> BoxFuture<'c, Result<()>> + Sync);

    macro_rules! call {
        ($call:expr) => {
            &|| Box::pin(async { $call.await.map(drop) })
        };
    }

    async fn repeat(times: usize, call: Call<'_>) {
        for _ in 0..times {
            call().await.unwrap();
        }
    }

    async fn database() -> (Db, Wire, TestDatabase) {
        let (database, wire) = (migrated_database().unwrap(), Wire::start());
        let config = Config::new(&wire.url(&database)).unwrap();
        let db = Db::connect(config.max_connections(1)).await.unwrap();
        if !is_audited() {
            return (db, wire, database);
        }
        let actor = db.users().create(NewUser::new("actor@x", "x")).await;
        let owner = Config::new(&database.url()).unwrap();
        for (table, columns) in audited_tables(&database) {
            let columns: Vec<_> = columns.iter().map(String::as_str).collect();
            audit::watch(&owner, table, &columns).await.unwrap();
        }
        let user = Some(actor.unwrap().id);
        let acting = db.acting_as(Actor {
            user,
            ..Actor::default()
        });
        (acting, wire, database)
    }

    mod contract;
}

#[path = "statements"]
mod blocking {
    use super::*;
    use crate::wire::Wire;
    use core::prelude::v1::test as case;
    use diesel::RunQueryDsl;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::migrated_database;
    use wundr_db::{Actor, Config, NewUser, Result};

    /// A call that can be repeated.
    type Call<'c> = &'c dyn Fn() -> Result<()>;

    macro_rules! call {
        ($call:expr) => {
            &|| $call.map(drop)
        };
    }

    fn repeat(times: usize, call: Call<'_>) {
        for _ in 0..times {
            call().unwrap();
        }
    }

    fn database() -> (Db, Wire, TestDatabase) {
        let (database, wire) = (migrated_database().unwrap(), Wire::start());
        let config = Config::new(&wire.url(&database)).unwrap();
        let db = Db::connect(config.max_connections(1)).unwrap();
        if !is_audited() {
            return (db, wire, database);
        }
        let actor = db.users().create(NewUser::new("actor@x", "x"));
        let owner = Config::new(&database.url()).unwrap();
        for (table, columns) in audited_tables(&database) {
            let columns: Vec<_> = columns.iter().map(String::as_str).collect();
            audit::watch(&owner, table, &columns).unwrap();
        }
        let user = Some(actor.unwrap().id);
        let acting = db.acting_as(Actor {
            user,
            ..Actor::default()
        });
        (acting, wire, database)
    }

    mod contract;
}
