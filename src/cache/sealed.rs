//! Values that only who presents a token can read.
//!
//! The key is derived from the hash of the token, which the database has and Redis has not. So what lies in Redis tells
//! nothing about a session to someone who reads it there, and cannot be made up there.

use chacha20poly1305::aead::{Aead, KeyInit};
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

/// Seals bytes with the hash of a token.
pub(crate) fn seal(token_hash: &str, open: &[u8]) -> Option<Vec<u8>> {
    // Never the same twice, which is all that is asked of it: version 7 UUIDs have a clock, a counter and random bits.
    let mut nonce = [0; NONCE];
    nonce[..16].copy_from_slice(Uuid::now_v7().as_bytes());
    nonce[16..].copy_from_slice(&Uuid::now_v7().as_bytes()[8..]);
    let sealed = cipher(token_hash)
        .encrypt(&XNonce::from(nonce), open)
        .ok()?;
    Some([&nonce[..], &sealed].concat())
}

/// The bytes, if they were sealed with this hash.
pub(crate) fn unseal(token_hash: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    cipher(token_hash)
        .decrypt(&XNonce::from(*nonce), sealed)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{seal, unseal};

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
