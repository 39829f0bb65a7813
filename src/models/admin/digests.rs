//! The digests of a database, by which a copy is compared with it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The content and the definitions of a database at one moment.
///
/// Store it beside the backup, for example as JSON, and compare each restored copy with it.
///
/// Rows of foreign tables, of tables of extensions, of materialized views and of large objects are
/// not part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Digests {
    /// The server's time at the begin of the transaction that computed them.
    pub taken_at: DateTime<Utc>,
    /// The name of the database.
    pub database: String,
    /// The version of the server, for example 150020.
    pub server_version: i32,
    /// The rows of each table, by its name with its schema. The rows of partitions count as those
    /// of the partitioned table.
    pub tables: BTreeMap<String, TableDigest>,
    /// The last value of each sequence, `None` if it was not used yet.
    ///
    /// A sequence is not part of a snapshot. The value is that of the moment at which it was read.
    pub sequences: BTreeMap<String, Option<i64>>,
    /// The definitions of all other objects, by their aspect and name.
    pub definitions: BTreeMap<Aspect, BTreeMap<String, String>>,
}

/// The rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableDigest {
    /// The number of rows.
    pub rows: u64,
    /// A hash of all values, which does not depend on the order of the rows.
    pub digest: String,
}

impl TableDigest {
    pub(crate) fn new(rows: u64, digest: String) -> Self {
        Self { rows, digest }
    }
}

/// The part of a database that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aspect {
    /// The rows of a table.
    Rows,
    /// The value of a sequence, which must not be less than that of the original.
    SequenceValue,
    /// The applied migrations.
    Migration,
    /// Tables, their storage settings and whether they have row-level security.
    Table,
    /// Columns with their types, defaults and order.
    Column,
    /// Constraints, and whether they are validated.
    Constraint,
    /// Indexes, and whether they are valid.
    Index,
    /// Triggers, and whether they are enabled. Those of foreign keys are named together by table.
    Trigger,
    /// Partitions with their bounds.
    Partition,
    /// Policies of row-level security.
    Policy,
    /// Views and rules.
    View,
    /// Functions and procedures.
    Function,
    /// Enums, domains and other types.
    Type,
    /// Sequences with their settings.
    Sequence,
    /// Extended statistics.
    Statistics,
    /// Extensions with their versions.
    Extension,
    /// Privileges of roles other than the owner.
    Grant,
    /// The privileges of objects that will be created.
    DefaultPrivilege,
    /// Owners.
    Owner,
    /// Settings of the database, and of roles in it.
    Setting,
    /// Encoding and locale of the database.
    Property,
}

impl Aspect {
    const ALL: [(Self, &'static str); 21] = [
        (Self::Rows, "rows"),
        (Self::SequenceValue, "sequence value"),
        (Self::Migration, "migration"),
        (Self::Table, "table"),
        (Self::Column, "column"),
        (Self::Constraint, "constraint"),
        (Self::Index, "index"),
        (Self::Trigger, "trigger"),
        (Self::Partition, "partition"),
        (Self::Policy, "policy"),
        (Self::View, "view"),
        (Self::Function, "function"),
        (Self::Type, "type"),
        (Self::Sequence, "sequence"),
        (Self::Statistics, "statistics"),
        (Self::Extension, "extension"),
        (Self::Grant, "grant"),
        (Self::DefaultPrivilege, "default privilege"),
        (Self::Owner, "owner"),
        (Self::Setting, "setting"),
        (Self::Property, "property"),
    ];

    /// Returns the name, for example `default privilege`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(aspect, _)| *aspect == self);
        found.map_or("", |(_, name)| name)
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(aspect, _)| *aspect)
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A difference between a database and its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// The part that differs.
    pub aspect: Aspect,
    /// The name of the object with its schema.
    pub name: String,
    /// The definition in the original. `None` if the object exists in the copy alone.
    pub expected: Option<String>,
    /// The definition in the copy. `None` if the object is missing there.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: ", self.aspect, self.name)?;
        match (&self.expected, &self.found) {
            (Some(expected), Some(found)) => {
                write!(formatter, "expected {expected}, found {found}")
            }
            (Some(expected), None) => write!(formatter, "missing: {expected}"),
            (None, Some(found)) => write!(formatter, "not in the original: {found}"),
            (None, None) => formatter.write_str("missing"),
        }
    }
}

