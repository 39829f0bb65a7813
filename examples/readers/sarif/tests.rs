//! Logs as the standard allows them and as tools write them.

mod rules;

use serde_json::{Value, json};

use super::super::source::tests::{file, gzip};
use super::*;

fn read_text(content: &str) -> Result<(Vec<Tool>, Vec<Finding>), ReadError> {
    let (_folder, path) = file("log.sarif", content.as_bytes());
    read(&path)
}

/// The findings of one run with the given rules and results.
fn findings(rules: Value, results: Value) -> Result<Vec<Finding>, ReadError> {
    let tool = json!({"driver": {"name": "linter", "rules": rules}});
    let log = json!({"version": "2.1.0", "runs": [{"tool": tool, "results": results}]});
    read_text(&log.to_string()).map(|(_, findings)| findings)
}

/// The only finding of a result without rules.
fn one(result: Value) -> Finding {
    findings(json!([]), json!([result])).unwrap().remove(0)
}

/// Place and reason of the fault in a log.
fn fault(result: Result<Vec<Finding>, ReadError>) -> (String, String) {
    match result.unwrap_err() {
        ReadError::Fault { place, reason, .. } => (place, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn the_least_that_a_result_may_say() {
    let finding = one(json!({"message": {"text": "Broken."}}));
    assert_eq!(
        (finding.title.as_str(), finding.severity),
        ("Broken.", Severity::Medium)
    );
    assert_eq!(
        (&finding.file_path, &finding.rule_id, finding.line),
        (&None, &None, None)
    );
    assert_eq!(
        (finding.kind, finding.ignored, finding.rank),
        (Kind::Fail, false, None)
    );
    assert_eq!(finding.description, None);
}

#[test]
fn null_is_as_good_as_absent() {
    let finding = one(json!({
        "ruleId": null, "ruleIndex": null, "rule": null, "kind": null, "level": null, "locations": null,
        "message": {"text": "Broken.", "id": null, "arguments": null}, "suppressions": null, "rank": null,
        "fixes": null, "partialFingerprints": null, "baselineState": null, "unknown": {"a": [1, {}]}
    }));
    assert_eq!(finding, one(json!({"message": {"text": "Broken."}})));
    for runs in [
        json!(null),
        json!([]),
        json!([{"tool": null, "results": null}]),
    ] {
        let (_, findings) =
            read_text(&json!({"version": "2.1.0", "runs": runs}).to_string()).unwrap();
        assert_eq!(findings, []);
    }
}

#[test]
fn runs_follow_each_other() {
    let run = |tool: &str, text: &str| {
        json!({"tool": {"driver": {"name": tool, "semanticVersion": "1.2.3"}},
               "results": [{"message": {"text": text}}]})
    };
    let log = json!({"runs": [run("one", "a"), run("two", "b")], "version": "2.1.0"}).to_string();
    let (tools, findings) = read_text(&format!("\u{feff}{log}")).unwrap();
    assert_eq!(
        tools[1],
        Tool {
            name: "two".to_owned(),
            version: Some("1.2.3".to_owned())
        }
    );
    let said: Vec<_> = findings
        .iter()
        .map(|finding| (&*finding.tool, &*finding.title))
        .collect();
    assert_eq!(said, [("one", "a"), ("two", "b")]);
    let (_folder, path) = file("log.sarif.gz", &gzip(log.as_bytes()));
    assert_eq!(read(&path).unwrap().1, findings);
}

#[test]
fn a_title_is_one_line_that_fits_and_nothing_is_lost() {
    let long = "é".repeat(501);
    for (text, title, description) in [
        ("One.", "One.".to_owned(), None),
        (
            "\n One.\nTwo.",
            "One.".to_owned(),
            Some("\n One.\nTwo.".to_owned()),
        ),
        (&*long, "é".repeat(499) + "…", Some(long.clone())),
        (&*"é".repeat(500), "é".repeat(500), None),
    ] {
        let finding = one(json!({"message": {"text": text}}));
        assert_eq!((finding.title, finding.description), (title, description));
    }
    let rules = json!([{"id": "A", "shortDescription": {"text": "About A"}}]);
    let results = json!([{"ruleId": "A", "message": {"text": "Here"}}, {"ruleId": "A", "message": {"text": " "}}]);
    let found = findings(rules, results).unwrap();
    assert_eq!(
        (found[0].title.as_str(), found[0].description.as_deref()),
        ("Here", Some("About A"))
    );
    assert_eq!(
        (found[1].title.as_str(), found[1].description.as_deref()),
        ("About A", None)
    );
    let nothing = findings(json!([]), json!([{"message": {"text": ""}}]));
    assert_eq!(fault(nothing).1, "its message is empty");

    let finding = one(
        json!({"ruleId": "x".repeat(300), "message": {"text": "a\u{0}b".to_owned() + &"é".repeat(9000)}}),
    );
    assert_eq!(finding.rule_id.unwrap().chars().count(), 255);
    let description = finding.description.unwrap();
    assert!(description.starts_with("a\u{fffd}b") && description.ends_with('…'));
    assert!(description.len() < document::TEXT_BYTES + 16);
}

#[test]
fn places_are_as_exact_as_the_log() {
    let at = |region: Value| {
        let place = json!({"artifactLocation": {"uri": "a%20b.py"}, "region": region});
        let finding =
            one(json!({"message": {"text": "m"}, "locations": [{}, {"physicalLocation": place}]}));
        assert_eq!(finding.file_path.as_deref(), Some("a b.py"));
        (
            finding.line,
            finding.column,
            finding.end_line,
            finding.end_column,
        )
    };
    assert_eq!(at(json!(null)), (None, None, None, None));
    assert_eq!(
        at(json!({"charOffset": 3, "charLength": 4})),
        (None, None, None, None)
    );
    assert_eq!(at(json!({"startLine": 3})), (Some(3), None, Some(3), None));
    let whole = json!({"startLine": 3, "startColumn": 1, "endLine": 4, "endColumn": 9});
    assert_eq!(at(whole), (Some(3), Some(1), Some(4), Some(9)));
    let odd = json!({"startLine": 0, "startColumn": -1, "endLine": 4294967295u32, "endColumn": 0});
    assert_eq!(at(odd), (None, None, None, None));
    let logical = one(
        json!({"message": {"text": "m"}, "locations": [{"logicalLocations": [{"name": "f"}]}]}),
    );
    assert_eq!(logical.file_path, None);
}

#[test]
fn files_are_found_through_artifacts_and_bases() {
    let log = |index: i64, base: &str| {
        json!({"version": "2.1.0", "runs": [{
            "originalUriBaseIds": {"SRC": {"uri": "src/", "uriBaseId": base}, "ROOT": {"uri": "file:///p/"}},
            "artifacts": [{"location": {"uri": "a.py", "uriBaseId": "SRC"}}],
            "results": [{"message": {"text": "m"},
                         "locations": [{"physicalLocation": {"artifactLocation": {"index": index}}}]}]
        }]})
        .to_string()
    };
    let read = |index, base| read_text(&log(index, base)).map(|(_, findings)| findings);
    assert_eq!(
        read(0, "ROOT").unwrap()[0].file_path.as_deref(),
        Some("src/a.py")
    );
    let expected = (
        "runs[0].results[0]".to_owned(),
        "artifact 1 of 1 does not exist".to_owned(),
    );
    assert_eq!(fault(read(1, "ROOT")), expected);
    assert_eq!(fault(read(0, "SRC")).0, "runs[0].originalUriBaseIds");
}

#[test]
fn suppressed_results_are_ignored_unless_someone_objects() {
    let ignored = |suppressions: Value| {
        one(json!({"message": {"text": "m"}, "suppressions": suppressions})).ignored
    };
    assert!(!ignored(json!([])));
    assert!(ignored(json!([{"kind": "inSource"}])));
    assert!(ignored(json!([{"kind": "external", "status": "accepted"}])));
    assert!(!ignored(
        json!([{"kind": "external", "status": "underReview"}])
    ));
    assert!(!ignored(
        json!([{"kind": "inSource"}, {"kind": "external", "status": "rejected"}])
    ));
}

#[test]
fn results_that_are_gone_are_left_out() {
    let state = |state: &str| json!({"message": {"text": state}, "baselineState": state});
    let results = ["new", "absent", "unchanged", "updated"].map(state);
    let titles: Vec<_> = findings(json!([]), json!(results))
        .unwrap()
        .into_iter()
        .map(|f| f.title)
        .collect();
    assert_eq!(titles, ["new", "unchanged", "updated"]);
}

#[test]
fn what_else_a_result_says_is_kept() {
    let change = json!({"replacements": [{"deletedRegion": {"startLine": 1}}, {"insertedContent": {"text": "new"}}]});
    let finding = one(json!({
        "message": {"text": "m"}, "rank": 12.5,
        "fingerprints": {"full": "f"}, "partialFingerprints": {"full": "p", "line/v1": "l"},
        "locations": [{"physicalLocation": {"region": {"snippet": {"text": "x = 1"}},
                                            "contextRegion": {"snippet": {"text": "y\nx = 1"}}}}],
        "fixes": [{"artifactChanges": [change]}]
    }));
    let fingerprints =
        [("full", "f"), ("line/v1", "l")].map(|(kind, value)| (kind.to_owned(), value.to_owned()));
    assert_eq!(finding.fingerprints, fingerprints.into());
    assert_eq!(finding.code_snippet.as_deref(), Some("x = 1"));
    assert_eq!(finding.fix_suggestion.as_deref(), Some("new"));
    assert_eq!(finding.rank, Some(12.5));

    let described = one(json!({"message": {"text": "m"}, "rank": -1.0,
        "fixes": [{"description": {"text": "Do it"}, "artifactChanges": [change]}],
        "locations": [{"physicalLocation": {"region": {}, "contextRegion": {"snippet": {"text": "y"}}}}]}));
    assert_eq!(described.fix_suggestion.as_deref(), Some("Do it"));
    assert_eq!(
        (described.code_snippet.as_deref(), described.rank),
        (Some("y"), None)
    );
}

#[test]
fn another_version_is_named_even_if_its_shape_differs() {
    let found = |log: &str| match read_text(log).unwrap_err() {
        ReadError::Version { found, .. } => found,
        other => panic!("{other}"),
    };
    assert_eq!(
        found(r#"{"version": "2.0.0", "runs": []}"#).as_deref(),
        Some("2.0.0")
    );
    let old = r#"{"version": "1.0.0", "runs": [{"results": [{"message": "text"}]}]}"#;
    assert_eq!(found(old).as_deref(), Some("1.0.0"));
    assert_eq!(found(r#"{"runs": []}"#), None);
    assert_eq!(found("{}"), None);
}

#[test]
fn a_wrong_type_has_line_and_column() {
    let place = |log: &str| match read_text(log).unwrap_err() {
        ReadError::Json { line, reason, .. } => (line, reason),
        other => panic!("{other}"),
    };
    let log = |result: &str| {
        format!("{{\"version\": \"2.1.0\",\n\"runs\": [{{\"results\": [\n{result}]}}]}}")
    };
    assert_eq!(place(&log(r#"{"message": 3}"#)).0, 3);
    let (line, reason) = place(&log(r#"{"message": {"text": "m"}, "level": "fatal"}"#));
    assert_eq!(line, 3);
    assert!(reason.starts_with("unknown variant `fatal`"), "{reason}");
    assert_eq!(
        place(r#"{"version": "2.1.0"}"#),
        (1, "missing field `runs`".to_owned())
    );
    assert_eq!(place(&log("")[..30]).0, 2);
    let deep = format!(
        "{{\"version\": \"2.1.0\", \"runs\": {}",
        "[".repeat(100_000)
    );
    assert_eq!(place(&deep).0, 1);
    let deep = format!("{{\"version\": \"2.1.0\", \"x\": {}", "[".repeat(100_000));
    assert_eq!(place(&deep).0, 1);
}
