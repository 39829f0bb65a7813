//! Queries on the stored analyses, printed as tables.

use std::collections::BTreeMap;
use std::error::Error;

use bigdecimal::ToPrimitive;
use comfy_table::{Table, presets::UTF8_HORIZONTAL_ONLY};
use futures_util::TryStreamExt;
use wundr_db::{
    Analysis, AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueId,
    AnalysisIssueRepository, AnalysisOrder, AnalysisRepository, AnalysisResultFilter,
    AnalysisResultRepository, AuditLogFilter, AuditLogRepository, Bound, Db, GateCondition,
    IssueSeverity, Missing, Page, ProjectStatsRepository, QualityGate, QualityGateRepository,
    Reference, TrendRepository,
};

use crate::story::Cast;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The days to look back, enough for the oldest release.
const DAYS: i32 = 4_000;

pub async fn print(db: &Db, cast: &Cast) -> Outcome {
    let releases = AnalysisFilter::new().project_id(cast.project.id);
    let oldest_first = Page::new().limit(100).order(AnalysisOrder::Oldest);
    let analyses = db.analyses().list(&releases, &oldest_first).await?.items;
    statistics(db, cast).await?;
    trends(db, cast).await?;
    if let Some(latest) = analyses.last() {
        worst_files(db, latest.id).await?;
        findings(db, latest.id).await?;
    }
    tracking(db, &analyses).await?;
    if let [.., before, latest] = &analyses[..] {
        comparison(db, latest, before).await?;
    }
    audit_trail(db, cast).await
}

fn table(title: &str, header: &[&str]) -> Table {
    println!("\n{title}");
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    table
}

fn label(analysis: &Analysis) -> String {
    let label = analysis.configuration.field("label").ok().flatten();
    label.unwrap_or_else(|| "?".to_owned())
}

async fn statistics(db: &Db, cast: &Cast) -> Outcome {
    let Some(statistics) = db.project_stats().find(cast.project.id).await? else {
        return Ok(());
    };
    let issues = db
        .analysis_issues()
        .count(&AnalysisIssueFilter::new())
        .await?;
    let mut table = table(
        "Project",
        &[
            "project",
            "analyses",
            "completed",
            "newest",
            "mean score",
            "members",
            "issues stored",
        ],
    );
    table.add_row([
        statistics.name.clone(),
        statistics.total_analyses.to_string(),
        statistics.completed_analyses.to_string(),
        statistics
            .last_analysis_at
            .map(|at| at.date_naive().to_string())
            .unwrap_or_default(),
        statistics
            .avg_quality_score
            .as_ref()
            .map(|score| score.round(1).to_string())
            .unwrap_or_default(),
        statistics.member_count.to_string(),
        format!("{issues}"),
    ]);
    println!("{table}");
    Ok(())
}

