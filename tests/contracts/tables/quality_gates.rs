use super::*;
use bigdecimal::BigDecimal;
use chrono::{DateTime, TimeDelta, Utc};
use wundr_db::{
    AnalysisId, AnalysisIssueId, AnalysisSummary, Bound, ConfigCategory, ConfigurationScope,
    GateCondition, GateVerdict, IssueSeverity, IssueType, Json, MetricCategory, Missing,
    NewAnalysisIssue, NewAnalysisMetric, QualityGate, Reference, TransactionOptions,
};

/// An analysis that was completed then, with values of metrics.
#[both_engines]
async fn measured(
    db: &Db,
    project: ProjectId,
    ended: DateTime<Utc>,
    values: &[(&str, &str)],
) -> AnalysisId {
    let new = new_analysis(db, project).await.completed(ended, ended);
    let analysis = db.analyses().create(new).await.unwrap().id;
    let metrics: Vec<_> = values
        .iter()
        .map(|(name, value)| {
            NewAnalysisMetric::new(analysis, *name, MetricCategory::Quality)
                .metric_value(number(value))
        })
        .collect();
    db.analysis_metrics().create_many(&metrics).await.unwrap();
    analysis
}

fn number(text: &str) -> BigDecimal {
    text.parse().unwrap()
}

#[both_engines]
async fn found(
    db: &Db,
    analysis: AnalysisId,
    seen: &[(IssueSeverity, &str)],
) -> Vec<AnalysisIssueId> {
    let issues: Vec<_> = seen
        .iter()
        .map(|(severity, title)| {
            NewAnalysisIssue::new(analysis, IssueType::Security, *severity, *title, "a.rs")
        })
        .collect();
    db.analysis_issues().create_many(&issues).await.unwrap();
    issues.iter().map(|issue| issue.id).collect()
}

fn new_issues(severity: impl Into<Option<IssueSeverity>>, at_most: u64) -> GateCondition {
    GateCondition::NewIssues {
        severity: severity.into(),
        at_most,
    }
}

fn open_issues(severity: impl Into<Option<IssueSeverity>>, at_most: u64) -> GateCondition {
    GateCondition::OpenIssues {
        severity: severity.into(),
        at_most,
    }
}

fn metric(name: &str, bound: Bound) -> GateCondition {
    GateCondition::Metric {
        name: name.to_owned(),
        bound,
        missing: Missing::Fails,
    }
}

fn drift(name: &str, since: Reference, bound: Bound) -> GateCondition {
    GateCondition::Drift {
        name: name.to_owned(),
        since,
        bound,
        missing: Missing::Fails,
    }
}

/// Each condition's value and whether it has passed.
fn read(verdict: &GateVerdict) -> Vec<(Option<BigDecimal>, bool)> {
    let conditions = verdict.conditions.iter();
    conditions
        .map(|condition| (condition.actual.clone(), condition.passed))
        .collect()
}

fn some(value: &str, passed: bool) -> (Option<BigDecimal>, bool) {
    (Some(number(value)), passed)
}

#[both_engines]
#[case]
async fn issues_are_counted_by_severity_and_verdicts_do_not_count() {
    use IssueSeverity::{Critical, High, Low};
    let (db, _database) = database().await;
    let (project, ada) = (project(&db).await.id, user(&db).await.id);
    let (gates, issues, now) = (db.quality_gates(), db.analysis_issues(), Utc::now());
    let base = measured(&db, project, now, &[]).await;
    let before = found(&db, base, &[(High, "old"), (High, "known"), (Low, "back")]).await;
    issues.ignore(before[1], ada).await.unwrap();
    issues.resolve(before[2], ada).await.unwrap();
    let new = measured(&db, project, now, &[]).await;
    let seen = [
        (High, "old"),
        (High, "known"),
        (Low, "back"),
        (Critical, "new"),
        (High, "none"),
        (Low, "new, too"),
    ];
    let after = found(&db, new, &seen).await;
    issues.mark_false_positive(after[4], ada).await.unwrap();

    let gate = QualityGate::new([
        new_issues(Critical, 0),
        new_issues(High, 0),
        new_issues(None, 2),
        open_issues(High, 1),
        open_issues(None, 3),
    ]);
    let expected = [
        some("1", false),
        some("0", true),
        some("2", true),
        some("1", true),
        some("4", false),
    ];
    let verdict = gates.evaluate(&gate, Some(base), new).await.unwrap();
    assert!(!verdict.passed);
    assert_eq!(read(&verdict), expected);
    assert_eq!(verdict.conditions[0].condition, gate.conditions[0]);
    // It has written nothing, and says the same when the verdicts are carried over.
    assert_eq!(issues.track(base, new).await.unwrap().carried_over, 1);
    let tracked = gates.evaluate(&gate, Some(base), new).await.unwrap();
    assert_eq!(tracked, verdict);
    let alone = gates.evaluate(&gate, None, new).await.unwrap();
    assert_eq!(alone.conditions[2].actual, Some(number("4")), "all are new");
    let reading = TransactionOptions::new().read_only();
    let read_only = db
        .transaction_with(&reading, async |tx| {
            tx.quality_gates().evaluate(&gate, Some(base), new).await
        })
        .await;
    assert_eq!(read_only.unwrap(), verdict);
}

