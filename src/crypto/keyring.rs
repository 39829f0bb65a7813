//! The keys of secrets, and how a secret is sealed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;

use super::key_text;
use super::tokens::fill_random;
use crate::types::protected::{KeyProvider, MaySeal, NONCE, Place, Sealed, VERSION};
use crate::{Error, Result, Secret};

/// Keys in memory: one that is active, and any number that only open.
///
/// To replace a key, accept the new one in every process, then make it active in every process and
/// accept the old one. A secret is sealed under the active key when it is written next;
/// `Db::reseal` seals the others. Keep the old key as long as
/// `Db::sealed_by_key` has secrets under it.
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
            return Err(Error::invalid(
                "id",
                format_args!("key {id} exists already"),
            ));
        }
        self.accepted.push((id, Secret::new(key)));
        Ok(self)
    }

    fn find(&self, id: u16) -> Option<&Secret<[u8; 32]>> {
        let keys = std::iter::once(&self.active).chain(&self.accepted);
        keys.into_iter()
            .find(|(known, _)| *known == id)
            .map(|(_, key)| key)
    }
}

/// Reads keys from text, for example from a variable of the environment: entries `NUMBER:KEY` that
/// are separated by commas. The first key is active, the others are accepted. A key is 32 bytes in
/// base 64, as `openssl rand -base64 32` prints them.
///
/// ```
/// use wundr_db::Keyring;
///
/// # fn main() -> wundr_db::Result<()> {
/// # let [new, old] = ["A", "B"].map(|letter| letter.repeat(42) + "E=");
/// let keys: Keyring = format!("2:{new},1:{old}").parse()?;
/// assert_eq!(format!("{keys:?}"), "Keyring { active: 2, accepted: [1] }");
/// # Ok(())
/// # }
/// ```
impl FromStr for Keyring {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        key_text::read(text, Self::new, Self::accept)
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

impl Place {
    /// Returns the associated data. Each part has a fixed length or ends with a zero byte.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let mut data = b"wundr-db secret 1\0".to_vec();
        data.extend_from_slice(self.column.as_bytes());
        data.push(0);
        data.extend_from_slice(self.row.as_bytes());
        let owners = [
            self.organization.map(Uuid::from),
            self.project.map(Uuid::from),
        ];
        for owner in owners {
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

/// Returns the plaintext of a secret.
///
/// # Errors
/// The reason if it does not open.
pub(crate) fn open_under<T: MaySeal>(
    keys: &dyn KeyProvider,
    place: &Place,
    sealed: &Sealed,
) -> Result<T, String> {
    let key = keys.key(sealed.key()).map_err(|error| error.to_string())?;
    let key = key.ok_or("the keyring does not have this key")?;
    let altered = || "it was sealed for another row, column or owner, or was altered".to_owned();
    let mut parts = sealed.text().rsplit('|');
    let mut part = || {
        parts
            .next()
            .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
    };
    let ciphertext = part().ok_or_else(altered)?;
    let nonce = part().ok_or_else(altered)?;
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Keyring, open_under, seal};
    use crate::types::protected::{Place, Protected, Sealed};
    use crate::{Document, OrganizationId, ProjectId};

    fn place() -> Place {
        Place {
            column: "setup.integrations.credentials",
            row: Uuid::from_u128(1),
            organization: Some(OrganizationId::from(Uuid::from_u128(2))),
            project: None,
        }
    }

    fn keyring() -> Keyring {
        Keyring::new(7, [7; 32])
    }

    #[test]
    fn a_secret_opens_in_its_own_place_with_its_own_key_alone() {
        let secret = "hunter2".to_owned();
        let text = seal(&keyring(), &place(), &secret).unwrap();
        assert!(
            text.starts_with("v1|7|") && !text.contains(&secret),
            "{text}"
        );
        assert_ne!(text, seal(&keyring(), &place(), &secret).unwrap());
        let sealed = Sealed::parse(&text).unwrap();
        let open = |keys: &Keyring, place: &Place| open_under::<String>(keys, place, &sealed);
        assert_eq!(open(&keyring(), &place()), Ok(secret.clone()));
        let later = Keyring::new(8, [8; 32]).accept(7, [7; 32]).unwrap();
        assert_eq!(open(&later, &place()), Ok(secret));

        let lost = open(&Keyring::new(8, [8; 32]), &place()).unwrap_err();
        assert_eq!(lost, "the keyring does not have this key");
        assert!(open(&Keyring::new(7, [8; 32]), &place()).is_err());
        let project = Some(ProjectId::from(Uuid::from_u128(2)));
        for elsewhere in [
            Place {
                column: "setup.integrations.webhook_secret",
                ..place()
            },
            Place {
                row: Uuid::from_u128(3),
                ..place()
            },
            Place {
                organization: None,
                ..place()
            },
            Place {
                organization: Some(OrganizationId::from(Uuid::from_u128(3))),
                ..place()
            },
            Place {
                organization: None,
                project,
                ..place()
            },
            Place { project, ..place() },
            Place {
                project: Some(ProjectId::from(Uuid::nil())),
                ..place()
            },
        ] {
            assert!(open(&keyring(), &elsewhere).is_err(), "{elsewhere:?}");
        }
    }

    #[test]
    fn an_altered_secret_does_not_open() {
        let text = seal(&keyring(), &place(), &"hunter2".to_owned()).unwrap();
        for index in 5..text.len() {
            let mut altered = text.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            if let Some(sealed) = Sealed::parse(&altered) {
                let opened = open_under::<String>(&keyring(), &place(), &sealed);
                assert!(opened.is_err(), "{altered}");
            }
        }
    }

    #[test]
    fn a_document_is_sealed_as_a_json_string() {
        let document: Document = r#"{"token": "hunter2", "n": 1.10}"#.parse().unwrap();
        let stored = seal(&keyring(), &place(), &document).unwrap();
        assert!(stored.text().starts_with("\"v1|7|"), "{}", stored.text());
        let mut protected = Protected::from(stored);
        assert_eq!(format!("{protected:?}"), "Sealed(Sealed { key: 7, .. })");
        let error = protected.expose().unwrap_err().to_string();
        assert!(error.contains("key 7"), "{error}");
        protected.open(&place(), None);
        let error = protected.expose().unwrap_err().to_string();
        assert!(
            error.contains("no keyring") && error.contains(&place().row.to_string()),
            "{error}"
        );
        protected.open(&place(), Some(&keyring()));
        assert_eq!(protected.expose().unwrap().text(), document.text());
        assert_eq!(format!("{protected:?}"), "Open(Secret(..))");
    }

    #[test]
    fn other_texts_are_not_taken_for_sealed_ones() {
        let text = seal(&keyring(), &place(), &"x".to_owned()).unwrap();
        assert!(Sealed::parse(&text).is_some());
        for other in [
            "",
            "v1",
            "v1|7|a|b",
            &text.replace("v1", "v2"),
            &text.replace("|7|", "|+7|"),
            &text.replace("|7|", "|65536|"),
            &format!("{text}|"),
            &format!(" {text}"),
        ] {
            assert!(Sealed::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let keyring = Keyring::new(2, [0xAB; 32]).accept(1, [0xCD; 32]).unwrap();
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring { active: 2, accepted: [1] }"
        );
        assert!(keyring.accept(2, [0; 32]).is_err());
    }
}
