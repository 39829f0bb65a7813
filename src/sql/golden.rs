//! The text of every statement that is written by hand, compared with the files in `tests/sql`.
//!
//! Each file holds one statement as it is sent, broken at its clauses for reading, below two lines:
//! the name of the statement, and the types of its parameters. The name is that of the method that
//! sends it, `users.find_by_email`, as in spans, in metrics and beside the ids of
//! `pg_stat_statements`. A statement that no method of a repository sends alone has the name of its
//! file. A change to a statement shows as a change to its file. After a change on purpose, write
//! the files and the names again:
//!
//! ```text
//! cargo xtask bless sql
//! cargo xtask bless names
//! ```
//!
//! A test in `tests/database/statements.rs` has a migrated database prepare every file.

mod admin;
mod cases;
mod format;
mod pages;
mod states;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use diesel::pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{QueryBuilder as _, QueryFragment};

use crate::models::statement_names::statement_name;

/// The statements by name.
#[derive(Default)]
struct Registry {
    texts: BTreeMap<&'static str, String>,
    /// The Rust types of the statements, with all that they are made of.
    types: Vec<&'static str>,
}

impl Registry {
    fn add<S: QueryFragment<Pg>>(&mut self, name: &'static str, statement: &S) {
        let mut sql = PgQueryBuilder::new();
        statement.to_sql(&mut sql, &Pg).unwrap();
        let mut values = RawBytesBindCollector::new();
        let mut types = TypeNames::default();
        statement
            .collect_binds(&mut values, &mut types, &Pg)
            .unwrap();
        let types: Vec<_> = values
            .metadata
            .iter()
            .map(|metadata| types.name(metadata.oid().unwrap()))
            .collect();
        self.types.push(std::any::type_name::<S>());
        self.add_text(name, &types.join(", "), &sql.finish());
    }

    /// A statement that is no more than its text.
    fn add_text(&mut self, name: &'static str, types: &str, sql: &str) {
        let formatted = format::format(sql);
        assert_eq!(
            format::tokens(&formatted),
            format::tokens(sql),
            "the formatter changed {name}"
        );
        let method = statement_name(sql).unwrap_or(name);
        let text = format!("-- {method}\n-- ({types})\n{formatted}\n");
        let former = self.texts.insert(name, text);
        assert!(former.is_none(), "two statements are named {name}");
    }
}

/// Gives a number to each type that has none of its own before a server is asked.
#[derive(Default)]
struct TypeNames(Vec<String>);

const FIRST_OID: u32 = 1_000_000;

impl PgMetadataLookup for TypeNames {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let oid = FIRST_OID + 2 * u32::try_from(self.0.len()).unwrap();
        self.0
            .push(schema.map_or(name.to_owned(), |schema| format!("{schema}.{name}")));
        PgTypeMetadata::new(oid, oid + 1)
    }
}

impl TypeNames {
    fn name(&self, oid: u32) -> String {
        let name = match oid {
            16 => "bool",
            17 => "bytea",
            20 => "int8",
            23 => "int4",
            25 => "text",
            701 => "float8",
            // Without a type: the server finds it out.
            0 | 705 => "unknown",
            869 => "inet",
            1000 => "bool[]",
            1007 => "int4[]",
            1009 => "text[]",
            1016 => "int8[]",
            1041 => "inet[]",
            1082 => "date",
            1184 => "timestamptz",
            1185 => "timestamptz[]",
            1231 => "numeric[]",
            1700 => "numeric",
            2950 => "uuid",
            2951 => "uuid[]",
            3802 => "jsonb",
            3807 => "jsonb[]",
            oid => {
                let place = oid
                    .checked_sub(FIRST_OID)
                    .expect("a type that has a name here");
                let name = &self.0[place as usize / 2];
                return format!("{name}{}", if place % 2 == 1 { "[]" } else { "" });
            }
        };
        name.to_owned()
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    cases::add_all(&mut registry);
    admin::add_all(&mut registry);
    registry
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn directory() -> PathBuf {
    repository().join("tests/sql")
}

#[test]
fn every_statement_is_as_its_golden_file_has_it() {
    let bless = std::env::var_os("BLESS_SQL").is_some();
    let mut differences = String::new();
    for (name, text) in registry().texts {
        let path = directory().join(name).with_extension("sql");
        let golden = fs::read_to_string(&path).unwrap_or_default();
        if golden == text {
            continue;
        }
        if bless {
            fs::write(&path, &text).unwrap();
        } else {
            differences += &format!("tests/sql/{name}.sql\n{}\n", diff(&golden, &text));
        }
    }
    assert!(
        differences.is_empty(),
        "statements differ from their golden files (BLESS_SQL=1 writes them again):\n{differences}"
    );
}

#[test]
fn every_golden_file_has_its_statement() {
    let texts = registry().texts;
    for file in fs::read_dir(directory()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(texts.contains_key(name), "no statement makes {name}.sql");
    }
}

/// Fragments that write values but no text, or a part of a statement that is in the registry, or
/// the order and the limit of an application's query.
const WITHOUT_TEXT: [&str; 26] = [
    // `BEGIN` alone, before its settings.
    "Begin",
    "AllBinds",
    "AnalysesOf",
    "AnyId",
    "ArraySubquery",
    "BeginsWith",
    "Beyond",
    "Binds",
    "Columns",
    "Condition",
    "Following",
    "KeyBind",
    "ListOrder",
    "MergedPage",
    "NumberOf",
    "OfAnalyses",
    "OfParent",
    "OfProjects",
    "OwnPage",
    "OwnPageWithTotal",
    "ScalarSubquery",
    "Settings",
    "SortKeys",
    "Untyped",
    "Walked",
    "WithSettings",
];

#[test]
fn every_statement_in_the_source_has_a_golden_file() {
    let types = registry().types.concat();
    let mut statements = 0;
    let mut folders = vec![repository().join("src")];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            // Not in a comment, nor the blanket implementation for the wrapper.
            for line in source.lines().filter(|line| line.starts_with("impl")) {
                let Some((_, behind)) = line
                    .split_once("QueryFragment<Pg> for ")
                    .or_else(|| line.split_once(" Statement for "))
                else {
                    continue;
                };
                let name: String = behind
                    .chars()
                    .take_while(|&character| character.is_alphanumeric())
                    .collect();
                statements += 1;
                assert!(
                    WITHOUT_TEXT.contains(&name.as_str())
                        || types.contains(&format!("::{name}<"))
                        || types.contains(&format!("::{name}")),
                    "{name} of {} has no golden file: add it to src/sql/golden/cases.rs",
                    path.display()
                );
            }
        }
    }
    assert!(statements >= 40, "only {statements} statements were found");
}

/// The lines that were removed and added, and a few around them.
fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    // The length of the longest common part of what follows line i of the old and line j of the
    // new.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let is_near = |line: usize| {
        let near = line.saturating_sub(2)..lines.len().min(line + 3);
        lines[near].iter().any(|&(sign, _)| sign != ' ')
    };
    (0..lines.len())
        .filter(|&line| is_near(line))
        .map(|line| format!("{} {}\n", lines[line].0, lines[line].1))
        .collect()
}

#[test]
fn a_difference_shows_its_lines() {
    assert_eq!(
        diff("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nE\nf\n"),
        "  c\n  d\n- e\n+ E\n  f\n"
    );
}
