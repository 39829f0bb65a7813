//! The error type of both engines.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use diesel::result::{
    DatabaseErrorInformation, DatabaseErrorKind, DeserializeFieldError, Error as DieselError,
};

use uuid::Uuid;

use crate::Table;

mod connection_end;
mod server_message;
mod sqlstate;
#[cfg(feature = "blocking")]
mod translations;
mod undecodable;

pub(crate) use connection_end::Verdict;
#[cfg(feature = "async")]
pub(crate) use connection_end::fate_by_code;
use connection_end::{fate_by_message, is_lasting_refusal};
use server_message::code_of;
pub use sqlstate::SqlState;
#[cfg(feature = "async")]
pub(crate) use sqlstate::report_sqlstate;
use sqlstate::sqlstate_of;
pub(crate) use undecodable::Undecodable;

/// The result of this crate's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// The error of this crate's calls. Both engines return the same variant for the same fault.
///
/// # Common errors
/// Every call that uses the database may return:
///
/// - [`Error::Pool`] if no connection is free in time, or the pool is closed
/// - [`Error::Connection`] if the server cannot be reached or the connection is lost
/// - [`Error::Timeout`] if a statement takes too long, waits too long for a lock, or is canceled
///
/// The documentation of a method lists its additional errors.
///
/// Absence is not an error: a read of a row that may be missing returns an `Option`. A call that
/// needs its row returns [`NotFound`](Error::NotFound).
///
/// # Language of the server's messages
/// The async engine classifies errors by the server's SQLSTATE, in any language of the server. diesel does not pass on the
/// SQLSTATE that libpq has, so the blocking engine uses diesel's error kinds, and the server's message where they are too
/// coarse. A connection requests English messages if its role may (`GRANT SET ON PARAMETER lc_messages TO app`). In the
/// other languages that PostgreSQL ships, the blocking engine recognizes the messages about deadlocks, timeouts, canceled
/// statements, ended connections, owners and permissions. An unrecognized message is an [`Other`](Error::Other) without a
/// code.
///
/// # Reaction
/// [`is_retryable`](Error::is_retryable) and [`advice`](Error::advice) return what the caller can
/// do. [`fate`](Error::fate) returns whether a write may have been done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The row that a call needs does not exist.
    #[error("{what} not found")]
    NotFound {
        /// The type of the row.
        what: &'static str,
    },
    /// Another row has the same unique key (SQLSTATE 23505), or an exclusion constraint is violated
    /// (23P01).
    #[error("{0}: the value already exists")]
    Unique(Constraint),
    /// A referenced row does not exist, or a row is still referenced (23503, 23001).
    #[error("{0}: the referenced row does not exist, or the row is still referenced")]
    ForeignKey(Constraint),
    /// A value violates a check constraint (23514).
    #[error("{0}: the value violates the check constraint")]
    Check(Constraint),
    /// A value is NULL in a column that is NOT NULL (23502).
    #[error("{table}.{column} cannot be NULL")]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value cannot be stored, or an argument is invalid.
    #[error("{field}: {reason}")]
    InvalidInput {
        /// The column, the constraint or the argument.
        field: Cow<'static, str>,
        /// The reason.
        reason: String,
    },
    /// One of several rows cannot be stored.
    #[error("{table}[{index}]: {source}")]
    Row {
        /// The table.
        table: &'static str,
        /// The index of the row among those given for the table, from 0.
        index: usize,
        /// The error of the row.
        source: Box<Error>,
    },
    /// The row has changed since it was read.
    #[error("the {what} has changed since it was read")]
    StaleWrite {
        /// The type of the row.
        what: &'static str,
    },
    /// The database reported success and changed nothing, although the row exists and allows the
    /// change.
    ///
    /// A trigger that returns NULL or a row security policy suppressed the write, or other writers
    /// changed the row before every attempt.
    #[error("the write of the {what} was suppressed by a trigger, a policy or concurrent writers")]
    Suppressed {
        /// The type of the row.
        what: &'static str,
    },
    /// The row's state does not allow the transition.
    #[error("{what} is {from}: {step} cannot take it to {to}")]
    IllegalTransition {
        /// The type of the row.
        what: &'static str,
        /// The row's state.
        from: Cow<'static, str>,
        /// The requested state.
        to: Cow<'static, str>,
        /// The name of the method that was called.
        step: &'static str,
    },
    /// A worker has lost its [`Lease`](crate::Lease): the work has ended, or another worker runs
    /// it.
    #[error("the lease of {what} is lost: it is {state}{}", .holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    LeaseLost {
        /// The type of the row that the lease is for.
        what: &'static str,
        /// The row's state.
        state: Cow<'static, str>,
        /// The worker that holds the lease now.
        holder: Option<String>,
    },
    /// The transaction conflicts with another one (40001): run the whole transaction again.
    #[error("the transaction could not be serialized against another")]
    Serialization,
    /// The transaction was part of a deadlock (40P01): run the whole transaction again.
    #[error("the transaction was rolled back to resolve a deadlock")]
    Deadlock,
    /// The statement took too long, waited too long for a lock, or was canceled (57014, 55P03,
    /// 25P03).
    #[error("timed out: {0}")]
    Timeout(String),
    /// No connection was available from the pool in time, or the pool is closed.
    #[error("no connection from the pool: {0}")]
    Pool(String),
    /// Another call uses the transaction, and one of the two calls needs exclusive use.
    ///
    /// Nothing was sent, and the transaction can continue. [`Tx`](crate::Tx) lists the calls that
    /// need exclusive use.
    #[error("the transaction is in use by {by}")]
    InUse {
        /// The other call.
        by: &'static str,
    },
    /// The server cannot be reached, rejected the connection or closed it, or the connection's
    /// prepared statements no longer match the database.
    ///
    /// The pool closes the connection. [`fate`](Self::fate) returns whether a write may have been
    /// done.
    #[error("connection: {message}")]
    Connection {
        /// The message of the server or of the network.
        message: String,
        /// The fate of the write.
        fate: Fate,
        /// True if the server rejects every attempt until a setting of the client or of the server
        /// is changed: a wrong password, a missing role or database, no right to connect, an
        /// unknown protocol.
        is_lasting: bool,
        /// The cause, if there is one.
        #[source]
        source: Option<Source>,
    },
    /// A write was attempted in a read-only transaction or on a standby (25006).
    ///
    /// Unless the caller requested a read-only transaction, the pool closes this connection and all
    /// that it opened before it: they lead to a server that accepts no writes.
    #[error("the transaction is read-only")]
    ReadOnly,
    /// A stored value cannot be decoded by this version of the crate.
    ///
    /// This does not happen in a database that has this crate's schema. Every value that PostgreSQL
    /// stores in its columns is read, at worst as the nearest value that the field's type has. It
    /// happens if the schema was changed by hand, for example if a column holds NULL that was NOT
    /// NULL.
    ///
    /// Each such error of a row is counted in
    /// [`PoolState::unreadable`](crate::PoolState::unreadable). With the feature `tracing` it is also
    /// an event of level WARN with the target `wundr_db`. `Db::unreadable` lists the rows of a table.
    ///
    /// In a transaction, and in every write of a repository behind the cache, nothing was written:
    /// the transaction can only be rolled back. A write outside a transaction that returns its row
    /// sends one statement, which the server commits by itself. If the schema was changed by hand so
    /// that this row cannot be decoded, the write **was done** although it returned this error. A
    /// deletion decodes at most the columns of the cache's keys.
    ///
    /// Such a row can be changed by a statement that returns no row, on
    /// `Tx::connection_mut` in a transaction: for example to disable a user's login behind the
    /// cache. The transaction then invalidates all cache entries.
    #[error("cannot decode {what}{}{}: {reason}", .id.map(|id| format!(" {id}")).unwrap_or_default(), .column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default())]
    Decode {
        /// The table with its schema, or the expected type.
        what: Cow<'static, str>,
        /// The row's key, if it is known.
        id: Option<Uuid>,
        /// The column, if it is known.
        column: Option<String>,
        /// The reason. For a column that contains secrets, it does not depend on the value.
        reason: String,
    },
    /// A secret could not be opened.
    ///
    /// Returned by [`Protected::expose`](crate::Protected::expose), not by the read of the row, so
    /// that one lost key hides no other row.
    #[error("{column}{} is sealed under key {key}: {reason}", .row.map(|row| format!(" of row {row}")).unwrap_or_default())]
    Sealed {
        /// The column with its table.
        column: &'static str,
        /// The row's key, if it is known.
        row: Option<Uuid>,
        /// The number of the key.
        key: u16,
        /// The reason.
        reason: String,
    },
    /// A migration failed.
    #[error("migration {version}: {message}")]
    Migration {
        /// The version of the migration.
        version: String,
        /// The server's message.
        message: String,
    },
    /// A call that needs the cache could not reach it.
    #[error("cache: {0}")]
    Cache(String),
    /// A repository that the application implements does not implement the method.
    #[error("{method} is not implemented")]
    Unsupported {
        /// The trait and its method.
        method: &'static str,
    },
    /// Any other error of the server.
    #[error("{message}{}", .sqlstate.map(|state| format!(" ({state})")).unwrap_or_default())]
    Other {
        /// The server's code, if it is known.
        sqlstate: Option<SqlState>,
        /// The server's message.
        message: String,
    },
}

