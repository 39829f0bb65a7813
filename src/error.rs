//! The error type of both engines.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use uuid::Uuid;

mod advice;
mod classification;
mod connection_end;
mod connections;
pub mod constraints;
mod problem;
mod reason;
mod server_message;
mod sqlstate;
#[cfg(feature = "blocking")]
mod translations;
mod undecodable;

pub use advice::{Advice, Fate};
pub(crate) use classification::{Failure, Stage};
pub(crate) use connection_end::Verdict;
#[cfg(feature = "async")]
pub(crate) use connection_end::fate_by_code;
pub(crate) use connection_end::is_full_pool;
#[cfg(feature = "blocking")]
pub(crate) use connection_end::recorded_reason;
pub use problem::Problem;
pub use reason::Reason;
pub use sqlstate::SqlState;
#[cfg(feature = "async")]
pub(crate) use sqlstate::report_sqlstate;
pub(crate) use undecodable::{Undecodable, UnknownWord};

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
/// The async engine classifies errors by the server's SQLSTATE, in any language of the server.
/// diesel does not pass on the SQLSTATE that libpq has, so the blocking engine uses diesel's error
/// kinds, and the server's message where they are too coarse. A connection requests English
/// messages if its role may (`GRANT SET ON PARAMETER lc_messages TO app`). In the other languages
/// that PostgreSQL ships, the blocking engine recognizes the messages about deadlocks, timeouts,
/// canceled statements, ended connections, owners and permissions. An unrecognized message is an
/// [`Other`](Error::Other) without a code.
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
    /// A row that a write refers to does not exist (23503).
    #[error("{0}: the referenced row does not exist")]
    MissingReference(Constraint),
    /// The row is still referenced by another one (23503, 23001).
    #[error("{0}: the row is still referenced")]
    StillReferenced(Constraint),
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
        reason: Reason,
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
    /// changed the row before every attempt. Calls that return the number of rows which they wrote
    /// or deleted return the smaller number instead.
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
    /// No connection was available from the pool in time, or the pool is closed. Also if PgBouncer
    /// had no connection to the server within its `query_wait_timeout`. Nothing was executed.
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
    /// Unless the caller requested a read-only transaction, by its options or by statements of its
    /// own, the pool closes this connection and all that it opened before it: they lead to a server
    /// that accepts no writes.
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
    /// [`PoolState::unreadable`](crate::PoolState::unreadable). With the feature `tracing` it is
    /// also an event of level WARN with the target `wundr_db`. `Db::unreadable` lists the rows of a
    /// table.
    ///
    /// In a transaction, and in every write of a repository behind the cache, nothing was written:
    /// the transaction can only be rolled back. Outside one, a write that returns its row sends one
    /// statement, which the server commits before the row is decoded. The first such write of a
    /// pool that returns this error **was done**. From the first error of this kind on, of a read
    /// or a write, the pool's writes run in transactions of their own, which costs two round trips
    /// each: they decode before the commit, and an error means that nothing was written. Writes
    /// that run beside the first one are not yet among them. A deletion decodes at most the columns
    /// of the cache's keys.
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

impl Error {
    /// Creates the error of an invalid value in a field.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl fmt::Display) -> Self {
        Self::InvalidInput {
            field: field.into(),
            reason: Reason::of_crate(reason.to_string()),
        }
    }

    /// Creates the error of a value that the server refused, with its message.
    fn refused_by_server(field: impl Into<Cow<'static, str>>, message: &str) -> Self {
        Self::InvalidInput {
            field: field.into(),
            reason: Reason::of_server(message.to_owned()),
        }
    }

    /// Returns the name of the constraint that a write violated.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Unique(constraint)
            | Self::MissingReference(constraint)
            | Self::StillReferenced(constraint)
            | Self::Check(constraint) => Some(&constraint.name),
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
                | Self::MissingReference(_)
                | Self::StillReferenced(_)
                | Self::Check(_)
                | Self::NotNull { .. }
                | Self::InvalidInput { .. }
        )
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
