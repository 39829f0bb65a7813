//! Logs that the standard allows and that tools write.

mod rules;

use serde_json::{Value, json};

use super::super::source::tests::{file, gzip};
use super::*;

fn report(content: &[u8]) -> Result<Report, ReadError> {
    let (_folder, path) = file("log.sarif", content);
    read(&path)
}

/// Returns the tools and findings of a log in which nothing is skipped, or else the first fault.
fn read_text(content: &str) -> Result<(Vec<Tool>, Vec<Finding>), ReadError> {
    let mut report = report(content.as_bytes())?;
    if report.skipped.is_empty() {
        return Ok((report.tools, report.findings));
    }
    let Notice {
        path,
        place,
        reason,
    } = report.skipped.remove(0);
    Err(ReadError::Fault {
        path,
        place,
        reason,
    })
}

/// Returns the findings of one run with the given rules and results.
fn findings(rules: Value, results: Value) -> Result<Vec<Finding>, ReadError> {
    let tool = json!({"driver": {"name": "linter", "rules": rules}});
    let log = json!({"version": "2.1.0", "runs": [{"tool": tool, "results": results}]});
    read_text(&log.to_string()).map(|(_, findings)| findings)
}

/// Returns the only finding of a result without rules.
fn one(result: Value) -> Finding {
    findings(json!([]), json!([result])).unwrap().remove(0)
}

/// Returns the position and the reason of the fault in a log.
fn fault(result: Result<Vec<Finding>, ReadError>) -> (String, String) {
    match result.unwrap_err() {
        ReadError::Fault { place, reason, .. } => (place, reason),
        other => panic!("{other}"),
    }
}

