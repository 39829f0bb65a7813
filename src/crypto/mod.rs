//! Tokens and keys: what the feature `crypto` adds to the plain data.

pub(crate) mod session_keys;
pub(crate) mod tokens;

pub use session_keys::SessionKeys;
pub use tokens::{RefreshToken, SessionToken};
