//! The attachments of a `Db`: a clone may have them besides the pool, and passes them on to its
//! transactions.

use std::sync::Arc;

use super::tx_state::TxState;
use crate::observation::CallObserver;
use crate::sql::acting::Acting;
use crate::sql::settings::Settings;
use crate::transaction::{MARK, TransactionOptions};
use crate::{Actor, Config, OrganizationId};

/// The commit hook of the cache, the settings that are local to a transaction, and the keys of the
/// secrets.
///
/// `H` is the commit hook of one engine. The pool is shared by all clones of a `Db`; these belong
/// to some of them.
pub(crate) struct Attachments<H: ?Sized> {
    /// The hook around each commit that writes cached rows. Only the clones behind a cache have it.
    pub(crate) hook: Option<Arc<H>>,
    acting: Option<Arc<Acting>>,
    /// True on the clones whose statements write: only these are on behalf of the actor.
    writes: bool,
    /// The organization whose rows are seen where organizations are isolated.
    organization: Option<OrganizationId>,
    #[cfg(feature = "crypto")]
    secrets: Option<Arc<dyn crate::KeyProvider>>,
    observer: CallObserver,
}

impl<H: ?Sized> Default for Attachments<H> {
    fn default() -> Self {
        Self {
            hook: None,
            acting: None,
            writes: false,
            organization: None,
            #[cfg(feature = "crypto")]
            secrets: None,
            observer: CallObserver::default(),
        }
    }
}

impl<H: ?Sized> Clone for Attachments<H> {
    fn clone(&self) -> Self {
        Self {
            hook: self.hook.clone(),
            acting: self.acting.clone(),
            writes: self.writes,
            organization: self.organization,
            #[cfg(feature = "crypto")]
            secrets: self.secrets.clone(),
            observer: self.observer.clone(),
        }
    }
}

impl<H: ?Sized> Attachments<H> {
    /// Checks whether the writes are fenced in a cache.
    pub(crate) fn has_cache(&self) -> bool {
        self.hook.is_some()
    }

    /// Creates the attachments of a `Db` with these settings.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            observer: config.observer(),
            ..Self::default()
        }
    }

    /// Creates the state of a transaction that begins with these attachments.
    pub(crate) fn tx_state(&self) -> TxState {
        TxState::new(self.has_cache())
    }

    /// Begins to observe a transaction: its state has its end, and these are the attachments of its
    /// calls.
    pub(crate) fn within_transaction(&self, state: &mut TxState) -> Self {
        #[cfg(any(feature = "tracing", feature = "metrics"))]
        {
            let (observer, call) = self.observer.begin_transaction();
            state.observe(call);
            Self {
                observer,
                ..self.clone()
            }
        }
        #[cfg(not(any(feature = "tracing", feature = "metrics")))]
        {
            let _ = state;
            self.clone()
        }
    }

    /// Returns the observer of the calls.
    pub(crate) fn observer(&self) -> &CallObserver {
        &self.observer
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

    /// Returns the same attachments for an organization.
    pub(crate) fn for_organization(&self, id: OrganizationId) -> Self {
        Self {
            organization: Some(id),
            ..self.clone()
        }
    }

    pub(crate) fn organization(&self) -> Option<OrganizationId> {
        self.organization
    }

    /// Checks whether a statement that writes makes settings.
    pub(crate) fn has_local_settings(&self) -> bool {
        self.organization.is_some() || self.acting.is_some()
    }

    /// Returns the same attachments for statements that write.
    pub(crate) fn writing(&self) -> Self {
        Self {
            writes: true,
            ..self.clone()
        }
    }

    /// Returns the settings that a statement outside a transaction makes. Only one that writes has
    /// an actor.
    pub(crate) fn settings(&self, writes: bool) -> Option<Settings<'_>> {
        let actor = self.acting().filter(|_| writes || self.writes);
        Settings::new(self.organization.as_ref(), actor.map(Acting::setting))
    }

    /// Returns the settings that a transaction makes by the binds of its
    /// [`Begin`](crate::sql::settings::Begin); `None` if it has none, or if it begins with more
    /// than `BEGIN`.
    pub(crate) fn settings_of_begin(&self, options: &TransactionOptions) -> Option<Settings<'_>> {
        let is_marked = self.has_cache() && options.may_have_own_writes();
        match options.is_default() && !is_marked {
            true => self.settings(true),
            false => None,
        }
    }

    /// Returns the SQL that begins a transaction and makes its local settings, as one message. A
    /// read-only one has no actor.
    pub(crate) fn begin(&self, options: &TransactionOptions) -> String {
        let mut sql = options.begin();
        if self.has_cache() && options.may_have_own_writes() {
            sql.push_str(MARK);
        }
        if let Some(acting) = self.acting().filter(|_| !options.is_read_only()) {
            sql.push_str(acting.sql());
        }
        if let Some(id) = self.organization {
            sql.push_str("; SELECT pg_catalog.set_config('wundr.organization', '");
            sql.push_str(&id.to_string());
            sql.push_str("', true)");
        }
        sql
    }

    /// Returns the same attachments with these keys.
    #[cfg(feature = "crypto")]
    pub(crate) fn with_secrets(&self, keys: impl crate::KeyProvider + 'static) -> Self {
        Self {
            secrets: Some(Arc::new(keys)),
            ..self.clone()
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

    #[test]
    fn a_transaction_for_an_organization_begins_with_its_setting() {
        let plain = Attachments::<str>::default();
        let options = TransactionOptions::new().read_only();
        assert_eq!(plain.begin(&options), options.begin());
        assert!(plain.settings(true).is_none());
        let id = OrganizationId::new();
        let isolated = plain.for_organization(id).clone();
        assert!(isolated.settings(false).is_some());
        let setting = format!(
            "BEGIN READ ONLY; SELECT pg_catalog.set_config('wundr.organization', '{id}', true)"
        );
        assert_eq!(isolated.begin(&options), setting);
    }

    #[test]
    fn a_transaction_with_options_or_a_mark_makes_its_settings_by_its_text() {
        let plain = Attachments::<str>::default();
        assert!(
            plain
                .settings_of_begin(&TransactionOptions::new())
                .is_none()
        );
        let isolated = plain.for_organization(OrganizationId::new());
        assert!(
            isolated
                .settings_of_begin(&TransactionOptions::new())
                .is_some()
        );
        for options in [
            TransactionOptions::new().read_only(),
            TransactionOptions::new().isolation(crate::Isolation::RepeatableRead),
            TransactionOptions::of_a_unit_that_may_pause(),
        ] {
            assert!(isolated.settings_of_begin(&options).is_none());
        }
        let cached = Attachments::<str> {
            hook: Some(Arc::from("hook")),
            ..isolated
        };
        assert!(
            cached
                .settings_of_begin(&TransactionOptions::new())
                .is_none()
        );
    }

    #[test]
    fn only_statements_that_write_are_on_behalf_of_the_actor() {
        let acting = Attachments::<str>::default().acting_as(Actor::default());
        assert!(acting.settings(false).is_none());
        assert!(acting.settings(true).is_some());
        assert!(acting.writing().settings(false).is_some());
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
