//! Values that are sealed in the database.
//!
//! A sealed value is text: `v1|KEY|NONCE|CIPHERTEXT`, with the number of the key, and nonce and
//! ciphertext in base 64 (URL-safe, not padded). In a JSONB column it is a string with this text.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{Document, Error, OrganizationId, ProjectId, Result, Secret};

pub(crate) const VERSION: &str = "v1";
/// The length of a nonce in bytes.
pub(crate) const NONCE: usize = 24;
/// The length of the authentication tag in bytes.
pub(crate) const TAG: usize = 16;

/// A source of the keys under which secrets are sealed.
///
/// [`Keyring`](crate::Keyring) has its keys in memory. An application whose keys are wrapped by a
/// key management service (envelope encryption) implements this trait: it unwraps them once and
/// keeps them. The methods are called for each secret that is written or read, from async code too,
/// so that they must not block.
#[cfg_attr(
    not(feature = "crypto"),
    allow(dead_code, reason = "only the feature opens and seals")
)]
pub trait KeyProvider: Send + Sync {
    /// Returns the number of the active key, under which new secrets are sealed, and the key.
    ///
    /// # Errors
    /// Any error fails the write.
    fn active(&self) -> Result<(u16, Secret<[u8; 32]>)>;

    /// Returns the key with this number. Returns `None` if there is none.
    ///
    /// # Errors
    /// With an error the secret stays sealed, and the error's text is the reason.
    fn key(&self, id: u16) -> Result<Option<Secret<[u8; 32]>>>;
}

/// The place of a secret, to which it is bound: in another one it does not open.
#[cfg_attr(
    not(feature = "crypto"),
    allow(dead_code, reason = "only the feature opens and seals")
)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The column with its table, for example `setup.integrations.credentials`.
    pub(crate) column: &'static str,
    pub(crate) row: Uuid,
    pub(crate) organization: Option<OrganizationId>,
    pub(crate) project: Option<ProjectId>,
}

/// A sealed value that was not opened.
#[derive(Clone)]
pub struct Sealed {
    text: String,
    key: u16,
    unopened: Option<Unopened>,
}

/// The place of a sealed value, and the reason for which it was not opened.
#[derive(Clone)]
struct Unopened {
    column: &'static str,
    row: Uuid,
    reason: String,
}

