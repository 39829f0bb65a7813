//! One error for both engines.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use diesel::result::{
    DatabaseErrorInformation, DatabaseErrorKind, DeserializeFieldError, Error as DieselError,
};

use uuid::Uuid;

use crate::Table;
use crate::decoding::Undecodable;

mod connection_end;

pub(crate) use connection_end::Verdict;
#[cfg(feature = "async")]
pub(crate) use connection_end::fate_by_code;
use connection_end::{fate_by_message, is_lasting_refusal};

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong. Both engines give the same variant for the same fault.
///
/// Absence is not an error: what may be missing is an `Option`. A call that needs its row returns
/// [`NotFound`](Error::NotFound).
///
/// The drivers tell broken constraints, failed serialization and read-only transactions by code, and everything else
/// only by the server's message, which is understood in English. A connection asks for English messages where its role
/// may (`GRANT SET ON PARAMETER lc_messages TO app`); where it may not, set `lc_messages = 'C'` for the role or the
/// server. In another language, a deadlock or a timeout is an [`Other`](Error::Other) without a code, and a deadlock
/// is not tried again. The async engine has the server's code for the end of a connection, in any language.
///
/// [`is_retryable`](Error::is_retryable) and [`advice`](Error::advice) say what a caller can do, [`fate`](Error::fate)
/// whether a write may have been done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The row that a call needs is not there.
    #[error("no such {what}")]
    NotFound {
        /// What was looked for, as a type's name.
        what: &'static str,
    },
    /// Another row has the same key (SQLSTATE 23505).
    #[error("{0}: the value is taken")]
    Unique(Constraint),
    /// A row that is referred to is missing, or a row is still referred to (23503, 23001).
    #[error("{0}: the row referred to is missing, or the row is still referred to")]
    ForeignKey(Constraint),
    /// A value breaks a check (23514).
    #[error("{0}: the value breaks the check")]
    Check(Constraint),
    /// A value is missing (23502).
    #[error("{table}.{column} cannot be NULL")]
    NotNull {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A value cannot be stored or a request makes no sense.
    #[error("{field}: {reason}")]
    InvalidInput {
        /// The column, the constraint or the argument.
        field: Cow<'static, str>,
        /// What is wrong with it.
        reason: String,
    },
    /// A row among many cannot be stored.
    #[error("{table}[{index}]: {source}")]
    Row {
        /// The table.
        table: &'static str,
        /// The row's place among those given for the table, from 0.
        index: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// The row has changed since it was read.
    #[error("the {what} has changed since it was read")]
    StaleWrite {
        /// What was to be written, as a type's name.
        what: &'static str,
    },
    /// The database reported success and changed nothing, although the row is there and allows the change: a trigger
    /// that returns NULL or a row security policy suppressed it, or other writers were faster at every try.
    #[error("the write of the {what} was suppressed by a trigger, a policy or other writers")]
    Suppressed {
        /// What was to be written, as a type's name.
        what: &'static str,
    },
    /// The row's state does not allow the step.
    #[error("{what} is {from}: {step} cannot take it to {to}")]
    IllegalTransition {
        /// What was to change, as a type's name.
        what: &'static str,
        /// The state that it is in.
        from: Cow<'static, str>,
        /// The state that was asked for.
        to: Cow<'static, str>,
        /// What was tried, as a method's name.
        step: &'static str,
    },
    /// A worker has lost its [`Lease`](crate::Lease): what it runs has ended, or is another's to run.
    #[error("the lease of {what} is lost: it is {state}{}", .holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    LeaseLost {
        /// What it ran, as a type's name.
        what: &'static str,
        /// The state that it is in.
        state: Cow<'static, str>,
        /// The worker that runs it now.
        holder: Option<String>,
    },
    /// Another transaction was first (40001): run the whole transaction again.
    #[error("the transaction could not be serialized against another")]
    Serialization,
    /// Two transactions waited for each other (40P01): run the whole transaction again.
    #[error("the transaction was ended to break a deadlock")]
    Deadlock,
    /// The statement took longer than it may, waited too long for a lock, or was cancelled (57014, 55P03, 25P03).
    #[error("timed out: {0}")]
    Timeout(String),
    /// No connection could be had from the pool in time, or the pool is closed.
    #[error("no connection from the pool: {0}")]
    Pool(String),
    /// Another call uses the transaction, and one of the two has to have it to itself. Nothing was sent, and the
    /// transaction can go on: [`Tx`](crate::Tx) says which calls these are.
    #[error("the transaction is in use by {by}")]
    InUse {
        /// The other call.
        by: &'static str,
    },
    /// The server cannot be reached, refused the connection or closed it, or what the connection had prepared no
    /// longer fits the database.
    ///
    /// The pool closes the connection. [`fate`](Self::fate) says whether a write may have been done.
    #[error("connection: {message}")]
    Connection {
        /// What the server or the network said.
        message: String,
        /// Whether a write may have been done.
        fate: Fate,
        /// Whether the server refused the connection in a way that lasts until a setting of the client or of the
        /// server is changed: a wrong password, a missing role or database, no right to connect, an unknown protocol.
        is_lasting: bool,
        /// The cause, where there is one.
        #[source]
        source: Option<Source>,
    },
    /// A write in a read-only transaction or on a standby (25006).
    ///
    /// Unless the caller asked for a read-only transaction, the pool closes the connection and those that it opened
    /// before: they lead to a server that takes no writes.
    #[error("the transaction is read-only")]
    ReadOnly,
    /// A stored value is none that this version of the crate understands.
    ///
    /// A database that has this crate's schema has no such value: what PostgreSQL stores in a column of it is read, at
    /// worst as the nearest value that the field's type has. A schema that was changed by hand has, for example a NULL
    /// where the column was NOT NULL.
    ///
    /// Each such error of a row is an event of level WARN with the target `wundr_db`, with the feature `tracing`, and is
    /// counted in [`PoolState::unreadable`](crate::PoolState::unreadable). `Db::unreadable` lists the rows of a table.
    ///
    /// In a transaction, and in every write of a repository behind the cache, nothing was written: the transaction can
    /// only be rolled back. A write outside a transaction that returns its row sends one statement, which the server
    /// commits by itself. If a schema was changed by hand so that the row which it returns cannot be decoded, this is the
    /// error of a write that **was done**. A deletion decodes at most the columns that the cache's keys consist of.
    #[error("cannot decode {what}{}{}: {reason}", .id.map(|id| format!(" {id}")).unwrap_or_default(), .column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default())]
    Decode {
        /// The table with its schema, or the type that was expected.
        what: Cow<'static, str>,
        /// The row's key, where it is known.
        id: Option<Uuid>,
        /// The column, where it is known.
        column: Option<String>,
        /// What is wrong with the value. Of a column that holds secrets it says nothing that depends on the value.
        reason: String,
    },
    /// A migration failed.
    #[error("migration {version}: {message}")]
    Migration {
        /// The migration.
        version: String,
        /// What the server said.
        message: String,
    },
    /// The cache could not be reached where it has to be.
    #[error("cache: {0}")]
    Cache(String),
    /// A repository of the application does not implement the method.
    #[error("{method} is not implemented")]
    Unsupported {
        /// The trait and its method.
        method: &'static str,
    },
    /// Anything else that the server refuses.
    #[error("{message}{}", .sqlstate.map(|state| format!(" ({state})")).unwrap_or_default())]
    Other {
        /// The server's code, where it is known.
        sqlstate: Option<SqlState>,
        /// The server's message.
        message: String,
    },
}

