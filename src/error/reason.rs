//! The reason of an invalid value.

use std::fmt;
use std::ops::Deref;

/// The reason for which a value cannot be stored, or an argument is invalid.
///
/// It dereferences to its text. The reasons of this crate are for the client that has sent the
/// value. Those of the server are for the service: they may repeat the value, or name an index. A
/// [`Problem`](super::Problem) leaves them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason {
    text: String,
    is_of_server: bool,
}

impl Reason {
    pub(super) const fn of_crate(text: String) -> Self {
        let is_of_server = false;
        Self { text, is_of_server }
    }

    pub(super) const fn of_server(text: String) -> Self {
        let is_of_server = true;
        Self { text, is_of_server }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks whether the text is a message of the server.
    #[must_use]
    pub const fn is_of_server(&self) -> bool {
        self.is_of_server
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, formatter)
    }
}

impl PartialEq<str> for Reason {
    fn eq(&self, other: &str) -> bool {
        self.text == other
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, other: &&str) -> bool {
        self.text == *other
    }
}
