//! The errors that end a connection or prevent one.
//!
//! Both engines use these tables. The async engine has the server's SQLSTATE. The blocking engine's
//! driver hides it, so that engine uses the code that the beginning of the message stands for.

use std::error::Error as StdError;

use super::Fate;
use super::server_message::{code_of, in_english};

/// The consequence of an error that ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The statement was not executed.
    NotSent,
    /// The statement may have been executed.
    Unknown,
    /// PgBouncer had no connection to the server in time: its pool is full. The statement was not
    /// executed.
    PoolIsFull,
}

impl End {
    const fn fate(self) -> Fate {
        match self {
            Self::NotSent | Self::PoolIsFull => Fate::NotSent,
            Self::Unknown => Fate::Unknown,
        }
    }
}

/// The errors after which a connection is unusable: SQLSTATE or its class, the beginning of the
/// message, and the consequence.
///
/// The first entry that matches applies.
const REASONS: &[(&str, &str, End)] = &[
    // The connection's prepared statements or its type information no longer match the database:
    // DEALLOCATE ALL, ALTER COLUMN TYPE, an enum that was dropped and created again, a pooler that
    // lost the statement.
    ("26000", "", End::NotSent),
    ("42P05", "", End::NotSent),
    ("0A000", "cached plan must not", End::NotSent),
    ("XX000", "cache lookup failed for ", End::NotSent),
    ("42704", "type with OID ", End::NotSent),
    ("42804", "binary data has array element type", End::NotSent),
    // The driver and the server, or PgBouncer, disagree about the protocol's state.
    ("08P01", "bind message supplies", End::NotSent),
    // PgBouncer passed the statement to no server.
    ("08", "query_wait_timeout", End::PoolIsFull),
    ("08", "client_login_timeout", End::NotSent),
    ("08", "server login has been failing", End::NotSent),
    ("08", "pgbouncer cannot connect", End::NotSent),
    ("58", "server login has been failing", End::NotSent),
    // The server accepts no connection, so it received no statement on one.
    ("57P03", "", End::NotSent),
    ("53300", "", End::NotSent),
    // The session ended, during the statement or before it.
    ("08", "", End::Unknown),
    ("57P", "", End::Unknown),
    ("25P03", "", End::Unknown),
    ("25P04", "", End::Unknown),
    ("40001", "terminating connection", End::Unknown),
];

/// Returns the fate of a statement whose error made its connection unusable.
///
/// `None` if the connection can be used further.
pub(crate) fn fate_by_code(code: &str, message: &str) -> Option<Fate> {
    end_by_code(code, message).map(End::fate)
}

fn end_by_code(code: &str, message: &str) -> Option<End> {
    let reason = REASONS
        .iter()
        .find(|(class, start, _)| code.starts_with(class) && message.starts_with(start));
    reason.map(|&(_, _, end)| end)
}

/// Checks whether PgBouncer ended a connection, or did not open it, because its pool is full.
pub(crate) fn is_full_pool(message: &str) -> bool {
    // Both drivers write the severity before the message. libpq writes a line for each address.
    message.lines().any(|line| {
        let text = line.rsplit(": ").next().unwrap_or(line).trim();
        let end = code_of(text).and_then(|code| end_by_code(code, text));
        end == Some(End::PoolIsFull)
    })
}

/// Returns the reason for the end of a connection, from all that libpq has recorded of a statement:
/// a line for each message, after its severity.
#[cfg(feature = "blocking")]
pub(crate) fn recorded_reason(record: &str) -> Option<&str> {
    record.lines().find_map(|line| {
        let (_, text) = line.split_once(":  ")?;
        end_by_code(code_of(text)?, in_english(text))?;
        Some(text)
    })
}

/// Returns the same as [`fate_by_code`] for an error whose code is unknown.
pub(super) fn fate_by_message(message: &str) -> Option<Fate> {
    fate_by_code(code_of(message)?, in_english(message))
}

/// The SQLSTATE, or its class, of the errors of opening a connection that recur at the next
/// attempt.
#[cfg(feature = "async")]
const LASTING: [&str; 6] = ["28", "3D000", "42501", "0A000", "42704", "22023"];

