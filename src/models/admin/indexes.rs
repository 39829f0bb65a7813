//! The indexes of a database: unused, repeated, bloated and invalid ones.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::monitoring::{PG_READ_ALL_DATA, Thresholds, Warning, bytes};

/// The indexes of the database, the largest first, without those of the system.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Indexes {
    /// The indexes.
    pub indexes: Vec<IndexState>,
    /// The time since which the server counts the use of indexes; `None` if it always did.
    pub counted_since: Option<DateTime<Utc>>,
    /// The number of B-trees without an estimate of their size, because the role cannot read a
    /// column.
    pub hidden: u64,
}

/// An index and its use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct IndexState {
    /// The schema and the table.
    pub table: String,
    /// The name.
    pub name: String,
    /// The size in bytes.
    pub bytes: u64,
    /// The number of scans since [`Indexes::counted_since`], on this server alone: a standby counts
    /// its own.
    pub scans: u64,
    /// The time of the last scan. Only from PostgreSQL 16.
    pub last_scan: Option<DateTime<Utc>>,
    /// True if the index enforces a rule: a key, a unique or an exclusion constraint, or a replica
    /// identity.
    pub is_rule: bool,
    /// True if queries can use it. False after a failed `CREATE INDEX CONCURRENTLY`.
    pub is_valid: bool,
    /// The statement that creates it.
    pub definition: String,
    /// The index of the same table that has the same columns, in the same order.
    #[serde(skip_deserializing)]
    pub duplicate_of: Option<String>,
    /// The index of the same table that begins with the same columns and has more of them.
    #[serde(skip_deserializing)]
    pub prefix_of: Option<String>,
    /// The estimated size in bytes without bloat, after the planner's statistics. Only for B-trees,
    /// and only if the role can read the columns and the table was analyzed. An estimate of bloat
    /// below a half says nothing.
    pub expected_bytes: Option<u64>,
    /// The columns, each with its operator class, collation and order.
    #[serde(skip_serializing)]
    columns: Vec<String>,
    /// What else two equal indexes have in common: method, predicate and included columns.
    #[serde(skip_serializing)]
    kind: String,
}

/// The indexes as the server reports them.
#[derive(Debug, Deserialize)]
pub(crate) struct Unrelated {
    indexes: Vec<IndexState>,
    counted_since: Option<DateTime<Utc>>,
    hidden: u64,
}

impl From<Unrelated> for Indexes {
    fn from(unrelated: Unrelated) -> Self {
        let mut indexes = unrelated.indexes;
        let relations: Vec<_> = indexes
            .iter()
            .map(|index| related(index, &indexes))
            .collect();
        for (index, (duplicate_of, prefix_of)) in indexes.iter_mut().zip(relations) {
            index.duplicate_of = duplicate_of;
            index.prefix_of = prefix_of;
        }
        Self {
            indexes,
            counted_since: unrelated.counted_since,
            hidden: unrelated.hidden,
        }
    }
}

/// Returns the index that this one repeats, and the index of which this one is the beginning.
fn related(index: &IndexState, all: &[IndexState]) -> (Option<String>, Option<String>) {
    let others = || {
        all.iter().filter(|other| {
            other.table == index.table
                && other.name != index.name
                && other.is_valid
                && other.kind == index.kind
        })
    };
    // Of two equal ones, the one that enforces a rule stays, or the one whose name comes first.
    let stays = |other: &IndexState| (other.is_rule, &index.name) > (index.is_rule, &other.name);
    let duplicate = others().find(|other| other.columns == index.columns && stays(other));
    let prefix = others().find(|other| {
        other.columns.len() > index.columns.len() && other.columns.starts_with(&index.columns)
    });
    let name = |other: &IndexState| other.name.clone();
    (
        duplicate.map(name),
        prefix.filter(|_| !index.is_rule).map(name),
    )
}

impl IndexState {
    /// Checks whether no query has used it and no rule needs it.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.scans == 0 && !self.is_rule
    }

    /// Returns the part of the index that is bloat, from 0 to 1. `None` without an estimate.
    #[must_use]
    pub fn bloat(&self) -> Option<f64> {
        let expected = self.expected_bytes?;
        let excess = self.bytes.saturating_sub(expected);
        // Sizes below 2^52 are exact.
        Some(excess as f64 / self.bytes.max(1) as f64)
    }
}

