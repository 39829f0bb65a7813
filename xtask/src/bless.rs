//! Writes the expected texts of tests again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Writes the statements in `tests/sql`.
pub fn sql(root: &Path) -> Result<(), String> {
    test(root, "BLESS_SQL", &["--lib", "sql::golden"])
}

/// Writes the messages of the compiler in `tests/ui`.
pub fn ui(root: &Path) -> Result<(), String> {
    test(root, "BLESS", &["--test", "testing", "compile_errors::"])
}

/// The methods whose text varies with their arguments. Of several with one outline, the first
/// counts.
const VARYING: [&str; 13] = [
    "list",
    "count",
    "delete_many",
    "update_many",
    "resolve_many",
    "settle_many",
    "update",
    "upsert",
    "create",
    "create_many",
    "change_role",
    "of_",
    "visible_to",
];

/// The number of statements that is recorded for a file of `tests/sql`: more than any method sends.
const GOLDEN: usize = usize::MAX;

/// The file of the `COPY` into a table.
const COPY: &str = "copy_analysis_issues";

/// Writes the names of the statements, and the files of `tests/sql` with them.
pub fn names(root: &Path) -> Result<(), String> {
    let recorded = root.join("target/statement_names");
    if recorded.exists() {
        fs::remove_file(&recorded).map_err(|error| format!("{}: {error}", recorded.display()))?;
    }
    let target = root.join("target");
    fs::create_dir_all(&target).map_err(|error| format!("{}: {error}", target.display()))?;
    let arguments = [
        "--test",
        "database",
        "statements::",
        "--",
        "--skip",
        "every_write_of_an_actor",
    ];
    let path = recorded.display().to_string();
    run(root, "BLESS_NAMES", &path, &arguments)?;
    let lines = fs::read_to_string(&recorded)
        .map_err(|error| format!("{}: {error}", recorded.display()))?;
    let table = root.join("src/models/statement_names.txt");
    fs::write(&table, table_of(&lines)).map_err(|error| format!("{}: {error}", table.display()))?;
    // The files begin with the names.
    sql(root)
}

/// Returns the table of names that follows from the recorded lines: the hash of a text, that of its
/// outline, the number of statements that the method sends, and its name.
fn table_of(lines: &str) -> String {
    let mut exact: BTreeMap<&str, (usize, usize, &str)> = BTreeMap::new();
    let mut outlines: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut outline_of: BTreeMap<&str, &str> = BTreeMap::new();
    for line in lines.lines() {
        let mut parts = line.split(' ');
        let (Some(hash), Some(outline), Some(number), Some(name)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let number = number.parse().unwrap_or(GOLDEN);
        outline_of.insert(hash, outline);
        // The shortest name of those that send the fewest statements.
        let rank = (number, name.len(), name);
        exact
            .entry(hash)
            .and_modify(|best| *best = rank.min(*best))
            .or_insert(rank);
        let method = name.split_once('.').map_or("", |(_, method)| method);
        let varying = VARYING.iter().position(|start| {
            method == *start || (start.ends_with('_') && method.starts_with(start))
        });
        if let Some(place) = varying.filter(|_| number == 1) {
            let rank = (place, name);
            outlines
                .entry(outline)
                .and_modify(|best| *best = rank.min(*best))
                .or_insert(rank);
        }
    }
    // An example of a text that varies has the name of the method that sends the others, and a
    // `COPY` that of its table.
    let is_example = |hash: &str, (number, _, name): (usize, usize, &str)| {
        name == COPY
            || number == GOLDEN
                && outlines.contains_key(outline_of.get(hash).copied().unwrap_or_default())
    };
    let exact = exact
        .iter()
        .filter(|(hash, recorded)| !is_example(hash, **recorded))
        .map(|(hash, (_, _, name))| format!("{name} {hash}\n"));
    let outlines = outlines
        .iter()
        .map(|(hash, (_, name))| format!("{name} ~{hash}\n"));
    let mut table: Vec<String> = exact.chain(outlines).collect();
    table.sort();
    table.concat()
}

fn test(root: &Path, variable: &str, arguments: &[&str]) -> Result<(), String> {
    run(root, variable, "1", arguments)
}

fn run(root: &Path, variable: &str, value: &str, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).env(variable, value).arg("test");
    let status = cargo
        .args(["--package", "wundr-db"])
        .args(arguments)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo test {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("cargo cannot be started: {error}")),
    }
}
