//! Verification of the events that services send.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::tokens::is_equal;
use crate::{Error, Integration};

/// The largest difference between the time at which an event was signed and the present time.
const WINDOW: TimeDelta = TimeDelta::minutes(5);

/// The length of an HMAC-SHA-256 in bytes.
const MAC: usize = 32;

/// The way in which a service proves that an event is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookScheme {
    /// GitHub: the header `X-Hub-Signature-256` is `sha256=` with the HMAC-SHA-256 of the body in
    /// hexadecimal digits.
    Github,
    /// GitLab with a secret token: the header `X-Gitlab-Token` is the secret. It proves nothing
    /// about the body, and an event that was intercepted can be sent again.
    GitlabToken,
    /// GitLab with a signing token, and other services of the [Standard
    /// Webhooks](https://www.standardwebhooks.com): the headers `webhook-id`, `webhook-timestamp`
    /// and `webhook-signature`. The secret is `whsec_` with a key in base 64. An event is accepted
    /// for 5 minutes.
    Standard,
    /// Slack: the headers `X-Slack-Request-Timestamp`, and `X-Slack-Signature` with `v0=` and an
    /// HMAC-SHA-256 in hexadecimal digits. An event is accepted for 5 minutes.
    Slack,
    /// A header with the HMAC-SHA-256 of the body in hexadecimal digits.
    HmacSha256Hex,
    /// A header with the HMAC-SHA-256 of the body in base 64, padded.
    HmacSha256Base64,
}

/// A request of a service, as it was received.
///
/// The body is the text of the request before it is parsed: parsed and serialized again, it has
/// another signature.
#[derive(Clone, Copy)]
#[must_use]
pub struct WebhookRequest<'r> {
    body: &'r [u8],
    signature: &'r str,
    timestamp: Option<&'r str>,
    id: Option<&'r str>,
}

impl<'r> WebhookRequest<'r> {
    /// Creates a request with its body, and the header that has the signature or secret.
    pub const fn new(body: &'r [u8], signature: &'r str) -> Self {
        Self {
            body,
            signature,
            timestamp: None,
            id: None,
        }
    }

    /// Sets the header that has the time at which the request was signed.
    pub const fn timestamp(self, timestamp: &'r str) -> Self {
        Self {
            timestamp: Some(timestamp),
            ..self
        }
    }

