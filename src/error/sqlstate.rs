//! The SQLSTATE of a server's error.

use std::cell::Cell;
use std::fmt;

use diesel::result::DatabaseErrorInformation;

/// One of PostgreSQL's five-character error codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// 25P02: the transaction has failed and was rolled back.
    pub const IN_FAILED_TRANSACTION: Self = Self(*b"25P02");

    /// Creates a code of its text. `None` if that does not have five ASCII characters.
    pub(crate) fn new(code: &str) -> Option<Self> {
        let code = code.as_bytes().try_into().ok().map(Self)?;
        code.0.is_ascii().then_some(code)
    }

    /// Returns the code, for example `22P02`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SqlState({})", self.as_str())
    }
}

thread_local! {
    /// The code of the error whose message this thread has read last.
    static LAST_READ: Cell<Option<SqlState>> = const { Cell::new(None) };
}

/// Records the code of an error whose message is being read, for [`sqlstate_of`].
///
/// diesel's trait of error information has no method for the code, and no way to the type behind
/// it.
#[cfg(feature = "async")]
pub(crate) fn report_sqlstate(code: Option<SqlState>) {
    LAST_READ.set(code);
}

/// Returns the code of an error, if its driver [reports](report_sqlstate) it: the async engine's
/// does, libpq's does not.
pub(super) fn sqlstate_of(
    information: &(dyn DatabaseErrorInformation + Send + Sync),
) -> Option<SqlState> {
    LAST_READ.set(None);
    let _ = information.message();
    LAST_READ.take()
}

#[cfg(test)]
mod tests {
    use super::SqlState;

    #[test]
    fn a_code_has_five_ascii_characters() {
        assert_eq!(SqlState::new("22P02").unwrap().as_str(), "22P02");
        for text in ["", "2202", "22P020", "é2P0"] {
            assert_eq!(SqlState::new(text), None, "{text}");
        }
    }
}