/// The messages of such errors: a beginning, and a text that follows it.
///
/// They are for the driver that hides the code and for PgBouncer, which has one code for all
/// errors.
const LASTING_MESSAGES: &[(&str, &str)] = &[
    // 28P01 and 28000. Each authentication method has its own message.
    ("", "authentication failed for user"),
    ("role \"", "\" does not exist"),
    ("role \"", "is not permitted to log in"),
    ("no pg_hba.conf entry for", ""),
    ("pg_hba.conf rejects", ""),
    ("connection requires a valid client certificate", ""),
    ("empty password returned by client", ""),
    // libpq and tokio-postgres, if the server requests a password and none is given.
    ("", "no password supplied"),
    ("password missing", ""),
    // 3D000, 42501, 0A000, 42704, 22023.
    ("database \"", "\" does not exist"),
    ("permission denied for database", ""),
    ("permission denied to set parameter", ""),
    ("unsupported frontend protocol", ""),
    ("unrecognized configuration parameter", ""),
    ("invalid value for parameter", ""),
    // PgBouncer.
    ("no such user", ""),
    ("no such database", ""),
    ("password authentication failed", ""),
    ("SASL authentication failed", ""),
    ("auth failed", ""),
    ("login rejected", ""),
    ("not allowed", ""),
    ("unsupported startup parameter", ""),
];

/// Checks whether an error of opening a connection would recur, by its code if there is one.
pub(super) fn is_lasting_refusal(error: &(dyn StdError + 'static), message: &str) -> bool {
    #[cfg(feature = "async")]
    if let Some(database_error) = database_error(error) {
        let code = database_error.code().code();
        let is_lasting = LASTING.iter().any(|class| code.starts_with(class));
        return is_lasting || is_lasting_message(database_error.message());
    }
    #[cfg(not(feature = "async"))]
    let _ = error;
    // libpq writes a line for each address that it tried.
    message.lines().any(|line| {
        // After the severity, which the server translates, libpq writes two spaces.
        let text = line.split_once(":  ").map_or(line, |(_, text)| text);
        is_lasting_message(text.trim_start())
    })
}

/// Returns the error that the server has sent, among the causes of an error.
#[cfg(feature = "async")]
fn database_error<'e>(
    error: &'e (dyn StdError + 'static),
) -> Option<&'e tokio_postgres::error::DbError> {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref())
}

/// Checks whether a server has sent the error of a connection that could not be opened.
#[cfg(any(feature = "async", feature = "migrations"))]
pub(super) fn is_of_server(
    source: Option<&(dyn StdError + Send + Sync + 'static)>,
    message: &str,
) -> bool {
    #[cfg(feature = "async")]
    if source.is_some_and(|source| database_error(source).is_some()) {
        return true;
    }
    #[cfg(not(feature = "async"))]
    let _ = source;
    // After the severity of a server's message, libpq writes two spaces.
    message.contains(":  ")
}

fn is_lasting_message(message: &str) -> bool {
    let text = in_english(message);
    LASTING_MESSAGES.iter().any(|(start, then)| {
        text.strip_prefix(start)
            .is_some_and(|rest| rest.contains(then))
    })
}

/// The consequence of an error for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection can be used again.
    Keep,
    /// The connection cannot be used again.
    Retire,
    /// The connection leads to a server that accepts no writes, as do all that were opened before
    /// it.
    ///
    /// Ignored if the caller requested a read-only transaction.
    RetireAll,
}

#[cfg(all(test, feature = "blocking"))]
mod tests {
    use diesel::result::DatabaseErrorKind::SerializationFailure;
    use diesel::result::Error::DatabaseError;

    use super::Verdict;
    use crate::Error;
    use crate::error::{Failure, Stage};

    /// Both have the code 40001. The server closes the connection after the first.
    #[test]
    fn a_conflict_with_recovery_that_ends_the_session_ends_the_connection() {
        for (message, verdict) in [
            (
                "terminating connection due to conflict with recovery",
                Verdict::Retire,
            ),
            (
                "Verbindung wird abgebrochen wegen Konflikt mit der Wiederherstellung",
                Verdict::Retire,
            ),
            (
                "canceling statement due to conflict with recovery",
                Verdict::Keep,
            ),
            ("could not serialize access", Verdict::Keep),
        ] {
            let error = DatabaseError(SerializationFailure, Box::new(message.to_owned()));
            let failure = Failure::of(error, Stage::Alone);
            assert_eq!(failure.verdict, verdict, "{message}");
            let error = failure.error;
            assert!(matches!(error, Error::Serialization), "{error:?}");
        }
    }
}