/// A constraint that a write broke.
#[derive(Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The table; empty for the check of a domain.
    pub table: String,
    /// The constraint's name, for example `users_email_key`.
    pub name: String,
    /// The server's detail. It holds values of the row, in the case of a check all of them: it is for the row's owner,
    /// not for a log. `Debug` does not show it.
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

/// One of PostgreSQL's five-character error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(&'static str);

impl SqlState {
    /// 25P02: the transaction has failed and was rolled back.
    pub const IN_FAILED_TRANSACTION: Self = Self("25P02");

    /// The code, for example `22P02`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Whether a write may have been done after its connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fate {
    /// It was not done and will not be: no connection could be had, the connection was known to be of no use before
    /// the statement was sent, or the transaction was lost before its commit.
    NotSent,
    /// The statement, outside a transaction, or the commit was sent and not answered. It may have been done.
    Unknown,
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// The same work would fail again, or nothing says that it would not.
    Never,
    /// Do the whole work again, after a short wait with jitter.
    Again,
    /// Do the whole work again; it runs on another connection. During a failover that takes as long as the failover.
    AgainElsewhere,
    /// The work may have been done: look before it is done again.
    LookFirst,
}

impl Error {
    /// A value that cannot be used, with the field that holds it.
    pub fn invalid(field: impl Into<Cow<'static, str>>, reason: impl fmt::Display) -> Self {
        Self::InvalidInput {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    /// Checks whether the same work, done again from its beginning, may succeed and cannot be done twice.
    ///
    /// So it is for [`Serialization`](Error::Serialization) and [`Deadlock`](Error::Deadlock), for a
    /// [`Connection`](Error::Connection) error of [`Fate::NotSent`] that is no lasting refusal, and for [`ReadOnly`](Error::ReadOnly), since
    /// another server may take the write. A transaction that the caller asked to be read-only refuses the write every
    /// time, though. An error of [`Fate::Unknown`] is not retryable: the write may have been done.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.advice(), Advice::Again | Advice::AgainElsewhere)
    }

    /// Returns what the caller can do about the error.
    ///
    /// [`Advice::Never`] for a [`Connection`](Error::Connection) that the server refused in a way that lasts: SQLSTATE
    /// class 28, 3D000, 42501, 0A000, 42704 and 22023 while it is opened, and what a PgBouncer says for these. A server
    /// that starts up or shuts down (57P03), has no connection left (53300), or cannot be reached may take the next one.
    /// The blocking engine's driver hides the code; there the server's message counts, in English.
    ///
    /// Of several hosts, as in libpq, those after one that refuses in this way are not tried.
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

    /// Returns whether a write may have been done, for a [`Connection`](Error::Connection) error, also for one of a
    /// [`Row`](Error::Row).
    ///
    /// `None` for every other error: it means that nothing was written, but for a [`Decode`](Error::Decode) outside a
    /// transaction.
    #[must_use]
    pub const fn fate(&self) -> Option<Fate> {
        match self {
            Self::Connection { fate, .. } => Some(*fate),
            Self::Row { source, .. } => source.fate(),
            _ => None,
        }
    }

    /// The constraint that a write broke, by name.
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

    /// Names the row, among those given for the table, that the error is about.
    pub(crate) fn in_row(self, table: &'static str, index: usize) -> Self {
        Self::Row {
            table,
            index,
            source: Box::new(self),
        }
    }

    /// Whether the rows are to blame, rather than the server or the connection.
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

    /// The error of a connection that could not be opened.
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

/// The last cause says what happened; those before it say where.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A word in an enum column that this version of the crate does not know.
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

/// Where in a transaction, if in one, a statement failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Outside any: done when it is answered.
    Alone,
    /// After BEGIN and before COMMIT: nothing is done yet.
    Within,
    /// The commit itself.
    Commit,
}

/// An error of a statement, and what it says of the statement's connection.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) verdict: Verdict,
}