/// The comparison of a copy with the digests of the original.
///
/// Its text has one line for each difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The number of tables that both have.
    pub tables: usize,
    /// The number of rows of the original.
    pub rows: u64,
    /// The number of other objects of the original.
    pub objects: usize,
    /// The differences, in the order of their aspects and names.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Checks whether there are no differences.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    /// Returns the comparison without the differences of an aspect, for example of the owners if
    /// the copy was restored with `--no-owner` on purpose.
    #[must_use]
    pub fn ignoring(mut self, aspect: Aspect) -> Self {
        self.differences
            .retain(|difference| difference.aspect != aspect);
        self
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tables,
            rows,
            objects,
            differences,
        } = self;
        let number = differences.len();
        write!(
            formatter,
            "{rows} rows in {tables} tables and {objects} other objects, {number} differences"
        )?;
        differences
            .iter()
            .try_for_each(|difference| write!(formatter, "\n{difference}"))
    }
}

impl Digests {
    /// Compares a copy with this original.
    #[must_use]
    pub fn compare(&self, copy: &Self) -> Comparison {
        let mut differences = Vec::new();
        let mut tables = 0;
        for (name, expected) in &self.tables {
            // A table that is missing differs in its definitions.
            let Some(found) = copy.tables.get(name) else {
                continue;
            };
            tables += 1;
            if expected != found {
                let text = |digest: &TableDigest| match expected.rows == found.rows {
                    true => format!("{} rows with the digest {}", digest.rows, digest.digest),
                    false => format!("{} rows", digest.rows),
                };
                differences.push(Difference {
                    aspect: Aspect::Rows,
                    name: name.clone(),
                    expected: Some(text(expected)),
                    found: Some(text(found)),
                });
            }
        }
        for (name, expected) in &self.sequences {
            // It went on after the snapshot, and the backup has a later value.
            if let Some(found) = copy.sequences.get(name)
                && found < expected
            {
                let text = |value: &Option<i64>| {
                    value.map_or_else(|| "not used".to_owned(), |value| value.to_string())
                };
                differences.push(Difference {
                    aspect: Aspect::SequenceValue,
                    name: name.clone(),
                    expected: Some(text(expected)),
                    found: Some(text(found)),
                });
            }
        }
        let none = BTreeMap::new();
        for (aspect, _) in Aspect::ALL {
            let expected = self.definitions.get(&aspect).unwrap_or(&none);
            let found = copy.definitions.get(&aspect).unwrap_or(&none);
            let mut names: Vec<_> = expected.keys().chain(found.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let (expected, found) = (expected.get(name), found.get(name));
                if expected != found {
                    differences.push(Difference {
                        aspect,
                        name: name.clone(),
                        expected: expected.cloned(),
                        found: found.cloned(),
                    });
                }
            }
        }
        Comparison {
            tables,
            rows: self.tables.values().map(|table| table.rows).sum(),
            objects: self.definitions.values().map(BTreeMap::len).sum(),
            differences,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(users: u64, fence: Option<i64>) -> Digests {
        let definitions = [("public.users".to_owned(), "table".to_owned())];
        Digests {
            taken_at: DateTime::UNIX_EPOCH,
            database: "wundr".to_owned(),
            server_version: 150_020,
            tables: [(
                "public.users".to_owned(),
                TableDigest::new(users, "d".to_owned()),
            )]
            .into(),
            sequences: [("analysis.s".to_owned(), fence)].into(),
            definitions: [(Aspect::Table, definitions.into())].into(),
        }
    }

    #[test]
    fn every_aspect_has_a_name_of_its_own() {
        for (aspect, name) in Aspect::ALL {
            assert_eq!(Aspect::parse(name), Some(aspect));
            assert_eq!(aspect.to_string(), name);
        }
    }

    #[test]
    fn a_copy_differs_by_rows_by_an_earlier_sequence_and_by_objects() {
        let original = digests(2, Some(7));
        assert!(original.compare(&original).is_equal());
        assert!(original.compare(&digests(2, Some(8))).is_equal());
        let mut copy = digests(1, None);
        copy.definitions.clear();
        let comparison = original.compare(&copy);
        assert_eq!(
            comparison.to_string(),
            "2 rows in 1 tables and 1 other objects, 3 differences\n\
             rows public.users: expected 2 rows, found 1 rows\n\
             sequence value analysis.s: expected 7, found not used\n\
             table public.users: missing: table"
        );
        assert_eq!(comparison.ignoring(Aspect::Rows).differences.len(), 2);
    }

    #[test]
    fn digests_are_read_back_from_json() {
        let original = digests(2, None);
        let json = serde_json::to_string(&original).unwrap();
        assert_eq!(serde_json::from_str::<Digests>(&json).unwrap(), original);
    }
}
