use super::*;
use wundr_db::{
    AnalysisId, AnalysisIssue, AnalysisIssueChanges, AnalysisIssueId, GateCondition, Isolation,
    IssueSeverity, IssueStatus, IssueType, NewAnalysisIssue, NewAnalysisResult, QualityGate,
    Tracking, TransactionOptions,
};

/// An issue: rule, file, line, message, code.
type Seen = (&'static str, &'static str, i32, &'static str, &'static str);

/// An analysis that found this; without a rule or code where the text is empty.
#[both_engines]
async fn analyzed(
    db: &Db,
    project: ProjectId,
    seen: &[Seen],
) -> (AnalysisId, Vec<AnalysisIssueId>) {
    let new = new_analysis(db, project).await;
    let analysis = db.analyses().create(new).await.unwrap().id;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let issues: Vec<_> = seen
        .iter()
        .map(|&(rule, path, line, message, code)| {
            let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Medium);
            let mut new = NewAnalysisIssue::new(analysis, kind, severity, message, path);
            new.line_number = Some(line);
            new.rule_id = some(rule);
            new.code_snippet = some(code);
            new
        })
        .collect();
    db.analysis_issues().create_many(&issues).await.unwrap();
    (analysis, issues.iter().map(|issue| issue.id).collect())
}

/// Returns the outcome of the tracking, by the places of the issues in the two lists: `1=1`
/// unchanged, `1>2` moved, `+0` new, `-3` fixed.
fn outcome(tracking: &Tracking, base: &[AnalysisIssueId], new: &[AnalysisIssueId]) -> Vec<String> {
    let place = |ids: &[AnalysisIssueId], id| ids.iter().position(|of| *of == id).unwrap();
    let pairs = [(&tracking.unchanged, '='), (&tracking.moved, '>')];
    let pairs = pairs
        .into_iter()
        .flat_map(|(pairs, sign)| pairs.iter().map(move |pair| (pair, sign)));
    let mut outcome: Vec<_> = pairs
        .map(|(pair, sign)| format!("{}{sign}{}", place(base, pair.base), place(new, pair.new)))
        .collect();
    outcome.extend(
        tracking
            .new
            .iter()
            .map(|id| format!("+{}", place(new, *id))),
    );
    outcome.extend(
        tracking
            .fixed
            .iter()
            .map(|id| format!("-{}", place(base, *id))),
    );
    outcome.sort();
    outcome
}

/// Tracks the first list in the second, twice: the second time nothing is different.
#[both_engines]
async fn became(db: &Db, before: &[Seen], after: &[Seen]) -> Vec<String> {
    let project = project(db).await.id;
    let (base, of_base) = analyzed(db, project, before).await;
    let (new, of_new) = analyzed(db, project, after).await;
    let first = db.analysis_issues().track(base, new).await.unwrap();
    let second = db.analysis_issues().track(base, new).await.unwrap();
    assert_eq!(first, second);
    outcome(&first, &of_base, &of_new)
}

#[both_engines]
#[case]
async fn the_same_findings_are_unchanged_and_shifted_ones_moved() {
    let (db, _database) = database().await;
    let before: &[Seen] = &[
        ("R1", "a.py", 10, "bad name", "x = 1"),
        ("R1", "a.py", 20, "bad name", "x = 1"),
        ("R2", "a.py", 20, "bad type", ""),
        ("", "b.py", 1, "no licence", ""),
    ];
    assert_eq!(
        became(&db, before, before).await,
        ["0=0", "1=1", "2=2", "3=3"]
    );
    // Ten lines above: what stands in line 20 now is what stood in line 10.
    let shifted: &[Seen] = &[
        ("R1", "a.py", 20, "bad name", "x = 1"),
        ("R1", "a.py", 30, "bad name", "  x =\t1\n"),
        ("R2", "a.py", 30, "bad type", ""),
        ("", "b.py", 1, "no licence", ""),
    ];
    assert_eq!(
        became(&db, before, shifted).await,
        ["0>0", "1>1", "2>2", "3=3"]
    );
    let other_rule: &[Seen] = &[("R9", "b.py", 1, "no licence", "")];
    assert_eq!(
        became(&db, &before[3..], other_rule).await,
        ["+0", "-0"],
        "never across rules"
    );
    assert_eq!(became(&db, &[], before).await, ["+0", "+1", "+2", "+3"]);
    assert_eq!(became(&db, before, &[]).await, ["-0", "-1", "-2", "-3"]);
}