impl Indexes {
    /// Returns the role that is needed to estimate the size of all B-trees. `None` if it was
    /// estimated.
    ///
    /// Where row-level security applies to the role, the owner of the tables is needed.
    #[must_use]
    pub fn needs(&self) -> Option<&'static str> {
        (self.hidden > 0).then_some(PG_READ_ALL_DATA)
    }

    /// Returns what exceeds the thresholds: `index_invalid`, `index_unused`, `index_duplicate`,
    /// `index_prefix` and `index_bloat`. An invalid index is reported whatever its size.
    #[must_use]
    pub fn warnings(&self, thresholds: &Thresholds) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for index in &self.indexes {
            let mut warn = |kind, value: String, advice| {
                let subject = format!("{} of {}", index.name, index.table);
                warnings.push(Warning::new(kind, subject, value, advice));
            };
            let size = bytes(index.bytes);
            if !index.is_valid {
                let advice = "drop it and create it again: each write updates it, no query uses it";
                warn("index_invalid", size, advice);
                continue;
            }
            if index.bytes <= thresholds.index_bytes {
                continue;
            }
            let repeats = |other: &String| format!("{size}, {other}");
            if let Some(other) = &index.duplicate_of {
                warn(
                    "index_duplicate",
                    repeats(other),
                    "drop it: the other one serves its queries",
                );
            } else if let Some(other) = &index.prefix_of {
                let advice = "drop it if the other one serves its queries: compare their plans";
                warn("index_prefix", repeats(other), advice);
            } else if index.is_unused() {
                let advice = "drop it if no standby and no yearly report uses it";
                warn("index_unused", size.clone(), advice);
            }
            if let Some(bloat) = index
                .bloat()
                .filter(|bloat| *bloat > thresholds.index_bloat)
            {
                let value = format!("{size}, some {:.0} % of it bloat", bloat * 100.0);
                warn("index_bloat", value, "REINDEX INDEX CONCURRENTLY");
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, columns: &[&str], is_rule: bool) -> IndexState {
        IndexState {
            table: "public.users".to_owned(),
            name: name.to_owned(),
            bytes: 100 << 20,
            scans: 1,
            last_scan: None,
            is_rule,
            is_valid: true,
            definition: String::new(),
            duplicate_of: None,
            prefix_of: None,
            expected_bytes: None,
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            kind: "btree".to_owned(),
        }
    }

    fn kinds(indexes: Vec<IndexState>) -> Vec<(String, &'static str)> {
        let indexes = Indexes::from(Unrelated {
            indexes,
            counted_since: None,
            hidden: 0,
        });
        let warnings = indexes.warnings(&Thresholds::default());
        warnings
            .into_iter()
            .map(|warning| (warning.subject, warning.kind))
            .collect()
    }

    #[test]
    fn of_two_equal_indexes_the_one_that_enforces_a_rule_stays() {
        let found = kinds(vec![
            index("a", &["email"], false),
            index("email_key", &["email"], true),
        ]);
        assert_eq!(found, [("a of public.users".to_owned(), "index_duplicate")]);
        let found = kinds(vec![index("a", &["x"], false), index("b", &["x"], false)]);
        assert_eq!(found, [("b of public.users".to_owned(), "index_duplicate")]);
    }

    #[test]
    fn the_beginning_of_another_index_is_found_unless_it_enforces_a_rule() {
        let longer = || index("longer", &["a", "b"], false);
        let found = kinds(vec![index("short", &["a"], false), longer()]);
        assert_eq!(
            found,
            [("short of public.users".to_owned(), "index_prefix")]
        );
        assert_eq!(kinds(vec![index("key", &["a"], true), longer()]), []);
        assert_eq!(kinds(vec![index("other", &["b"], false), longer()]), []);
    }

    #[test]
    fn an_invalid_index_serves_nothing() {
        let mut invalid = index("invalid", &["a", "b"], false);
        (invalid.is_valid, invalid.bytes) = (false, 8_192);
        let found = kinds(vec![index("short", &["a"], false), invalid]);
        assert_eq!(
            found,
            [("invalid of public.users".to_owned(), "index_invalid")]
        );
    }

    #[test]
    fn bloat_is_what_exceeds_the_estimate() {
        let mut bloated = index("a", &["a"], false);
        bloated.expected_bytes = Some(25 << 20);
        assert_eq!(bloated.bloat(), Some(0.75));
        assert_eq!(
            kinds(vec![bloated]),
            [("a of public.users".to_owned(), "index_bloat")]
        );
        let mut deduplicated = index("a", &["a"], false);
        deduplicated.expected_bytes = Some(300 << 20);
        assert_eq!(deduplicated.bloat(), Some(0.0));
    }
}
