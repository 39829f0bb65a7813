//! The monthly partitions of `audit.audit_logs` and `audit.system_logs`.

use chrono::{NaiveDate, Utc};
use diesel::sql_query;
use diesel::sql_types::{Bool, Date, Integer, Nullable, Text};

use super::*;
use crate::models::partitions::{LogTable, MOST_MONTHS_AHEAD, Partition, PartitionHealth};
use crate::sql::partitions::{
    Exists, IS_THERE, LIST, LOCK_TIMEOUT, MAKE, MISSING, MissingMonth, Number, PartitionRow,
    Spared, count_default, with_lock_timeout,
};
use crate::{Error, Result};

/// Creates, checks and removes the monthly partitions of the logs. A month begins at midnight UTC.
///
/// A method that changes partitions waits at most 2 seconds for a lock. Then it returns
/// [`Error::Timeout`] with nothing done, and can be called again. Inside a transaction it waits as
/// long as the transaction's `lock_timeout` allows.
///
/// Every method may return [`Error::Other`] with SQLSTATE 42501 if the role does not own the
/// tables.
#[repository]
pub trait PartitionRepository: Send + Sync {
    /// Creates the missing partitions of this month and of the next `months_ahead` months, and
    /// returns their number.
    ///
    /// Call it daily from any process. Concurrent callers wait for each other, and those after the
    /// first have nothing to do.
    ///
    /// Outside a transaction, each month is created by its own transaction. Months that were
    /// created before an error stay.
    ///
    /// A default partition of more than 4 MB is read once, by a statement without a time limit that
    /// blocks neither readers nor writers. Until the months are created, the default partition has
    /// a CHECK that refuses their rows. No writer has such rows more than a day ahead. If a crash
    /// leaves the CHECK, the next call removes it.
    ///
    /// While this month is created, or any month inside a transaction, writers to the log and to
    /// the tables that it refers to wait.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `months_ahead` is greater than 120
    /// - The errors of [`create`](Self::create)
    async fn ensure(&self, log: LogTable, months_ahead: u32) -> Result<u64>;

    /// Creates the partition of the month that contains `day`, and returns whether it was missing.
    ///
    /// Rows of that month move from the default partition into it. A month that another partition
    /// covers by its bounds is not missing.
    ///
    /// While a month that ended more than a day ago is created outside a transaction, a default
    /// partition of more than 4 MB is read without a lock that blocks its readers. It refuses rows
    /// of that month meanwhile, and writers to the months that have a partition go on. While
    /// another month is created, writers to the log wait until PostgreSQL has read the default
    /// partition. A large default partition may need a greater
    /// [`statement_timeout`](crate::Config::statement_timeout).
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the year is not within 1 and 9999
    /// - [`Error::Other`] if there is a table of that name which is no partition, for example a
    ///   detached one, or if another partition covers a part of the month
    async fn create(&self, log: LogTable, day: NaiveDate) -> Result<bool>;

    /// Returns the partitions, oldest first and the default partition last.
    async fn list(&self, log: LogTable) -> Result<Vec<Partition>>;

    /// Checks whether months are missing, and whether the default partition has rows. At most
    /// 10,000 rows are counted, by an index: a greater number is an estimate.
    async fn health(&self, log: LogTable) -> Result<PartitionHealth>;

    /// Detaches the month that contains `day` from the log, and returns whether there was such a
    /// partition. It stays as a table of the same name, for example to be archived.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the year is not within 1 and 9999
    async fn detach(&self, log: LogTable, day: NaiveDate) -> Result<bool>;

    /// Drops the month that contains `day` with all its rows, detached or not, and returns whether
    /// there was such a table.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the year is not within 1 and 9999
    async fn drop(&self, log: LogTable, day: NaiveDate) -> Result<bool>;
}

/// The [`PartitionRepository`] on PostgreSQL.
#[derive(Clone)]
pub struct Partitions<'a>(Executor<'a>);

impl Db {
    /// Returns the repository of the monthly partitions of the logs.
    pub fn partitions(&self) -> Partitions<'static> {
        Partitions(self.executor())
    }
}

impl Tx {
    /// Returns the repository of the monthly partitions of the logs within this transaction.
    pub fn partitions(&self) -> Partitions<'_> {
        Partitions(self.executor())
    }
}

impl Partitions<'_> {
    /// Returns the lock timeout of a statement. In the caller's transaction, the caller's limit
    /// holds.
    fn lock_timeout(&self) -> Option<&'static str> {
        match self.0 {
            Executor::Pool(_) => Some(LOCK_TIMEOUT),
            _ => None,
        }
    }
}

