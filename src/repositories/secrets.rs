//! Secrets of rows: sealed on their way into the database, opened on their way out.

use super::*;
use crate::types::protected::{KeyProvider, MaySeal, Place};
use crate::{Error, Result, Secret};

/// The largest number of bytes of a secret whose sealed form fits in a `VARCHAR(255)`: version, key
/// of five digits and nonce take 43 characters, and 159 bytes of ciphertext with its tag the rest.
#[cfg(feature = "crypto")]
pub(super) const MOST_IN_VARCHAR: usize = 143;

/// A row with secrets.
pub(crate) trait HasSecrets: Sized {
    /// Opens the secrets. One that does not open keeps the reason.
    fn open(&mut self, keys: Option<&dyn KeyProvider>);

    /// Returns the row with its secrets opened.
    fn opened(self, executor: &Executor<'_>) -> Self {
        self.opened_with(executor.secrets())
    }

    /// Returns the row with its secrets opened.
    fn opened_with(mut self, keys: Option<&dyn KeyProvider>) -> Self {
        self.open(keys);
        self
    }
}

impl<R: HasSecrets> HasSecrets for Option<R> {
    fn open(&mut self, keys: Option<&dyn KeyProvider>) {
        self.iter_mut().for_each(|row| row.open(keys));
    }
}

impl<R: HasSecrets> HasSecrets for Vec<R> {
    fn open(&mut self, keys: Option<&dyn KeyProvider>) {
        self.iter_mut().for_each(|row| row.open(keys));
    }
}

impl<R: HasSecrets> HasSecrets for crate::Paged<R> {
    fn open(&mut self, keys: Option<&dyn KeyProvider>) {
        self.items.open(keys);
    }
}

/// Returns the keys of a database's secrets, if it has some.
#[cfg(feature = "redis")]
pub(crate) fn secrets_of(db: &Db) -> Option<&dyn KeyProvider> {
    #[cfg(feature = "crypto")]
    return db.secrets();
    #[cfg(not(feature = "crypto"))]
    {
        let _ = db;
        None
    }
}

impl Executor<'_> {
    /// Returns the keys of the database's secrets, if it has some.
    pub(super) fn secrets(&self) -> Option<&dyn KeyProvider> {
        #[cfg(feature = "crypto")]
        match self {
            Executor::Pool(db) => db.secrets(),
            Executor::Tx(tx) | Executor::Part(tx) => tx.secrets(),
        }
        #[cfg(not(feature = "crypto"))]
        None
    }
}

/// Seals a secret if the database has keys. Without keys it is stored in the clear.
///
/// # Errors
/// - [`Error::InvalidInput`] if the secret has the form of a sealed one, or is longer than `most`
///   bytes
/// - The error of the [`KeyProvider`]
pub(super) fn seal<T: MaySeal>(
    keys: Option<&dyn KeyProvider>,
    field: &'static str,
    place: &Place,
    secret: &mut Secret<T>,
    most: Option<usize>,
) -> Result<()> {
    if secret.expose().sealed().is_some() {
        return Err(Error::invalid(field, "has the form of a sealed value"));
    }
    #[cfg(feature = "crypto")]
    if let Some(keys) = keys {
        let length = secret.expose().plaintext().len();
        if let Some(most) = most.filter(|&most| length > most) {
            let reason = format_args!("has {length} bytes, at most {most} can be sealed");
            return Err(Error::invalid(field, reason));
        }
        *secret = Secret::new(crate::crypto::keyring::seal(keys, place, secret.expose())?);
    }
    #[cfg(not(feature = "crypto"))]
    let _ = (keys, place, most);
    Ok(())
}