async fn trends(db: &Db, cast: &Cast) -> Outcome {
    let mut table = table(
        "Trends over the releases",
        &["metric", "first", "last", "course", "last step"],
    );
    for metric in ["overall_score", "findings", "average_complexity"] {
        let points = db.trends().of_metric(cast.project.id, metric, DAYS).await?;
        let values: Vec<f64> = points
            .iter()
            .filter_map(|point| point.average.to_f64())
            .collect();
        let (Some(first), Some(last)) = (values.first(), values.last()) else {
            continue;
        };
        table.add_row([
            metric.to_owned(),
            format!("{first:.2}"),
            format!("{last:.2}"),
            line(&values),
            points
                .last()
                .map(|point| point.direction.to_string())
                .unwrap_or_default(),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Draws values as a line of block characters.
fn line(values: &[f64]) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let span = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    let step = |value: &f64| {
        if span > 0.0 {
            ((value - least) / span * 7.0).round() as usize
        } else {
            3
        }
    };
    values
        .iter()
        .map(|value| STEPS[step(value).min(7)])
        .collect()
}

async fn worst_files(db: &Db, analysis: AnalysisId) -> Outcome {
    let filter = AnalysisResultFilter::new().analysis_id(analysis);
    let results = db.analysis_results();
    let mut files: Vec<_> = results.stream(&filter).try_collect().await?;
    let number = |file: &wundr_db::AnalysisResult, pointer: &str| {
        let metrics = file.metrics.to_value().unwrap_or_default();
        metrics
            .pointer(pointer)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default()
    };
    files.sort_by_key(|file| std::cmp::Reverse(number(file, "/findings")));
    let mut table = table(
        "The ten worst files of the latest release",
        &[
            "file",
            "findings",
            "high",
            "functions",
            "most complex",
            "clones",
        ],
    );
    for file in files.iter().take(10) {
        let column = |pointer| number(file, pointer).to_string();
        table.add_row([
            file.file_path.clone(),
            column("/findings"),
            column("/bySeverity/high"),
            column("/complexity/functions"),
            column("/complexity/maxComplexity"),
            column("/clones"),
        ]);
    }
    println!("{table}");
    Ok(())
}

async fn findings(db: &Db, analysis: AnalysisId) -> Outcome {
    let filter = AnalysisIssueFilter::new().analysis_id(analysis);
    let mut by_severity = table(
        "Findings of the latest release by severity",
        &["severity", "findings"],
    );
    for (severity, count) in db.analysis_issues().count_by_severity(&filter).await? {
        by_severity.add_row([severity.to_string(), count.to_string()]);
    }
    println!("{by_severity}");
    let mut by_rule = table("Its ten most frequent rules", &["rule", "findings"]);
    for (rule, count) in db.analysis_issues().count_by_rule(&filter, 10).await? {
        by_rule.add_row([rule, count.to_string()]);
    }
    println!("{by_rule}");
    Ok(())
}

/// Prints the changes of the findings from release to release, and the quality gate of each
/// release.
async fn tracking(db: &Db, oldest_first: &[Analysis]) -> Outcome {
    let gate = QualityGate::new([
        GateCondition::NewIssues {
            severity: Some(IssueSeverity::Critical),
            at_most: 0,
        },
        GateCondition::NewIssues {
            severity: None,
            at_most: 300,
        },
        GateCondition::Drift {
            name: "average_complexity".to_owned(),
            since: Reference::Base,
            bound: Bound::AtMost(5.into()),
            missing: Missing::Fails,
        },
    ]);
    let header = ["release", "unchanged", "moved", "new", "fixed", "gate"];
    let mut table = table("Findings from release to release", &header);
    for pair in oldest_first.windows(2) {
        let [before, after] = pair else { continue };
        let found = db.analysis_issues().track(before.id, after.id).await?;
        let gates = db.quality_gates();
        let verdict = gates.evaluate(&gate, Some(before.id), after.id).await?;
        table.add_row([
            label(after),
            found.unchanged.len().to_string(),
            found.moved.len().to_string(),
            found.new.len().to_string(),
            found.fixed.len().to_string(),
            if verdict.passed { "passed" } else { "failed" }.to_owned(),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Prints the rules whose findings changed most from one release to the next.
async fn comparison(db: &Db, latest: &Analysis, before: &Analysis) -> Outcome {
    let found = db.analysis_issues().track(before.id, latest.id).await?;
    let (added, fixed) = tokio::try_join!(rules(db, &found.new), rules(db, &found.fixed))?;
    let mut by_rule: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for rule in &fixed {
        by_rule.entry(rule).or_default().0 += 1;
    }
    for rule in &added {
        by_rule.entry(rule).or_default().1 += 1;
    }
    let title = format!(
        "{} against {}: {} fixed, {} added",
        label(latest),
        label(before),
        fixed.len(),
        added.len()
    );
    let mut table = table(&title, &["rule", "fixed", "added"]);
    let mut rules: Vec<_> = by_rule.into_iter().collect();
    rules.sort_by_key(|(_, (fixed, added))| std::cmp::Reverse(fixed + added));
    for (rule, (fixed, added)) in rules.into_iter().take(8) {
        table.add_row([rule.to_owned(), fixed.to_string(), added.to_string()]);
    }
    println!("{table}");
    Ok(())
}

async fn rules(db: &Db, ids: &[AnalysisIssueId]) -> wundr_db::Result<Vec<String>> {
    let issues = db.analysis_issues().find_many(ids).await?;
    let rules = issues.into_iter().flatten().map(|issue| issue.rule_id);
    Ok(rules.map(Option::unwrap_or_default).collect())
}

async fn audit_trail(db: &Db, cast: &Cast) -> Outcome {
    let filter = AuditLogFilter::new().organization_id(cast.organization.id);
    let page = db
        .audit_logs()
        .list(&filter, &Page::new().limit(10).with_total())
        .await?;
    let title = format!(
        "Audit trail, the newest of {}",
        page.total.unwrap_or_default()
    );
    let mut table = table(&title, &["time (UTC)", "action", "what", "which"]);
    for entry in page.items {
        let values = entry.new_values.unwrap_or_default();
        let label: Option<String> = values.field("label")?;
        let name = label.or(values.field("name")?).unwrap_or_default();
        table.add_row([
            entry.created_at.format("%Y-%m-%d %H:%M:%S").to_string(),
            entry.action.to_string(),
            entry.resource_type,
            name,
        ]);
    }
    println!("{table}");
    Ok(())
}