/// A constraint that a write violated.
#[derive(Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The table; empty for the check of a domain.
    pub table: String,
    /// The constraint's name, for example `users_email_key`.
    pub name: String,
    /// The server's detail message.
    ///
    /// It contains values of the row; for a check constraint, all of them. Show it to the row's
    /// owner only, and do not log it. `Debug` omits it.
    pub detail: Option<String>,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Constraint")
            .field("table", &self.table)
            .field("name", &self.name)
            .field("detail", &self.detail.as_ref().map(|_| format_args!("..")))
            .finish()
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.table.is_empty() {
            return formatter.write_str(&self.name);
        }
        write!(formatter, "{} ({})", self.name, self.table)
    }
}

/// The fate of a write whose connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// The write was not done and will not be.
    ///
    /// No connection was available, the connection was known to be unusable before the statement
    /// was sent, or the transaction was lost before its commit.
    NotSent,
    /// The write may have been done: a statement outside a transaction, or a commit, was sent and
    /// received no response.
    Unknown,
}

/// The caller's options after an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Do not retry: the same work would fail again, or is not known to succeed.
    Never,
    /// Repeat the whole work after a short wait with jitter.
    Again,
    /// Repeat the whole work. It runs on another connection. During a failover, it succeeds only
    /// after the failover.
    AgainElsewhere,
    /// Check whether the work has been done before repeating it.
    LookFirst,
}

