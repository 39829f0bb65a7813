//! Encryption of sessions with their tokens, and of all values with the key of the cache.
//!
//! A session's key is derived from the hash of its token, which the database holds and Redis does not. Access to Redis alone
//! therefore neither reveals a session nor permits to forge one.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const NONCE: usize = 24;

fn cipher(token_hash: &str) -> XChaCha20Poly1305 {
    let mut key = Sha256::new();
    key.update(b"wundr-db sealed session 1\0");
    key.update(token_hash.as_bytes());
    XChaCha20Poly1305::new(&key.finalize())
}

/// Returns a nonce that is never repeated, which is all that the cipher needs. Version 7 UUIDs have a clock, a counter and
/// random bits.
fn nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    nonce[..16].copy_from_slice(Uuid::now_v7().as_bytes());
    nonce[16..].copy_from_slice(&Uuid::now_v7().as_bytes()[8..]);
    nonce
}

/// The key of a cache, which encrypts all its values.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
    /// Identifies the key without revealing it.
    pub(crate) mark: String,
}

/// The times at which an encrypted value was read from the database and at which it expires, in milliseconds since 1970 by
/// the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) read: u64,
    pub(crate) end: u64,
}

const TIMES: usize = 16;

impl Seal {
    /// Derives the cipher and the mark from the key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let derived = |purpose: &[u8]| {
            let mut digest = Sha256::new();
            digest.update(purpose);
            digest.update(key);
            digest.finalize()
        };
        let mark = derived(b"wundr-db cache mark 1\0");
        let mark = mark.iter().take(4).map(|byte| format!("{byte:02x}"));
        Self {
            cipher: XChaCha20Poly1305::new(&derived(b"wundr-db cache value 1\0")),
            mark: mark.collect(),
        }
    }

    /// Encrypts a value and binds it to one place: its key in Redis, which has the database, the generation and the entry.
    pub(crate) fn seal(&self, place: &str, times: Times, value: &[u8]) -> Option<Vec<u8>> {
        let mut open = Vec::with_capacity(TIMES + value.len());
        open.extend_from_slice(&times.read.to_le_bytes());
        open.extend_from_slice(&times.end.to_le_bytes());
        open.extend_from_slice(value);
        let payload = Payload {
            msg: &open,
            aad: place.as_bytes(),
        };
        let nonce = nonce();
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// Decrypts a value and its times. Returns `None` unless it was encrypted with this key for this place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<(Times, Vec<u8>)> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: sealed,
            aad: place.as_bytes(),
        };
        let mut open = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let [a, b, c, d, e, f, g, h, end @ ..] = *open.first_chunk::<TIMES>()?;
        let times = Times {
            read: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            end: u64::from_le_bytes(end),
        };
        open.drain(..TIMES);
        Some((times, open))
    }
}

/// Encrypts bytes with the hash of a token.
pub(crate) fn seal(token_hash: &str, open: &[u8]) -> Option<Vec<u8>> {
    let nonce = nonce();
    let sealed = cipher(token_hash)
        .encrypt(&XNonce::from(nonce), open)
        .ok()?;
    Some([&nonce[..], &sealed].concat())
}

/// Decrypts bytes. Returns `None` unless they were encrypted with this hash.
pub(crate) fn unseal(token_hash: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    cipher(token_hash)
        .decrypt(&XNonce::from(*nonce), sealed)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Seal, Times, seal, unseal};

    #[test]
    fn only_the_same_key_and_place_open_what_was_sealed() {
        let (key, times) = (Seal::new(&[7; 32]), Times { read: 1, end: 2 });
        let sealed = key.seal("place", times, b"value").unwrap();
        assert_eq!(key.open("place", &sealed), Some((times, b"value".to_vec())));
        assert_eq!(key.open("another", &sealed), None);
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
