//! Counts the SQL statements that the process sends, by the table that each reads first.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// How many statements there were for each table.
pub type Statements = BTreeMap<String, usize>;

static STATEMENTS: Mutex<Statements> = Mutex::new(BTreeMap::new());

struct Counter;

impl Instrumentation for Counter {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let table = table_of(&query.to_string());
            let mut statements = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
            *statements.entry(table).or_default() += 1;
        }
    }
}

/// `analysis.analyses` of `SELECT ... FROM "analysis"."analyses" ...`.
fn table_of(sql: &str) -> String {
    let table = sql.split(" FROM \"").nth(1).unwrap_or("other\"");
    let table = table.split([' ', ')']).next().unwrap_or_default();
    table.replace('"', "")
}

/// Counts on every connection that is opened from now on.
pub fn start() -> Result<(), Box<dyn Error>> {
    Ok(set_default_instrumentation(|| Some(Box::new(Counter)))?)
}

/// What was counted since the last time.
pub fn take() -> Statements {
    std::mem::take(&mut *STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner))
}
