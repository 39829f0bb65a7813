//! The monthly partitions of the two logs.
//!
//! Each month has a partition of its own, named after the month in UTC, for example
//! `audit.audit_logs_2024_01`. A row of a month without a partition goes to the default partition.
//! When the month's partition is created, its rows are moved there from the default partition.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};

use crate::{Error, Result};

/// A table that is partitioned by the month of `created_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogTable {
    /// `audit.audit_logs`.
    AuditLogs,
    /// `audit.system_logs`.
    SystemLogs,
}

impl LogTable {
    /// Returns the table's name with its schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditLogs => "audit.audit_logs",
            Self::SystemLogs => "audit.system_logs",
        }
    }

    /// Returns the name, with its schema, of the partition for the month of `day`.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] unless the year is between 1 and 9999.
    pub(crate) fn partition(self, day: NaiveDate) -> Result<String> {
        if !(1..=9999).contains(&day.year()) {
            return Err(Error::invalid(
                "month",
                format_args!("{day} is out of range"),
            ));
        }
        Ok(format!(
            "{}_{:04}_{:02}",
            self.as_str(),
            day.year(),
            day.month()
        ))
    }
}

/// A partition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The partition's name with its schema, for example `audit.audit_logs_2024_01`.
    pub name: String,
    /// True for the default partition, which has the rows that no other partition covers.
    pub is_default: bool,
    /// The lower bound, inclusive. It is `None` for the default partition and for one without a
    /// lower bound.
    pub from: Option<DateTime<Utc>>,
    /// The upper bound, exclusive. It is `None` for the default partition and for one without an
    /// upper bound.
    pub before: Option<DateTime<Utc>>,
    /// The number of rows at the last `ANALYZE` or `VACUUM`. It is `None` if there was none.
    pub estimated_rows: Option<u64>,
    /// The size on disk including indexes, in bytes.
    pub bytes: u64,
}

/// The health of a log's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionHealth {
    /// The number of consecutive months after this one that have a partition.
    pub months_ahead: u32,
    /// The first days of the months without a partition, between the oldest partition and the
    /// newest one or this month. Months more than a thousand years from this one are not counted.
    pub gaps: Vec<NaiveDate>,
    /// The number of rows in the default partition. Their months had no partition when they were
    /// written.
    ///
    /// It is exact up to 10,000. Beyond, it is the server's estimate, and at least 10,000.
    pub rows_in_default: u64,
    /// True if `rows_in_default` is exact.
    pub rows_are_exact: bool,
}

impl PartitionHealth {
    /// Computes the health from the partitions, as of the month of `today`. `counted` is the number
    /// of rows of the default partition, of which not all may have been counted.
    pub(crate) fn of(partitions: &[Partition], counted: i64, today: NaiveDate) -> Self {
        let this_month = today.with_day(1).unwrap_or(today);
        let bounded = || partitions.iter().filter(|partition| !partition.is_default);
        let begins = bounded().filter_map(|partition| partition.from);
        let newest = begins.map(|from| from.date_naive()).max();
        // A partition without a lower bound covers all months before its end.
        let begins = bounded().filter_map(|partition| partition.from.or(partition.before));
        let oldest = begins.map(|from| from.date_naive()).min();
        let oldest = oldest.map(|day| day.with_day(1).unwrap_or(day));
        let is_covered = |month: &NaiveDate| bounded().any(|partition| partition.covers(*month));
        let ahead = months_from(this_month).skip(1);
        let months_ahead = ahead
            .take(MONTHS_COUNTED as usize)
            .take_while(is_covered)
            .count();
        let most = Months::new(MONTHS_COUNTED);
        let first = oldest.unwrap_or(this_month).min(this_month);
        let first = first.max(this_month.checked_sub_months(most).unwrap_or(this_month));
        let last = newest.unwrap_or(this_month).max(this_month);
        let last = last.min(this_month.checked_add_months(most).unwrap_or(this_month));
        let gaps = months_from(first)
            .take_while(|&month| month <= last)
            .filter(|month| !is_covered(month))
            .collect();
        let rows_are_exact = counted < MOST_COUNTED;
        let default = partitions.iter().find(|partition| partition.is_default);
        let estimated = default.and_then(|default| default.estimated_rows);
        let counted = unsigned(counted);
        Self {
            months_ahead: u32::try_from(months_ahead).unwrap_or(u32::MAX),
            gaps,
            rows_in_default: match rows_are_exact {
                true => counted,
                false => counted.max(estimated.unwrap_or(0)),
            },
            rows_are_exact,
        }
    }
}

/// The greatest number of rows of the default partition that are counted.
pub(crate) const MOST_COUNTED: i64 = 10_000;

/// The greatest number of months that are counted before and after this one: a thousand years. A
/// partition without an upper bound covers all future months, and a bound may be in any year.
const MONTHS_COUNTED: u32 = 12_000;