impl Failure {
    pub(crate) fn of(error: DieselError, stage: Stage) -> Self {
        let mut failure = Self::from(error);
        if let (Error::Connection { fate, .. }, Stage::Within) = (&mut failure.error, stage) {
            // Nothing of a transaction is done before its commit.
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
    /// The error of every call after [`Db::close`](crate::Db::close).
    pub(crate) fn closed() -> Self {
        Self::Pool("closed".to_owned())
    }

    /// The error of a connection that nothing was sent on.
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

    /// The error of a connection that could not be opened, for a reason that lasts or not.
    pub(crate) fn refused_connection(message: &str, is_lasting: bool) -> Self {
        Self::Connection {
            message: with_advice(message),
            fate: Fate::NotSent,
            is_lasting,
            source: None,
        }
    }

    /// Checks whether the server refused a connection and would do so again.
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

/// What PgBouncer says is hard to understand for who does not know of it.
fn with_advice(message: &str) -> String {
    let advice = if message.contains("unsupported startup parameter") {
        "this is a PgBouncer, use Config::behind_pgbouncer"
    } else if message.contains("prepared statement \"") {
        "behind a PgBouncer in transaction mode this needs PgBouncer 1.21 with max_prepared_statements > 0"
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
    // Of a query of the application's.
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
    let message = information.message();
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
            // The server writes the schema of a name that the search_path does not lead to.
            let domain = domain.rsplit('.').next().unwrap_or_default().to_owned();
            Error::invalid(domain, message)
        }
        DatabaseErrorKind::SerializationFailure if fate_by_message(message).is_none() => {
            Error::Serialization
        }
        DatabaseErrorKind::ReadOnlyTransaction => {
            return Failure {
                error: Error::ReadOnly,
                verdict: Verdict::RetireAll,
            };
        }
        DatabaseErrorKind::UnableToSendCommand => {
            return Failure::retiring(ended(message, Fate::NotSent));
        }
        DatabaseErrorKind::ClosedConnection => {
            let fate = fate_by_message(message).unwrap_or(Fate::Unknown);
            return Failure::retiring(ended(message, fate));
        }
        _ => match fate_by_message(message) {
            Some(fate) => return Failure::retiring(ended(message, fate)),
            None => from_message(message),
        },
    };
    Failure::keeping(error)
}

/// The error of a statement after which the connection is of no further use.
fn ended(message: &str, fate: Fate) -> Error {
    match code_of(message) {
        Some("25P03" | "25P04") => Error::Timeout(message.to_owned()),
        Some("40001") => Error::Serialization,
        _ => Error::ended_connection(message, fate),
    }
}

/// What diesel does not tell by kind. Its errors hide the SQLSTATE, so it is told by the message, in both engines: the
/// start of the English text, which is what a server writes unless its `lc_messages` says otherwise. A message in
/// another language becomes [`Error::Other`] without a code.
const MESSAGES: &[(&str, &str)] = &[
    ("deadlock detected", "40P01"),
    ("canceling statement due to lock timeout", "55P03"),
    ("canceling statement due to", "57014"),
    ("could not obtain lock", "55P03"),
    (
        "terminating connection due to idle-in-transaction timeout",
        "25P03",
    ),
    ("terminating connection due to transaction timeout", "25P04"),
    (
        "terminating connection due to conflict with recovery",
        "40001",
    ),
    ("terminating connection", "57P01"),
    ("the database system is", "57P03"),
    ("server closed the connection unexpectedly", "08006"),
    ("connection closed", "08006"),
    ("no connection to the server", "08003"),
    ("server conn crashed", "08006"),
    ("server login has been failing", "08006"),
    ("pgbouncer cannot connect", "08006"),
    ("query_wait_timeout", "08P01"),
    ("client_login_timeout", "08P01"),
    ("client_idle_timeout", "08P01"),
    ("query_timeout", "08P01"),
    ("idle_transaction_timeout", "08P01"),
    ("no more connections allowed", "53300"),
    ("sorry, too many clients already", "53300"),
    ("too many connections for", "53300"),
    ("remaining connection slots are reserved", "53300"),
    ("current transaction is aborted", "25P02"),
    ("value too long for type", "22001"),
    ("numeric field overflow", "22003"),
    ("smallint out of range", "22003"),
    ("integer out of range", "22003"),
    ("bigint out of range", "22003"),
    ("value overflows numeric format", "22003"),
    ("value out of range", "22003"),
    ("timestamp out of range", "22008"),
    ("date/time field value out of range", "22008"),
    ("invalid input syntax for type", "22P02"),
    ("invalid input value for enum", "22P02"),
    ("invalid byte sequence for encoding", "22021"),
    ("unsupported Unicode escape sequence", "22P05"),
    ("division by zero", "22012"),
    ("index row size", "54000"),
    ("index row requires", "54000"),
    ("prepared statement \"", "26000"),
    ("unnamed prepared statement", "26000"),
    ("bind message supplies", "08P01"),
    ("cached plan must not change result type", "0A000"),
    ("cache lookup failed for ", "XX000"),
    ("type with OID ", "42704"),
    ("binary data has array element type", "42804"),
    ("permission denied", "42501"),
    ("must be owner of", "42501"),
    ("must be superuser", "42501"),
    ("must be member of role", "42501"),
    ("must be a member of", "42501"),
    ("must be able to SET ROLE", "42501"),
    ("must have admin option", "42501"),
    ("must have CREATEROLE", "42501"),
    ("must have privileges", "42501"),
    ("only superuser", "42501"),
    ("only roles with", "42501"),
    ("new row violates row-level security", "42501"),
    ("target row violates row-level security", "42501"),
    ("query would be affected by row-level security", "42501"),
];

/// The code of an error, by its message.
fn code_of(message: &str) -> Option<&'static str> {
    let found = MESSAGES
        .iter()
        .find(|(start, _)| message.starts_with(start));
    found.map(|&(_, code)| code)
}

fn from_message(message: &str) -> Error {
    match code_of(message) {
        Some("40P01") => Error::Deadlock,
        Some("57014" | "55P03") => Error::Timeout(message.to_owned()),
        Some("22001" | "22003" | "22008" | "22021" | "22P02" | "22P05") => {
            Error::invalid("value", message)
        }
        Some("54000") => Error::invalid(
            quoted(message).unwrap_or_else(|| "index".to_owned()),
            message,
        ),
        code => Error::Other {
            sqlstate: code.map(SqlState),
            message: message.to_owned(),
        },
    }
}

/// The last name that the server put in double quotes.
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

    /// Each variant once, and a connection's errors of each kind, with their advice and fate. A variant that is added
    /// does not compile here until it has a line.
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
            nothing(Error::Decode {
                type_name: "x".into(),
                value: text(),
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
                | Error::Other { .. } => {}
            }
        }
        all
    }

    #[test]
    fn an_error_of_a_row_says_what_the_error_within_says() {
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
