//! The files in `tests/sql` are statements that a migrated database understands. The unit tests of
//! `src/sql` compare them with what the crate sends.

use std::fs;
use std::path::PathBuf;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use wundr_db::testing::migrated_database;

/// A statement of a file.
pub struct Golden {
    /// The name of the file.
    pub file: String,
    /// The name of the statement.
    pub name: String,
    /// The types of its parameters, in parentheses.
    pub types: String,
    pub sql: String,
}

/// The statements in the order of their files.
pub fn statements() -> Vec<Golden> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let statements = files.iter().map(|path| {
        let text = fs::read_to_string(path).unwrap();
        let (name, rest) = text.split_once('\n').unwrap();
        let (types, sql) = rest.split_once('\n').unwrap();
        let types = types.strip_prefix("-- ").unwrap().replace("()", "");
        Golden {
            file: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            name: name.strip_prefix("-- ").unwrap().to_owned(),
            types,
            sql: sql.to_owned(),
        }
    });
    statements.collect()
}

#[test]
fn a_migrated_database_prepares_every_golden_statement() {
    let database = migrated_database().unwrap();
    let mut connection = PgConnection::establish(&database.url()).unwrap();
    let mut prepared = 0;
    for Golden {
        file: name,
        types,
        sql,
        ..
    } in statements()
    {
        // The kinds of statement that cannot be prepared, and those about a temporary table.
        let is_utility = ["DO ", "COPY ", "CREATE "];
        if is_utility.iter().any(|kind| sql.starts_with(kind)) || sql.contains("pg_temp.") {
            continue;
        }
        prepared += 1;
        connection
            .batch_execute(&format!(
                "PREPARE golden {types} AS {sql}; DEALLOCATE golden"
            ))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(prepared >= 80, "only {prepared} statements were prepared");
}