#[both_engines]
#[case]
async fn equal_findings_are_matched_one_to_one() {
    let (db, _database) = database().await;
    let two: &[Seen] = &[("R", "a", 10, "m", ""), ("R", "a", 20, "m", "")];
    let three: &[Seen] = &[
        ("R", "a", 10, "m", ""),
        ("R", "a", 20, "m", ""),
        ("R", "a", 30, "m", ""),
    ];
    assert_eq!(became(&db, two, three).await, ["+2", "0=0", "1=1"]);
    assert_eq!(became(&db, three, two).await, ["-2", "0=0", "1=1"]);
    let first_gone: &[Seen] = &[("R", "a", 20, "m", ""), ("R", "a", 30, "m", "")];
    assert_eq!(became(&db, three, first_gone).await, ["-0", "1=0", "2=1"]);
}

#[both_engines]
#[case]
async fn which_of_several_equal_ones_it_is_follows_from_what_is_above() {
    let (db, _database) = database().await;
    let before: &[Seen] = &[
        ("R1", "a", 9, "f is long", ""),
        ("R2", "a", 10, "m", ""),
        ("R1", "a", 19, "g is long", ""),
        ("R2", "a", 20, "m", ""),
    ];
    // A new function above both, with the same fault as they have, and one more above the second.
    let after: &[Seen] = &[
        ("R2", "a", 5, "m", ""),
        ("R1", "a", 16, "f is long", ""),
        ("R2", "a", 17, "m", ""),
        ("R2", "a", 22, "m", ""),
        ("R1", "a", 30, "g is long", ""),
        ("R2", "a", 31, "m", ""),
    ];
    assert_eq!(
        became(&db, before, after).await,
        ["+0", "+3", "0>1", "1>2", "2>4", "3>5"]
    );
}

#[both_engines]
#[case]
async fn a_change_of_message_or_code_alone_is_no_other_finding() {
    let (db, _database) = database().await;
    let before: &[Seen] = &[
        ("R1", "a", 1, "f has 11 branches", ""),
        ("R2", "a", 2, "unused import", "import os"),
        ("R3", "a", 3, "say less", "say(more)"),
        ("R4", "a", 4, "one thing", "one()"),
    ];
    let after: &[Seen] = &[
        ("R1", "a", 1, "f has 9 branches", ""),
        ("R2", "a", 5, "unused import", "import os, sys"),
        ("R3", "a", 3, "speak less", "say( more )"),
        ("R4", "a", 4, "another thing", "another()"),
    ];
    assert_eq!(
        became(&db, before, after).await,
        ["+3", "-3", "0=0", "1>1", "2=2"]
    );
}

#[both_engines]
#[case]
async fn findings_follow_their_file_to_its_new_name() {
    let (db, _database) = database().await;
    let before: &[Seen] = &[
        ("R1", "old/a.py", 1, "no docstring", ""),
        ("R2", "old/a.py", 5, "f is long", ""),
        ("R1", "old/b.py", 1, "no docstring", ""),
        ("R2", "old/b.py", 5, "g is long", ""),
        ("R1", "old/c.py", 1, "no docstring", ""),
        ("R1", "stays.py", 1, "no docstring", ""),
    ];
    let renamed: &[Seen] = &[
        ("R1", "new/z.py", 3, "no docstring", ""),
        ("R2", "new/z.py", 7, "f is long", ""),
        ("R1", "new/y.py", 1, "no docstring", ""),
        ("R2", "new/y.py", 5, "g is long", ""),
        ("R1", "new/c.py", 1, "no docstring", ""),
        ("R1", "stays.py", 1, "no docstring", ""),
    ];
    assert_eq!(
        became(&db, before, renamed).await,
        ["0>0", "1>1", "2>2", "3>3", "4>4", "5=5"]
    );
    // With one fixed on the way: the others stay with their files.
    assert_eq!(
        became(&db, before, &renamed[1..]).await,
        ["-0", "1>0", "2>1", "3>2", "4>3", "5=4"]
    );
    // A file that is still there has not become another.
    let beside: &[Seen] = &[
        ("R1", "other.py", 1, "no docstring", ""),
        ("R9", "stays.py", 1, "x", ""),
    ];
    assert_eq!(became(&db, &before[5..], beside).await, ["+0", "+1", "-0"]);
}

