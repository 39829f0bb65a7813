//! `setup.tools`, cached by id.

use super::protocol::batch::{look_up_all, settle_all};
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

#[repository]
impl ToolRepository for CachedTools {
    fn inner(&self) -> Option<&dyn ToolRepository> {
        Some(&self.0.tools)
    }

    async fn find(&self, id: ToolId) -> Result<Option<Tool>> {
        cached!(self, EntryKey::from(&Key::Tool(id)), self.0.tools.find(id))
    }

    async fn find_many(&self, ids: &[ToolId]) -> Result<Vec<Option<Tool>>> {
        cached_many!(self, ids, Key::Tool, tools)
    }
}