#[both_engines]
#[case]
async fn metrics_scores_and_drifts_keep_to_their_bounds() {
    let (db, _database) = database().await;
    let (project, other) = (project(&db).await.id, project(&db).await.id);
    let now = Utc::now();
    let ago = |days| now - TimeDelta::days(days);
    measured(&db, project, ago(40), &[("lines", "1")]).await;
    measured(&db, project, ago(20), &[("lines", "100")]).await;
    measured(&db, other, ago(20), &[("lines", "7")]).await;
    let of_base = [("lines", "200"), ("cover", "-50"), ("zero", "0")];
    let base = measured(&db, project, ago(10), &of_base).await;
    let values = [
        ("lines", "180"),
        ("cover", "-49"),
        ("zero", "1"),
        ("twice", "3"),
        ("twice", "4"),
    ];
    let new = measured(&db, project, now, &values).await;
    let summary = AnalysisSummary::scored(7.5);
    let changes = wundr_db::AnalysisChanges::new().summary(summary);
    db.analyses().update(new, changes).await.unwrap();

    let score = |at_least: &str| GateCondition::Score {
        at_least: number(at_least),
        missing: Missing::Fails,
    };
    let (least, most) = (
        |value| Bound::AtLeast(number(value)),
        |value| Bound::AtMost(number(value)),
    );
    let gate = QualityGate::new([
        metric("lines", least("180")),
        metric("lines", most("179.9999")),
        metric("twice", most("3.5")),
        score("7.5"),
        score("7.51"),
        drift("lines", Reference::Base, least("-10")),
        drift("lines", Reference::Base, least("-9.9")),
        drift("cover", Reference::Base, most("2")),
        drift("lines", Reference::Days(30), most("20")),
        drift("zero", Reference::Base, most("1000")),
        drift("twice", Reference::Base, most("0")),
        metric("none", most("1")),
    ]);
    let gates = db.quality_gates();
    let verdict = gates.evaluate(&gate, Some(base), new).await.unwrap();
    assert_eq!(
        read(&verdict),
        [
            some("180", true),
            some("180", false),
            some("3.5", true),
            some("7.5", true),
            some("7.5", false),
            some("-10", true),
            some("-10", false),
            some("2", true),
            // 180 against the mean of 100 and 200.
            some("20", true),
            (None, false),
            (None, false),
            (None, false),
        ]
    );
    let alone = gates.evaluate(&gate, None, new).await.unwrap();
    assert_eq!(read(&alone)[5], (None, false), "there is no base");
    assert_eq!(read(&alone)[8], some("20", true));
    let none = gates
        .evaluate(&QualityGate::default(), None, new)
        .await
        .unwrap();
    assert_eq!((none.passed, none.conditions), (true, Vec::new()));
}

#[both_engines]
#[case]
async fn the_gate_says_what_becomes_of_a_missing_value() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let new = measured(&db, project, Utc::now(), &[]).await;
    let nan = format!(
        "INSERT INTO analysis.analysis_metrics (analysis_id, metric_name, metric_value, category) \
         VALUES ('{new}', 'nan', 'NaN', 'quality')"
    );
    execute(&db, &nan).await;
    for (score, value) in [
        ("\"low\"", None),
        ("\" 8.5 \"", Some("8.5")),
        ("\"1e1000000000\"", None),
        ("\"1e-1000000000\"", None),
        ("null", None),
        ("\"NaN\"", None),
        ("[]", None),
    ] {
        let summary = format!("{{\"overallScore\": {score}}}").parse().unwrap();
        let changes = wundr_db::AnalysisChanges::new().summary(Json::Raw(summary));
        db.analyses().update(new, changes).await.unwrap();
        for missing in [Missing::Fails, Missing::Passes] {
            let gate = QualityGate::new([
                GateCondition::Score {
                    at_least: 0.into(),
                    missing,
                },
                GateCondition::Metric {
                    name: "nan".to_owned(),
                    bound: Bound::AtMost(0.into()),
                    missing,
                },
            ]);
            let verdict = db.quality_gates().evaluate(&gate, None, new).await.unwrap();
            let passes = missing == Missing::Passes;
            let expected = (value.map(number), value.is_some() || passes);
            assert_eq!(read(&verdict), [expected, (None, passes)], "{score}");
            assert_eq!(verdict.passed, passes);
        }
    }
}

