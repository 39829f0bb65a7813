//! The example `ingest`, run as a program: what it stores, and that a broken file leaves nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wundr_db::blocking::{AnalysisIssueRepository, AnalysisRepository, Db};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{AnalysisFilter, AnalysisIssueFilter, AnalysisOrder, AnalysisStatus, Page};

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

fn analyses_and_issues(database: &TestDatabase) -> (u64, u64) {
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
        "results": [{"message": {"text": "fine"}}, {"ruleId": "R1"]}]}"#;
    std::fs::write(&file, sarif).unwrap();

    let output = ingest(&database, &[&release("3.1.2"), &file]);

    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains("broken.sarif:2:"), "{error}");
    assert_eq!(analyses_and_issues(&database), (0, 0));
}

#[test]
fn a_result_that_cannot_be_read_is_skipped_with_a_warning_and_a_crash_is_a_failed_analysis() {
    let database = migrated_database().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("odd.sarif");
    let sarif = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}},
        "results": [{"message": {"text": "fine"}}, {"ruleId": "R1"}, {"message": {"text": "a"}, "level": ""}]}]}"#;
    std::fs::write(&odd, sarif).unwrap();
    let crashed = directory.path().join("crashed.sarif");
    let sarif = r#"{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [],
        "invocations": [{"executionSuccessful": false}]}]}"#;
    std::fs::write(&crashed, sarif).unwrap();

    let output = ingest(&database, &[&odd, &crashed]);

    assert!(output.status.success(), "{output:?}");
    let (printed, warned) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    for place in [
        "odd.sarif: runs[0].results[1]: ",
        "odd.sarif: runs[0].results[2]: ",
        "crashed.sarif: runs[0] of x: ",
    ] {
        assert!(warned.contains(place), "{place} {warned}");
    }
    assert!(
        printed.contains("results skipped             2"),
        "{printed}"
    );
    let db = Db::connect_to(&database.url()).unwrap();
    let oldest = Page::new().order(AnalysisOrder::Oldest);
    let analyses = db
        .analyses()
        .list(&AnalysisFilter::new(), &oldest)
        .unwrap()
        .items;
    let statuses: Vec<_> = analyses.iter().map(|analysis| analysis.status).collect();
    assert_eq!(
        statuses,
        [AnalysisStatus::Completed, AnalysisStatus::Failed]
    );
    let stored = |index: usize| serde_json::to_value(&analyses[index].summary).unwrap();
    assert_eq!(stored(0)["skipped"], 2);
    assert_eq!(stored(1)["failedRuns"], 1);
    let reason = analyses[1].error_message.as_deref().unwrap_or_default();
    assert!(reason.contains("not successful"), "{reason}");
}
