//! Secrets that are moved to the active key.

use std::collections::HashMap;

use super::secrets::seal;
use super::*;
use crate::models::resealing::Position;
use crate::sql::Sql;
use crate::sql::resealing::{
    CountSecrets, IntegrationSecrets, OtherIntegrations, OtherSettings, ReplaceIntegrations,
    ReplaceSettings, SettingSecret,
};
use crate::types::protected::{KeyProvider, MaySeal, Place, Protected};
use crate::{
    Error, IntegrationId, OrganizationId, ProjectId, ResealCursor, ResealFailure, Resealed, Result,
    Secret, SecretCounts,
};

/// The largest number of rows of a batch.
const MOST: u32 = 1_000;

#[repository]
impl Db {
    /// Returns the numbers of secrets under each key, and of those in the clear.
    ///
    /// It reads all integrations and all encrypted settings. It needs no keys.
    pub async fn sealed_by_key(&self) -> Result<SecretCounts> {
        let counts: Vec<(Option<i32>, i64)> = self.executor().load(Sql(CountSecrets)).await?;
        let mut found = SecretCounts::default();
        for (key, count) in counts {
            let count = u64::try_from(count).unwrap_or(0);
            match key.map(u16::try_from) {
                Some(Ok(key)) => *found.by_key.entry(key).or_default() += count,
                // A larger number is not that of a key.
                _ => found.in_the_clear += count,
            }
        }
        Ok(found)
    }

    /// Seals secrets under the active key, if they are under another key or in the clear: those of
    /// at most `limit` rows after a position, or from the first one.
    ///
    /// Call it with the [`next`](Resealed::next) position until there is none. Another process may
    /// start again at any time, since secrets under the active key are not visited. It runs beside
    /// writers: a row that another transaction changes or has locked is left as it is. So is a
    /// secret that does not open, which is among the [`failures`](Resealed::failures). When
    /// [`sealed_by_key`](Self::sealed_by_key) has no secret under the old key, remove that from the
    /// keyring.
    ///
    /// Each row gets another `updated_at`. Cached settings are fenced if the cache is in front of
    /// this `Db`; otherwise keep the old key for the lifetime of the cached entries.
    ///
    /// Each table's part of a batch is one statement. If the future is dropped, a part is written
    /// as a whole or not at all.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the database has no keys, or the limit is not within 1 and
    ///   1,000
    /// - The error of [`KeyProvider::active`]
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(db: wundr_db::Db) -> wundr_db::Result<()> {
    /// let mut position = None;
    /// loop {
    ///     let batch = db.reseal(position, 500).await?;
    ///     for failure in &batch.failures {
    ///         eprintln!("{}", failure.error);
    ///     }
    ///     position = batch.next;
    ///     if position.is_none() {
    ///         break;
    ///     }
    /// }
    /// println!("{:?}", db.sealed_by_key().await?.by_key);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reseal(&self, after: Option<ResealCursor>, limit: u32) -> Result<Resealed> {
        if !(1..=MOST).contains(&limit) {
            let reason = format_args!("{limit} is not within 1 and {MOST}");
            return Err(Error::invalid("limit", reason));
        }
        let keys = self.secrets();
        let keys = keys.ok_or_else(|| Error::invalid("secrets", "the database has no keys"))?;
        let active = keys.active()?.0;
        let executor = self.executor();
        let mut batch = Batch {
            keys,
            active,
            outcome: Resealed::default(),
        };
        let mut position = after.map_or_else(Position::start, |cursor| cursor.0);
        let mut left = i64::from(limit);
        if let Position::Integrations(after) = position {
            let other = OtherIntegrations {
                after,
                active: active.into(),
                limit: left,
            };
            let rows: Vec<IntegrationSecrets> = executor.load(Sql(other)).await?;
            let read = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if let Some(last) = rows.last().filter(|_| read == left) {
                batch.outcome.next = Some(ResealCursor(Position::Integrations(last.0)));
            }
            batch.integrations(&executor, rows).await?;
            if batch.outcome.next.is_some() {
                return Ok(batch.outcome);
            }
            left -= read;
            position = Position::configurations();
        }
        if let Position::Configurations(after) = position {
            let other = OtherSettings {
                after,
                active: active.into(),
                limit: left,
            };
            let rows: Vec<SettingSecret> = executor.load(Sql(other)).await?;
            let read = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            if let Some(last) = rows.last().filter(|_| read == left) {
                batch.outcome.next = Some(ResealCursor(Position::Configurations(last.0)));
            }
            batch.settings(&executor, rows).await?;
        }
        Ok(batch.outcome)
    }
}

