//! Tokens and keys: what the feature `crypto` adds to the plain data.

mod key_text;
pub(crate) mod keyring;
pub(crate) mod session_keys;
pub(crate) mod tokens;
mod webhooks;

pub use keyring::Keyring;
pub use session_keys::SessionKeys;
pub use tokens::{RefreshToken, SessionToken};
pub use webhooks::{WebhookError, WebhookRequest, WebhookScheme, verify_webhook};
