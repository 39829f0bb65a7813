//! The example `ingest`, run as a program: what it stores, and that a broken file leaves nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wundr_db::blocking::{AnalysisIssueRepository, AnalysisRepository, Db};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{AnalysisFilter, AnalysisIssueFilter};

/// Examples are built next to the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let build = test.ancestors().nth(2).unwrap();
    build.join("examples/ingest")
}

fn ingest(database: &TestDatabase, paths: &[&Path]) -> Output {
    Command::new(program())
        .args(paths)
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap()
}

fn analyses_and_issues(database: &TestDatabase) -> (i64, i64) {
    let db = Db::connect_to(&database.url()).unwrap();
    (
        db.analyses().count(&AnalysisFilter::new()).unwrap(),
        db.analysis_issues()
            .count(&AnalysisIssueFilter::new())
            .unwrap(),
    )
}

fn release(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/data/flask")
        .join(name)
}

#[test]
fn folders_and_single_files_are_stored_whole() {
    let database = migrated_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("any-tool.sarif");
    // Two runs, a rule by index, no region, no level, an absolute and a relative place.
    let sarif = r#"{"version": "2.1.0", "runs": [
        {"tool": {"driver": {"name": "one", "rules": [{"id": "A1", "defaultConfiguration": {"level": "note"}}]}},
         "results": [{"ruleIndex": 0, "message": {"text": "first"},
                      "locations": [{"physicalLocation": {"artifactLocation": {"uri": "src/a.c"}}}]}]},
        {"tool": {"driver": {"name": "two"}},
         "results": [{"ruleId": "B2", "message": {"text": "second"},
                      "locations": [{"physicalLocation": {"artifactLocation": {"uri": "file:///src/b%20c.c"}}}]},
                     {"message": {"text": "of no file"}}]}]}"#;
    std::fs::write(&file, sarif).unwrap();

    let output = ingest(&database, &[&release("3.1.2"), &file]);

    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        printed.contains("analysis.analysis_issues    1265"),
        "{printed}"
    );
    assert!(
        printed.contains("analysis.analysis_issues    3"),
        "{printed}"
    );
    assert_eq!(analyses_and_issues(&database), (2, 1_268));
}

#[test]
fn a_broken_file_is_named_with_its_place_and_leaves_no_row() {
    let database = migrated_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broken.sarif");
    let sarif = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}},
        "results": [{"message": {"text": "fine"}}, {"ruleId": "R1"}]}]}"#;
    std::fs::write(&file, sarif).unwrap();

    let output = ingest(&database, &[&release("3.1.2"), &file]);

    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        error.contains("broken.sarif") && error.contains("runs[0].results[1]"),
        "{error}"
    );
    assert_eq!(analyses_and_issues(&database), (0, 0));
}