    /// Sets the header that has the id of the event.
    pub const fn id(self, id: &'r str) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }
}

/// The signature is omitted: a header of GitLab is the secret itself.
impl fmt::Debug for WebhookRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WebhookRequest")
            .field("bytes", &self.body.len())
            .field("timestamp", &self.timestamp)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The reason for which a request is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// There is no secret, or it is empty.
    #[error("the webhook has no secret")]
    NoSecret,
    /// The secret does not have the form that the scheme requires.
    #[error("the secret of the webhook is not `whsec_` with a key in base 64")]
    MalformedSecret,
    /// The secret of the integration is sealed and could not be opened.
    #[error(transparent)]
    Secret(#[from] Error),
    /// The request lacks a header that the scheme requires.
    #[error("the request has no header with its {0}")]
    Missing(&'static str),
    /// A header does not have the form that the scheme requires.
    #[error("the {0} of the request is malformed")]
    Malformed(&'static str),
    /// The signature is not that of this body under this secret.
    #[error("the signature of the request is wrong")]
    Mismatch,
    /// The request was signed more than 5 minutes ago, or in the future.
    #[error("the request was signed at {0}, which is not within 5 minutes of the present time")]
    OutsideWindow(DateTime<Utc>),
}

/// Verifies that a request was signed with a secret. It compares in constant time.
///
/// `now` is the present time, with which the time of signing is compared: `Utc::now()`. Within the
/// 5 minutes of a scheme a request can be sent again. To detect this, store the ids of the events
/// of the last 10 minutes.
///
/// ```
/// use chrono::Utc;
/// use wundr_db::{WebhookRequest, WebhookScheme, verify_webhook};
///
/// let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
/// let request = WebhookRequest::new(b"Hello, World!", signature);
/// let secret = "It's a Secret to Everybody";
/// assert!(verify_webhook(WebhookScheme::Github, secret, &request, Utc::now()).is_ok());
/// assert!(verify_webhook(WebhookScheme::Github, "other", &request, Utc::now()).is_err());
/// ```
///
/// # Errors
/// - [`WebhookError::Mismatch`] if the signature is wrong
/// - [`WebhookError::OutsideWindow`] if the time of signing is not within 5 minutes of `now`
/// - [`WebhookError::Missing`] and [`WebhookError::Malformed`] if a header is not as the scheme
///   requires
/// - [`WebhookError::NoSecret`] and [`WebhookError::MalformedSecret`] if the secret cannot be used
pub fn verify_webhook(
    scheme: WebhookScheme,
    secret: &str,
    request: &WebhookRequest<'_>,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    // Anyone can sign with an empty secret.
    if secret.is_empty() {
        return Err(WebhookError::NoSecret);
    }
    let signature = request.signature.trim();
    match scheme {
        WebhookScheme::Github => {
            let digits = after(signature, "sha256=")?;
            verify_mac(hmac(secret.as_bytes())?, &[request.body], hex(digits)?)
        }
        WebhookScheme::GitlabToken => {
            let is_equal = is_equal(signature, secret);
            is_equal.then_some(()).ok_or(WebhookError::Mismatch)
        }
        WebhookScheme::Standard => verify_standard(secret, signature, request, now),
        WebhookScheme::Slack => {
            let (timestamp, signed_at) = time_of(request)?;
            let parts = [b"v0:", timestamp.as_bytes(), b":", request.body];
            let mac = hex(after(signature, "v0=")?)?;
            verify_mac(hmac(secret.as_bytes())?, &parts, mac)?;
            check_window(signed_at, now)
        }
        WebhookScheme::HmacSha256Hex => {
            verify_mac(hmac(secret.as_bytes())?, &[request.body], hex(signature)?)
        }
        WebhookScheme::HmacSha256Base64 => {
            let mac = base64(signature).ok_or(WebhookError::Malformed("signature"))?;
            verify_mac(hmac(secret.as_bytes())?, &[request.body], mac)
        }
    }
}

/// Verifies a request that has one signature for each key of its sender, of which one must match.
fn verify_standard(
    secret: &str,
    signatures: &str,
    request: &WebhookRequest<'_>,
    now: DateTime<Utc>,
) -> Result<(), WebhookError> {
    let key = secret.strip_prefix("whsec_");
    let key = key.and_then(|key| STANDARD.decode(key).ok());
    let key = key.filter(|key| !key.is_empty());
    let key = hmac(&key.ok_or(WebhookError::MalformedSecret)?)?;
    let id = request.id.ok_or(WebhookError::Missing("id"))?;
    // The parts are joined by dots: with a dot in the id, other parts would have the same text.
    if id.is_empty() || id.contains('.') {
        return Err(WebhookError::Malformed("id"));
    }
    let (timestamp, signed_at) = time_of(request)?;
    let parts = [
        id.as_bytes(),
        b".",
        timestamp.as_bytes(),
        b".",
        request.body,
    ];
    let mut outcome = Err(WebhookError::Malformed("signature"));
    for signature in signatures.split_ascii_whitespace() {
        if let Some(mac) = signature.strip_prefix("v1,").and_then(base64) {
            outcome = match verify_mac(key.clone(), &parts, mac) {
                Ok(()) => return check_window(signed_at, now),
                error => error,
            };
        }
    }
    outcome
}

impl Integration {
    /// Verifies that a request was signed with the `webhook_secret` of this integration. It does
    /// the same as [`verify_webhook`].
    ///
    /// # Errors
    /// - [`WebhookError::NoSecret`] if the integration has none
    /// - [`WebhookError::Secret`] if it is sealed and could not be opened
    /// - The errors of [`verify_webhook`]
    pub fn verify_webhook(
        &self,
        scheme: WebhookScheme,
        request: &WebhookRequest<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), WebhookError> {
        let secret = self.webhook_secret.as_ref();
        let secret = secret.ok_or(WebhookError::NoSecret)?.expose()?;
        verify_webhook(scheme, secret, request, now)
    }
}

fn after<'s>(signature: &'s str, prefix: &str) -> Result<&'s str, WebhookError> {
    let rest = signature.strip_prefix(prefix);
    rest.ok_or(WebhookError::Malformed("signature"))
}

/// Returns the header with the time of signing, in seconds since 1970, and this time.
fn time_of<'r>(request: &WebhookRequest<'r>) -> Result<(&'r str, DateTime<Utc>), WebhookError> {
    let text = request
        .timestamp
        .ok_or(WebhookError::Missing("timestamp"))?;
    let malformed = || WebhookError::Malformed("timestamp");
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_number.then(|| text.parse().ok()).flatten();
    let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    Ok((text, time.ok_or_else(malformed)?))
}

fn check_window(signed_at: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), WebhookError> {
    if now.signed_duration_since(signed_at).abs() > WINDOW {
        return Err(WebhookError::OutsideWindow(signed_at));
    }
    Ok(())
}

fn hmac(key: &[u8]) -> Result<Hmac<Sha256>, WebhookError> {
    Hmac::new_from_slice(key).map_err(|_| WebhookError::MalformedSecret)
}

/// Verifies in constant time that the parts have this code.
fn verify_mac(mut hmac: Hmac<Sha256>, parts: &[&[u8]], mac: [u8; MAC]) -> Result<(), WebhookError> {
    parts.iter().for_each(|part| hmac.update(part));
    hmac.verify_slice(&mac).map_err(|_| WebhookError::Mismatch)
}

fn hex(digits: &str) -> Result<[u8; MAC], WebhookError> {
    let malformed = || WebhookError::Malformed("signature");
    let mut mac = [0; MAC];
    if digits.len() != 2 * MAC || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(malformed());
    }
    for (byte, pair) in mac.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| malformed())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| malformed())?;
    }
    Ok(mac)
}

fn base64(text: &str) -> Option<[u8; MAC]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
