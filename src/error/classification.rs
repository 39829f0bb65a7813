//! Decides which [`Error`] an error of diesel is, and its consequence for the connection.

use std::error::Error as StdError;

use diesel::result::{
    DatabaseErrorInformation, DatabaseErrorKind, DeserializeFieldError, Error as DieselError,
};

use super::connection_end::{Verdict, fate_by_message, is_full_pool};
use super::server_message::code_of;
use super::sqlstate::sqlstate_of;
use super::{Constraint, Error, Fate, SqlState, Undecodable, constraints, innermost};
use crate::Table;

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        Failure::of(error, Stage::Alone).error
    }
}

/// The stage of a transaction at which a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Outside a transaction: the statement is done when its response arrives.
    Alone,
    /// Between BEGIN and COMMIT: nothing is committed yet.
    Within,
    /// The commit.
    Commit,
}

/// A statement's error, and its consequence for the connection.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) verdict: Verdict,
}

impl Failure {
    pub(crate) fn of(error: DieselError, stage: Stage) -> Self {
        let mut failure = Self::from(error);
        if let (Error::Connection { fate, .. }, Stage::Within) = (&mut failure.error, stage) {
            // Nothing of a transaction is committed before its end.
            *fate = Fate::NotSent;
        }
        failure
    }

    /// Returns the consequence of an error that the caller receives.
    #[cfg(feature = "blocking")]
    pub(crate) fn verdict_of(error: &DieselError) -> Verdict {
        match error {
            DieselError::DatabaseError(kind, information) => {
                from_database(*kind, &**information).verdict
            }
            _ => Verdict::Keep,
        }
    }

    fn keeping(error: Error) -> Self {
        let verdict = Verdict::Keep;
        Self { error, verdict }
    }

    fn retiring(error: Error) -> Self {
        let verdict = Verdict::Retire;
        Self { error, verdict }
    }
}

impl From<DieselError> for Failure {
    fn from(error: DieselError) -> Self {
        Self::keeping(match error {
            DieselError::DatabaseError(kind, information) => {
                return from_database(kind, &*information);
            }
            DieselError::RollbackErrorOnCommit { commit_error, .. } => {
                return Self::from(*commit_error);
            }
            DieselError::BrokenTransactionManager => {
                let message = "the transaction was left unfinished";
                return Self::retiring(Error::broken_connection(message));
            }
            DieselError::NotFound => Error::NotFound { what: "row" },
            DieselError::DeserializationError(cause) => from_decoding(&*cause),
            DieselError::SerializationError(cause) => Error::invalid("value", innermost(&*cause)),
            DieselError::QueryBuilderError(cause) => Error::invalid("query", innermost(&*cause)),
            other => Error::Other {
                sqlstate: None,
                message: other.to_string(),
            },
        })
    }
}