#[repository]
impl Partitions<'_> {
    /// Creates those of a number of months that are missing, and returns their number. On a pool,
    /// each is created by its own transaction.
    async fn make(&self, log: LogTable, first: Option<NaiveDate>, more: i32) -> Result<u64> {
        let query = sql_query(MISSING)
            .into_boxed()
            .bind::<Text, _>(log.as_str())
            .bind::<Nullable<Date>, _>(first)
            .bind::<Integer, _>(more);
        let mut missing = self.0.load::<_, MissingMonth>(query).await?;
        if missing.is_empty() {
            return Ok(0);
        }
        let partitions = self.list(log).await?;
        missing.retain(|missing| {
            !partitions
                .iter()
                .any(|partition| partition.covers(missing.month))
        });
        let on_pool = matches!(self.0, Executor::Pool(_));
        let mut made = 0;
        for missing in missing.iter().filter(|missing| !missing.is_ahead) {
            let spared = match on_pool && missing.is_past {
                true => Spared::of_past(log, missing.month),
                false => None,
            };
            made += self.make_spared(log, &[missing.month], spared).await?;
        }
        let ahead = missing.iter().filter(|missing| missing.is_ahead);
        let ahead: Vec<_> = ahead.map(|missing| missing.month).collect();
        // In a transaction, the CHECK would have to be committed before it is validated.
        let spared = match on_pool {
            true => Spared::new(log, &ahead),
            false => None,
        };
        Ok(made + self.make_spared(log, &ahead, spared).await?)
    }

    /// Creates months and returns their number. With a CHECK, the default partition is not scanned
    /// under a lock.
    async fn make_spared(
        &self,
        log: LogTable,
        months: &[NaiveDate],
        spared: Option<Spared>,
    ) -> Result<u64> {
        let Some(spared) = spared else {
            return self.make_each(log, months).await;
        };
        self.0.execute(sql_query(spared.begin())).await?;
        let outcome = match self.validate(&spared).await {
            Ok(()) => self.make_each(log, months).await,
            Err(error) => Err(error),
        };
        // Its error is not that of the call. The next call drops a CHECK that is left, which
        // refuses no row that has a partition.
        let _ = self.0.execute(sql_query(spared.end())).await;
        outcome
    }

    /// Validates the CHECK, which reads the whole default partition.
    async fn validate(&self, spared: &Spared) -> Result<()> {
        let unit = UnitOfWork::begin(&self.0).await?;
        let executor = unit.executor();
        let outcome = match executor.end_time_limits().await {
            Ok(()) => executor.execute(sql_query(spared.validate())).await,
            Err(error) => Err(error),
        };
        unit.end(outcome.map(drop)).await
    }

    async fn make_each(&self, log: LogTable, months: &[NaiveDate]) -> Result<u64> {
        for month in months {
            let statement = sql_query(MAKE)
                .into_boxed()
                .bind::<Text, _>(log.as_str())
                .bind::<Date, _>(*month)
                .bind::<Nullable<Text>, _>(self.lock_timeout());
            self.0.one::<_, Number>(statement).await?;
        }
        Ok(months.len() as u64)
    }

    /// Runs a statement about a month's table and returns `true`, or returns `false` if there is no
    /// such table.
    async fn change(
        &self,
        log: LogTable,
        name: &str,
        is_attached: bool,
        statement: &str,
    ) -> Result<bool> {
        let is_there = is_table_of(&self.0, log, name, is_attached).await?;
        if is_there {
            let statement = with_lock_timeout(statement, self.lock_timeout());
            self.0.execute(sql_query(statement)).await?;
        }
        Ok(is_there)
    }
}

#[repository(observed)]
impl PartitionRepository for Partitions<'_> {
    async fn ensure(&self, log: LogTable, months_ahead: u32) -> Result<u64> {
        let more = i32::try_from(months_ahead)
            .ok()
            .filter(|&months| months <= MOST_MONTHS_AHEAD)
            .ok_or_else(|| {
                Error::invalid(
                    "months_ahead",
                    format_args!("{months_ahead} is more than {MOST_MONTHS_AHEAD}"),
                )
            })?;
        self.make(log, None, more).await
    }

    async fn create(&self, log: LogTable, day: NaiveDate) -> Result<bool> {
        log.partition(day)?;
        Ok(self.make(log, Some(day), 0).await? == 1)
    }

    async fn list(&self, log: LogTable) -> Result<Vec<Partition>> {
        let query = sql_query(LIST).into_boxed().bind::<Text, _>(log.as_str());
        let rows = self.0.load::<_, PartitionRow>(query).await?;
        Ok(rows.into_iter().map(Partition::from).collect())
    }

    async fn health(&self, log: LogTable) -> Result<PartitionHealth> {
        let partitions = self.list(log).await?;
        let mut counted = 0;
        for default in partitions.iter().filter(|partition| partition.is_default) {
            let query = sql_query(count_default(&default.name));
            counted = self.0.one::<_, Number>(query).await?.number;
        }
        let today = Utc::now().date_naive();
        Ok(PartitionHealth::of(&partitions, counted, today))
    }

    async fn detach(&self, log: LogTable, day: NaiveDate) -> Result<bool> {
        let name = log.partition(day)?;
        let statement = format!("ALTER TABLE {} DETACH PARTITION {name}", log.as_str());
        self.change(log, &name, true, &statement).await
    }

    async fn drop(&self, log: LogTable, day: NaiveDate) -> Result<bool> {
        let name = log.partition(day)?;
        let statement = format!("DROP TABLE {name}");
        self.change(log, &name, false, &statement).await
    }
}

/// Checks whether there is a table of a log with this name: a partition, or if it need not be
/// attached, also a detached one.
#[repository]
pub(super) async fn is_table_of(
    executor: &Executor<'_>,
    log: LogTable,
    name: &str,
    is_attached: bool,
) -> Result<bool> {
    let query = sql_query(IS_THERE)
        .into_boxed()
        .bind::<Text, _>(log.as_str())
        .bind::<Text, _>(name)
        .bind::<Bool, _>(is_attached);
    Ok(executor.one::<_, Exists>(query).await?.yes)
}
