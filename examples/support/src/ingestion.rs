//! Stores the readers' reports. One report becomes one analysis with all its rows, in one
//! transaction.

use bigdecimal::{BigDecimal, RoundingMode};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;
use wundr_db::{
    AnalysisId, AnalysisStatus, AnalysisType, AuditAction, AuditLogRepository, Db, Document,
    DuplicateFile, Error, IngestCounts, IssueStatus, IssueType, Json, MetricCategory, NewAnalysis,
    NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewAuditLog, NewDependencyGraph,
    NewDuplicateGroup, OrganizationId, ProjectId, ProjectRepository, Result, Rows, TrendDirection,
    UserId,
};
use wundr_db::{
    AnalysisIssueRepository, AnalysisMetricRepository, AnalysisRepository,
    AnalysisResultRepository, DependencyGraphRepository, DuplicateGroupRepository, Tx,
};

use crate::readers::{Finding, Metric, Report, Summary};

/// The owner and the subject of a report.
pub struct Origin {
    pub organization: OrganizationId,
    pub project: ProjectId,
    pub user: UserId,
    /// The release that was analyzed, or the file's name.
    pub label: String,
    /// The time of the analysis.
    pub at: DateTime<Utc>,
}

/// The result of storing a report.
pub struct Written {
    pub analysis: AnalysisId,
    pub summary: Summary,
    pub counts: IngestCounts,
}

/// Stores a report completely or not at all.
///
/// `before` is the summary of the project's previous report. It determines the direction of each
/// metric.
pub async fn store(
    db: &Db,
    origin: &Origin,
    report: &Report,
    before: Option<&Summary>,
) -> Result<Written> {
    let summary = report.summary();
    let analysis = analysis(origin, report, &summary)?;
    let id = analysis.id;
    let metrics = metrics(id, origin, &summary, before)?;
    let audit = NewAuditLog::new(AuditAction::Create, "analysis")
        .user_id(origin.user)
        .organization_id(origin.organization)
        .resource_id(*id.as_uuid())
        .new_values(json!({"label": origin.label, "issues": report.findings.len()}));

    db.transaction(async |tx| {
        let counts = if report.failures.is_empty() {
            // The rows are created while they are written.
            let ingest = tx
                .analyses()
                .ingest(analysis)
                .results(Rows::fallible(results(id, origin, report)))
                .issues(Rows::fallible(issues(id, origin, report)))
                .metrics(metrics)
                .duplicate_groups(Rows::fallible(duplicate_groups(id, origin, report)))
                .dependency_graphs(Rows::fallible(dependency_graphs(id, origin, report)));
            ingest.run().await?.counts
        } else {
            store_failed(tx, analysis, origin, report, &metrics).await?
        };
        tx.projects().touch_last_analyzed(origin.project).await?;
        tx.audit_logs().create(audit).await?;
        Ok(Written {
            analysis: id,
            summary,
            counts,
        })
    })
    .await
}

/// Stores the rows of a failed analysis one table after the other, since an ingest always completes
/// its analysis.
async fn store_failed(
    tx: &Tx,
    analysis: NewAnalysis,
    origin: &Origin,
    report: &Report,
    metrics: &[NewAnalysisMetric],
) -> Result<IngestCounts> {
    let id = analysis.id;
    tx.analyses().create(analysis).await?;
    let results = results(id, origin, report).collect::<Result<Vec<_>>>()?;
    let issues = issues(id, origin, report).collect::<Result<Vec<_>>>()?;
    let groups = duplicate_groups(id, origin, report).collect::<Result<Vec<_>>>()?;
    let mut counts = IngestCounts::default();
    counts.results = tx.analysis_results().create_many(&results).await?;
    counts.issues = tx.analysis_issues().create_many(&issues).await?;
    counts.metrics = tx.analysis_metrics().create_many(metrics).await?;
    counts.duplicate_groups = tx.duplicate_groups().create_many(&groups).await?;
    for graph in dependency_graphs(id, origin, report) {
        tx.dependency_graphs().create(graph?).await?;
        counts.dependency_graphs += 1;
    }
    Ok(counts)
}

pub fn analysis(origin: &Origin, report: &Report, summary: &Summary) -> Result<NewAnalysis> {
    let tools: Vec<_> = report
        .tools
        .iter()
        .map(|tool| json!({"name": tool.name, "version": tool.version}))
        .collect();
    // A past analysis is stored as completed at its own time. If a tool crashed, its findings are
    // unknown, so nothing may be compared with the analysis.
    let duration = 1;
    let (status, progress) = if report.failures.is_empty() {
        (AnalysisStatus::Completed, 100)
    } else {
        (AnalysisStatus::Failed, 0)
    };
    let mut new = NewAnalysis::new(origin.project, AnalysisType::Quality, origin.user);
    let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
    new.error_message = (!failures.is_empty()).then(|| failures.join("\n"));
    Ok(new
        .status(status)
        .progress(progress)
        .configuration(json!({"label": origin.label, "tools": tools}))
        .summary(Json::Raw(as_json(summary)?))
        .started_at(origin.at - Duration::seconds(duration.into()))
        .completed_at(origin.at)
        .duration_seconds(duration)
        .created_at(origin.at))
}

