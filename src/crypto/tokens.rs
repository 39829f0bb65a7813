//! The tokens of sessions.
//!
//! A token is 90 characters of text: a prefix, the number of its key, the time of its end, the id
//! of its user, 256 random bits, and a checksum.
//!
//! ```text
//! wundr_at_ 001 01tLNKP <22 characters> <43 random characters> <6 characters>
//! ```
//!
//! The id lets a reader of the cache look up session and user with one command. All parts after the
//! prefix are in base 62, most significant digit first. The prefixes are fixed, so that scanners of
//! leaked secrets can search for them. The checksum is the CRC-32 of all that precedes it: a token
//! with a typing error is rejected without a query. It protects against errors only. Authenticity
//! comes from the stored hash, which covers the whole text.

use std::fmt;

use chrono::{DateTime, Utc};
use ctutils::CtEq;
use uuid::Uuid;

use crate::{Error, Result, UserId};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The number of random characters. 62^43 is greater than 2^256.
const RANDOM: usize = 43;
/// The width of the number of the key, at most 65,535.
const KEY: usize = 3;
/// The width of the end, in seconds since 1970.
const END: usize = 7;
/// The width of the id of the user. 62^22 is greater than 2^128.
const USER: usize = 22;
/// The width of the checksum.
const CHECKSUM: usize = 6;
/// The length of what follows the prefix.
const LENGTH: usize = KEY + END + USER + RANDOM + CHECKSUM;

/// The purpose of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Authenticates requests.
    Session,
    /// Is exchanged for new tokens.
    Refresh,
}

impl Purpose {
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "wundr_at_",
            Self::Refresh => "wundr_rt_",
        }
    }
}

/// The parts of a well-formed token that are not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) key: u16,
    pub(crate) end: DateTime<Utc>,
    pub(crate) user_id: UserId,
}

/// Returns a new token. Its end is rounded up to a second.
///
/// # Errors
/// - [`Error::Other`] if the operating system provides no random bytes
pub(crate) fn create(purpose: Purpose, parts: Parts) -> Result<String> {
    let mut text = String::with_capacity(purpose.prefix().len() + LENGTH);
    text.push_str(purpose.prefix());
    push(&mut text, u128::from(parts.key), KEY);
    let end = parts.end;
    let seconds = end
        .timestamp()
        .saturating_add(i64::from(end.timestamp_subsec_nanos() > 0));
    push(&mut text, u128::try_from(seconds).unwrap_or(0), END);
    push(&mut text, Uuid::from(parts.user_id).as_u128(), USER);
    push_random(&mut text)?;
    let checksum = crc32(text.as_bytes());
    push(&mut text, u128::from(checksum), CHECKSUM);
    Ok(text)
}

/// Returns the parts of a token. Returns `None` unless the text is a token of this purpose with the
/// right checksum.
pub(crate) fn parse(purpose: Purpose, text: &str) -> Option<Parts> {
    let rest = text.strip_prefix(purpose.prefix())?;
    if rest.len() != LENGTH || !rest.is_ascii() {
        return None;
    }
    let (body, checksum) = text.split_at_checked(text.len().checked_sub(CHECKSUM)?)?;
    if number(checksum)? != u128::from(crc32(body.as_bytes())) {
        return None;
    }
    let (key, rest) = rest.split_at_checked(KEY)?;
    let (end, rest) = rest.split_at_checked(END)?;
    let (user_id, rest) = rest.split_at_checked(USER)?;
    let (random, _) = rest.split_at_checked(RANDOM)?;
    random
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric())
        .then_some(())?;
    Some(Parts {
        key: u16::try_from(number(key)?).ok()?,
        end: DateTime::from_timestamp(i64::try_from(number(end)?).ok()?, 0)?,
        user_id: UserId::from(Uuid::from_u128(number(user_id)?)),
    })
}

/// Appends a number in base 62 with a fixed width, without the digits that exceed it.
fn push(text: &mut String, mut number: u128, width: usize) {
    let mut digits = [b'0'; USER];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    let digits = digits.iter().skip(digits.len().saturating_sub(width));
    text.extend(digits.map(|&digit| char::from(digit)));
}

/// Returns a number in base 62.
fn number(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

/// Appends random characters. Each is uniform: bytes beyond the largest multiple of 62 are skipped.
fn push_random(text: &mut String) -> Result<()> {
    let end = text.len() + RANDOM;
    let mut bytes = [0_u8; 64];
    while text.len() < end {
        fill_random(&mut bytes)?;
        let uniform = bytes.iter().filter(|&&byte| byte < 248);
        let digits = uniform.map(|byte| char::from(DIGITS[usize::from(byte % 62)]));
        text.extend(digits.take(end - text.len()));
    }
    Ok(())
}

/// Fills a buffer with random bytes of the operating system.
///
/// # Errors
/// - [`Error::Other`] if it provides none
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Other {
        sqlstate: None,
        message: format!("the operating system provides no random bytes: {error}"),
    })
}

