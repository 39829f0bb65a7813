//! The names of the statements, which `admin::statement_name` finds by their text.
//!
//! Each call of a method of a repository that the tests of the round trips make is compared with
//! the table of names. `cargo xtask bless names` writes the table: then the texts are written to a
//! file, each with the method that sent it.

use std::fs::OpenOptions;
use std::io::Write as _;

use wundr_db::__private::names::hashes;
use wundr_db::admin::statement_name;

/// Names the file to which the texts are written.
const BLESS: &str = "BLESS_NAMES";

/// Returns the name of a method: `users.find_by_email`.
pub fn of_method<R>(_repository: &R, method: &str) -> String {
    let path = std::any::type_name::<R>();
    let path = path.split('<').next().unwrap();
    let mut name = String::new();
    for character in path.rsplit("::").next().unwrap().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    // The accessor of `Db`, where it is not called like the type.
    let name = match name.as_str() {
        "project_stats_view" => "project_stats",
        "dashboards" => "dashboard",
        name => name,
    };
    format!("{name}.{method}")
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

/// A statement that no method of the tests sends has the name of its file.
#[test]
fn every_golden_statement_has_a_name() {
    let statements = super::golden::statements();
    for (name, _, text) in &statements {
        record(name, usize::MAX, std::slice::from_ref(text));
    }
    if std::env::var_os(BLESS).is_none() {
        let unnamed: Vec<_> = statements
            .iter()
            .filter(|(_, _, text)| statement_name(text).is_none())
            .map(|(name, ..)| name)
            .collect();
        assert!(
            unnamed.is_empty(),
            "no name (cargo xtask bless names): {unnamed:?}"
        );
    }
}