impl Error {
    /// Creates the error of an invalid value in a field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl fmt::Display) -> Self {
        Self::InvalidInput {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    /// Checks whether the same work may succeed when it is repeated from its beginning, and cannot
    /// be done twice.
    ///
    /// True for:
    ///
    /// - [`Serialization`](Error::Serialization) and [`Deadlock`](Error::Deadlock)
    /// - a [`Connection`](Error::Connection) error of [`Fate::NotSent`] that is not a lasting
    ///   rejection
    /// - [`ReadOnly`](Error::ReadOnly), since another server may accept the write; if the caller
    ///   requested a read-only transaction, every attempt fails, though
    ///
    /// False for an error of [`Fate::Unknown`]: the write may have been done.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.advice(), Advice::Again | Advice::AgainElsewhere)
    }

    /// Returns what the caller can do about the error.
    ///
    /// [`Advice::Never`] for a [`Connection`](Error::Connection) error that lasts: SQLSTATE class
    /// 28, 3D000, 42501, 0A000, 42704 and 22023 while the connection is opened, and PgBouncer's
    /// messages for these. A server that is starting or shutting down (57P03), has no connection
    /// left (53300), or cannot be reached may accept the next attempt. The blocking engine's driver
    /// hides the code; there, the server's English message is used.
    ///
    /// If one of several hosts rejects a connection in a lasting way, the hosts after it are not
    /// tried, as in libpq.
    #[must_use]
    pub const fn advice(&self) -> Advice {
        match self {
            Self::Serialization | Self::Deadlock => Advice::Again,
            Self::ReadOnly => Advice::AgainElsewhere,
            Self::Connection {
                is_lasting: true, ..
            } => Advice::Never,
            Self::Connection { fate, .. } => match fate {
                Fate::NotSent => Advice::AgainElsewhere,
                Fate::Unknown => Advice::LookFirst,
            },
            Self::Row { source, .. } => source.advice(),
            _ => Advice::Never,
        }
    }

    /// Returns the fate of the write after a [`Connection`](Error::Connection) error, also within a
    /// [`Row`](Error::Row).
    ///
    /// `None` for every other error. It means that nothing was written, except for a
    /// [`Decode`](Error::Decode) outside a transaction.
    #[must_use]
    pub const fn fate(&self) -> Option<Fate> {
        match self {
            Self::Connection { fate, .. } => Some(*fate),
            Self::Row { source, .. } => source.fate(),
            _ => None,
        }
    }