fn from_decoding(cause: &(dyn StdError + 'static)) -> Error {
    let causes = || std::iter::successors(Some(cause), |&cause| cause.source());
    if let Some(row) = causes().find_map(|cause| cause.downcast_ref::<Undecodable>()) {
        return Error::Decode {
            what: row.table.map_or("row", Table::as_str).into(),
            id: row.id,
            column: row.column.clone(),
            reason: row.reason.clone(),
        };
    }
    // The query is the application's.
    let field = causes().find_map(|cause| cause.downcast_ref::<DeserializeFieldError>());
    Error::Decode {
        what: "row".into(),
        id: None,
        column: field.and_then(|field| field.field_name.clone()),
        reason: innermost(cause),
    }
}

fn from_database(
    kind: DatabaseErrorKind,
    information: &(dyn DatabaseErrorInformation + Send + Sync),
) -> Failure {
    let reported = sqlstate_of(information);
    let message = information.message();
    let code = reported.or_else(|| code_of(message).and_then(SqlState::new));
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let constraint = || Constraint {
        table: owned(information.table_name()),
        name: owned(information.constraint_name().map(canonical)),
        detail: information.details().map(str::to_owned),
    };
    let error = match kind {
        DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ExclusionViolation => {
            Error::Unique(constraint())
        }
        DatabaseErrorKind::RestrictViolation => Error::StillReferenced(constraint()),
        DatabaseErrorKind::ForeignKeyViolation => match names_child(information) {
            true => Error::StillReferenced(constraint()),
            false => Error::MissingReference(constraint()),
        },
        DatabaseErrorKind::CheckViolation if information.constraint_name().is_some() => {
            Error::Check(constraint())
        }
        DatabaseErrorKind::CheckViolation => {
            Error::refused_by_server(owned(information.table_name()), message)
        }
        DatabaseErrorKind::NotNullViolation if information.column_name().is_some() => {
            Error::NotNull {
                table: owned(information.table_name()),
                column: owned(information.column_name()),
            }
        }
        // "domain x does not allow null values"
        DatabaseErrorKind::NotNullViolation => {
            let domain = message.split(' ').nth(1).unwrap_or_default();
            // The server qualifies a name that is not on the search_path.
            let domain = domain.rsplit('.').next().unwrap_or_default().to_owned();
            Error::refused_by_server(domain, message)
        }
        DatabaseErrorKind::SerializationFailure
            if reported.is_some() || fate_by_message(message).is_none() =>
        {
            Error::Serialization
        }
        DatabaseErrorKind::ReadOnlyTransaction => {
            return Failure {
                error: Error::ReadOnly,
                verdict: Verdict::RetireAll,
            };
        }
        DatabaseErrorKind::UnableToSendCommand => {
            return Failure::retiring(ended(code, message, Fate::NotSent));
        }
        DatabaseErrorKind::ClosedConnection => {
            let by_message = || fate_by_message(message).unwrap_or(Fate::Unknown);
            let fate = reported.map_or_else(by_message, |_| Fate::Unknown);
            return Failure::retiring(ended(code, message, fate));
        }
        // The async engine's driver has found by the code that the connection can be used further.
        _ if reported.is_some() => from_code(code, message),
        _ => match fate_by_message(message) {
            Some(fate) => return Failure::retiring(ended(code, message, fate)),
            None => from_code(code, message),
        },
    };
    Failure::keeping(error)
}

/// Returns the one name of a constraint that two indexes hold: addresses that differ in case are
/// the same.
fn canonical(name: &str) -> &str {
    match name {
        "idx_users_email_lower" => constraints::USERS_EMAIL_KEY,
        name => name,
    }
}

/// Checks whether the details of a violated foreign key name the table that has the key, which they
/// do if a row of the other table is still referenced. Otherwise they name the table in which the
/// row is missing.
///
/// The code is the same for both, and the words depend on the server's language. The names do not.
/// The columns and the values are in parentheses. For a key of a table to itself the words decide,
/// in English.
fn names_child(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> bool {
    let details = information.details().unwrap_or_default();
    let Some(child) = information.table_name() else {
        return false;
    };
    if details.contains("is not present in table") {
        return false;
    }
    let (before, after) = match (details.find('('), details.rfind(')')) {
        (Some(begin), Some(end)) => (&details[..begin], &details[end..]),
        _ => ("", details),
    };
    let is_quote = |character: Option<char>| {
        character.is_some_and(|character| !character.is_alphanumeric() && character != '_')
    };
    [before, after].into_iter().any(|text| {
        text.match_indices(child).any(|(begin, _)| {
            let end = begin + child.len();
            is_quote(text[..begin].chars().next_back()) && is_quote(text[end..].chars().next())
        })
    })
}

/// Creates the error of a statement that left its connection unusable.
fn ended(code: Option<SqlState>, message: &str, fate: Fate) -> Error {
    match code.as_ref().map(SqlState::as_str) {
        Some("25P03" | "25P04") => Error::Timeout(message.to_owned()),
        Some("40001") => Error::Serialization,
        _ if is_full_pool(message) => Error::full_pool(message),
        _ => Error::ended_connection(message, fate),
    }
}

/// Creates the error of a statement after which its connection can be used further.
fn from_code(code: Option<SqlState>, message: &str) -> Error {
    match code.as_ref().map(SqlState::as_str) {
        Some("40P01") => Error::Deadlock,
        Some("57014" | "55P03") => Error::Timeout(message.to_owned()),
        Some("22001" | "22003" | "22007" | "22008" | "22021" | "22P02" | "22P05") => {
            Error::refused_by_server("value", message)
        }
        Some("54000") => Error::refused_by_server(
            quoted(message).unwrap_or_else(|| "index".to_owned()),
            message,
        ),
        _ => Error::Other {
            sqlstate: code,
            message: message.to_owned(),
        },
    }
}

/// Returns the last name in double quotes of a message.
fn quoted(message: &str) -> Option<String> {
    message.rsplit('"').nth(1).map(str::to_owned)
}
