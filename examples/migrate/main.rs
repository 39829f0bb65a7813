//! Migrates the database in `DATABASE_URL` to the newest schema, and prints the applied migrations.
//!
//! ```sh
//! export DATABASE_URL=postgres://postgres@localhost/wundr_platform
//! cargo run --example migrate               # apply the missing migrations
//! cargo run --example migrate -- --status   # print the applied and the missing migrations
//! cargo run --example migrate -- --revert   # revert all migrations, which deletes all data
//! cargo run --example migrate -- --adopt    # adopt a database that was built from the design's
//! own SQL
//! ```
//!
//! The URL must lead to PostgreSQL itself: migrations do not run through PgBouncer.

use std::process::ExitCode;

use wundr_db::blocking::migrations;
use wundr_db::{Config, Error, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    let work: fn(&Config) -> Result<()> = match arguments {
        [] => |config| report("applied", &migrations::up(config)?),
        ["--revert"] => |config| report("reverted", &migrations::down(config)?),
        ["--adopt"] => |config| report("applied", &migrations::adopt(config)?),
        ["--status"] => status,
        _ => {
            let usage = "expected nothing, --status, --revert or --adopt";
            return Err(Error::invalid("arguments", usage));
        }
    };
    work(&Config::from_env()?)
}

fn report(done: &str, migrations: &[String]) -> Result<()> {
    for name in migrations {
        println!("{done} {name}");
    }
    match migrations.len() {
        0 => println!("nothing to do"),
        1 => println!("{done} 1 migration"),
        number => println!("{done} {number} migrations"),
    }
    Ok(())
}

fn status(config: &Config) -> Result<()> {
    let migrations = migrations::status(config)?;
    for migration in &migrations {
        let state = if migration.is_applied {
            "applied"
        } else {
            "missing"
        };
        println!("{state} {}", migration.name);
    }
    let missing = migrations
        .iter()
        .filter(|migration| !migration.is_applied)
        .count();
    println!("{} migrations, {missing} missing", migrations.len());
    Ok(())
}
