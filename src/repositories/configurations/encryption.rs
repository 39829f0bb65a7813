//! Settings whose values are encrypted.

use diesel::prelude::QueryDsl;

use super::super::secrets::{HasSecrets, seal};
use super::super::*;
use super::{Configurations, OWNER, Owner};
use crate::schema::setup::configurations;
use crate::types::protected::{KeyProvider, Place};
use crate::{
    Configuration, ConfigurationChanges, ConfigurationId, Document, Error, NewConfiguration,
    OrganizationId, ProjectId, Result, Secret,
};

#[repository]
impl Configurations<'_> {
    /// Upserts an encrypted setting within a unit of work. `value` is its plaintext.
    ///
    /// The stored value is bound to the key of a new row. If there was a row, its value is sealed
    /// once more, for that.
    pub(super) async fn upsert_sealed(
        &self,
        stored: NewConfiguration,
        value: Document,
    ) -> Result<Configuration> {
        let row = self.0.upsert(&stored).await?;
        self.0.record_write(&row);
        if row.id == stored.id {
            return Ok(row.opened(&self.0));
        }
        let place = place(row.id, row.organization_id, row.project_id);
        let value = seal_value(self.0.secrets(), &place, value)?;
        let changes = ConfigurationChanges::new().value(value).is_encrypted(true);
        let row: Option<Configuration> = self.0.update(row.id, &changes).await?;
        let what = "Configuration";
        row.opened(&self.0).ok_or(Error::Suppressed { what })
    }

    /// Returns the changes with an encrypted value sealed. The owner of the setting, to which it is
    /// bound, never changes.
    pub(super) async fn sealed_changes(
        &self,
        id: ConfigurationId,
        mut changes: ConfigurationChanges,
    ) -> Result<ConfigurationChanges> {
        match (&mut changes.value, changes.is_encrypted) {
            (None, Some(_)) => Err(Error::invalid("is_encrypted", "needs a value")),
            (Some(value), Some(true)) => {
                check_keys(self.0.secrets())?;
                let owner = configurations::table.find(id).select(OWNER);
                let owner: Option<Owner> = self.0.first(owner).await?;
                // Without a setting nothing is updated.
                let (organization, project) = owner.unwrap_or_default();
                let place = place(id, organization, project);
                *value = seal_value(self.0.secrets(), &place, value.clone())?;
                Ok(changes)
            }
            (Some(value), _) => check_plain(value).map(|()| changes),
            (None, None) => Ok(changes),
        }
    }
}

/// Returns the place of a setting's value.
pub(crate) fn place(
    id: ConfigurationId,
    organization: Option<OrganizationId>,
    project: Option<ProjectId>,
) -> Place {
    Place {
        column: "setup.configurations.value",
        row: id.into(),
        organization,
        project,
    }
}

/// Checks whether a new row needs [`sealed`].
pub(super) fn has_secret(new: &NewConfiguration) -> bool {
    new.is_encrypted || check_plain(&new.value).is_err()
}

/// Returns a new row with an encrypted value sealed.
pub(super) fn sealed(
    executor: &Executor<'_>,
    mut new: NewConfiguration,
) -> Result<NewConfiguration> {
    if new.is_encrypted {
        check_keys(executor.secrets())?;
        let place = place(new.id, new.organization_id, new.project_id);
        new.value = seal_value(executor.secrets(), &place, new.value)?;
    } else {
        check_plain(&new.value)?;
    }
    Ok(new)
}

fn seal_value(keys: Option<&dyn KeyProvider>, place: &Place, value: Document) -> Result<Document> {
    let mut value = Secret::new(value);
    seal(keys, "value", place, &mut value, None)?;
    Ok(value.into_exposed())
}

fn check_keys(keys: Option<&dyn KeyProvider>) -> Result<()> {
    let reason = "needs the keys of the secrets, which the database does not have";
    keys.map(drop)
        .ok_or_else(|| Error::invalid("is_encrypted", reason))
}

fn check_plain(value: &Document) -> Result<()> {
    match crate::types::protected::MaySeal::sealed(value) {
        Some(_) => Err(Error::invalid("value", "has the form of a sealed value")),
        None => Ok(()),
    }
}

impl HasSecrets for Configuration {
    fn open(&mut self, keys: Option<&dyn KeyProvider>) {
        let place = place(self.id, self.organization_id, self.project_id);
        if self.is_encrypted {
            self.value.open_encrypted(&place, keys);
        } else {
            self.value.open(&place, keys);
        }
    }
}