pub fn results(
    id: AnalysisId,
    origin: &Origin,
    report: &Report,
) -> impl Iterator<Item = Result<NewAnalysisResult>> {
    report.files().into_iter().map(move |(path, file)| {
        let dependencies = Json::Typed(file.dependencies.clone());
        Ok(NewAnalysisResult::new(id, path)
            .metrics(Json::Raw(as_json(&file)?))
            .dependencies(dependencies)
            .created_at(origin.at))
    })
}

pub fn issues(
    id: AnalysisId,
    origin: &Origin,
    report: &Report,
) -> impl Iterator<Item = Result<NewAnalysisIssue>> {
    let findings = report.findings.iter();
    findings.map(move |finding| issue(id, origin, finding))
}

/// The path of findings about the project as a whole.
const WHOLE_PROJECT: &str = ".";

fn issue(id: AnalysisId, origin: &Origin, finding: &Finding) -> Result<NewAnalysisIssue> {
    let path = finding.file_path.as_deref().unwrap_or(WHOLE_PROJECT);
    let kind: IssueType = finding.issue_type.as_str().parse()?;
    let mut issue = NewAnalysisIssue::new(
        id,
        kind,
        finding
            .severity
            .as_str()
            .parse::<wundr_db::IssueSeverity>()?,
        &*finding.title,
        path,
    )
    .created_at(origin.at);
    issue.rule_id = finding.rule_id.clone();
    issue.description = finding.description.clone();
    issue.line_number = finding.line;
    issue.column_number = finding.column;
    issue.end_line_number = finding.end_line;
    issue.end_column_number = finding.end_column;
    issue.code_snippet = finding.code_snippet.clone();
    issue.fix_suggestion = finding.fix_suggestion.clone();
    issue.status = finding.ignored.then_some(IssueStatus::Ignored);
    Ok(issue)
}

pub fn metrics(
    id: AnalysisId,
    origin: &Origin,
    summary: &Summary,
    before: Option<&Summary>,
) -> Result<Vec<NewAnalysisMetric>> {
    let earlier = before.map(Summary::metrics).unwrap_or_default();
    let direction = |metric: &Metric| -> Result<Option<TrendDirection>> {
        let before = earlier.iter().find(|earlier| earlier.name == metric.name);
        before
            .and_then(|before| metric.trend_since(before.value))
            .map(str::parse)
            .transpose()
    };
    summary
        .metrics()
        .iter()
        .map(|metric| {
            let category: MetricCategory = metric.category.parse()?;
            let value =
                decimal(metric.name, metric.value)?.with_scale_round(4, RoundingMode::HalfUp);
            let mut new = NewAnalysisMetric::new(id, metric.name, category)
                .metric_value(value)
                .metric_unit(metric.unit)
                .description(metric.description)
                .created_at(origin.at);
            new.trend_direction = direction(metric)?;
            Ok(new)
        })
        .collect()
}

pub fn duplicate_groups(
    id: AnalysisId,
    origin: &Origin,
    report: &Report,
) -> impl Iterator<Item = Result<NewDuplicateGroup>> {
    let clones = report
        .duplication
        .iter()
        .flat_map(|duplication| &duplication.clones);
    clones.map(move |clone| {
        let similarity = decimal("similarity_percentage", clone.similarity_percentage)?;
        let files: Vec<_> = clone
            .fragments
            .iter()
            .map(|fragment| {
                DuplicateFile::new(&*fragment.file_path, fragment.start_line, fragment.end_line)
            })
            .collect();
        let lines =
            i32::try_from(clone.lines).map_err(|error| Error::invalid("total_lines", error))?;
        Ok(
            NewDuplicateGroup::new(id, &*clone.hash, similarity, lines, files)
                .created_at(origin.at),
        )
    })
}

pub fn dependency_graphs(
    id: AnalysisId,
    origin: &Origin,
    report: &Report,
) -> impl Iterator<Item = Result<NewDependencyGraph>> {
    report.imports.iter().map(move |graph| {
        Ok(NewDependencyGraph::new(origin.project, as_json(graph)?)
            .analysis_id(id)
            .metadata(json!({"tool": "grimp", "modules": graph.modules().len()}))
            .created_at(origin.at))
    })
}

/// Converts a number to the shortest decimal that denotes it.
///
/// `BigDecimal::from_f64` would keep all binary digits, so that 1.10005 becomes slightly less.
fn decimal(field: &'static str, number: f64) -> Result<BigDecimal> {
    number
        .to_string()
        .parse()
        .map_err(|_| Error::invalid(field, "is not a finite number"))
}

fn as_json(value: &impl serde::Serialize) -> Result<Document> {
    Document::of(value)
}
