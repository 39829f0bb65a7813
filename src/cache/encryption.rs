//! Encryption of sessions with their tokens, and of all values with the key of the cache.
//!
//! A session's key is derived from the hash of its token, which the database holds and Redis does
//! not. Access to Redis alone therefore neither reveals a session nor permits to forge one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Derives a key for one purpose.
fn derived(purpose: &[u8], parts: [&[u8]; 2]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(purpose);
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    match UnboundKey::new(&AES_256_GCM, key) {
        Ok(key) => LessSafeKey::new(key),
        Err(_) => unreachable!("a key of AES-256 has 32 bytes"),
    }
}

fn decrypted(
    cipher: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let mut bytes = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = cipher.open_in_place(nonce, Aad::from(associated), &mut bytes);
    let length = opened.ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

/// The key of a cache, which encrypts all its values.
///
/// AES-GCM must not use a nonce twice with one key, and 96 random bits collide after some 2^32
/// values. Each process therefore encrypts with a key of its own, derived from the key of the cache
/// and a *salt* of 128 bits, and counts its nonces. The salt stands before each value. A reader
/// derives the key of a salt once and keeps it.
pub(crate) struct Seal {
    key: [u8; 32],
    salt: [u8; SALT],
    own: LessSafeKey,
    /// The number of values that this process has encrypted.
    sealed: AtomicU64,
    /// The keys of other processes.
    others: RwLock<HashMap<[u8; SALT], Arc<LessSafeKey>>>,
    /// Identifies the key without revealing it.
    pub(crate) mark: String,
}

const SALT: usize = 16;

/// Foreign bytes must not fill the memory with keys that are derived from random salts.
const OTHERS: usize = 256;

/// The times between which an encrypted value was read from the database, and the time at which it
/// expires, in milliseconds since 1970 by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) read: Moment,
    pub(crate) end: u64,
}

const TIMES: usize = 24;

/// A moment of the database's clock as a process has estimated it, in milliseconds since 1970: it
/// is not before `earliest` and not after `latest`. The errors of two processes differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

/// The lower bound of the values of an entry that a process accepts, by the moments of their reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// The earliest moment of the read that set the bound. That value itself is accepted.
    own: Option<u64>,
    /// All values are accepted that were read no earlier.
    pub(crate) least: u64,
}

impl Floor {
    /// Returns the bound that a write of this process sets.
    pub(crate) fn after_write(moment: Moment) -> Self {
        // A read within the same millisecond may have been before.
        let (own, least) = (None, moment.latest.saturating_add(1));
        Self { own, least }
    }

    /// Returns the bound that a read sets.
    pub(crate) fn after_read(moment: Moment) -> Self {
        let own = Some(moment.earliest);
        let Self { least, .. } = Self::after_write(moment);
        Self { own, least }
    }

    /// Checks whether a value was certainly not read before the write or read that set the bound.
    pub(crate) fn admits(self, moment: Moment) -> bool {
        moment.earliest >= self.least || self.own == Some(moment.earliest)
    }
}

impl Seal {
    /// Derives this process's cipher and the mark from the key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mark = derived(b"wundr-db cache mark 2\0", [key, b""]);
        let mark = mark.iter().take(4).map(|byte| format!("{byte:02x}"));
        let salt = Uuid::now_v7().into_bytes();
        Self {
            key: *key,
            salt,
            own: derived_cipher(key, &salt),
            sealed: AtomicU64::new(0),
            others: RwLock::default(),
            mark: mark.collect(),
        }
    }

    /// Encrypts a value and binds it to one place: its key in Redis, which has the database, the
    /// generation and the entry.
    pub(crate) fn seal(&self, place: &str, times: Times, value: &[u8]) -> Option<Vec<u8>> {
        let nonce = self.nonce();
        let mut bytes = Vec::with_capacity(value.len() + TIMES + AES_256_GCM.tag_len());
        bytes.extend_from_slice(value);
        for time in [times.read.earliest, times.read.latest, times.end] {
            bytes.extend_from_slice(&time.to_le_bytes());
        }
        let associated = Aad::from(place.as_bytes());
        self.own
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated, &mut bytes)
            .ok()?;
        Some([&self.salt[..], &nonce, &bytes].concat())
    }

    /// Decrypts a value and its times. Returns `None` unless it was encrypted with this key for
    /// this place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<(Times, Vec<u8>)> {
        let (salt, sealed) = sealed.split_first_chunk::<SALT>()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = if *salt == self.salt {
            decrypted(&self.own, *nonce, place.as_bytes(), sealed)?
        } else {
            decrypted(&self.other(salt), *nonce, place.as_bytes(), sealed)?
        };
        let (value, times) = opened.split_last_chunk::<TIMES>()?;
        let mut times = times.as_chunks::<8>().0.iter().copied();
        let mut time = || times.next().map(u64::from_le_bytes);
        let (earliest, latest) = (time()?, time()?);
        let read = Moment { earliest, latest };
        let times = Times { read, end: time()? };
        let length = value.len();
        opened.truncate(length);
        Some((times, opened))
    }

    /// Returns a nonce that this process has not used. The clock makes it differ between copies of
    /// one process (a machine that was restored from a snapshot), which have the same salt and
    /// count.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let count = self.sealed.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_micros()).to_le_bytes();
        let mut nonce = [0; NONCE_LEN];
        nonce[..6].copy_from_slice(&count[..6]);
        nonce[6..].copy_from_slice(&now[..6]);
        nonce
    }

    /// Returns the cipher of another process.
    fn other(&self, salt: &[u8; SALT]) -> Arc<LessSafeKey> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(cipher) = others.get(salt) {
            return Arc::clone(cipher);
        }
        drop(others);
        let cipher = Arc::new(derived_cipher(&self.key, salt));
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        if others.len() >= OTHERS {
            others.clear();
        }
        others.insert(*salt, Arc::clone(&cipher));
        cipher
    }
}