#[both_engines]
#[case]
async fn a_file_without_findings_is_known_by_its_result() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let (base, _) = analyzed(&db, project, &[("R", "a.py", 1, "m", "")]).await;
    let (new, _) = analyzed(&db, project, &[("R", "b.py", 1, "m", "")]).await;
    let moved = db.analysis_issues().track(base, new).await.unwrap();
    assert_eq!((moved.moved.len(), moved.new.len()), (1, 0));

    let clean = NewAnalysisResult::new(new, "a.py");
    db.analysis_results().create(clean).await.unwrap();
    let fixed = db.analysis_issues().track(base, new).await.unwrap();
    assert_eq!(
        (fixed.moved.len(), fixed.new.len(), fixed.fixed.len()),
        (0, 1, 1)
    );
}

#[both_engines]
async fn rows(db: &Db, ids: &[AnalysisIssueId]) -> Vec<AnalysisIssue> {
    let rows = db.analysis_issues().find_many(ids).await.unwrap();
    rows.into_iter().map(Option::unwrap).collect()
}

const FOUR: &[Seen] = &[
    ("R", "a", 1, "open", ""),
    ("R", "a", 2, "ignored", ""),
    ("R", "a", 3, "false positive", ""),
    ("R", "a", 4, "resolved", ""),
];

/// Two analyses with the same four issues, of which the first's are open, ignored, no issue and
/// resolved.
#[both_engines]
async fn judged(
    db: &Db,
) -> (
    AnalysisId,
    Vec<AnalysisIssueId>,
    AnalysisId,
    Vec<AnalysisIssueId>,
) {
    let (project, ada, issues) = (
        project(db).await.id,
        user(db).await.id,
        db.analysis_issues(),
    );
    let (base, of_base) = analyzed(db, project, FOUR).await;
    issues.ignore(of_base[1], ada).await.unwrap();
    issues.mark_false_positive(of_base[2], ada).await.unwrap();
    issues.resolve(of_base[3], ada).await.unwrap();
    let (new, of_new) = analyzed(db, project, FOUR).await;
    (base, of_base, new, of_new)
}

#[both_engines]
#[case]
async fn verdicts_carry_over_and_resolved_findings_are_open_again() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let (base, of_base, new, of_new) = judged(&db).await;
    let before = rows(&db, &of_base).await;

    let tracking = issues.track(base, new).await.unwrap();
    assert_eq!(tracking.unchanged.len(), 4);
    assert_eq!(tracking.carried_over, 2);
    assert_eq!(tracking.reopened, [of_new[3]]);
    let after = rows(&db, &of_new).await;
    let verdict = |row: &AnalysisIssue| (row.status, row.resolved_at, row.resolved_by);
    for place in [1, 2] {
        assert!(before[place].resolved_by.is_some());
        assert_eq!(verdict(&after[place]), verdict(&before[place]));
    }
    for place in [0, 3] {
        assert_eq!(verdict(&after[place]), (IssueStatus::Open, None, None));
    }
    assert_eq!(rows(&db, &of_base).await, before);

    let mut again = issues.track(base, new).await.unwrap();
    assert_eq!(std::mem::replace(&mut again.carried_over, 2), 0);
    assert_eq!(again, tracking);
    assert_eq!(rows(&db, &of_new).await, after);
    // The third analysis receives it from the second.
    let project = db.analyses().find(new).await.unwrap().unwrap().project_id;
    let (third, of_third) = analyzed(&db, project, FOUR).await;
    assert_eq!(issues.track(new, third).await.unwrap().carried_over, 2);
    assert_eq!(verdict(&rows(&db, &of_third).await[1]), verdict(&before[1]));
}

