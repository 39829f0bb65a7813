//! The migrations of a run: this crate's, and an application's before or after them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;

use super::{MIGRATIONS, SESSION, failed};
use crate::{Config, Error, Result};

type Source = Arc<dyn MigrationSource<Pg> + Send + Sync>;

/// The sources of the migrations of a run.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    /// The SQL that restores the session after an application's migration.
    restoring: String,
    before: Vec<Source>,
    after: Vec<Source>,
}

/// A migration of a plan.
pub(crate) struct Planned {
    pub(crate) migration: Box<dyn Migration<Pg>>,
    /// True if the application brings it.
    pub(crate) is_own: bool,
}

impl Planned {
    pub(crate) fn version(&self) -> String {
        self.migration.name().version().to_string()
    }

    pub(crate) fn name(&self) -> String {
        self.migration.name().to_string()
    }
}

impl Plan {
    /// Creates a plan of this crate's migrations.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            restoring: format!("{}; {SESSION}", config.restoring_within_lock()),
            ..Self::default()
        }
    }

    /// Returns the SQL that restores the session after an application's migration. The next one
    /// must not run with the role and the settings that it may have left.
    pub(super) fn restoring(&self) -> &str {
        &self.restoring
    }

    /// Adds a source whose migrations are applied before this crate's.
    pub(crate) fn add_before(&mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) {
        self.before.push(Arc::new(source));
    }

    /// Adds a source whose migrations are applied after this crate's.
    pub(crate) fn add_after(&mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) {
        self.after.push(Arc::new(source));
    }

    /// Returns every migration in the order in which they are applied.
    ///
    /// # Errors
    /// - [`Error::Migration`] if a source cannot be read
    /// - [`Error::InvalidInput`] if two migrations have the same version, by which the table of
    ///   applied migrations names them
    pub(crate) fn all(&self) -> Result<Vec<Planned>> {
        let mut all = Vec::new();
        for source in &self.before {
            all.extend(read(&**source, true)?);
        }
        all.extend(read(&MIGRATIONS, false)?);
        for source in &self.after {
            all.extend(read(&**source, true)?);
        }
        let mut names = HashMap::new();
        for planned in &all {
            let (version, name) = (planned.version(), planned.name());
            if let Some(other) = names.insert(version, name.clone()) {
                let reason = format_args!("{other} and {name} have the same version");
                return Err(Error::invalid("migrations", reason));
            }
        }
        Ok(all)
    }
}

/// Returns the migrations of a source in the order of their versions.
fn read(source: &dyn MigrationSource<Pg>, is_own: bool) -> Result<Vec<Planned>> {
    let migrations = source.migrations();
    let mut migrations = migrations.map_err(|error| failed(&"list", &*error))?;
    migrations.sort_by(|one, other| one.name().version().cmp(&other.name().version()));
    let planned = |migration| Planned { migration, is_own };
    Ok(migrations.into_iter().map(planned).collect())
}

/// Hides the sources, which have no names.
impl fmt::Debug for Plan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Plan")
            .field("before", &self.before.len())
            .field("after", &self.after.len())
            .finish()
    }
}
