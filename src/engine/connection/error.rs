//! Converts errors of tokio-postgres into diesel's.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use tokio_postgres::error::{DbError, ErrorPosition, Severity, SqlState};

use crate::error::{Fate, SqlState as Code, fate_by_code, report_sqlstate};

/// Converts an error of the driver. A code that ends the connection becomes a kind of diesel's
/// error: [`ClosedConnection`](DatabaseErrorKind::ClosedConnection) if the statement may have been
/// executed, [`UnableToSendCommand`](DatabaseErrorKind::UnableToSendCommand) if it was not.
pub(super) fn from_driver(error: &tokio_postgres::Error) -> Error {
    let Some(refusal) = error.as_db_error() else {
        return closed(crate::error::innermost(error));
    };
    let kind = match (fate(refusal), refusal.code()) {
        (Some(Fate::NotSent), _) => DatabaseErrorKind::UnableToSendCommand,
        (Some(_), _) => DatabaseErrorKind::ClosedConnection,
        (_, &SqlState::UNIQUE_VIOLATION) => DatabaseErrorKind::UniqueViolation,
        (_, &SqlState::FOREIGN_KEY_VIOLATION) => DatabaseErrorKind::ForeignKeyViolation,
        (_, &SqlState::RESTRICT_VIOLATION) => DatabaseErrorKind::RestrictViolation,
        (_, &SqlState::EXCLUSION_VIOLATION) => DatabaseErrorKind::ExclusionViolation,
        (_, &SqlState::CHECK_VIOLATION) => DatabaseErrorKind::CheckViolation,
        (_, &SqlState::NOT_NULL_VIOLATION) => DatabaseErrorKind::NotNullViolation,
        (_, &SqlState::T_R_SERIALIZATION_FAILURE) => DatabaseErrorKind::SerializationFailure,
        (_, &SqlState::READ_ONLY_SQL_TRANSACTION) => DatabaseErrorKind::ReadOnlyTransaction,
        _ => DatabaseErrorKind::Unknown,
    };
    Error::DatabaseError(kind, Box::new(ServerError(refusal.clone())))
}

/// Converts the error of a preparation: the statement itself was not sent.
pub(super) fn before_sending(error: Error) -> Error {
    match error {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, why) => {
            Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand, why)
        }
        error => error,
    }
}

/// Returns the error of a statement whose connection ended before its response.
pub(super) fn closed(message: String) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(message))
}

/// The SQLSTATE and the server's function of errors that a connection's outdated statements and
/// types cause.
const STALE: [(&str, &str); 4] = [
    ("0A000", "RevalidateCachedQuery"),
    ("42704", "lookup_type_cache"),
    ("42804", "array_recv"),
    ("08P01", "exec_bind_message"),
];

/// Returns the fate of a statement whose connection ends with this error.
fn fate(refusal: &DbError) -> Option<Fate> {
    let code = refusal.code().code();
    if let Some(fate) = fate_by_code(code, refusal.message()) {
        return Some(fate);
    }
    // The same errors as those above whose message counts, in another language than English.
    if refusal
        .routine()
        .is_some_and(|routine| STALE.contains(&(code, routine)))
    {
        return Some(Fate::NotSent);
    }
    let ends = [Severity::Fatal, Severity::Panic];
    let severity = refusal.parsed_severity();
    let is_end = severity.is_some_and(|severity| ends.contains(&severity));
    is_end.then_some(Fate::Unknown)
}

struct ServerError(DbError);

impl DatabaseErrorInformation for ServerError {
    fn message(&self) -> &str {
        report_sqlstate(Code::new(self.0.code().code()));
        self.0.message()
    }

    fn details(&self) -> Option<&str> {
        self.0.detail()
    }

    fn hint(&self) -> Option<&str> {
        self.0.hint()
    }

    fn table_name(&self) -> Option<&str> {
        self.0.table()
    }

    fn column_name(&self) -> Option<&str> {
        self.0.column()
    }

    fn constraint_name(&self) -> Option<&str> {
        self.0.constraint()
    }

    fn statement_position(&self) -> Option<i32> {
        match self.0.position()? {
            ErrorPosition::Original(position) | ErrorPosition::Internal { position, .. } => {
                i32::try_from(*position).ok()
            }
        }
    }
}
