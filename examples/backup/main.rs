//! Backup and recovery with the real tools, step by step: a dump of a live database, its restore
//! with proof, the swap under connections, and a recovery between two named writes.
//!
//! It starts private servers and needs no other database. It leaves nothing behind. The scripts
//! beside it are for use elsewhere: `archive.sh`, `restore-dump.sh`, `swap.sh`, `restore-test.sh`,
//! and `pgbackrest.conf`.

mod dump;
mod pgbouncer;
mod recovery;
mod tools;

use std::error::Error;

use tools::Tools;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let tools = Tools::start()?;
    dump::dump_restore_prove_and_swap(&tools)?;
    pgbouncer::swap_behind_pgbouncer(&tools)?;
    recovery::recover_between_two_writes(&tools)
}

/// Prints a step.
fn step(text: &str) {
    println!("\n{text}");
}
