//! `setup.tools`, cached by id.

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{Tool, ToolId};

/// The [`ToolRepository`] behind the cache: finds by id.
#[derive(Clone)]
pub struct CachedTools(Arc<Inside>);

impl Cached {
    /// Returns the tools.
    pub fn tools(&self) -> CachedTools {
        CachedTools(Arc::clone(&self.0))
    }
}

#[repository(observed)]
impl ToolRepository for CachedTools {
    fn inner(&self) -> Option<&dyn ToolRepository> {
        Some(&self.0.tools)
    }

    async fn find(&self, id: ToolId) -> Result<Option<Tool>> {
        match look_up(&self.0.client, EntryKey::from(&Key::Tool(id))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.tools.find(id).await)).await,
        }
    }

    async fn find_many(&self, ids: &[ToolId]) -> Result<Vec<Option<Tool>>> {
        let batch = Batch::look_up(&self.0.client, ids, Key::Tool).await;
        match batch.missing_ids() {
            None => Ok(batch.into_rows()),
            Some(missing) => batch.fill(self.0.tools.find_many(&missing).await).await,
        }
    }
}
