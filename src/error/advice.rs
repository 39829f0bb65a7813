//! The consequence of an error for the caller.

use super::Error;

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
    /// used, as in libpq. The async engine begins with the next host after 250 ms. A rejection ends
    /// that attempt, unless the attempt has succeeded before.
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
    /// `None` for every other error. It means that nothing was written, except for the first
    /// [`Decode`](Error::Decode) of a pool, outside a transaction.
    #[must_use]
    pub const fn fate(&self) -> Option<Fate> {
        match self {
            Self::Connection { fate, .. } => Some(*fate),
            Self::Row { source, .. } => source.fate(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Constraint;

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
            nothing(Error::MissingReference(constraint())),
            nothing(Error::StillReferenced(constraint())),
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
                | Error::MissingReference(_)
                | Error::StillReferenced(_)
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
