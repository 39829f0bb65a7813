//! The readers that the examples share, on the Flask releases that come with the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use example_support::readers::release::{flask, history};
use example_support::readers::{IssueType, Kind, ReadError, Release, Report, Severity, read};

/// Flask's releases by date with their reports.
static REPORTS: LazyLock<Vec<(Release, Report)>> = LazyLock::new(|| {
    let releases = history(&flask()).unwrap();
    releases
        .into_iter()
        .map(|release| (release.clone(), release.read().unwrap()))
        .collect()
});

#[test]
fn every_release_has_all_its_findings_and_clones() {
    let counted: Vec<(String, usize, usize)> = REPORTS
        .iter()
        .map(|(release, report)| {
            (
                release.version.clone(),
                report.findings.len(),
                report.duplication.as_ref().unwrap().clones.len(),
            )
        })
        .collect();
    let expected = [
        ("1.0.4", 2765, 1),
        ("0.12.5", 2459, 1),
        ("1.1.4", 2222, 1),
        ("2.0.3", 1616, 5),
        ("2.1.3", 1604, 12),
        ("2.2.5", 1696, 6),
        ("2.3.3", 1311, 6),
        ("3.0.3", 1277, 10),
        ("3.1.2", 1265, 9),
    ];
    assert_eq!(
        counted,
        expected.map(|(version, findings, clones)| (version.to_owned(), findings, clones))
    );
}

#[test]
fn findings_say_what_they_are_and_where() {
    for (release, report) in REPORTS.iter() {
        assert_eq!(report.tools.len(), 1);
        assert_eq!(
            (&*report.tools[0].name, report.tools[0].version.as_deref()),
            ("ruff", Some("0.17.6"))
        );
        for finding in &report.findings {
            let place = (
                finding.line,
                finding.column,
                finding.end_line,
                finding.end_column,
            );
            assert!(
                matches!(place, (Some(1..), Some(1..), Some(1..), Some(1..))),
                "{} {finding:?}",
                release.version
            );
            assert!(
                finding
                    .file_path
                    .as_ref()
                    .is_some_and(|path| path.starts_with("flask/")),
                "{finding:?}"
            );
            assert!(
                finding.rule_id.is_some() && finding.kind == Kind::Fail && !finding.ignored,
                "{finding:?}"
            );
        }
        let severities: BTreeSet<Severity> = report
            .findings
            .iter()
            .map(|finding| finding.severity)
            .collect();
        assert_eq!(
            severities,
            [
                Severity::Info,
                Severity::Low,
                Severity::Medium,
                Severity::High
            ]
            .into()
        );
    }
}

#[test]
fn the_latest_release_is_read_in_full() {
    let (_, report) = REPORTS.last().unwrap();
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.rule_id.as_deref() == Some("ANN401"))
        .unwrap();
    assert_eq!(
        finding.title,
        "Dynamically typed expressions (typing.Any) are disallowed in `__getattr__`"
    );
    assert_eq!(
        (finding.issue_type, finding.severity),
        (IssueType::BestPractice, Severity::Low)
    );
    assert_eq!(
        (
            finding.line,
            finding.column,
            finding.end_line,
            finding.end_column
        ),
        (Some(47), Some(35), Some(47), Some(40))
    );
    assert_eq!(
        report
            .findings
            .iter()
            .filter(|finding| finding.fix_suggestion.is_some())
            .count(),
        319
    );
    assert_eq!(report.functions.len(), 363);

    let files = report.files();
    let provider = &files["flask/json/provider.py"];
    assert_eq!(provider.module.as_deref(), Some("flask.json.provider"));
    assert!(provider.dependencies.is_empty());
    assert_eq!(
        provider.fan.map(|fan| (fan.fan_in, fan.fan_out)),
        Some((1, 0))
    );
    let package = &files["flask/json/__init__.py"];
    assert_eq!(package.module.as_deref(), Some("flask.json"));
    assert_eq!(
        package.dependencies,
        ["flask.globals", "flask.json.provider", "flask.wrappers"]
    );

    let summary = report.summary();
    assert_eq!(summary.findings, 1265);
    assert_eq!(summary.by_severity.values().sum::<u64>(), 1265);
    assert_eq!(files.values().map(|file| file.findings).sum::<u64>(), 1265);
    assert_eq!(
        files
            .values()
            .map(|file| file.complexity.functions)
            .sum::<u64>(),
        363
    );
    assert_eq!(
        (summary.clones, summary.duplication_percentage),
        (9, Some(1.21))
    );
}

