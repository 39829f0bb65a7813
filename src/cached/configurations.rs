//! `setup.configurations`: what a scope has itself is cached as a whole, and what is effective in it is put together.

use std::collections::{BTreeMap, HashMap};

use super::leases::settle;
use super::store::{Lookup, look_up};
use super::*;
use crate::cache::name::Name;
use crate::touched::Key;
use crate::{ConfigCategory, Configuration, ConfigurationScope, ProjectId};

/// The [`ConfigurationRepository`] behind the cache: finds by name, and what is effective.
#[derive(Clone)]
pub struct CachedConfigurations(Arc<Inside>);

impl Cached {
    /// The settings.
    pub fn configurations(&self) -> CachedConfigurations {
        CachedConfigurations(Arc::clone(&self.0))
    }
}

#[repository]
impl ConfigurationRepository for CachedConfigurations {
    fn inner(&self) -> Option<&dyn ConfigurationRepository> {
        Some(&self.0.configurations)
    }

    async fn find_by_name(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        Ok(newest(self.own(scope).await?, category, name))
    }

    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        for scope in self.narrowest_first(scope).await? {
            let row = newest(self.own(scope).await?, category, name);
            if row.is_some() {
                return Ok(row);
            }
        }
        Ok(None)
    }

    async fn effective_all(
        &self,
        scope: ConfigurationScope,
        category: Option<ConfigCategory>,
    ) -> Result<HashMap<ConfigCategory, BTreeMap<String, Configuration>>> {
        let mut effective: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for scope in self.narrowest_first(scope).await?.into_iter().rev() {
            let mut rows = self.own(scope).await?;
            rows.sort_by_key(|row| (row.updated_at, row.id));
            for row in rows {
                if category.is_none_or(|category| category == row.category) {
                    let of_category = effective.entry(row.category).or_default();
                    of_category.insert(row.name.clone(), row);
                }
            }
        }
        Ok(effective)
    }
}

#[repository]
impl CachedConfigurations {
    /// What the scope has itself.
    async fn own(&self, scope: ConfigurationScope) -> Result<Vec<Configuration>> {
        cached!(
            self,
            Name::from(&Key::Configurations(scope)),
            self.0.configurations.own(scope)
        )
    }

    /// The scopes whose settings apply in this one.
    async fn narrowest_first(&self, scope: ConfigurationScope) -> Result<Vec<ConfigurationScope>> {
        let mut scopes = vec![scope];
        if let ConfigurationScope::Project(id) = scope {
            scopes.extend(self.organization_of(id).await?);
        }
        if scope != ConfigurationScope::Global {
            scopes.push(ConfigurationScope::Global);
        }
        Ok(scopes)
    }

    async fn organization_of(&self, id: ProjectId) -> Result<Option<ConfigurationScope>> {
        let project = Cached(Arc::clone(&self.0)).projects().find(id).await?;
        let organization = project.and_then(|project| project.organization_id);
        Ok(organization.map(ConfigurationScope::Organization))
    }
}

fn newest(rows: Vec<Configuration>, category: ConfigCategory, name: &str) -> Option<Configuration> {
    rows.into_iter()
        .filter(|row| row.category == category && row.name == name)
        .max_by_key(|row| (row.updated_at, row.id))
}
