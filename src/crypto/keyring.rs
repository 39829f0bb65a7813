//! The keys of secrets, and how a secret is sealed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;

use super::tokens::fill_random;
use crate::types::protected::{MaySeal, NONCE, Protected, Sealed, Unopened, VERSION};
use crate::{Error, Result, Secret};

/// A source of the keys under which secrets are sealed.
///
/// [`Keyring`] has its keys in memory. An application whose keys are wrapped by a key management
/// service (envelope encryption) implements this trait: it unwraps them once and keeps them. The
/// methods are called for each secret that is written or read, from async code too, so that they
/// must not block.
pub trait KeyProvider: Send + Sync {
    /// Returns the number of the active key, under which new secrets are sealed, and the key.
    ///
    /// # Errors
    /// Any error fails the write.
    fn active(&self) -> Result<(u16, Secret<[u8; 32]>)>;

    /// Returns the key with this number. Returns `None` if there is none.
    ///
    /// # Errors
    /// With an error the secret stays sealed, and the error's text is its reason.
    fn key(&self, id: u16) -> Result<Option<Secret<[u8; 32]>>>;
}

/// Keys in memory: one that is active, and any number that only open.
///
/// To replace a key, accept the new one in every process, then make it active in every process,
/// then [reseal](crate::Db::reseal) the rows, then remove the old one.
///
/// ```
/// use wundr_db::Keyring;
///
/// # fn main() -> wundr_db::Result<()> {
/// # let (old, new) = ([1; 32], [2; 32]);
/// let keyring = Keyring::new(2, new).accept(1, old)?;
/// assert_eq!(format!("{keyring:?}"), "Keyring { active: 2, accepted: [1] }");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Keyring {
    active: (u16, Secret<[u8; 32]>),
    accepted: Vec<(u16, Secret<[u8; 32]>)>,
}

impl Keyring {
    /// Creates a keyring with one key, which is active.
    ///
    /// Use 32 bytes from a random source of the operating system, not a password.
    #[must_use]
    pub fn new(id: u16, key: [u8; 32]) -> Self {
        Self {
            active: (id, Secret::new(key)),
            accepted: Vec::new(),
        }
    }

    /// Adds a key that opens secrets. Nothing is sealed under it.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if there is a key with this number already
    pub fn accept(mut self, id: u16, key: [u8; 32]) -> Result<Self> {
        if self.find(id).is_some() {
            return Err(Error::invalid("id", format_args!("key {id} exists already")));
        }
        self.accepted.push((id, Secret::new(key)));
        Ok(self)
    }

    fn find(&self, id: u16) -> Option<&Secret<[u8; 32]>> {
        let keys = std::iter::once(&self.active).chain(&self.accepted);
        keys.into_iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted: Vec<u16> = self.accepted.iter().map(|(id, _)| *id).collect();
        formatter
            .debug_struct("Keyring")
            .field("active", &self.active.0)
            .field("accepted", &accepted)
            .finish()
    }
}

impl KeyProvider for Keyring {
    fn active(&self) -> Result<(u16, Secret<[u8; 32]>)> {
        Ok(self.active.clone())
    }

    fn key(&self, id: u16) -> Result<Option<Secret<[u8; 32]>>> {
        Ok(self.find(id).cloned())
    }
}

/// The place of a secret, to which it is bound: in another one it does not open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Table and column, for example `setup.integrations.credentials`.
    pub(crate) column: &'static str,
    pub(crate) row: Uuid,
    pub(crate) organization: Option<Uuid>,
    pub(crate) project: Option<Uuid>,
}

impl Place {
    /// Returns the associated data: each part has a fixed length or ends with a zero byte.
    fn associated_data(&self) -> Vec<u8> {
        let mut data = b"wundr-db secret 1\0".to_vec();
        data.extend_from_slice(self.column.as_bytes());
        data.push(0);
        data.extend_from_slice(self.row.as_bytes());
        for owner in [self.organization, self.project] {
            data.push(u8::from(owner.is_some()));
            data.extend_from_slice(owner.unwrap_or(Uuid::nil()).as_bytes());
        }
        data
    }
}

/// Returns the stored form of a secret under the active key.
pub(crate) fn seal<T: MaySeal>(keys: &dyn KeyProvider, place: &Place, secret: &T) -> Result<T> {
    let (id, key) = keys.active()?;
    let mut nonce = [0; NONCE];
    fill_random(&mut nonce)?;
    let payload = Payload {
        msg: secret.plaintext(),
        aad: &place.associated_data(),
    };
    let sealed = cipher(&key).encrypt(&XNonce::from(nonce), payload);
    let sealed = sealed.map_err(|_| Error::invalid(place.column, "is too long to be sealed"))?;
    let [nonce, sealed] = [&nonce[..], &sealed].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    T::of_sealed(format!("{VERSION}|{id}|{nonce}|{sealed}"))
}

/// Opens a secret. Records the reason in one that does not open.
pub(crate) fn open<T: MaySeal>(
    keys: Option<&dyn KeyProvider>,
    place: &Place,
    secret: &mut Protected<T>,
) {
    if let Protected::Sealed(sealed) = secret {
        match opened(keys, place, sealed) {
            Ok(value) => *secret = Protected::Open(Secret::new(value)),
            Err(reason) => sealed.record(Unopened {
                column: place.column,
                row: place.row,
                reason,
            }),
        }
    }
}

fn opened<T: MaySeal>(
    keys: Option<&dyn KeyProvider>,
    place: &Place,
    sealed: &Sealed,
) -> Result<T, String> {
    let keys = keys.ok_or("the database has no keyring")?;
    let key = keys.key(sealed.key()).map_err(|error| error.to_string())?;
    let key = key.ok_or("the keyring does not have the key")?;
    let altered = || "it was sealed for another row, column or owner, or was altered".to_owned();
    let mut parts = sealed.text().rsplit('|').map(|part| URL_SAFE_NO_PAD.decode(part));
    let ciphertext = parts.next().and_then(Result::ok).ok_or_else(altered)?;
    let nonce = parts.next().and_then(Result::ok).ok_or_else(altered)?;
    let nonce = <[u8; NONCE]>::try_from(nonce).map_err(|_| altered())?;
    let payload = Payload {
        msg: &ciphertext,
        aad: &place.associated_data(),
    };
    let plaintext = cipher(&key).decrypt(&XNonce::from(nonce), payload);
    let plaintext = plaintext.map_err(|_| altered())?;
    T::of_plaintext(plaintext).ok_or_else(altered)
}

fn cipher(key: &Secret<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&(*key.expose()).into())
}
