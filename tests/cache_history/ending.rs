//! Sessions that end while they are read.
//!
//! The clock of a process may be wrong, so that it learns the true time from how long the machine
//! has run.

use std::time::{SystemTime, UNIX_EPOCH};

/// One ends each time so many milliseconds have gone by since 1970.
pub const EVERY: u64 = 500;

/// The milliseconds between the creation of each and its end.
pub const AHEAD: u64 = 3_000;

/// So many milliseconds after its end a session may still be found: a process has the database's
/// clock from one answer, which may have been late.
pub const SLACK: u64 = 1_500;

pub fn token(ends: u64) -> String {
    format!("ends at {ends}")
}

/// The time in milliseconds since 1970, by when the machine was started and how long it runs.
pub fn now(started: u64) -> Option<u64> {
    Some(started + running()?)
}

/// When the machine was started, by the clock of this process, which has to be right.
pub fn started() -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.as_millis() as u64 - running()?)
}

fn running() -> Option<u64> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some((seconds * 1_000.0) as u64)
}
