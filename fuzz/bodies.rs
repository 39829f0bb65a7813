// What is done with bytes of foreign origin, by the fuzz targets and by
// `tests/database/foreign_bytes.rs`. None of it may panic.

use wundr_db::{Config, foreign};

/// A cached value, as any client of Redis may write it.
pub fn cache_entry(bytes: &[u8]) {
    foreign::cache_entry(bytes);
}

/// A reply of Redis.
pub fn redis_reply(bytes: &[u8]) {
    foreign::redis_reply(bytes);
}

/// The record of defaults that the server sends before a `COPY`.
pub fn copy_defaults(bytes: &[u8]) {
    foreign::copy_defaults(bytes);
}

/// A cursor: the text as it is, and the text of a cursor with these bytes in it.
pub fn cursor(bytes: &[u8]) {
    foreign::cursor(&String::from_utf8_lossy(bytes));
    foreign::cursor(&url_safe(bytes));
}

/// A URL of a database. Its error does not repeat a password.
pub fn url(bytes: &[u8]) {
    const PASSWORD: &str = "not-to-be-seen";
    let text = String::from_utf8_lossy(bytes);
    for url in [
        text.clone().into_owned(),
        format!("postgres://ada:{PASSWORD}@{text}"),
        format!("postgres://localhost/db?password={PASSWORD}&{text}"),
    ] {
        match Config::new(&url) {
            Ok(config) => assert!(!format!("{config:?}").contains(PASSWORD), "the password"),
            Err(error) => {
                let text = format!("{error} {error:?}");
                assert!(!text.contains(PASSWORD), "the password");
            }
        }
    }
}

/// Base64 for URLs, without padding.
fn url_safe(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let mut bits = 0_u32;
        for index in 0..3 {
            bits = bits << 8 | u32::from(part.get(index).copied().unwrap_or(0));
        }
        for index in 0..=part.len() {
            let digit = bits >> (18 - 6 * index) & 63;
            text.push(char::from(DIGITS[digit as usize]));
        }
    }
    text
}
