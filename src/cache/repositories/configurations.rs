//! `setup.configurations`: what a scope has itself is cached as a whole, and what is effective in
//! it is put together.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;

use super::cache_io::boxed;
use super::protocol::batch::all_at_one_moment;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::uncached::secrets::{HasSecrets as _, secrets_of};
use super::*;
use crate::cache::keys::EntryKey;
use crate::write_set::Key;
use crate::{
    ConfigCategory, Configuration, ConfigurationScope, OrganizationId, Project, ProjectId,
};

/// The [`ConfigurationRepository`] behind the cache: finds by name, and what is effective.
#[derive(Clone)]
pub struct CachedConfigurations(Arc<Inside>);

impl Cached {
    /// Returns the settings.
    pub fn configurations(&self) -> CachedConfigurations {
        CachedConfigurations(Arc::clone(&self.0))
    }
}

#[repository(observed)]
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
        let row = newest(self.own(scope).await?, category, name);
        Ok(row.opened_with(secrets_of(&self.0.db)))
    }

    async fn effective(
        &self,
        scope: ConfigurationScope,
        category: ConfigCategory,
        name: &str,
    ) -> Result<Option<Configuration>> {
        match self.at_one_moment(scope).await? {
            Some(scopes) => Ok(scopes
                .into_iter()
                .find_map(|rows| newest(rows, category, name))
                .opened_with(secrets_of(&self.0.db))),
            None => self.0.configurations.effective(scope, category, name).await,
        }
    }

    async fn effective_all(
        &self,
        scope: ConfigurationScope,
        category: Option<ConfigCategory>,
    ) -> Result<HashMap<ConfigCategory, BTreeMap<String, Configuration>>> {
        let Some(scopes) = self.at_one_moment(scope).await? else {
            return self.0.configurations.effective_all(scope, category).await;
        };
        let mut effective: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for mut rows in scopes.into_iter().rev() {
            rows.sort_by_key(|row| (row.updated_at, row.id));
            for row in rows {
                if category.is_none_or(|category| category == row.category) {
                    let of_category = effective.entry(row.category).or_default();
                    let row = row.opened_with(secrets_of(&self.0.db));
                    of_category.insert(row.name.clone(), row);
                }
            }
        }
        Ok(effective)
    }
}

#[repository]
impl CachedConfigurations {
    /// Returns the scope's own settings.
    async fn own(&self, scope: ConfigurationScope) -> Result<Vec<Configuration>> {
        match look_up(&self.0.client, EntryKey::from(&Key::from(scope))).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => boxed(settle(fill, self.0.configurations.own(scope).await)).await,
        }
    }

    /// Returns the settings that apply in the scope as they were at one moment, those of the
    /// narrowest scope first. `None` if the cache does not have all of them: then the database is
    /// to be asked for them by one query.
    async fn at_one_moment(
        &self,
        scope: ConfigurationScope,
    ) -> Result<Option<Vec<Vec<Configuration>>>> {
        if scope == ConfigurationScope::Global {
            return Ok(Some(vec![self.own(scope).await?]));
        }
        for is_last in [false, true] {
            let organization = match scope {
                ConfigurationScope::Project(id) => self.organization_of(id).await?,
                _ => None,
            };
            let mut scopes = vec![scope];
            scopes.extend(organization.map(ConfigurationScope::Organization));
            scopes.push(ConfigurationScope::Global);
            match self.together(scope, organization, &scopes).await {
                Together::All(rows) => return Ok(Some(rows)),
                Together::Unavailable => break,
                Together::Missing if is_last => break,
                // Each is filled that is not there.
                Together::Missing => {
                    for scope in scopes {
                        self.own(scope).await?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads the entries of these scopes by one command, and that of the project, whose
    /// organization may be another by now.
    async fn together(
        &self,
        scope: ConfigurationScope,
        organization: Option<OrganizationId>,
        scopes: &[ConfigurationScope],
    ) -> Together {
        let keys = scopes.iter().map(|&scope| Key::from(scope));
        let mut keys: Vec<EntryKey> = keys.map(|key| EntryKey::from(&key)).collect();
        if let ConfigurationScope::Project(id) = scope {
            keys.push(EntryKey::from(&Key::Project(id)));
        }
        let client = &self.0.client;
        let mut found = match all_at_one_moment(client, &keys).await {
            Ok(Some(found)) => found,
            Ok(None) => return Together::Missing,
            Err(_) => return Together::Unavailable,
        };
        if let ConfigurationScope::Project(_) = scope {
            let project = found.pop().zip(keys.pop());
            let project =
                project.and_then(|(project, key)| project.decoded::<Option<Project>>(client, &key));
            let is_same = project.is_some_and(|project| {
                project.and_then(|project| project.organization_id) == organization
            });
            if !is_same {
                return Together::Missing;
            }
        }
        let rows = found.iter().zip(&keys);
        let rows: Option<Vec<_>> = rows
            .map(|(value, key)| value.decoded(client, key))
            .collect();
        rows.map_or(Together::Missing, |rows| {
            let hits = rows.len() as u64;
            client.counters.hits.fetch_add(hits, Ordering::Relaxed);
            Together::All(rows)
        })
    }

    async fn organization_of(&self, id: ProjectId) -> Result<Option<OrganizationId>> {
        let project = Cached(Arc::clone(&self.0)).projects().find(id).await?;
        Ok(project.and_then(|project| project.organization_id))
    }
}

/// The cached part of the settings that apply in a scope.
enum Together {
    All(Vec<Vec<Configuration>>),
    /// Some are not there.
    Missing,
    /// The cache cannot be asked.
    Unavailable,
}

fn newest(rows: Vec<Configuration>, category: ConfigCategory, name: &str) -> Option<Configuration> {
    rows.into_iter()
        .filter(|row| row.category == category && row.name == name)
        .max_by_key(|row| (row.updated_at, row.id))
}
