//! The session of a connection that is lent to a caller outside a transaction.

use super::tx_state::is_first_failure;
use crate::{Config, Error, SqlState};

/// The code and the message of the error of work that left a transaction open.
const STILL_OPEN: &str = "25001";
const LEFT_OPEN: &str = "the work left a transaction open, which was rolled back";

/// Returns the SQL that restores the session after the work of a caller.
///
/// After work that succeeded, the server refuses it if a transaction is open: in one, the time of
/// the transaction is before that of the statement. After work that failed, an open transaction is
/// rolled back.
///
/// The statement runs with the `search_path` of the caller, so that its operator has a schema.
pub(crate) fn restoring(config: &Config, has_succeeded: bool) -> String {
    let restoring = config.restoring();
    if !has_succeeded {
        return format!("ROLLBACK; {restoring}");
    }
    format!(
        "DO LANGUAGE plpgsql $$ BEGIN \
             IF pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN \
                 RAISE EXCEPTION USING ERRCODE = '{STILL_OPEN}', MESSAGE = '{LEFT_OPEN}'; \
             END IF; \
         END $$; {restoring}"
    )
}

/// A statement that the server refuses with SQLSTATE 25006 if it accepts no writes once the session
/// is restored.
///
/// The read-only state of the present transaction says nothing: it was set when the transaction
/// began, by what the caller had requested.
pub(crate) const ACCEPTS_WRITES: &str = "DO LANGUAGE plpgsql $$ BEGIN \
     IF pg_catalog.pg_is_in_recovery() \
         OR pg_catalog.current_setting('default_transaction_read_only')::pg_catalog.bool THEN \
         RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = 'the server accepts no writes'; \
     END IF; \
 END $$";

/// Returns the error of work that succeeded and left a transaction open.
pub(crate) fn left_open() -> Error {
    Error::Other {
        sqlstate: SqlState::new(STILL_OPEN),
        message: LEFT_OPEN.to_owned(),
    }
}

/// Returns the error of work that succeeded, dropped a statement and may have left a transaction
/// open.
#[cfg(feature = "async")]
pub(crate) fn may_be_left_open() -> Error {
    let message = "the work dropped the future of a statement, and may have left a transaction \
                   open, which was rolled back";
    Error::Other {
        sqlstate: SqlState::new(STILL_OPEN),
        message: message.to_owned(),
    }
}

/// Checks whether the session could not be restored because a transaction is open.
pub(crate) fn is_left_open(error: &Error) -> bool {
    match error {
        Error::Other { message, .. } => message == LEFT_OPEN || !is_first_failure(error),
        _ => false,
    }
}

/// The words that begin a statement without an effect on the session, unless it calls a function
/// that has one.
const PLAIN: [&str; 10] = [
    "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES", "TABLE", "EXPLAIN", "SHOW",
];

/// The parts of the names of functions and tables that belong to the session, in lower case:
/// `set_config`, `pg_advisory_lock`, `SELECT … INTO TEMP`.
const OF_THE_SESSION: [&[u8]; 3] = [b"set_config", b"advisory", b"temp"];

/// Checks whether a statement may change the session: its settings, role, locks, cursors, prepared
/// statements or temporary tables.
///
/// It is a guess from the text, which errs on the side of a change. It does not find a function of
/// the application that changes the session.
pub(crate) fn may_change_session(sql: &str) -> bool {
    let sql = sql.trim();
    let end = sql.find(|character: char| !character.is_ascii_alphabetic());
    let word = &sql[..end.unwrap_or(sql.len())];
    let is_plain = PLAIN.iter().any(|plain| word.eq_ignore_ascii_case(plain));
    let is_several = sql.trim_end_matches(';').contains(';');
    !is_plain || is_several || names_the_session(sql.as_bytes())
}

/// Checks whether a statement has one of the names that belong to the session, in one pass: it is
/// read before each execution.
fn names_the_session(sql: &[u8]) -> bool {
    // Each name has another first letter.
    let name_of = |first: u8| match first | 0x20 {
        b's' => Some(OF_THE_SESSION[0]),
        b'a' => Some(OF_THE_SESSION[1]),
        b't' => Some(OF_THE_SESSION[2]),
        _ => None,
    };
    sql.iter().enumerate().any(|(at, &first)| {
        name_of(first).is_some_and(|name| {
            let found = sql.get(at..at + name.len());
            found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_of_rows_leave_the_session_as_it_was() {
        for sql in [
            "SELECT 1",
            "  select id FROM app.notes WHERE text = $1",
            "INSERT INTO app.notes (id) VALUES ($1) RETURNING id",
            "UPDATE \"app\".\"notes\" SET \"text\" = $1;",
            "WITH x AS (SELECT 1) DELETE FROM app.notes",
        ] {
            assert!(!may_change_session(sql), "{sql}");
        }
    }

    #[test]
    fn what_may_outlast_the_statement_is_found() {
        for sql in [
            "SET ROLE other",
            "RESET ALL",
            "SELECT pg_catalog.set_config('a.b', 'c', false)",
            "select PG_ADVISORY_LOCK(1)",
            "SELECT 1 AS one INTO TEMP ones",
            "SELECT 1; SET ROLE other",
            "LISTEN x",
            "PREPARE x AS SELECT 1",
            "DECLARE x CURSOR WITH HOLD FOR SELECT 1",
            "BEGIN",
            "DO $$ BEGIN END $$",
            "/* a comment */ SELECT 1",
            "",
        ] {
            assert!(may_change_session(sql), "{sql}");
        }
    }
}
