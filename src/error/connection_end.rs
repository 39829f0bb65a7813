//! The reasons for which a connection is of no further use.
//!
//! Both engines ask here. The async engine has the server's SQLSTATE for it; the blocking engine, whose driver hides the
//! code, has the code that the beginning of the message stands for.

use std::error::Error as StdError;

use super::{Fate, code_of};

/// SQLSTATE or its class, the beginning of the message, and whether the statement may have been done.
///
/// The first that fits counts.
const REASONS: &[(&str, &str, Fate)] = &[
    // What the connection has prepared, or knows of the types of its values, is no longer so: DEALLOCATE ALL, ALTER
    // COLUMN TYPE, an enum that was dropped and created again, a pooler that lost the statement.
    ("26000", "", Fate::NotSent),
    ("42P05", "", Fate::NotSent),
    ("0A000", "cached plan must not", Fate::NotSent),
    ("XX000", "cache lookup failed for ", Fate::NotSent),
    ("42704", "type with OID ", Fate::NotSent),
    ("42804", "binary data has array element type", Fate::NotSent),
    // The driver and the server, or PgBouncer, do not agree about what comes next.
    ("08P01", "bind message supplies", Fate::NotSent),
    // PgBouncer gave the statement to no server.
    ("08", "query_wait_timeout", Fate::NotSent),
    ("08", "client_login_timeout", Fate::NotSent),
    ("08", "server login has been failing", Fate::NotSent),
    ("08", "pgbouncer cannot connect", Fate::NotSent),
    ("58", "server login has been failing", Fate::NotSent),
    // The server takes no connection, so it took no statement on one.
    ("57P03", "", Fate::NotSent),
    ("53300", "", Fate::NotSent),
    // The session ended, during the statement or before it.
    ("08", "", Fate::Unknown),
    ("57P", "", Fate::Unknown),
    ("25P03", "", Fate::Unknown),
    ("25P04", "", Fate::Unknown),
    ("40001", "terminating connection", Fate::Unknown),
];

/// Returns the fate of a statement after whose error the connection is of no further use, `None` if it goes on.
pub(crate) fn fate_by_code(code: &str, message: &str) -> Option<Fate> {
    let reason = REASONS
        .iter()
        .find(|(class, start, _)| code.starts_with(class) && message.starts_with(start));
    reason.map(|&(_, _, fate)| fate)
}

/// As [`fate_by_code`], for an error of which only the message is known.
pub(super) fn fate_by_message(message: &str) -> Option<Fate> {
    fate_by_code(code_of(message)?, message)
}

/// SQLSTATE or its class of an error while a connection is opened that the next attempt would meet again.
#[cfg(feature = "async")]
const LASTING: [&str; 6] = ["28", "3D000", "42501", "0A000", "42704", "22023"];

/// The same by message, for the driver that hides the code and for PgBouncer, which has one code for everything: a
/// beginning, and what comes after it.
const LASTING_MESSAGES: &[(&str, &str)] = &[
    // 28P01 and 28000, each method of authentication with its name.
    ("", "authentication failed for user"),
    ("role \"", "\" does not exist"),
    ("role \"", "is not permitted to log in"),
    ("no pg_hba.conf entry for", ""),
    ("pg_hba.conf rejects", ""),
    ("connection requires a valid client certificate", ""),
    ("empty password returned by client", ""),
    // libpq and tokio-postgres, asked for a password that is not given.
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

/// Checks whether the error of a connection that was being opened would come again, by its code where there is one.
pub(super) fn is_lasting_refusal(error: &(dyn StdError + 'static), message: &str) -> bool {
    #[cfg(feature = "async")]
    {
        let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
        let refusal =
            causes.find_map(|cause| cause.downcast_ref::<tokio_postgres::error::DbError>());
        if let Some(refusal) = refusal
            && LASTING
                .iter()
                .any(|class| refusal.code().code().starts_with(class))
        {
            return true;
        }
    }
    #[cfg(not(feature = "async"))]
    let _ = error;
    // libpq has a line for each address that it tried.
    message.lines().any(|line| {
        let said = line.split_once("FATAL:").map_or(line, |(_, said)| said);
        let said = said.trim_start();
        LASTING_MESSAGES.iter().any(|(start, then)| {
            said.strip_prefix(start)
                .is_some_and(|rest| rest.contains(then))
        })
    })
}

/// What an error says of the connection that it happened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The connection can be used again.
    Keep,
    /// The connection is of no further use.
    Retire,
    /// The connection leads to a server that takes no writes, as all do that were opened before it; unless the caller
    /// asked for a read-only transaction.
    RetireAll,
}
