//! Counts the SQL statements that the process sends, by the first table of each.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};

/// The number of statements for each table.
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

/// Returns the first table of a statement: `analysis.analyses` for `SELECT ... FROM
/// "analysis"."analyses" ...`.
fn table_of(sql: &str) -> String {
    let table = sql.split(" FROM \"").nth(1).unwrap_or("other\"");
    let table = table.split([' ', ')']).next().unwrap_or_default();
    table.replace('"', "")
}

/// Starts counting on all connections that are opened later.
pub fn start() -> Result<(), Box<dyn Error>> {
    Ok(set_default_instrumentation(|| Some(Box::new(Counter)))?)
}

/// Returns the counts since the last call.
pub fn take() -> Statements {
    std::mem::take(&mut *STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner))
}