#[test]
fn a_result_needs_only_a_message() {
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
fn null_counts_as_absent() {
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
    assert_eq!(read(&path).unwrap().findings, findings);
}

#[test]
fn a_title_is_one_line_that_fits_and_the_description_has_the_rest() {
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
fn files_are_resolved_through_artifacts_and_bases() {
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
fn suppressed_results_are_ignored_unless_a_suppression_is_rejected() {
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
fn absent_results_are_skipped() {
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
fn the_other_properties_of_a_result_are_kept() {
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
fn another_version_is_reported_even_if_its_structure_differs() {
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
    assert_eq!(place(&log(r#"{"message": 3"#)).0, 3);
    let not_a_list = "{\"version\": \"2.1.0\",\n\"runs\": [{\"results\": {}}]}";
    assert_eq!(place(not_a_list).0, 2);
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

#[test]
fn a_result_that_cannot_be_read_does_not_affect_the_others() {
    let good = json!({"message": {"text": "m"}}).to_string();
    for (bad, reason) in [
        (r#"{"message": 3}"#, "invalid type"),
        (r#"{}"#, "it has no message"),
        ("null", "invalid type: null"),
        (
            r#"{"message": {"text": "m"}, "level": ""}"#,
            "unknown variant",
        ),
        (
            r#"{"message": {"text": "m"}, "ruleIndex": 18446744073709551615}"#,
            "invalid value",
        ),
        (
            r#"{"message": {"text": "m"}, "ruleIndex": -1.0}"#,
            "invalid type: floating point",
        ),
        (
            r#"{"message": {"text": "m"}, "locations": [{"physicalLocation": {"region": {"startLine": "12"}}}]}"#,
            "invalid type: string",
        ),
        (
            r#"{"message": {"text": "m"}, "locations": [null]}"#,
            "invalid type: null",
        ),
        (r#"{"message": {"text": "\ud800"}}"#, "hex escape"),
    ] {
        let log = format!(
            r#"{{"version": "2.1.0", "runs": [{{"results": []}}, {{"results": [{good}, {bad}, {good}]}}]}}"#
        );
        let report = report(log.as_bytes()).unwrap();
        assert_eq!(report.findings.len(), 2, "{bad}");
        assert_eq!(report.skipped.len(), 1, "{bad}");
        let said = report.skipped[0].to_string();
        assert!(said.contains("log.sarif: runs[1].results[1]: "), "{said}");
        assert!(said.contains(reason), "{said}");
        assert_eq!(report.failures, []);
    }
    let nothing = r#"{"version": "2.1.0", "runs": [{"results": [null, 3]}]}"#;
    let report = report(nothing.as_bytes()).unwrap();
    assert_eq!((report.skipped.len(), report.failures.len()), (2, 1));
}

#[test]
fn an_invalid_value_outside_of_the_results_affects_none() {
    let log = json!({"version": "2.1.0", "runs": [{
        "tool": {"driver": {"name": "d", "version": 3, "rules": [
            null, {"id": "A", "properties": {"tags": "security"}, "defaultConfiguration": {"level": ""}}, 7]},
            "extensions": [null]},
        "artifacts": [null, {"location": {"uri": "a.c"}}], "invocations": [null, {"executionSuccessful": "no"}],
        "results": [{"message": {"text": "m"}, "ruleIndex": 1,
                     "locations": [{"physicalLocation": {"artifactLocation": {"index": 1}}}]}]}]});
    let (_, found) = read_text(&log.to_string()).unwrap();
    assert_eq!(found[0].issue_type, IssueType::Security);
    assert_eq!(found[0].file_path.as_deref(), Some("a.c"));
    assert_eq!(found[0].rule_id.as_deref(), Some("A"));
}

#[test]
fn a_run_whose_tool_crashed_is_a_failure_unless_it_has_results() {
    let run = |invocation: Value, results: Value| {
        let log = json!({"version": "2.1.0", "runs": [{"invocations": [invocation], "results": results}]});
        report(log.to_string().as_bytes()).unwrap()
    };
    let error = json!([{"level": "error", "message": {"text": "out of memory"}}]);
    let found = json!([{"message": {"text": "m"}}]);
    for (invocation, reason) in [
        (json!({"executionSuccessful": false}), "not successful"),
        (
            json!({"executionSuccessful": true, "toolExecutionNotifications": error}),
            "out of memory",
        ),
        (
            json!({"executionSuccessful": true, "toolConfigurationNotifications": error}),
            "out of memory",
        ),
    ] {
        for nothing in [json!([]), json!(null)] {
            let crashed = run(invocation.clone(), nothing);
            assert_eq!(crashed.failures.len(), 1, "{invocation}");
            assert!(crashed.failures[0].reason.contains(reason));
        }
        let went_on = run(invocation, found.clone());
        let counts = (
            went_on.findings.len(),
            went_on.failures.len(),
            went_on.warnings.len(),
        );
        assert_eq!(counts, (1, 0, 1));
    }
    assert_eq!(run(json!({}), json!(null)).failures.len(), 1);
    for failed in ["false", "\"false\"", "\"False\"", "0"] {
        let failed: Value = serde_json::from_str(failed).unwrap();
        let crashed = run(json!({"executionSuccessful": failed}), json!([]));
        assert_eq!(crashed.failures.len(), 1, "{failed}");
    }
    for nothing in [
        r#"null"#,
        r#"[{"tool": {"driver": {"name": "d"}}}]"#,
        "[null]",
    ] {
        let log = format!(r#"{{"version": "2.1.0", "runs": {nothing}}}"#);
        let report = report(log.as_bytes()).unwrap();
        assert_eq!(report.failures.len(), 1, "{nothing}");
    }
    let clean = run(json!({"executionSuccessful": true}), json!([]));
    assert_eq!((clean.failures, clean.warnings), (Vec::new(), Vec::new()));
}

#[test]
fn rule_overrides_of_a_run_apply_and_external_files_are_reported() {
    let log = |descriptor: Value| {
        json!({"version": "2.1.0", "runs": [{
            "tool": {"driver": {"name": "d", "rules": [
                {"id": "A", "defaultConfiguration": {"level": "note"}}, {"id": "B"}]}},
            "invocations": [{"ruleConfigurationOverrides": [
                {"descriptor": descriptor, "configuration": {"level": "error"}}]}],
            "results": [{"ruleId": "A", "message": {"text": "m"}}, {"ruleId": "B", "message": {"text": "m"}},
                        {"ruleId": "A", "level": "note", "message": {"text": "m"}}]}]})
        .to_string()
    };
    for descriptor in [json!({"id": "A"}), json!({"index": 0})] {
        let (_, found) = read_text(&log(descriptor)).unwrap();
        let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
        assert_eq!(
            severities,
            [Severity::High, Severity::Medium, Severity::Low]
        );
    }
    let elsewhere = json!({"version": "2.1.0", "inlineExternalProperties": [{}], "runs": [
        {"externalPropertyFileReferences": {"results": [{"location": {"uri": "r.sarif"}}]}}]});
    let report = report(elsewhere.to_string().as_bytes()).unwrap();
    assert_eq!((report.warnings.len(), report.failures.len()), (2, 1));
}

#[test]
fn a_security_severity_in_words_is_read() {
    for (word, expected) in [
        ("CRITICAL", Severity::Critical),
        ("High", Severity::High),
        ("moderate", Severity::Medium),
        ("low", Severity::Low),
    ] {
        let rules = json!([{"id": "A", "properties": {"security-severity": word}}]);
        let found = findings(rules, json!([{"ruleId": "A", "message": {"text": "m"}}]));
        assert_eq!(found.unwrap()[0].severity, expected, "{word}");
    }
}

#[test]
fn utf_16_is_read_and_utf_32_refused_with_words() {
    let log = json!({"version": "2.1.0", "runs": [{"results": [{"message": {"text": "é😀"}}]}]});
    for mark in ["\u{feff}", ""] {
        let text = format!("{mark}{log}");
        let bytes = |of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect::<Vec<_>>();
        for bytes in [bytes(u16::to_le_bytes), bytes(u16::to_be_bytes)] {
            assert_eq!(report(&bytes).unwrap().findings[0].title, "é😀");
            let cut = report(&bytes[..bytes.len() - 1]).unwrap_err();
            assert!(matches!(cut, ReadError::Encoding { .. }), "{cut}");
        }
    }
    let wide: Vec<u8> = "\u{feff}{}"
        .chars()
        .flat_map(|c| u32::from(c).to_le_bytes())
        .collect();
    let refusal = report(&wide).unwrap_err();
    assert!(matches!(refusal, ReadError::Encoding { .. }), "{refusal}");
}

mod mutated {
    use super::*;
    use proptest::prelude::*;

    fn odd() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(-1),
            json!(12.5),
            json!(u64::MAX),
            json!(1e300),
            json!(""),
            json!("file:///"),
            json!("\u{0}"),
            json!([]),
            json!([null]),
            json!({}),
            json!({"text": 1}),
            json!({"id": "x", "index": -1}),
        ])
    }

    /// Replaces the nth value of a document.
    fn replace(document: &mut Value, nth: &mut usize, with: &Value) {
        if *nth == 0 {
            *document = with.clone();
        }
        *nth = nth.wrapping_sub(1);
        match document {
            Value::Array(list) => list.iter_mut().for_each(|item| replace(item, nth, with)),
            Value::Object(map) => map.values_mut().for_each(|item| replace(item, nth, with)),
            _ => {}
        }
    }

    fn result() -> Value {
        json!({"ruleId": "A", "ruleIndex": 0, "rule": {"id": "A", "index": 0, "toolComponent": {"index": 0}},
            "level": "error", "kind": "fail", "message": {"text": "bad", "arguments": ["a"]},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.c", "uriBaseId": "R", "index": 0},
                "region": {"startLine": 3, "snippet": {"text": "x"}}}}],
            "suppressions": [{"status": "accepted"}], "fixes": [{"artifactChanges": [{"replacements": [{}]}]}],
            "partialFingerprints": {"a": "b"}, "provenance": {"invocationIndex": 0}, "baselineState": "new"})
    }

    fn run() -> Value {
        json!({"tool": {"driver": {"name": "d", "rules": [{"id": "A", "properties": {"tags": ["security"]}}]},
                "extensions": [{"rules": [{"id": "A"}]}]},
            "artifacts": [{"location": {"uri": "a.c"}}],
            "invocations": [{"executionSuccessful": true, "ruleConfigurationOverrides": [
                {"descriptor": {"id": "A"}, "configuration": {"level": "note"}}]}]})
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_mutated_result_leaves_the_others(changes in prop::collection::vec((0..60_usize, odd()), 1..4)) {
            let mut bad = result();
            for (mut nth, with) in changes {
                replace(&mut bad, &mut nth, &with);
            }
            let good = json!({"message": {"text": "good"}});
            let mut run = run();
            run["results"] = json!([good, bad, good]);
            let log = json!({"version": "2.1.0", "runs": [run]});
            let report = report(log.to_string().as_bytes()).unwrap();
            let kept = report.findings.iter().filter(|finding| finding.title == "good").count();
            prop_assert_eq!(kept, 2);
            prop_assert!(report.skipped.len() + report.findings.len() <= 3);
        }

        #[test]
        fn a_mutated_run_keeps_its_good_results(changes in prop::collection::vec((1..40_usize, odd()), 1..4)) {
            let mut run = run();
            for (mut nth, with) in changes {
                replace(&mut run, &mut nth, &with);
            }
            run["results"] = json!([{"message": {"text": "good"}}, {"message": {"text": "good"}}]);
            let log = json!({"version": "2.1.0", "runs": [run]});
            prop_assert_eq!(report(log.to_string().as_bytes()).unwrap().findings.len(), 2);
        }

        #[test]
        fn cut_and_changed_bytes_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
            let mut run = run();
            run["results"] = json!([result()]);
            let mut bytes = json!({"version": "2.1.0", "runs": [run]}).to_string().into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            let _ = report(&bytes);
        }
    }
}

#[test]
fn a_path_that_no_index_takes_costs_no_other_result() {
    let at = |path: String| {
        json!({"message": {"text": "m"},
               "locations": [{"physicalLocation": {"artifactLocation": {"uri": path}}}]})
    };
    let results = json!([
        at("a".repeat(2_048)),
        at("a".repeat(2_049)),
        at("b".to_owned())
    ]);
    let log = json!({"version": "2.1.0", "runs": [{"results": results}]});
    let report = report(log.to_string().as_bytes()).unwrap();
    assert_eq!((report.findings.len(), report.skipped.len()), (2, 1));
    assert!(report.skipped[0].reason.contains("path"));
}