/// Derives the cipher of the process that chose the salt.
fn derived_cipher(key: &[u8; 32], salt: &[u8; SALT]) -> LessSafeKey {
    cipher(&derived(b"wundr-db cache value 3\0", [key, salt]))
}

fn session_cipher(token_hash: &str) -> LessSafeKey {
    let parts = [token_hash.as_bytes(), b""];
    cipher(&derived(b"wundr-db sealed session 2\0", parts))
}

/// Encrypts bytes with the hash of a token. The nonce is random, because few values are encrypted
/// with one hash.
pub(crate) fn seal(token_hash: &str, open: &[u8]) -> Option<Vec<u8>> {
    let [_, _, _, _, nonce @ ..] = Uuid::now_v7().into_bytes();
    let mut bytes = open.to_vec();
    session_cipher(token_hash)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut bytes,
        )
        .ok()?;
    Some([&nonce[..], &bytes].concat())
}

/// Decrypts bytes. Returns `None` unless they were encrypted with this hash.
pub(crate) fn unseal(token_hash: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    decrypted(&session_cipher(token_hash), *nonce, b"", sealed)
}

#[cfg(test)]
mod tests {
    use super::{Floor, Moment, OTHERS, Seal, Times, seal, unseal};

    fn between(earliest: u64, latest: u64) -> Moment {
        Moment { earliest, latest }
    }

    #[test]
    fn only_what_was_certainly_read_later_is_accepted() {
        let floor = Floor::after_write(between(10, 20));
        for (earliest, is_accepted) in [(0, false), (10, false), (20, false), (21, true)] {
            let read = between(earliest, earliest + 100);
            assert_eq!(floor.admits(read), is_accepted, "{earliest}");
        }
        // A read finds its own value, although another one of the same time may be older.
        let floor = Floor::after_read(between(10, 20));
        for (earliest, is_accepted) in [(9, false), (10, true), (11, false), (21, true)] {
            let read = between(earliest, earliest + 100);
            assert_eq!(floor.admits(read), is_accepted, "{earliest}");
        }
    }

    #[test]
    fn only_the_same_key_and_place_open_what_was_sealed() {
        const TIMES: Times = Times {
            read: Moment {
                earliest: 1,
                latest: 3,
            },
            end: 2,
        };
        let (key, times) = (Seal::new(&[7; 32]), TIMES);
        let sealed = key.seal("place", times, b"value").unwrap();
        assert_eq!(key.open("place", &sealed), Some((times, b"value".to_vec())));
        assert_eq!(key.open("another", &sealed), None);
        let of_another_process = Seal::new(&[7; 32]);
        assert_ne!(of_another_process.salt, key.salt);
        for _ in 0..2 {
            let opened = of_another_process.open("place", &sealed);
            assert_eq!(opened, Some((times, b"value".to_vec())));
        }
        let another = Seal::new(&[8; 32]);
        assert_eq!(another.open("place", &sealed), None);
        assert_ne!(another.mark, key.mark);
        assert_ne!(sealed, key.seal("place", times, b"value").unwrap());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(key.open("place", &changed), None, "{index}");
            assert_eq!(key.open("place", &sealed[..index]), None, "{index}");
        }
    }

    #[test]
    fn foreign_bytes_do_not_fill_the_memory_with_keys() {
        let key = Seal::new(&[7; 32]);
        for index in 0..1000_u128 {
            let foreign = [&index.to_le_bytes()[..], &[0; 100]].concat();
            assert_eq!(key.open("place", &foreign), None);
        }
        assert!(key.others.read().unwrap().len() <= OTHERS);
    }

    #[test]
    fn only_the_same_hash_opens_what_was_sealed() {
        let sealed = seal("hash", b"session").unwrap();
        assert_eq!(unseal("hash", &sealed).as_deref(), Some(&b"session"[..]));
        assert_eq!(unseal("other", &sealed), None);
        assert!(!sealed.windows(7).any(|window| window == b"session"));
        assert_ne!(sealed, seal("hash", b"session").unwrap());
        let mut changed = sealed.clone();
        changed[30] ^= 1;
        assert_eq!(unseal("hash", &changed), None);
        assert_eq!(unseal("hash", &sealed[..10]), None);
    }
}