#[both_engines]
#[case]
async fn what_is_settled_in_the_new_analysis_stays_as_it_is() {
    let (db, _database) = database().await;
    let (issues, bob) = (db.analysis_issues(), user(&db).await.id);
    let (base, _, new, of_new) = judged(&db).await;
    let settled = issues.resolve(of_new[1], bob).await.unwrap();

    let tracking = issues.track(base, new).await.unwrap();
    assert_eq!(tracking.carried_over, 1);
    assert_eq!(rows(&db, &of_new[1..2]).await, [settled]);
}

#[both_engines]
#[case]
async fn what_cannot_be_compared_is_refused_and_nothing_written() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    let (base, _, new, of_new) = judged(&db).await;
    let (stranger, _) = analyzed(&db, project(&db).await.id, FOUR).await;
    for (base, new) in [(base, AnalysisId::new()), (AnalysisId::new(), new)] {
        let refusal = issues.track(base, new).await.unwrap_err();
        assert!(
            matches!(refusal, Error::NotFound { what: "Analysis" }),
            "{refusal:?}"
        );
    }
    for (base, new) in [(base, base), (stranger, new), (base, stranger)] {
        assert_eq!(field_of(issues.track(base, new).await.unwrap_err()), "new");
    }
    assert!(
        rows(&db, &of_new)
            .await
            .iter()
            .all(|row| row.status == IssueStatus::Open)
    );
}

#[both_engines]
#[case]
async fn a_transaction_that_is_undone_takes_the_verdicts_back() {
    let (db, _database) = database().await;
    let (base, _, new, of_new) = judged(&db).await;
    let undone = db
        .transaction(async |tx| -> Result<(), Error> {
            let tracking = tx.analysis_issues().track(base, new).await?;
            assert_eq!(tracking.carried_over, 2);
            Err(Error::StaleWrite { what: "test" })
        })
        .await;
    assert!(matches!(undone, Err(Error::StaleWrite { .. })));
    assert!(
        rows(&db, &of_new)
            .await
            .iter()
            .all(|row| row.status == IssueStatus::Open)
    );
    let reading = TransactionOptions::new()
        .isolation(Isolation::RepeatableRead)
        .read_only();
    let refused = db
        .transaction_with(&reading, async |tx| {
            tx.analysis_issues().track(base, new).await
        })
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
}

#[both_engines]
#[case]
async fn calls_at_the_same_time_carry_each_verdict_over_once() {
    let (db, _database) = database().await;
    let issues = db.analysis_issues();
    for _ in 0..5 {
        let (base, of_base, new, of_new) = judged(&db).await;
        let (one, other) = concurrently!(issues.track(base, new), issues.track(base, new));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.carried_over + other.carried_over, 2);
        assert_eq!(one.unchanged, other.unchanged);
        let (before, after) = (rows(&db, &of_base).await, rows(&db, &of_new).await);
        let verdict = |row: &AnalysisIssue| (row.status, row.resolved_at, row.resolved_by);
        assert_eq!(verdict(&after[1]), verdict(&before[1]));
        assert_eq!(verdict(&after[2]), verdict(&before[2]));
    }
}

/// The severity of an issue beside what was seen.
type Graded = (IssueSeverity, Seen);

/// The status that the one issue of the later analysis gets if the one of the base was ignored; and
/// whether a gate that admits neither a new nor an open issue is passed, which is the same before
/// and after the verdict is carried over.
#[both_engines]
async fn judged_as(db: &Db, (was, before): Graded, (is, after): Graded) -> (IssueStatus, bool) {
    let (project, ada, issues) = (
        project(db).await.id,
        user(db).await.id,
        db.analysis_issues(),
    );
    let (base, of_base) = analyzed(db, project, &[before]).await;
    let (new, of_new) = analyzed(db, project, &[after]).await;
    for (id, severity) in [(of_base[0], was), (of_new[0], is)] {
        let changes = AnalysisIssueChanges::new().severity(severity);
        issues.update(id, changes).await.unwrap();
    }
    issues.ignore(of_base[0], ada).await.unwrap();
    let no_more = |at_most| {
        let severity = None;
        QualityGate::new([
            GateCondition::NewIssues { severity, at_most },
            GateCondition::OpenIssues { severity, at_most },
        ])
    };
    let gate = no_more(0);
    let verdict = db
        .quality_gates()
        .evaluate(&gate, Some(base), new)
        .await
        .unwrap();
    let conditions = &verdict.conditions;
    assert_eq!(conditions[0].passed, conditions[1].passed, "{verdict:?}");

    let tracking = issues.track(base, new).await.unwrap();
    assert_eq!(tracking.unchanged.len() + tracking.moved.len(), 1, "a pair");
    let gates = db.quality_gates();
    let after = gates.evaluate(&gate, Some(base), new).await.unwrap();
    assert_eq!(after, verdict);
    (rows(db, &of_new).await[0].status, verdict.passed)
}