#[test]
fn each_module_has_its_file() {
    for (release, report) in REPORTS.iter() {
        let files = report.files();
        let found: BTreeSet<&String> = files
            .values()
            .filter_map(|file| file.module.as_ref())
            .collect();
        let modules: BTreeSet<&String> =
            report.imports.as_ref().unwrap().modules().iter().collect();
        assert_eq!(found, modules, "{}", release.version);
    }
}

#[test]
fn tokens_of_clones_add_up_and_their_places_are_in_order() {
    let totals: Vec<u32> = REPORTS
        .iter()
        .map(|(_, report)| {
            let clones = &report.duplication.as_ref().unwrap().clones;
            assert!(
                clones
                    .iter()
                    .flat_map(|clone| &clone.fragments)
                    .all(|place| place.start_line <= place.end_line)
            );
            assert_eq!(
                clones
                    .iter()
                    .map(|clone| &clone.hash)
                    .collect::<BTreeSet<_>>()
                    .len(),
                clones.len()
            );
            clones.iter().map(|clone| clone.tokens).sum()
        })
        .collect();
    // jscpd's own statistics.total.duplicatedTokens.
    assert_eq!(totals, [60, 61, 59, 332, 684, 438, 434, 810, 762]);
}

#[test]
fn scores_tell_releases_apart_and_metrics_fit_their_columns() {
    let mut scores = BTreeMap::new();
    for (release, report) in REPORTS.iter() {
        let summary = report.summary();
        let score = summary.overall_score.unwrap();
        assert!((0.0..=100.0).contains(&score));
        let metrics = summary.metrics();
        let names: BTreeSet<&str> = metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), metrics.len());
        assert!(
            metrics.iter().all(|metric| metric.value.abs() < 1e8),
            "{metrics:?}"
        );
        assert_eq!(
            serde_json::to_value(&summary).unwrap()["overallScore"],
            score
        );
        scores.insert((score * 100.0) as u32, &release.version);
    }
    assert_eq!(
        scores.len(),
        9,
        "two releases have the same score: {scores:?}"
    );
    assert_eq!(scores.first_key_value().unwrap().1.as_str(), "0.12.5");
}

#[test]
fn one_file_is_enough_and_none_is_an_error() {
    let whole = flask().join("3.1.2");
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        read(folder.path()).unwrap_err(),
        ReadError::NothingToRead { .. }
    ));
    assert!(matches!(
        read(&folder.path().join("missing")).unwrap_err(),
        ReadError::Io { .. }
    ));

    let alone = read(&whole.join("findings.sarif.gz")).unwrap();
    assert_eq!((alone.findings.len(), alone.functions.len()), (1265, 0));
    assert_eq!(alone.summary().overall_score, None);

    std::fs::copy(
        whole.join("imports.json.gz"),
        folder.path().join("imports.json.gz"),
    )
    .unwrap();
    let imports = read(folder.path()).unwrap();
    assert!(imports.findings.is_empty() && imports.duplication.is_none());
    assert_eq!(imports.imports.unwrap().modules().len(), 21);

    std::fs::write(folder.path().join("imports.json"), "{").unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(
        matches!(error, ReadError::Json { ref path, .. } if path.ends_with("imports.json")),
        "{error}"
    );
}