/// Returns the CRC-32 (ISO-HDLC, as in zip and Ethernet) of bytes.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

macro_rules! tokens {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// It is shown once: the database has only its hash. It is neither displayed nor
        /// serialized, and `Debug` omits it. Two tokens are compared in constant time.
        #[derive(Clone)]
        pub struct $name(String);

        impl $name {
            pub(crate) const fn new(text: String) -> Self {
                Self(text)
            }

            /// Returns the text, to be sent to the client.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                is_equal(&self.0, &other.0)
            }
        }

        impl Eq for $name {}
    )*};
}

tokens! {
    /// The token with which a client authenticates its requests.
    ///
    /// ```compile_fail
    /// # fn example(token: wundr_db::SessionToken) {
    /// println!("{token}");
    /// # }
    /// ```
    ///
    /// ```compile_fail
    /// # fn example(token: wundr_db::SessionToken) {
    /// serde_json::to_string(&token);
    /// # }
    /// ```
    SessionToken;
    /// The token that a client exchanges for new tokens.
    RefreshToken;
}

/// Compares two texts in a time that depends on their lengths only.
pub(crate) fn is_equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).to_bool()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{Parts, Purpose, RefreshToken, SessionToken, crc32, create, number, parse, push};

    fn end() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn parts(key: u16) -> Parts {
        Parts {
            key,
            end: end(),
            user_id: uuid::Uuid::from_u128(u128::MAX - 1).into(),
        }
    }

    #[test]
    fn the_checksum_is_crc_32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_number_is_read_as_it_was_written() {
        for value in [
            0,
            1,
            61,
            62,
            3_843,
            65_535,
            1_790_000_000,
            u128::from(u32::MAX),
        ] {
            let mut text = String::new();
            push(&mut text, value, 7);
            assert_eq!((text.len(), number(&text)), (7, Some(value)));
        }
        let mut text = String::new();
        push(&mut text, u128::MAX, 22);
        assert_eq!(number(&text), Some(u128::MAX));
        assert_eq!(number("zzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(number("-1"), None);
    }

    #[test]
    fn a_token_has_its_parts_and_no_other_purpose() {
        for (purpose, other) in [
            (Purpose::Session, Purpose::Refresh),
            (Purpose::Refresh, Purpose::Session),
        ] {
            let parts = parts(65_535);
            let end = end() - TimeDelta::milliseconds(1);
            let text = create(purpose, Parts { end, ..parts }).unwrap();
            assert_eq!((text.len(), parse(purpose, &text)), (90, Some(parts)));
            assert_eq!(parse(other, &text), None);
            assert_ne!(text, create(purpose, parts).unwrap());
        }
    }

    /// Every single error and every swap of neighbors is found by the checksum.
    #[test]
    fn a_typing_error_is_found() {
        let text = create(Purpose::Session, parts(1)).unwrap();
        for index in 0..text.len() {
            for digit in "09AZaz-_ \u{fc}".chars() {
                let mut typed: Vec<char> = text.chars().collect();
                if typed[index] != digit {
                    typed[index] = digit;
                    let typed: String = typed.into_iter().collect();
                    assert_eq!(parse(Purpose::Session, &typed), None, "{typed}");
                }
            }
            let mut swapped = text.clone().into_bytes();
            if index > 0 && swapped[index] != swapped[index - 1] {
                swapped.swap(index, index - 1);
                let swapped = String::from_utf8(swapped).unwrap();
                assert_eq!(parse(Purpose::Session, &swapped), None, "{swapped}");
            }
            assert_eq!(parse(Purpose::Session, &text[..index]), None);
        }
        assert_eq!(parse(Purpose::Session, &format!("{text} ")), None);
    }

    #[test]
    fn every_digit_occurs_and_none_is_preferred() {
        let mut counts = [0_u32; 128];
        for _ in 0..2_000 {
            let text = create(Purpose::Refresh, parts(1)).unwrap();
            text[41..84]
                .bytes()
                .for_each(|byte| counts[usize::from(byte)] += 1);
        }
        // 86,000 characters: 1,387 of each, with a standard deviation of 37.
        for &digit in super::DIGITS {
            let count = counts[usize::from(digit)];
            assert!(
                (1_100..1_700).contains(&count),
                "{} {count}",
                char::from(digit)
            );
        }
        assert_eq!(counts.iter().sum::<u32>(), 86_000);
    }

    #[test]
    fn a_token_is_not_printed() {
        let text = create(Purpose::Session, parts(1)).unwrap();
        let (token, refresh) = (
            SessionToken::new(text.clone()),
            RefreshToken::new(text.clone()),
        );
        assert_eq!(
            format!("{token:?} {refresh:?}"),
            "SessionToken(..) RefreshToken(..)"
        );
        assert_eq!(token.expose(), text);
        assert_eq!(token, token.clone());
        assert_ne!(token, SessionToken::new(text[1..].to_owned()));
        assert_ne!(
            token,
            SessionToken::new(create(Purpose::Session, parts(1)).unwrap())
        );
    }
}
