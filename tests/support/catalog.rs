//! The catalog of a database.

use std::process::Output;

use diesel::prelude::*;
use diesel::sql_types::Text;
use wundr_db::testing::{PostgresServer, TestDatabase};

/// The design's SQL, as an operator would have run it.
pub const DESIGN: &str = include_str!("../data/design.sql");

pub fn connect(database: &TestDatabase) -> PgConnection {
    PgConnection::establish(&database.url()).unwrap()
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// The answers to a query of one text column that is named `line`.
pub fn lines(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let lines: Vec<Line> = diesel::sql_query(query)
        .load(connection)
        .unwrap_or_else(|error| panic!("{error}: {query}"));
    lines.into_iter().map(|line| line.line).collect()
}

/// The answer to a query of one text column and one row.
pub fn value(connection: &mut PgConnection, query: &str) -> String {
    let [value] = <[String; 1]>::try_from(lines(connection, query)).unwrap();
    value
}

/// Everything that `pg_dump` prints of the database but its rows, its name and its privileges.
pub fn dump(database: &TestDatabase) -> String {
    let mut pg_dump = PostgresServer::shared().unwrap().command("pg_dump");
    pg_dump.args(["--schema-only", "--create", "--no-acl", "--no-owner"]);
    let Output {
        status,
        stdout,
        stderr,
    } = pg_dump.arg(database.name()).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout)
        .unwrap()
        .replace(database.name(), "the_database")
        .lines()
        // Newer minor versions begin and end with a random word.
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Panics with the lines that differ.
pub fn assert_same<'t>(
    what: &str,
    one: impl IntoIterator<Item = &'t str>,
    other: impl IntoIterator<Item = &'t str>,
) {
    let (one, other): (Vec<_>, Vec<_>) = (one.into_iter().collect(), other.into_iter().collect());
    if one != other {
        panic!("{what}:\n{}", difference(&one, &other).join("\n"));
    }
}

/// The lines that only one side has, those of the first with `-`, by the longest common subsequence
/// between the equal lines at both ends.
fn difference(one: &[&str], other: &[&str]) -> Vec<String> {
    let equal = |(one, other): &(&&str, &&str)| one == other;
    let head = one.iter().zip(other).take_while(equal).count();
    let (one, other) = (&one[head..], &other[head..]);
    let tail = one
        .iter()
        .rev()
        .zip(other.iter().rev())
        .take_while(equal)
        .count();
    let (one, other) = (&one[..one.len() - tail], &other[..other.len() - tail]);

    let mut common = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            common[i][j] = if one[i] == other[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut difference) = (0, 0, Vec::new());
    while i < one.len() || j < other.len() {
        if i < one.len() && j < other.len() && one[i] == other[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == other.len() || (i < one.len() && common[i + 1][j] >= common[i][j + 1]) {
            difference.push(format!("- {}", one[i]));
            i += 1;
        } else {
            difference.push(format!("+ {}", other[j]));
            j += 1;
        }
    }
    difference
}