#[both_engines]
#[case]
async fn what_cannot_be_judged_is_refused() {
    let (db, _database) = database().await;
    let (gates, now) = (db.quality_gates(), Utc::now());
    let project_id = project(&db).await.id;
    let base = measured(&db, project_id, now, &[]).await;
    let new = measured(&db, project_id, now, &[]).await;
    let stranger = measured(&db, project(&db).await.id, now, &[]).await;
    let gate = QualityGate::new([new_issues(None, 0)]);
    for (base, new) in [
        (Some(base), AnalysisId::new()),
        (None, AnalysisId::new()),
        (Some(AnalysisId::new()), new),
    ] {
        let refusal = gates.evaluate(&gate, base, new).await.unwrap_err();
        assert!(matches!(refusal, Error::NotFound { .. }), "{refusal:?}");
    }
    for base in [stranger, new] {
        let refusal = gates.evaluate(&gate, Some(base), new).await;
        assert_eq!(field_of(refusal.unwrap_err()), "new");
    }
    let bound = |text| Bound::AtMost(number(text));
    for (condition, field) in [
        (drift("a", Reference::Days(0), bound("1")), "days"),
        (metric("a\0", bound("1")), "name"),
        (metric("a", bound("1e1000000000")), "bound"),
        (drift("a", Reference::Base, bound("1e-1000000000")), "bound"),
    ] {
        let gate = QualityGate::new([condition]);
        let refusal = gates.evaluate(&gate, Some(base), new).await;
        assert_eq!(field_of(refusal.unwrap_err()), field);
    }
    let forever = QualityGate::new([drift("a", Reference::Days(i32::MAX), bound("1"))]);
    let verdict = gates.evaluate(&forever, None, new).await.unwrap();
    assert_eq!(read(&verdict), [(None, false)]);
}

