//! The keys under which the tokens of sessions are stored.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::key_text;
use super::tokens::{self, Parts, Purpose};
use crate::{Error, Result, UserId};

/// The length of SHA-256's blocks, to which HMAC pads its key with zeros.
const BLOCK: usize = 64;

/// The keys ("peppers") under which the tokens of sessions are hashed, with HMAC-SHA-256.
///
/// The database has only hashes. A dump of it neither contains a token nor lets an attacker who
/// lacks the keys check one.
///
/// One key is active: new tokens are made under it. A token names its key by number, so that
/// tokens under older keys remain valid as long as their key is [accepted](Self::accept). A refresh
/// exchanges them for tokens under the active key. To replace a key:
///
/// 1. Accept the new key in every process.
/// 2. Make the new key active in every process, and accept the old one.
/// 3. When the refresh tokens under the old key have expired, remove it.
///
/// If a key has leaked, remove it immediately. Its tokens are then rejected without a query.
///
/// ```
/// use wundr_db::SessionKeys;
///
/// # fn main() -> wundr_db::Result<()> {
/// # let (old, new) = ([1; 32], [2; 32]);
/// let keys = SessionKeys::new(2, new).accept(1, old)?;
/// assert_eq!(format!("{keys:?}"), "SessionKeys { active: 2, accepted: [1] }");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SessionKeys {
    active: u16,
    keys: Vec<(u16, Hmac<Sha256>)>,
}

/// A new token, with the form in which it is stored.
pub(crate) struct NewToken {
    pub(crate) text: String,
    pub(crate) hash: String,
}

/// A token that a client has presented.
#[derive(Debug, PartialEq)]
pub(crate) struct Presented {
    pub(crate) hash: String,
    pub(crate) end: DateTime<Utc>,
    pub(crate) user_id: UserId,
}

impl SessionKeys {
    /// Creates keys with one key, which is active.
    ///
    /// Use 32 bytes from a random source of the operating system, not a password.
    #[must_use]
    pub fn new(id: u16, key: [u8; 32]) -> Self {
        Self {
            active: id,
            keys: vec![(id, hmac(&key))],
        }
    }

    /// Adds a key whose tokens are accepted. No new tokens are made under it.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if there is a key with this number already
    pub fn accept(mut self, id: u16, key: [u8; 32]) -> Result<Self> {
        if self.find(id).is_some() {
            return Err(Error::invalid(
                "id",
                format_args!("key {id} exists already"),
            ));
        }
        self.keys.push((id, hmac(&key)));
        Ok(self)
    }

    /// Returns a new token under the active key.
    pub(crate) fn create(
        &self,
        purpose: Purpose,
        user_id: UserId,
        end: DateTime<Utc>,
    ) -> Result<NewToken> {
        let key = self.active;
        let text = tokens::create(purpose, Parts { key, end, user_id })?;
        let hash = self.hash(self.active, &text);
        let hash = hash.ok_or_else(|| Error::invalid("active", "is not among the keys"))?;
        Ok(NewToken { text, hash })
    }

    /// Returns the stored form of a presented token. Returns `None` if the text is not a token of
    /// this purpose, or its key is not accepted.
    pub(crate) fn read(&self, purpose: Purpose, text: &str) -> Option<Presented> {
        let parts = tokens::parse(purpose, text)?;
        Some(Presented {
            hash: self.hash(parts.key, text)?,
            end: parts.end,
            user_id: parts.user_id,
        })
    }

    fn find(&self, id: u16) -> Option<&Hmac<Sha256>> {
        let key = self.keys.iter().find(|(known, _)| *known == id);
        key.map(|(_, key)| key)
    }

    /// Returns the stored form: its version, the number of the key, and the hash.
    fn hash(&self, id: u16, text: &str) -> Option<String> {
        let mut hmac = self.find(id)?.clone();
        hmac.update(text.as_bytes());
        let hash = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
        Some(format!("v1.{id}.{hash}"))
    }
}

fn hmac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::new(&block.into())
}

/// Reads keys from text, for example from a variable of the environment: entries `NUMBER:KEY` that
/// are separated by commas. The first key is active, the others are accepted. A key is 32 bytes in
/// base 64, as `openssl rand -base64 32` prints them.
///
/// ```
/// use wundr_db::SessionKeys;
///
/// # fn main() -> wundr_db::Result<()> {
/// # let [new, old] = ["A", "B"].map(|letter| letter.repeat(42) + "E=");
/// let keys: SessionKeys = format!("2:{new},1:{old}").parse()?;
/// assert_eq!(format!("{keys:?}"), "SessionKeys { active: 2, accepted: [1] }");
/// # Ok(())
/// # }
/// ```
impl FromStr for SessionKeys {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        key_text::read(text, Self::new, Self::accept)
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = self.keys.iter().map(|(id, _)| id);
        let accepted: Vec<&u16> = accepted.filter(|&&id| id != self.active).collect();
        formatter
            .debug_struct("SessionKeys")
            .field("active", &self.active)
            .field("accepted", &accepted)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::SessionKeys;
    use crate::UserId;
    use crate::crypto::tokens::Purpose;

    fn end() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn ada() -> UserId {
        uuid::Uuid::from_u128(1).into()
    }

    /// RFC 4231, test case 1, with the key padded to 32 bytes as HMAC does.
    #[test]
    fn a_token_is_stored_as_its_hmac_sha_256() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let keys = SessionKeys::new(7, key);
        assert_eq!(
            keys.hash(7, "Hi There").unwrap(),
            "v1.7.sDRMYdjbOFNcqK_OrwvxK4gdwgDJgz2nJuk3bC4yz_c"
        );
        assert_eq!(keys.hash(8, "Hi There"), None);
    }

    #[test]
    fn a_token_is_read_under_its_own_key_alone() {
        let old = SessionKeys::new(1, [1; 32]);
        let token = old.create(Purpose::Session, ada(), end()).unwrap();
        let read = |keys: &SessionKeys| keys.read(Purpose::Session, &token.text);
        let found = read(&old).unwrap();
        assert_eq!(
            (found.hash.as_str(), found.end, found.user_id),
            (token.hash.as_str(), end(), ada())
        );

        let both = SessionKeys::new(2, [2; 32]).accept(1, [1; 32]).unwrap();
        assert_eq!(read(&both), Some(found));
        let newer = both.create(Purpose::Session, ada(), end()).unwrap();
        assert!(newer.hash.starts_with("v1.2."), "{}", newer.hash);
        assert_eq!(read(&SessionKeys::new(2, [2; 32])), None);
        // The same number, another key: the hash differs.
        assert_ne!(
            read(&SessionKeys::new(1, [3; 32])).unwrap().hash,
            token.hash
        );
        assert_eq!(old.read(Purpose::Refresh, &token.text), None);

        assert!(both.clone().accept(1, [3; 32]).is_err());
        assert!(both.accept(2, [3; 32]).is_err());
    }

    #[test]
    fn a_key_is_not_printed() {
        let keys = SessionKeys::new(1, [0xAB; 32])
            .accept(2, [0xCD; 32])
            .unwrap();
        assert_eq!(
            format!("{keys:?}"),
            "SessionKeys { active: 1, accepted: [2] }"
        );
    }
}
