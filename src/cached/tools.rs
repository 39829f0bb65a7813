//! `setup.tools`, cached by id.

use super::leases::settle;
use super::many::{look_up_all, settle_all};
use super::store::{Lookup, Store, look_up};
use super::*;
use crate::cache::name::Name;
use crate::touched::Key;
use crate::{Tool, ToolId};

/// The [`ToolRepository`] behind the cache: finds by id.
#[derive(Clone)]
pub struct CachedTools {
    tools: Tools<'static>,
    store: Arc<Store>,
}

impl Cached {
    /// The tools.
    pub fn tools(&self) -> CachedTools {
        CachedTools {
            tools: self.db.tools(),
            store: Arc::clone(&self.store),
        }
    }
}

#[repository]
impl ToolRepository for CachedTools {
    fn inner(&self) -> Option<&dyn ToolRepository> {
        Some(&self.tools)
    }

    async fn find(&self, id: ToolId) -> Result<Option<Tool>> {
        cached!(self, Name::from(&Key::Tool(id)), self.tools.find(id))
    }

    async fn find_many(&self, ids: &[ToolId]) -> Result<Vec<Option<Tool>>> {
        cached_many!(self, ids, Key::Tool, tools)
    }
}