impl Sealed {
    /// Returns the sealed value that a text is. Returns `None` for other texts.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let is_sealed = parts.next()? == VERSION;
        let key = parts.next()?;
        let (nonce, ciphertext) = (parts.next()?, parts.next()?);
        if !is_sealed || parts.next().is_some() || key.starts_with('+') {
            return None;
        }
        let key = key.parse().ok()?;
        let nonce = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let ciphertext = URL_SAFE_NO_PAD.decode(ciphertext).ok()?;
        (nonce.len() == NONCE && ciphertext.len() >= TAG).then(|| Self {
            text: text.to_owned(),
            key,
            unopened: None,
        })
    }

    /// Returns the number of the key under which the value is sealed.
    #[must_use]
    pub const fn key(&self) -> u16 {
        self.key
    }

    /// Returns the sealed form: version, key, nonce and ciphertext.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the error of a read of the value.
    fn error(&self) -> Error {
        let (column, row, reason) = match &self.unopened {
            Some(unopened) => (unopened.column, Some(unopened.row), unopened.reason.clone()),
            None => (
                "secret",
                None,
                "it was not read through a repository".to_owned(),
            ),
        };
        Error::Sealed {
            column,
            row,
            key: self.key,
            reason,
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sealed")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Sealed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A secret of a row.
///
/// It is open if it is stored in the clear, or if the `Db` has a keyring with its key (feature
/// `crypto`, `Db::with_secrets`). It is neither printed nor serialized.
#[derive(Debug, Clone, PartialEq, FromSqlRow)]
pub enum Protected<T> {
    /// The secret.
    Open(Secret<T>),
    /// The secret as it is stored. It could not be opened.
    Sealed(Sealed),
}

impl<T> Protected<T> {
    /// Returns the secret.
    ///
    /// # Errors
    /// - [`Error::Sealed`] if it could not be opened
    pub fn expose(&self) -> Result<&T> {
        match self {
            Self::Open(secret) => Ok(secret.expose()),
            Self::Sealed(sealed) => Err(sealed.error()),
        }
    }

    /// Returns the secret, consuming the wrapper.
    ///
    /// # Errors
    /// - [`Error::Sealed`] if it could not be opened
    pub fn into_exposed(self) -> Result<T> {
        match self {
            Self::Open(secret) => Ok(secret.into_exposed()),
            Self::Sealed(sealed) => Err(sealed.error()),
        }
    }
}

/// A value that may be the text of a sealed one.
pub trait MaySeal: Sized {
    /// Returns the sealed value that this is.
    fn sealed(&self) -> Option<Sealed>;
    /// Returns the stored form of a sealed text.
    #[cfg_attr(not(feature = "crypto"), allow(dead_code))]
    fn of_sealed(text: String) -> Result<Self>;
    /// Returns the plaintext.
    #[cfg_attr(not(feature = "crypto"), allow(dead_code))]
    fn plaintext(&self) -> &[u8];
    /// Returns the value of a plaintext.
    #[cfg_attr(not(feature = "crypto"), allow(dead_code))]
    fn of_plaintext(plaintext: Vec<u8>) -> Option<Self>;
}

impl MaySeal for String {
    fn sealed(&self) -> Option<Sealed> {
        Sealed::parse(self)
    }

    fn of_sealed(text: String) -> Result<Self> {
        Ok(text)
    }

    fn plaintext(&self) -> &[u8] {
        self.as_bytes()
    }

    fn of_plaintext(plaintext: Vec<u8>) -> Option<Self> {
        Self::from_utf8(plaintext).ok()
    }
}

impl MaySeal for Document {
    fn sealed(&self) -> Option<Sealed> {
        let text = self.text().trim();
        let between = text.strip_prefix('"')?.strip_suffix('"')?;
        if between.contains('\\') {
            // PostgreSQL stores the string without escapes, and so returns a sealed value.
            return Sealed::parse(&serde_json::from_str::<String>(text).ok()?);
        }
        Sealed::parse(between)
    }

    fn of_sealed(text: String) -> Result<Self> {
        Self::of(&text)
    }

    fn plaintext(&self) -> &[u8] {
        self.text().as_bytes()
    }

    fn of_plaintext(plaintext: Vec<u8>) -> Option<Self> {
        String::from_utf8(plaintext).ok()?.parse().ok()
    }
}

impl<T: MaySeal> Protected<T> {
    /// Opens the secret. If it does not open, records the reason, which is the error of a later
    /// read.
    pub(crate) fn open(&mut self, place: &Place, keys: Option<&dyn KeyProvider>) {
        let Self::Sealed(sealed) = self else {
            return;
        };
        let opened = match keys {
            Some(keys) => open_under(keys, place, sealed),
            None => Err("the database has no keyring".to_owned()),
        };
        match opened {
            Ok(value) => *self = Self::Open(Secret::new(value)),
            Err(reason) => {
                sealed.unopened = Some(Unopened {
                    column: place.column,
                    row: place.row,
                    reason,
                });
            }
        }
    }
}

#[cfg(feature = "crypto")]
use crate::crypto::keyring::open_under;

#[cfg(not(feature = "crypto"))]
fn open_under<T>(_: &dyn KeyProvider, _: &Place, _: &Sealed) -> Result<T, String> {
    Err("the feature crypto is not enabled".to_owned())
}

impl<T: MaySeal> From<T> for Protected<T> {
    fn from(value: T) -> Self {
        match value.sealed() {
            Some(sealed) => Self::Sealed(sealed),
            None => Self::Open(Secret::new(value)),
        }
    }
}

impl<T: FromSql<S, B> + MaySeal, S, B: Backend> FromSql<S, B> for Protected<T> {
    fn from_sql(value: B::RawValue<'_>) -> deserialize::Result<Self> {
        T::from_sql(value).map(Self::from)
    }
}

/// The value of a setting.
///
/// An encrypted value is opened if the `Db` has a keyring with its key (feature `crypto`,
/// `Db::with_secrets`). It is neither printed nor serialized.
#[derive(Debug, Clone, PartialEq, FromSqlRow)]
pub enum SettingValue {
    /// The value of a setting that is not encrypted.
    Plain(Document),
    /// The value of an encrypted setting.
    Protected(Protected<Document>),
}

impl SettingValue {
    /// Returns the value.
    ///
    /// # Errors
    /// - [`Error::Sealed`] if it is encrypted and could not be opened
    pub fn get(&self) -> Result<&Document> {
        match self {
            Self::Plain(document) => Ok(document),
            Self::Protected(protected) => protected.expose(),
        }
    }

    /// Returns the value, consuming the wrapper.
    ///
    /// # Errors
    /// - [`Error::Sealed`] if it is encrypted and could not be opened
    pub fn into_value(self) -> Result<Document> {
        match self {
            Self::Plain(document) => Ok(document),
            Self::Protected(protected) => protected.into_exposed(),
        }
    }

    /// Opens the value of an encrypted setting. One that is stored in the clear is not printed from
    /// then on.
    pub(crate) fn open_encrypted(&mut self, place: &Place, keys: Option<&dyn KeyProvider>) {
        if let Self::Plain(document) = self {
            *self = Self::Protected(Protected::Open(Secret::new(document.clone())));
        }
        self.open(place, keys);
    }

    /// Opens a sealed value.
    pub(crate) fn open(&mut self, place: &Place, keys: Option<&dyn KeyProvider>) {
        if let Self::Protected(protected) = self {
            protected.open(place, keys);
        }
    }
}

impl From<Document> for SettingValue {
    fn from(document: Document) -> Self {
        match document.sealed() {
            Some(sealed) => Self::Protected(Protected::Sealed(sealed)),
            None => Self::Plain(document),
        }
    }
}

/// Compares the value. A sealed value equals no other.
impl PartialEq<serde_json::Value> for SettingValue {
    fn eq(&self, other: &serde_json::Value) -> bool {
        self.get().is_ok_and(|value| value == other)
    }
}

/// Compares the value. A sealed value equals no other.
impl PartialEq<Document> for SettingValue {
    fn eq(&self, other: &Document) -> bool {
        self.get().is_ok_and(|value| value == other)
    }
}

impl<S, B: Backend> FromSql<S, B> for SettingValue
where
    Document: FromSql<S, B>,
{
    fn from_sql(value: B::RawValue<'_>) -> deserialize::Result<Self> {
        Document::from_sql(value).map(Self::from)
    }
}

/// In human-readable formats an encrypted value is null. In others, which the cache uses, a sealed
/// value is as it is stored, and an opened one is an error.
impl Serialize for SettingValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(document) => document.serialize(serializer),
            Self::Protected(_) if serializer.is_human_readable() => serializer.serialize_unit(),
            Self::Protected(Protected::Sealed(sealed)) => Document::of(&sealed.text)
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
            Self::Protected(Protected::Open(_)) => Err(serde::ser::Error::custom(
                "a secret that was opened is not serialized",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for SettingValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Document::deserialize(deserializer).map(Self::from)
    }
}
