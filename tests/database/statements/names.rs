//! The names of the statements, which `admin::statement_name` finds by their text.
//!
//! Each call of a method of a repository that the tests of the round trips make is compared with
//! the table of names. `cargo xtask bless names` writes the table: then the texts are written to a
//! file, each with the method that sent it.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use wundr_db::__private::names::hashes;
use wundr_db::admin::statement_name;

/// Names the file to which the texts are written.
const BLESS: &str = "BLESS_NAMES";

/// Returns the name of a method: `users.find_by_email`.
pub fn of_method<R>(_repository: &R, method: &str) -> String {
    format!("{}.{method}", of_type(std::any::type_name::<R>()))
}

/// Returns the first part of the names of a repository's methods.
fn of_type(path: &str) -> String {
    let path = path.split('<').next().unwrap();
    let mut name = String::new();
    for character in path.rsplit("::").next().unwrap().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    // The accessor of `Db`, where it is not called like the type.
    match name.as_str() {
        "project_stats_view" => "project_stats".to_owned(),
        "dashboards" => "dashboard".to_owned(),
        _ => name,
    }
}

/// Returns what is wrong with the names of the statements that a method sends.
pub fn check(method: &str, statements: Vec<String>) -> Vec<String> {
    record(method, statements.len(), &statements);
    if std::env::var_os(BLESS).is_some() {
        return Vec::new();
    }
    let unnamed = statements
        .iter()
        .filter(|text| statement_name(text).is_none());
    unnamed
        .map(|text| format!("{method}: no name (cargo xtask bless names): {text}"))
        .collect()
}

/// Writes the hashes of texts to the file that is being made.
///
/// Tests run at the same time: a line is written at once.
fn record(method: &str, number: usize, statements: &[String]) {
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    // A call of several methods has no name.
    let is_name = method
        .chars()
        .all(|next| is_part(next) || next == '.' || next.is_ascii_digit());
    let Some(path) = std::env::var_os(BLESS).filter(|_| is_name) else {
        return;
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    for text in statements {
        let (exact, outline) = hashes(text);
        let line = format!("{exact:016x} {outline:016x} {number} {method}\n");
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// A statement that no method of the tests sends has the name of its file. The name in the file is
/// that which `pg_stat_statements` is read with.
#[test]
fn every_golden_statement_has_the_name_in_its_file() {
    let statements = super::golden::statements();
    for golden in &statements {
        record(&golden.file, usize::MAX, std::slice::from_ref(&golden.sql));
    }
    if std::env::var_os(BLESS).is_none() {
        let others: Vec<_> = statements
            .iter()
            .map(|golden| (&golden.file, &golden.name, statement_name(&golden.sql)))
            .filter(|(_, name, found)| *found != Some(name.as_str()))
            .collect();
        assert!(
            others.is_empty(),
            "other names (cargo xtask bless names): {others:?}"
        );
    }
}

/// The methods with spans and metrics, each with the name of its calls.
fn observed_methods() -> BTreeSet<String> {
    let mut methods = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/repositories")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            for implementation in source.split("\n#[repository(observed").skip(1) {
                let (named, rest) = implementation.split_once(")]\nimpl").unwrap();
                let (head, body) = rest.split_once(" {\n").unwrap();
                let collection = match named.strip_prefix(" = \"") {
                    Some(named) => named.trim_end_matches('"').to_owned(),
                    None => of_type(head.rsplit(' ').next().unwrap()),
                };
                let body = body.split("\n}").next().unwrap();
                for line in body.lines().map(str::trim_start) {
                    let line = line.strip_prefix("pub ").unwrap_or(line);
                    let line = line.strip_prefix("async ").unwrap_or(line);
                    if let Some(method) = line.strip_prefix("fn ") {
                        let method = method.split(['(', '<']).next().unwrap();
                        methods.insert(format!("{collection}.{method}"));
                    }
                }
            }
        }
    }
    methods
}

/// What sends the statements of other names: no repository.
const OTHERS: [&str; 2] = ["db.", "transaction."];

/// So that a name leads from `pg_stat_statements` to the spans and the metrics of the calls.
#[test]
fn every_name_of_a_method_is_that_of_its_spans() {
    let methods = observed_methods();
    assert!(methods.len() > 300, "{}", methods.len());
    let table = include_str!("../../../src/models/statement_names.txt");
    let names: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let is_method =
        |name: &&&str| name.contains('.') && !OTHERS.iter().any(|other| name.starts_with(other));
    let unknown: Vec<_> = names
        .iter()
        .filter(is_method)
        .filter(|name| !methods.contains(**name))
        .collect();
    assert!(unknown.is_empty(), "no span has these names: {unknown:?}");
}
