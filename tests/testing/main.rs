//! What the feature `testing` gives to an application's own tests: rows, seeds, recorders and the
//! attribute for tests on both engines; its servers; and what the compiler says of mistakes.
#![cfg(feature = "testing")]

mod compile_errors;
mod fixtures;
mod guide;
mod servers;

use std::process::{Command, Stdio};

use wundr_db::testing::PostgresServer;

/// Runs a test of this program in a process of its own, and returns what it prints.
fn output_of(test: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .envs(variables.iter().copied())
        .env_remove("NEXTEST_RUN_ID")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

/// Checks whether the shared server has a database of this name.
fn has_database(name: &str) -> bool {
    let mut psql = PostgresServer::shared().unwrap().command("psql");
    let query = format!("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = '{name}'");
    let output = psql.args(["-XAtd", "postgres", "-c", &query]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout.starts_with(b"1")
}

#[path = "contract"]
mod asynchronous {
    use wundr_db::testing::AsyncTest as Kind;
    use wundr_db::{repository as both_engines, *};

    /// Prepares a database after the migrations.
    async fn prepare(config: Config) -> Result<()> {
        let db = Db::connect(config).await?;
        db.users().create(NewUser::new("prepared@x", "x")).await?;
        Ok(())
    }

    mod contract;
}

#[path = "contract"]
mod blocking {
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::BlockingTest as Kind;
    use wundr_db::{Config, NewUser, Result};

    /// Prepares a database after the migrations.
    fn prepare(config: Config) -> Result<()> {
        let db = Db::connect(config)?;
        db.users().create(NewUser::new("prepared@x", "x"))?;
        Ok(())
    }

    mod contract;
}