#[both_engines]
#[case]
async fn a_verdict_stays_with_the_code_or_the_line_that_it_was_given_for() {
    use IssueSeverity::{Critical, High, Info, Low};
    let (db, _database) = database().await;
    let seen = ("R", "a.py", 10, "a secret in the code", "key = 'x'");
    let bare = ("R", "a.py", 10, "a secret in the code", "");
    let other_code = "password = sys.argv[1]";
    for (before, after) in [
        // In another line with other code, or with no code on either side or on one.
        ((Low, seen), (Low, (seen.0, seen.1, 99, seen.3, other_code))),
        ((Low, bare), (Low, (bare.0, bare.1, 99, bare.3, ""))),
        ((Low, seen), (Low, (seen.0, seen.1, 99, seen.3, ""))),
        ((Low, bare), (Low, (bare.0, bare.1, 99, bare.3, other_code))),
        ((Low, bare), (Low, (bare.0, bare.1, 99, bare.3, " \t\n"))),
        // The same line of another file.
        ((Low, bare), (Low, (bare.0, "b.py", 10, bare.3, ""))),
        // But for a number in the message.
        (
            (Low, ("R", "a.py", 10, "11 secrets", "")),
            (Low, ("R", "a.py", 12, "12 secrets", "")),
        ),
        // The same in every respect, and worse.
        ((Low, seen), (Critical, seen)),
        ((High, bare), (Critical, bare)),
    ] {
        let judged = judged_as(&db, before, after).await;
        assert_eq!(
            judged,
            (IssueStatus::Open, false),
            "{before:?} and {after:?}"
        );
    }
    for (before, after) in [
        ((Low, seen), (Low, seen)),
        ((Critical, seen), (Info, seen)),
        // Only the code, or only the line.
        (
            (Low, seen),
            (Low, (seen.0, seen.1, 99, "worded anew", " key  =\t'x'\n")),
        ),
        ((Low, seen), (Low, (seen.0, "b.py", 99, seen.3, seen.4))),
        ((Low, seen), (Low, (seen.0, seen.1, 10, seen.3, other_code))),
        ((Low, bare), (Low, bare)),
        (
            (Low, ("R", "a.py", 10, "11 secrets", "")),
            (Low, ("R", "a.py", 10, "12 secrets", "")),
        ),
    ] {
        let judged = judged_as(&db, before, after).await;
        assert_eq!(
            judged,
            (IssueStatus::Ignored, true),
            "{before:?} and {after:?}"
        );
    }
}

#[both_engines]
#[case]
async fn an_issue_that_has_become_worse_is_new_at_a_gate() {
    use IssueSeverity::{Critical, Low};
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let seen = ("R", "a.py", 10, "a secret in the code", "key = 'x'");
    let (base, of_base) = analyzed(&db, project, &[seen]).await;
    let (new, of_new) = analyzed(&db, project, &[seen]).await;
    let no_new = QualityGate::new([GateCondition::NewIssues {
        severity: Some(Critical),
        at_most: 0,
    }]);
    for (was, is, passes) in [
        (Low, Critical, false),
        (Critical, Critical, true),
        (Critical, Low, true),
    ] {
        for (id, severity) in [(of_base[0], was), (of_new[0], is)] {
            let changes = AnalysisIssueChanges::new().severity(severity);
            db.analysis_issues().update(id, changes).await.unwrap();
        }
        let gates = db.quality_gates();
        let verdict = gates.evaluate(&no_new, Some(base), new).await.unwrap();
        assert_eq!(verdict.passed, passes, "from {was} to {is}");
    }
}
