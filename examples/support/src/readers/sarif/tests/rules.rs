//! The rules of results: their level, type and message.

use super::*;

fn severity(rules: Value, result: Value) -> Severity {
    findings(rules, json!([result])).unwrap()[0].severity
}

#[test]
fn the_level_is_the_result_s_or_the_rule_s_or_warning() {
    let rule = |id: &str, level: &str| json!({"id": id, "defaultConfiguration": {"level": level}});
    let rules = json!([rule("A", "note"), rule("B", "error"), {"id": "C"}]);
    let said = |mut result: Value| {
        result["message"] = json!({"text": "m"});
        severity(rules.clone(), result)
    };
    assert_eq!(
        said(json!({"ruleId": "A", "level": "error"})),
        Severity::High
    );
    assert_eq!(said(json!({"ruleId": "A"})), Severity::Low);
    assert_eq!(said(json!({"ruleId": "A/sub/rule"})), Severity::Low);
    assert_eq!(said(json!({"ruleIndex": 1})), Severity::High);
    assert_eq!(said(json!({"ruleIndex": 1, "ruleId": "A"})), Severity::Low);
    assert_eq!(said(json!({"rule": {"index": 1}})), Severity::High);
    assert_eq!(
        said(json!({"rule": {"id": "B"}, "ruleIndex": -1})),
        Severity::High
    );
    assert_eq!(said(json!({"ruleId": "C"})), Severity::Medium);
    assert_eq!(said(json!({"ruleId": "AB"})), Severity::Medium);
    assert_eq!(
        said(json!({"ruleId": "A", "level": "none"})),
        Severity::Info
    );
    assert_eq!(said(json!({"ruleId": "B", "kind": "pass"})), Severity::Info);
    assert_eq!(
        said(json!({"ruleId": "B", "kind": "notApplicable", "level": "error"})),
        Severity::Info
    );
    assert_eq!(said(json!({"ruleId": "B", "kind": "fail"})), Severity::High);
}

#[test]
fn rules_may_be_in_an_extension() {
    let rule = |id: &str, level: &str| json!({"id": id, "guid": id, "defaultConfiguration": {"level": level}});
    let extension = |name: &str, rules: Value| json!({"name": name, "guid": name, "rules": rules});
    let tool = json!({"driver": {"name": "d", "rules": [rule("A", "none")]}, "extensions": [
        extension("x", json!([rule("B", "note")])), extension("y", json!([rule("C", "note"), rule("A", "error")]))]});
    let read = |mut result: Value| {
        result["message"] = json!({"text": "m"});
        let log = json!({"version": "2.1.0", "runs": [{"tool": tool, "results": [result]}]});
        read_text(&log.to_string()).map(|(_, mut findings)| findings.remove(0))
    };
    let severity = |result: Value| read(result).unwrap().severity;
    assert_eq!(
        severity(json!({"rule": {"index": 1, "toolComponent": {"index": 1}}})),
        Severity::High
    );
    assert_eq!(
        severity(json!({"ruleIndex": 1, "rule": {"toolComponent": {"name": "y"}}})),
        Severity::High
    );
    assert_eq!(
        severity(json!({"rule": {"id": "A", "toolComponent": {"guid": "y"}}})),
        Severity::High
    );
    assert_eq!(
        severity(json!({"rule": {"guid": "A", "toolComponent": {"index": 1}}})),
        Severity::High
    );
    assert_eq!(severity(json!({"ruleId": "A"})), Severity::Info);
    assert_eq!(severity(json!({"ruleId": "B"})), Severity::Low);
    let finding = read(json!({"rule": {"index": 0, "toolComponent": {"index": 0}}})).unwrap();
    assert_eq!(finding.rule_id.as_deref(), Some("B"));
    let error = read(json!({"rule": {"toolComponent": {"index": 2}}})).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("runs[0].results[0]: extension 2 of 2 does not exist"),
        "{error}"
    );
}

#[test]
fn messages_are_found_by_id_and_filled() {
    let log = |message: Value| {
        json!({"version": "2.1.0", "runs": [{
            "tool": {
                "driver": {"name": "d", "globalMessageStrings": {"bye": {"text": "Bye, {0}"}, "hi": {"text": "No"}}},
                "extensions": [{"name": "x", "globalMessageStrings": {"there": {"text": "There"}}, "rules": [
                    {"id": "R", "messageStrings": {"hi": {"text": "Hi {0}, {{{1}}}"}}}]}]
            },
            "results": [{"message": {"text": "fine"}}, {"message": message, "ruleId": "R"}]
        }]})
        .to_string()
    };
    let title = |message: Value| read_text(&log(message)).unwrap().1[1].title.clone();
    assert_eq!(
        title(json!({"id": "hi", "arguments": ["you", "x"]})),
        "Hi you, {x}"
    );
    assert_eq!(
        title(json!({"id": "bye", "arguments": ["you"]})),
        "Bye, you"
    );
    assert_eq!(title(json!({"id": "there"})), "There");
    assert_eq!(title(json!({"text": "a {0}", "arguments": ["b"]})), "a b");
    assert_eq!(title(json!({"text": "f\"{{x}} {0}\""})), "f\"{{x}} {0}\"");
    assert_eq!(title(json!({"markdown": "*a*"})), "*a*");

    let wrong = |message: Value| fault(read_text(&log(message)).map(|(_, findings)| findings));
    let place = "runs[0].results[1]".to_owned();
    assert_eq!(
        wrong(json!(null)),
        (place.clone(), "it has no message".to_owned())
    );
    assert_eq!(
        wrong(json!({})),
        (
            place.clone(),
            "its message has neither text nor id".to_owned()
        )
    );
    assert_eq!(
        wrong(json!({"id": "no"})),
        (place, "no message has the id \"no\"".to_owned())
    );
}

#[test]
fn security_is_detected_by_score_and_tag() {
    let of = |properties: Value| {
        let rules = json!([{"id": "A", "properties": properties}]);
        let finding = findings(rules, json!([{"ruleId": "A", "message": {"text": "m"}}]))
            .unwrap()
            .remove(0);
        (finding.issue_type, finding.severity)
    };
    assert_eq!(
        of(json!({"security-severity": "9.8"})),
        (IssueType::Security, Severity::Critical)
    );
    assert_eq!(
        of(json!({"security-severity": 7})),
        (IssueType::Security, Severity::High)
    );
    assert_eq!(
        of(json!({"tags": ["external/cwe", "security"]})),
        (IssueType::Security, Severity::Medium)
    );
    for odd in [
        json!("unknown"),
        json!("NaN"),
        json!({"score": [1]}),
        json!(null),
    ] {
        assert_eq!(
            of(json!({"security-severity": odd})),
            (IssueType::CodeQuality, Severity::Medium)
        );
    }
}