/// A batch in progress.
struct Batch<'k> {
    keys: &'k dyn KeyProvider,
    active: u16,
    outcome: Resealed,
}

#[repository]
impl Batch<'_> {
    #[unboxed]
    async fn integrations(
        &mut self,
        executor: &Executor<'_>,
        rows: Vec<IntegrationSecrets>,
    ) -> Result<()> {
        let mut statement = ReplaceIntegrations::default();
        let mut secrets = HashMap::new();
        for row in rows {
            let (id, organization, project) = (row.0, row.1, row.2);
            let place = integrations::credentials(id, organization, project);
            let credentials = self.resealed("credentials", &place, row.3.as_ref(), None);
            let place = integrations::webhook_secret(id, organization, project);
            let webhook_secret =
                self.resealed("webhook_secret", &place, row.4.as_ref(), integrations::MOST);
            let number = u64::from(credentials.is_some()) + u64::from(webhook_secret.is_some());
            if number > 0 {
                secrets.insert(id, number);
                let new = (
                    credentials.or_else(|| row.3.clone()),
                    webhook_secret.or_else(|| row.4.clone()),
                );
                statement.push_row(row, new);
            }
        }
        if !secrets.is_empty() {
            let written: Vec<IntegrationId> = written_load(executor, Sql(statement)).await?;
            self.outcome.skipped += (secrets.len() - written.len()) as u64;
            let numbers = written.iter().filter_map(|id| secrets.get(id));
            self.outcome.resealed += numbers.sum::<u64>();
        }
        Ok(())
    }

    #[unboxed]
    async fn settings(&mut self, executor: &Executor<'_>, rows: Vec<SettingSecret>) -> Result<()> {
        let mut statement = ReplaceSettings::default();
        for row in rows {
            let place = configurations::place(row.0, row.1, row.2);
            if let Some(value) = self.resealed("value", &place, Some(&row.3), None) {
                statement.push_row(row, value);
            }
        }
        let number = statement.values.len();
        if number > 0 {
            let statement = || Sql(statement.clone());
            let written: Vec<(Option<OrganizationId>, Option<ProjectId>)> =
                steady_load(executor, statement).await?;
            self.outcome.resealed += written.len() as u64;
            self.outcome.skipped += (number - written.len()) as u64;
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// Returns the stored form of a secret under the active key. Returns `None` if it is under this
    /// key already, or cannot be sealed, which it records.
    fn resealed<T: MaySeal + Clone>(
        &mut self,
        field: &'static str,
        place: &Place,
        stored: Option<&T>,
        most: Option<usize>,
    ) -> Option<T> {
        let mut protected = Protected::from(stored?.clone());
        if matches!(&protected, Protected::Sealed(sealed) if sealed.key() == self.active) {
            return None;
        }
        protected.open(place, Some(self.keys));
        let sealed = protected.into_exposed().and_then(|value| {
            let mut secret = Secret::new(value);
            seal(Some(self.keys), field, place, &mut secret, most)?;
            Ok(secret.into_exposed())
        });
        match sealed {
            Ok(sealed) => Some(sealed),
            Err(error) => {
                self.outcome.failures.push(ResealFailure {
                    column: place.column,
                    row: place.row,
                    error,
                });
                None
            }
        }
    }
}