impl Partition {
    /// Checks whether the partition's bounds include the whole month that begins on this day.
    pub(crate) fn covers(&self, month: NaiveDate) -> bool {
        let begin = month.and_time(NaiveTime::MIN).and_utc();
        !self.is_default
            && self.from.is_none_or(|from| from <= begin)
            && self.before.is_none_or(|before| {
                begin
                    .checked_add_months(Months::new(1))
                    .is_some_and(|end| end <= before)
            })
    }
}

/// Returns the first day of the month of a day.
#[cfg(feature = "admin")]
pub(crate) fn month_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// Returns the first days of this month and all later ones.
fn months_from(first: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    std::iter::successors(Some(first), |month| {
        month.checked_add_months(Months::new(1))
    })
}

impl fmt::Display for LogTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for LogTable {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let logs = [Self::AuditLogs, Self::SystemLogs];
        let log = logs.into_iter().find(|log| log.as_str() == name);
        log.ok_or_else(|| {
            Error::invalid("log", "is neither audit.audit_logs nor audit.system_logs")
        })
    }
}

/// Returns the number, or 0 if it is negative.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The greatest distance between the `created_at` of a log's row and the time in its id at which
/// the first query still finds the row. Clocks differ, and a row may wait in a queue.
const LEEWAY: Days = Days::new(1);

/// Returns the range of `created_at` that is searched first for rows whose ids have these times.
pub(crate) fn window(
    times: impl IntoIterator<Item = DateTime<Utc>>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let times: Vec<_> = times.into_iter().collect();
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    Some((
        first.checked_sub_days(LEEWAY)?,
        last.checked_add_days(LEEWAY)?,
    ))
}

/// The greatest number of months that one call creates ahead: ten years.
pub(crate) const MOST_MONTHS_AHEAD: i32 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn partition(first: Option<&str>) -> Partition {
        let from = first.map(|first| day(first).and_hms_opt(0, 0, 0).unwrap().and_utc());
        Partition {
            name: String::new(),
            is_default: from.is_none(),
            from,
            before: from.and_then(|from| from.checked_add_months(Months::new(1))),
            estimated_rows: None,
            bytes: 0,
        }
    }

    #[test]
    fn months_ahead_end_at_the_first_gap() {
        let partitions = [
            Some("2024-01-01"),
            Some("2024-03-01"),
            Some("2024-04-01"),
            Some("2024-06-01"),
            None,
        ]
        .map(partition);

        let health = PartitionHealth::of(&partitions, 7, day("2024-03-31"));
        assert_eq!(health.months_ahead, 1);
        assert_eq!(health.gaps, [day("2024-02-01"), day("2024-05-01")]);
        assert_eq!((health.rows_in_default, health.rows_are_exact), (7, true));
        let mut default = partition(None);
        default.estimated_rows = Some(2_000_000);
        let large = PartitionHealth::of(&[default], MOST_COUNTED, day("2024-03-31"));
        assert_eq!(
            (large.rows_in_default, large.rows_are_exact),
            (2_000_000, false)
        );
        let later = PartitionHealth::of(&partitions[..2], 0, day("2024-05-01"));
        assert_eq!(later.months_ahead, 0);
        assert_eq!(
            later.gaps,
            [day("2024-02-01"), day("2024-04-01"), day("2024-05-01")]
        );
        let none = PartitionHealth::of(&[], 0, day("2024-05-31"));
        assert_eq!(none.gaps, [day("2024-05-01")]);
    }

    #[test]
    fn a_partition_covers_all_months_within_its_bounds() {
        let early = Partition {
            is_default: false,
            from: None,
            ..partition(Some("2023-12-01"))
        };
        let quarter = Partition {
            before: partition(Some("2024-04-01")).from,
            ..partition(Some("2024-01-01"))
        };
        let partitions = [
            early,
            quarter,
            partition(Some("2024-05-01")),
            partition(None),
        ];

        let health = PartitionHealth::of(&partitions, 0, day("2024-01-15"));
        assert_eq!(health.months_ahead, 2);
        assert_eq!(health.gaps, [day("2024-04-01")]);
        let endless = Partition {
            before: None,
            ..partition(Some("2024-01-01"))
        };
        let health = PartitionHealth::of(&[endless], 0, day("2024-01-15"));
        assert_eq!((health.gaps.len(), health.months_ahead), (0, 12_000));
    }

    #[test]
    fn a_window_spans_all_times_and_a_day_to_each_side() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(window([]), None);
        assert_eq!(
            window([time("2024-03-31T12:00:00Z"), time("2024-01-01T00:00:00Z")]),
            Some((time("2023-12-31T00:00:00Z"), time("2024-04-01T12:00:00Z")))
        );
        assert_eq!(window([DateTime::<Utc>::MAX_UTC]), None);
    }

    #[test]
    fn a_month_of_no_common_year_has_no_partition() {
        let name =
            |year| LogTable::SystemLogs.partition(NaiveDate::from_ymd_opt(year, 2, 29).unwrap());
        assert_eq!(name(2024).unwrap(), "audit.system_logs_2024_02");
        assert!(matches!(name(10_000), Err(Error::InvalidInput { .. })));
        assert!(matches!(name(0), Err(Error::InvalidInput { .. })));
    }
}
