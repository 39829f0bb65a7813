//! Tokens and keys: what the feature `crypto` adds to the plain data.

pub(crate) mod keyring;
pub(crate) mod session_keys;
pub(crate) mod tokens;

pub use keyring::Keyring;
pub use session_keys::SessionKeys;
pub use tokens::{RefreshToken, SessionToken};
