//! Compares wundr-db with its alternatives, in one run against one private server.
//!
//!     cargo bench --manifest-path benches/Cargo.toml [-- [--quick] [--only=CONTENDER] [GROUP...]]
//!
//! A word selects the groups whose names contain it. `--quick` runs one short round, which shows
//! that everything works but measures nothing. At the end, a table of ratios is printed. It is also
//! written to `target/bench-ratios.json`, except by a quick run; there, a run replaces the groups
//! that it has measured. Criterion's report is in `benches/target/criterion`. `--only` runs one
//! contender for a profiler; its figures are printed and not stored.
//!
//! # Method
//!
//! - The server is that of `wundr_db::testing`: data in memory (`/dev/shm` if it exists), nothing
//!   forced to disk, no TLS, a Unix socket. The rest is the work of PostgreSQL and of the client,
//!   which is compared.
//! - In each round, every contender does the same operations once, in a shuffled order. A ratio is
//!   the median over the rounds of a contender's time divided by that of the group's floor in the
//!   same round. A temporary slowdown of the machine therefore affects both. Criterion receives the
//!   same samples.
//! - CPU is the CPU time of all threads of this process during the samples, or, for psql, of that
//!   process.
//! - All async contenders run as a task on tokio's multi-threaded runtime, as created by
//!   `#[tokio::main]`, where applications call them. Blocking ones run on the main thread.
//! - wundr-db, sqlx and sea-orm have pools of two connections each. None of them checks a
//!   connection before each statement, which sqlx and sea-orm do by default. tokio-postgres has one
//!   connection and statements that were prepared before. Bare diesel and diesel-async have one
//!   connection.
//! - All contenders decode whole rows into structs with the same types of fields.

mod database;
mod groups;
mod measure;
mod report;
mod rows;

use std::process::ExitCode;

use database::World;
use measure::Effort;

/// The error of every part of the benchmark.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo passes --bench; without it, this is `cargo test`.
    let is_quick = arguments.iter().any(|argument| argument == "--quick")
        || !arguments.iter().any(|argument| argument == "--bench");
    let words: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let only = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--only="));
    let effort = if is_quick {
        Effort::Quick
    } else {
        Effort::Full
    };

    let mut world = World::start()?;
    // wundr-db's pool belongs to the runtime in which it is created.
    let runtime = world.runtime.handle().clone();
    let _inside = runtime.enter();
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for (name, group) in groups::ALL {
        if words.is_empty() || words.iter().any(|word| name.contains(*word)) {
            eprintln!("{name}");
            // The other groups are measured even if one fails.
            let group = group(&mut world).map(|group| group.only(only));
            match group.and_then(|group| group.measure(&world.runtime, effort)) {
                Ok(measured) => results.push(measured),
                Err(error) => failures.push(format!("{name}: {error}")),
            }
        }
    }
    if results.is_empty() && failures.is_empty() {
        return Err("no group has such a name".into());
    }
    if effort == Effort::Full && only.is_none() {
        report::tell_criterion(&results);
        report::write(&results)?;
    }
    report::print(&results);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}