    /// Returns the name of the constraint that a write violated.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Unique(constraint) | Self::ForeignKey(constraint) | Self::Check(constraint) => {
                Some(&constraint.name)
            }
            Self::Row { source, .. } => source.constraint(),
            _ => None,
        }
    }

    /// Wraps the error with the table and the index of the row that it is about.
    pub(crate) fn in_row(self, table: &'static str, index: usize) -> Self {
        Self::Row {
            table,
            index,
            source: Box::new(self),
        }
    }

    /// Checks whether the rows caused the error, rather than the server or the connection.
    pub(crate) const fn is_about_a_row(&self) -> bool {
        matches!(
            self,
            Self::Unique(_)
                | Self::ForeignKey(_)
                | Self::Check(_)
                | Self::NotNull { .. }
                | Self::InvalidInput { .. }
        )
    }

    /// Creates the error of a connection that could not be opened.
    pub(crate) fn connection(source: impl StdError + Send + Sync + 'static) -> Self {
        let message = innermost(&source);
        Self::Connection {
            is_lasting: is_lasting_refusal(&source, &message),
            message: with_advice(&message),
            fate: Fate::NotSent,
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn illegal_transition(
        what: &'static str,
        from: &'static str,
        to: &'static str,
        step: &'static str,
    ) -> Self {
        Self::IllegalTransition {
            what,
            from: from.into(),
            to: to.into(),
            step,
        }
    }
}

/// Returns the message of the last cause, which is the most specific one.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// An enum value that this version of the crate does not have.
#[derive(Debug, thiserror::Error)]
#[error("{type_name} has no value {word:?} in this version of the crate")]
pub(crate) struct UnknownWord {
    type_name: &'static str,
    word: String,
}

impl UnknownWord {
    pub(crate) fn new(type_name: &'static str, word: &[u8]) -> Self {
        Self {
            type_name,
            word: String::from_utf8_lossy(word).into_owned(),
        }
    }
}

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

impl Error {
    /// Creates the error of every call after [`Db::close`](crate::Db::close).
    pub(crate) fn closed() -> Self {
        Self::Pool("closed".to_owned())
    }

    /// Creates the error of a connection on which nothing was sent.
    pub(crate) fn broken_connection(message: &str) -> Self {
        Self::ended_connection(message, Fate::NotSent)
    }

    pub(crate) fn ended_connection(message: &str, fate: Fate) -> Self {
        Self::Connection {
            message: with_advice(message),
            fate,
            is_lasting: false,
            source: None,
        }
    }

    /// Creates the error of a connection that could not be opened.
    pub(crate) fn refused_connection(message: &str, is_lasting: bool) -> Self {
        Self::Connection {
            message: with_advice(message),
            fate: Fate::NotSent,
            is_lasting,
            source: None,
        }
    }

    /// Checks whether the server rejected a connection and would reject the next one, too.
    pub(crate) const fn is_lasting_refusal(&self) -> bool {
        matches!(
            self,
            Self::Connection {
                is_lasting: true,
                ..
            }
        )
    }
}

/// Appends a hint to PgBouncer's error messages.
fn with_advice(message: &str) -> String {
    let advice = if message.contains("unsupported startup parameter") {
        "the server is PgBouncer; use Config::behind_pgbouncer"
    } else if message.contains("prepared statement \"") {
        "PgBouncer in transaction mode must be version 1.21 or later, with max_prepared_statements > 0"
    } else {
        return message.to_owned();
    };
    format!("{message}: {advice}")
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
        name: owned(information.constraint_name()),
        detail: information.details().map(str::to_owned),
    };
    let error = match kind {
        DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ExclusionViolation => {
            Error::Unique(constraint())
        }
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => {
            Error::ForeignKey(constraint())
        }
        DatabaseErrorKind::CheckViolation if information.constraint_name().is_some() => {
            Error::Check(constraint())
        }
        DatabaseErrorKind::CheckViolation => {
            Error::invalid(owned(information.table_name()), message)
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
            Error::invalid(domain, message)
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

/// Creates the error of a statement that left its connection unusable.
fn ended(code: Option<SqlState>, message: &str, fate: Fate) -> Error {
    match code.as_ref().map(SqlState::as_str) {
        Some("25P03" | "25P04") => Error::Timeout(message.to_owned()),
        Some("40001") => Error::Serialization,
        _ => Error::ended_connection(message, fate),
    }
}

/// Creates the error of a statement after which its connection can be used further.
fn from_code(code: Option<SqlState>, message: &str) -> Error {
    match code.as_ref().map(SqlState::as_str) {
        Some("40P01") => Error::Deadlock,
        Some("57014" | "55P03") => Error::Timeout(message.to_owned()),
        Some("22001" | "22003" | "22008" | "22021" | "22P02" | "22P05") => {
            Error::invalid("value", message)
        }
        Some("54000") => Error::invalid(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn constraint() -> Constraint {
        Constraint {
            table: "t".to_owned(),
            name: "c".to_owned(),
            detail: None,
        }
    }

    /// Returns each variant once, and each kind of connection error, with their advice and fate.
    ///
    /// A new variant does not compile here until it has a line.
    fn all() -> Vec<(Error, Advice, Option<Fate>)> {
        let nothing = |error: Error| (error, Advice::Never, None);
        let text = || "x".to_owned();
        let lost = |fate| Error::ended_connection("x", fate);
        let not_sent = Some(Fate::NotSent);
        let mut all = vec![
            nothing(Error::NotFound { what: "x" }),
            nothing(Error::Unique(constraint())),
            nothing(Error::ForeignKey(constraint())),
            nothing(Error::Check(constraint())),
            nothing(Error::NotNull {
                table: text(),
                column: text(),
            }),
            nothing(Error::invalid("x", "x")),
            nothing(Error::StaleWrite { what: "x" }),
            nothing(Error::Suppressed { what: "x" }),
            nothing(Error::illegal_transition("x", "a", "b", "c")),
            nothing(Error::LeaseLost {
                what: "x",
                state: "y".into(),
                holder: None,
            }),
            (Error::Serialization, Advice::Again, None),
            (Error::Deadlock, Advice::Again, None),
            nothing(Error::Timeout(text())),
            nothing(Error::Pool(text())),
            nothing(Error::InUse { by: "x" }),
            (lost(Fate::NotSent), Advice::AgainElsewhere, not_sent),
            (lost(Fate::Unknown), Advice::LookFirst, Some(Fate::Unknown)),
            (
                Error::refused_connection("x", true),
                Advice::Never,
                not_sent,
            ),
            (Error::ReadOnly, Advice::AgainElsewhere, None),
            nothing(Error::Sealed {
                column: "x",
                row: None,
                key: 1,
                reason: text(),
            }),
            nothing(Error::Decode {
                what: "x".into(),
                id: None,
                column: None,
                reason: text(),
            }),
            nothing(Error::Migration {
                version: text(),
                message: text(),
            }),
            nothing(Error::Cache(text())),
            nothing(Error::Unsupported { method: "x" }),
            nothing(Error::Other {
                sqlstate: None,
                message: text(),
            }),
            nothing(Error::NotFound { what: "x" }.in_row("t", 1)),
        ];
        for (error, ..) in &mut all {
            match error {
                Error::NotFound { .. }
                | Error::Unique(_)
                | Error::ForeignKey(_)
                | Error::Check(_)
                | Error::NotNull { .. }
                | Error::InvalidInput { .. }
                | Error::Row { .. }
                | Error::StaleWrite { .. }
                | Error::Suppressed { .. }
                | Error::IllegalTransition { .. }
                | Error::LeaseLost { .. }
                | Error::Serialization
                | Error::Deadlock
                | Error::Timeout(_)
                | Error::Pool(_)
                | Error::InUse { .. }
                | Error::Connection { .. }
                | Error::ReadOnly
                | Error::Decode { .. }
                | Error::Migration { .. }
                | Error::Cache(_)
                | Error::Unsupported { .. }
                | Error::Sealed { .. }
                | Error::Other { .. } => {}
            }
        }
        all
    }

    #[test]
    fn the_error_of_a_row_has_the_advice_and_fate_of_its_source() {
        for depth in 0..3 {
            for (mut error, advice, fate) in all() {
                for index in 0..depth {
                    error = error.in_row("t", index);
                }
                assert_eq!(error.advice(), advice, "{error:?}");
                assert_eq!(error.fate(), fate, "{error:?}");
                let is_retryable = matches!(advice, Advice::Again | Advice::AgainElsewhere);
                assert_eq!(error.is_retryable(), is_retryable, "{error:?}");
            }
        }
    }
}
