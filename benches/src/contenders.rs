//! wundr-db beside what an application could use in its place, in one run against one private server.
//!
//!     cargo bench --manifest-path benches/Cargo.toml [-- [--quick] [--only=CONTENDER] [GROUP...]]
//!
//! A word selects the groups whose names contain it. `--quick` runs one short round: enough to see that everything works,
//! too little to measure anything. At the end stands a table of ratios, which also goes to `target/bench-ratios.json`
//! unless it was quick; there a run replaces the groups that it has measured. Criterion's report is in `benches/target/criterion`.
//! `--only` runs one contender, for a profiler to look at; its figures are printed and kept nowhere.
//!
//! # How it is measured
//!
//! - The server is the one of `wundr_db::testing`: data in memory (`/dev/shm` where it exists), nothing forced to disk,
//!   no TLS, a Unix socket. What is left is the work of PostgreSQL and of the client, which is what is compared.
//! - In each round every contender does the same operations once, in an order that is shuffled anew. A ratio is the
//!   median over the rounds of a contender's time by that of the group's floor in the same round, so that what slows
//!   the machine for a while slows both. Criterion is given the same samples.
//! - CPU is the time that all threads of this process have used meanwhile, or, for psql, that process.
//! - All async contenders run as a task on tokio's multi-threaded runtime as `#[tokio::main]` makes it, which is where
//!   applications call them; blocking ones on the main thread.
//! - wundr-db, sqlx and sea-orm have their pools, of two connections each, none of which asks the server whether it is
//!   still there before each statement (sqlx and sea-orm do so unless told otherwise). tokio-postgres has one
//!   connection and statements that were prepared before; bare diesel and diesel-async have one connection.
//! - All contenders decode whole rows into structs with the same types of fields.

mod database;
mod groups;
mod measure;
mod report;
mod rows;

#[path = "../../examples/ingestion/mod.rs"]
mod ingestion;
#[path = "../../examples/readers/mod.rs"]
mod readers;

use std::process::ExitCode;

use database::World;
use measure::Effort;

/// What every part of the benchmark may fail with.
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
    // wundr-db's pool belongs to the runtime in which it is made.
    let runtime = world.runtime.handle().clone();
    let _inside = runtime.enter();
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for (name, group) in groups::ALL {
        if words.is_empty() || words.iter().any(|word| name.contains(*word)) {
            eprintln!("{name}");
            // One group that fails does not cost the others their figures.
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
