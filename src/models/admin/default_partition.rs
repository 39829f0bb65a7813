//! The result of draining a default partition.

use chrono::{DateTime, Months, NaiveDate, NaiveTime, Utc};
use serde::Serialize;

use crate::Partition;

/// The result of `admin::drain_default`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DrainedDefault {
    /// The first days of the months to whose new partitions rows were moved.
    pub months: Vec<NaiveDate>,
    /// The name of the partition that the default partition has become, with its schema. No row was
    /// moved for it.
    pub adopted_as: Option<String>,
    /// True if the default partition is empty afterwards. Rows that stay have a time that no month
    /// between the years 1 and 9999 contains, or another call moves them.
    pub is_empty: bool,
}

/// A range of whole months that no partition covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeRange {
    /// The first day, or none.
    pub(crate) from: Option<NaiveDate>,
    /// The first day after it.
    pub(crate) before: NaiveDate,
}

impl FreeRange {
    /// Returns the ranges that could become one partition each: those between the partitions, and
    /// the one after the last of them up to the end of this month.
    ///
    /// A bound within a month has none, since a partition of whole months would overlap.
    pub(crate) fn among(partitions: &[Partition], today: NaiveDate) -> Vec<Self> {
        let mut bounded: Vec<&Partition> = partitions
            .iter()
            .filter(|partition| !partition.is_default)
            .collect();
        bounded.sort_by_key(|partition| partition.from);
        let after_this =
            crate::models::partitions::month_of(today).checked_add_months(Months::new(1));
        let ends = bounded.iter().map(|partition| match partition.from {
            Some(from) => first_of_month(from),
            // Without a lower bound, nothing is before it.
            None => None,
        });
        let ends = ends.chain([after_this]);
        let begins = [Some(None)].into_iter().chain(
            bounded
                .iter()
                .map(|partition| partition.before.and_then(first_of_month).map(Some)),
        );
        let ranges = begins.zip(ends).filter_map(|(from, before)| {
            let (from, before) = (from?, before?);
            from.is_none_or(|from| from < before)
                .then_some(Self { from, before })
        });
        ranges.collect()
    }

    /// Returns the end of the name of the partition of this range.
    pub(crate) fn suffix(&self) -> String {
        let last = self.before.pred_opt().unwrap_or(self.before);
        let last_month = crate::models::partitions::month_of(last);
        match self.from {
            None => format!("_until_{}", last.format("%Y_%m")),
            Some(from) if from == last_month => from.format("_%Y_%m").to_string(),
            Some(from) => format!("_{}_to_{}", from.format("%Y_%m"), last.format("%Y_%m")),
        }
    }
}

/// Returns the day if the time is the begin of a month.
pub(crate) fn first_of_month(time: DateTime<Utc>) -> Option<NaiveDate> {
    let day = time.date_naive();
    let is_first = day == crate::models::partitions::month_of(day) && time.time() == NaiveTime::MIN;
    is_first.then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn partition(from: Option<&str>, before: Option<&str>) -> Partition {
        let time = |text: Option<&str>| text.map(|text| text.parse::<DateTime<Utc>>().unwrap());
        Partition {
            name: String::new(),
            is_default: from.is_none() && before.is_none(),
            from: time(from),
            before: time(before),
            estimated_rows: None,
            bytes: 0,
        }
    }

    #[test]
    fn a_free_range_lies_between_partitions_or_ends_with_this_month() {
        let january = partition(Some("2024-01-01T00:00:00Z"), Some("2024-02-01T00:00:00Z"));
        let june = partition(Some("2024-06-01T00:00:00Z"), Some("2024-07-01T00:00:00Z"));
        let default = partition(None, None);
        let among = |partitions: &[&Partition], today| {
            let partitions: Vec<_> = partitions.iter().map(|&one| one.clone()).collect();
            let ranges = FreeRange::among(&partitions, day(today));
            ranges.iter().map(FreeRange::suffix).collect::<Vec<_>>()
        };
        assert_eq!(among(&[&default], "2024-03-15"), ["_until_2024_03"]);
        assert_eq!(
            among(&[&january, &june, &default], "2024-06-15"),
            ["_until_2023_12", "_2024_02_to_2024_05"]
        );
        assert_eq!(
            among(&[&june, &default], "2024-07-31"),
            ["_until_2024_05", "_2024_07"]
        );
        let early = partition(None, Some("2024-01-01T00:00:00Z"));
        assert_eq!(among(&[&early, &january], "2024-01-31"), [""; 0]);
        let odd = partition(Some("2024-03-05T00:00:00Z"), Some("2024-03-09T00:00:00Z"));
        assert_eq!(among(&[&odd, &june], "2024-06-01"), [""; 0]);
    }
}
