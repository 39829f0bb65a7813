//! The attachments of a `Db`: a clone may have them besides the pool, and passes them on to its transactions.

use std::sync::Arc;

use super::tx_state::TxState;
use crate::Actor;
use crate::sql::acting::Acting;

/// The commit hook of the cache, the actor of the writes, and the keys of the secrets.
///
/// `H` is the commit hook of one engine. The pool is shared by all clones of a `Db`; these belong to some of them.
pub(crate) struct Attachments<H: ?Sized> {
    /// The hook around each commit that writes cached rows. Only the clones behind a cache have it.
    pub(crate) hook: Option<Arc<H>>,
    acting: Option<Arc<Acting>>,
    #[cfg(feature = "crypto")]
    secrets: Option<Arc<dyn crate::KeyProvider>>,
}

impl<H: ?Sized> Default for Attachments<H> {
    fn default() -> Self {
        Self {
            hook: None,
            acting: None,
            #[cfg(feature = "crypto")]
            secrets: None,
        }
    }
}

impl<H: ?Sized> Clone for Attachments<H> {
    fn clone(&self) -> Self {
        Self {
            hook: self.hook.clone(),
            acting: self.acting.clone(),
            #[cfg(feature = "crypto")]
            secrets: self.secrets.clone(),
        }
    }
}

impl<H: ?Sized> Attachments<H> {
    /// Checks whether the writes are fenced in a cache.
    pub(crate) fn has_cache(&self) -> bool {
        self.hook.is_some()
    }

    /// Creates the state of a transaction that begins with these attachments.
    pub(crate) fn tx_state(&self) -> TxState {
        TxState::new(self.has_cache())
    }

    /// Returns the same attachments with this actor.
    pub(crate) fn acting_as(&self, actor: Actor) -> Self {
        Self {
            acting: Some(Arc::new(Acting::new(actor))),
            ..self.clone()
        }
    }

    /// Returns the actor of the writes.
    pub(crate) fn acting(&self) -> Option<&Acting> {
        self.acting.as_deref()
    }

    /// Returns the same attachments with these keys.
    #[cfg(feature = "crypto")]
    pub(crate) fn with_secrets(&self, keys: impl crate::KeyProvider + 'static) -> Self {
        Self {
            hook: self.hook.clone(),
            acting: self.acting.clone(),
            secrets: Some(Arc::new(keys)),
        }
    }

    #[cfg(feature = "crypto")]
    pub(crate) fn secrets(&self) -> Option<&dyn crate::KeyProvider> {
        self.secrets.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_records_its_writes_only_behind_a_cache() {
        let plain = Attachments::<str>::default();
        assert!(!plain.has_cache() && !plain.tx_state().records_writes());
        let cached = Attachments::<str> {
            hook: Some(Arc::from("hook")),
            ..plain.clone()
        };
        assert!(cached.has_cache() && cached.clone().tx_state().records_writes());
        assert!(!plain.has_cache());
    }

    #[cfg(feature = "crypto")]
    #[test]
    fn keys_belong_to_the_clone_that_received_them() {
        let plain = Attachments::<str> {
            hook: Some(Arc::from("hook")),
            ..Attachments::default()
        };
        let keys = crate::Keyring::new(1, [7; 32]);
        let with_keys = plain.with_secrets(keys);
        assert!(plain.secrets().is_none());
        assert!(with_keys.secrets().is_some() && with_keys.has_cache());
        assert!(with_keys.clone().secrets().is_some());
    }
}
