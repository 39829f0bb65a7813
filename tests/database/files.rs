//! The lists in the tests are complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wundr_db::Table;

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// All source files below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The names of the tables, without their schemas.
fn tables() -> impl Iterator<Item = &'static str> {
    let names = Table::ALL.iter().map(|table| table.as_str());
    names.map(|name| name.split_once('.').unwrap().1)
}

/// A file that no `mod` names is not compiled, and its tests are not run.
#[test]
fn every_file_of_the_tests_is_a_module() {
    // Included, a package whose file is named in its manifest, or programs that must not compile.
    let others = ["engines", "json_features", "ui"].map(|directory| tests().join(directory));
    let mut forgotten = Vec::new();
    for directory in fs::read_dir(tests()).unwrap() {
        let directory = directory.unwrap().path();
        if !directory.is_dir() || others.contains(&directory) {
            continue;
        }
        let files = sources(&directory);
        let texts: Vec<String> = files
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        let lines: BTreeSet<&str> = texts
            .iter()
            .flat_map(|text| text.lines())
            .map(str::trim)
            .collect();
        for file in &files {
            let stem = match file.file_stem().unwrap().to_str().unwrap() {
                "main" => continue,
                "mod" => file
                    .parent()
                    .unwrap()
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap(),
                stem => stem,
            };
            let name = file.file_name().unwrap().to_str().unwrap();
            let is_module = ["mod", "pub mod", "pub(super) mod"]
                .iter()
                .any(|word| lines.contains(&*format!("{word} {stem};")));
            let is_included = lines.contains(&*format!("include!(\"../{name}\");"));
            if !is_module && !is_included && directory.file_name() != Some("support".as_ref()) {
                forgotten.push(file.clone());
            }
        }
    }
    assert!(forgotten.is_empty(), "no module: {forgotten:#?}");
}

#[test]
fn every_table_has_a_contract() {
    for table in tables() {
        let file = tests().join(format!("contracts/tables/{table}.rs"));
        assert!(file.exists(), "{}", file.display());
    }
}

#[test]
fn the_round_trips_of_every_table_are_counted() {
    let mut calls = String::new();
    for file in sources(&tests().join("database/statements")) {
        calls.extend(fs::read_to_string(file).unwrap().split_whitespace());
    }
    for table in tables() {
        // A pair of ids has one membership, so that the common calls cannot be repeated.
        let call = match table {
            "organization_members" | "project_members" => {
                format!("letmembers=ledger.db.{table}();")
            }
            _ => format!("every_repository!(ledger,{table},"),
        };
        assert!(calls.contains(&call), "{call}");
    }
}