#[both_engines]
#[case]
async fn a_bound_from_json_is_what_was_written() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let values = [("a", "79.9"), ("b", "0.3"), ("c", "-0.0001")];
    let base = measured(&db, project, Utc::now(), &[("a", "100")]).await;
    let new = measured(&db, project, Utc::now(), &values).await;
    let summary = AnalysisSummary::scored(7.7);
    let changes = wundr_db::AnalysisChanges::new().summary(summary);
    db.analyses().update(new, changes).await.unwrap();
    for quote in ["", "\""] {
        let text = r#"{"conditions": [
            {"kind": "metric", "name": "a", "bound": {"at_least": #79.9#}},
            {"kind": "metric", "name": "a", "bound": {"at_most": #79.9#}},
            {"kind": "metric", "name": "b", "bound": {"at_least": #0.3#}},
            {"kind": "metric", "name": "b", "bound": {"at_most": #0.3#}},
            {"kind": "metric", "name": "c", "bound": {"at_least": #-1e-4#}},
            {"kind": "score", "at_least": #7.7#},
            {"kind": "drift", "name": "a", "since": "base", "bound": {"at_least": #-20.1#}},
            {"kind": "drift", "name": "a", "since": "base", "bound": {"at_most": #-20.1#}},
            {"kind": "open_issues", "at_most": 0}
        ]}"#
        .replace('#', quote);
        let from_text: QualityGate = serde_json::from_str(&text).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let gate: QualityGate = serde_json::from_value(document).unwrap();
        assert_eq!(gate, from_text);
        let gates = db.quality_gates();
        let verdict = gates.evaluate(&gate, Some(base), new).await.unwrap();
        assert!(verdict.passed, "{verdict:#?}");
        let written = serde_json::to_string(&verdict).unwrap();
        let read: GateVerdict = serde_json::from_str(&written).unwrap();
        assert_eq!(read, verdict);
    }
    for bound in ["\"1e131000\"", "\"1e-131000\"", "\"NaN\"", "null"] {
        let condition =
            format!(r#"{{"kind": "metric", "name": "a", "bound": {{"at_least": {bound}}}}}"#);
        let refused = serde_json::from_str::<GateCondition>(&condition);
        assert!(refused.is_err(), "{bound}");
    }
}

#[both_engines]
#[case]
async fn a_change_of_a_number_from_json_stores_what_was_written() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let analysis = measured(&db, project, Utc::now(), &[("a", "1")]).await;
    let new = NewAnalysisMetric::new(analysis, "b", MetricCategory::Quality);
    let metric = db.analysis_metrics().create(new).await.unwrap();
    for (written, stored) in [
        ("1.10005", "1.1001"),
        ("\"1.10005\"", "1.1001"),
        ("0.00005", "0.0001"),
        ("99999999.9999", "99999999.9999"),
    ] {
        let changes = format!(r#"{{"metric_value": {written}}}"#);
        let changes = serde_json::from_str(&changes).unwrap();
        let row = db.analysis_metrics().update(metric.id, changes).await;
        assert_eq!(row.unwrap().metric_value, Some(number(stored)), "{written}");
    }
    for (changes, stored) in [
        ("{}", Some("99999999.9999")),
        (r#"{"metric_value": null}"#, None),
    ] {
        let changes = serde_json::from_str(changes).unwrap();
        let row = db.analysis_metrics().update(metric.id, changes).await;
        assert_eq!(row.unwrap().metric_value, stored.map(number));
    }
}

#[both_engines]
#[case]
async fn a_gate_is_saved_and_the_closest_one_is_found() {
    let (db, _database) = database().await;
    let (gates, ada) = (db.quality_gates(), user(&db).await.id);
    let project = ConfigurationScope::Project(project(&db).await.id);
    let strict = QualityGate::new([open_issues(None, 0)]);
    let lenient = QualityGate::new([open_issues(IssueSeverity::Critical, 5)]);

    assert_eq!(gates.find(project, "main").await.unwrap(), None);
    let global = ConfigurationScope::Global;
    gates.save(global, "main", &lenient, ada).await.unwrap();
    assert_eq!(
        gates.find(project, "main").await.unwrap(),
        Some(lenient.clone())
    );
    let saved = gates.save(project, "main", &lenient, ada).await.unwrap();
    assert_eq!(
        (&*saved.name, saved.category),
        ("gate: main", ConfigCategory::Analysis)
    );
    let again = gates.save(project, "main", &strict, ada).await.unwrap();
    assert_eq!(again.id, saved.id);
    assert_eq!(gates.find(project, "main").await.unwrap(), Some(strict));
    assert_eq!(
        gates.find(global, "main").await.unwrap(),
        Some(lenient.clone())
    );
    assert_eq!(gates.find(project, "other").await.unwrap(), None);

    let settings = db.configurations();
    let value = serde_json::json!({"conditions": 5}).into();
    let set = settings.set(global, ConfigCategory::Analysis, "gate: broken", value, ada);
    set.await.unwrap();
    let broken = gates.find(global, "broken").await;
    assert!(matches!(broken, Err(Error::Decode { .. })), "{broken:?}");
    // A gate is no secret: nothing that is sealed is taken for one.
    let keyed = db.with_secrets(wundr_db::Keyring::new(1, [7; 32]));
    let value = serde_json::to_value(&lenient).unwrap();
    let category = ConfigCategory::Analysis;
    let sealed = wundr_db::NewConfiguration::new(global, category, "gate: sealed", value, ada);
    let sealed = sealed.is_encrypted(true);
    keyed.configurations().create(sealed).await.unwrap();
    for db in [&db, &keyed] {
        let sealed = db.quality_gates().find(global, "sealed").await;
        assert!(matches!(sealed, Err(Error::Decode { .. })), "{sealed:?}");
    }
    for name in ["", &"a".repeat(250)] {
        let refused = gates.save(global, name, &QualityGate::default(), ada).await;
        assert_eq!(field_of(refused.unwrap_err()), "gate", "{name}");
    }
}

#[both_engines]
#[case]
async fn a_gate_that_cannot_be_evaluated_is_not_saved() {
    let (db, _database) = database().await;
    let (gates, ada) = (db.quality_gates(), user(&db).await.id);
    let huge: BigDecimal = "1e500".parse().unwrap();
    let since = |days| GateCondition::Drift {
        name: "coverage".to_owned(),
        since: Reference::Days(days),
        bound: Bound::AtMost(1.into()),
        missing: Missing::Fails,
    };
    let of = |name: &str, bound: &BigDecimal| GateCondition::Metric {
        name: name.to_owned(),
        bound: Bound::AtMost(bound.clone()),
        missing: Missing::Fails,
    };
    let score = GateCondition::Score {
        at_least: huge.clone(),
        missing: Missing::Fails,
    };
    for (condition, field) in [
        (score, "at_least"),
        (of("coverage", &huge), "bound"),
        (of("\0", &1.into()), "name"),
        (since(0), "days"),
    ] {
        let gate = QualityGate::new([since(1), condition]);
        let refused = gates
            .save(ConfigurationScope::Global, "main", &gate, ada)
            .await;
        assert_eq!(field_of(refused.unwrap_err()), field);
    }
    let found = gates
        .find(ConfigurationScope::Global, "main")
        .await
        .unwrap();
    assert_eq!(found, None);
}
