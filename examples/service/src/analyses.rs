//! Analyses of a project: ingest, findings, quality gates, live progress.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use wundr_db::web::{Events, LastEventId, Linked, Links};
use wundr_db::{
    Analysis, AnalysisFilter, AnalysisId, AnalysisIssue, AnalysisIssueFilter, AnalysisIssueOrder,
    AnalysisIssueRepository, AnalysisOrder, AnalysisRepository, AnalysisSummary, AnalysisType,
    Error, Follow, GateVerdict, IssueSeverity, IssueType, ListQuery, MetricCategory, NewAnalysis,
    NewAnalysisIssue, NewAnalysisMetric, ProjectId, ProjectRepository, ProjectRole, QualityGate,
    QualityGateRepository, bigdecimal::BigDecimal,
};

use crate::Service;
use crate::failure::{Failure, Result};
use crate::login::Login;

/// Refuses a user that has less than this role. To a user without any role the project does not
/// exist.
async fn require(login: &Login, id: ProjectId, least: ProjectRole) -> Result<()> {
    let access = login.db.projects().access(login.user.id, id).await?;
    match access {
        None => Err(Error::NotFound { what: "Project" }.into()),
        Some(access) if access.role < least => Err(Failure::Forbidden {
            needs: least.to_string(),
        }),
        Some(_) => Ok(()),
    }
}

/// Returns an analysis of a project in which the user has at least this role.
async fn analysis_of(login: &Login, id: AnalysisId, least: ProjectRole) -> Result<Analysis> {
    let analysis = login.db.analyses().find(id).await?;
    let analysis = analysis.ok_or(Error::NotFound { what: "Analysis" })?;
    require(login, analysis.project_id, least).await?;
    Ok(analysis)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    r#type: AnalysisType,
    score: Option<f64>,
    #[serde(default)]
    issues: Vec<Finding>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    r#type: IssueType,
    severity: IssueSeverity,
    title: String,
    file: String,
    line: Option<i32>,
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    value: BigDecimal,
    category: MetricCategory,
}

/// Stores an analysis with all its findings, or nothing.
pub async fn ingest(
    login: Login,
    Path(project): Path<ProjectId>,
    Json(report): Json<Report>,
) -> Result<(StatusCode, Json<Analysis>)> {
    require(&login, project, ProjectRole::Contributor).await?;
    let new = NewAnalysis::new(project, report.r#type, login.user.id);
    let id = new.id;
    let issues = report.issues.into_iter().map(move |finding| {
        let Finding {
            r#type,
            severity,
            title,
            file,
            line,
            rule,
        } = finding;
        let mut issue = NewAnalysisIssue::new(id, r#type, severity, title, file);
        (issue.line_number, issue.rule_id) = (line, rule);
        issue
    });
    let metrics = report.metrics.into_iter().map(move |metric| {
        NewAnalysisMetric::new(id, metric.name, metric.category).metric_value(metric.value)
    });
    let mut ingest = login
        .db
        .analyses()
        .ingest(new)
        .issues(issues)
        .metrics(metrics);
    if let Some(score) = report.score {
        ingest = ingest.summary(AnalysisSummary::scored(score));
    }
    Ok((StatusCode::CREATED, Json(ingest.run().await?.analysis)))
}

pub async fn list(
    login: Login,
    Path(project): Path<ProjectId>,
    links: Links,
    query: ListQuery<AnalysisFilter, AnalysisOrder>,
) -> Result<Linked<Analysis>> {
    require(&login, project, ProjectRole::Viewer).await?;
    let filter = query.filter.project_id(project);
    Ok(links.of(login.db.analyses().list(&filter, &query.page).await?))
}

pub async fn issues(
    login: Login,
    Path(id): Path<AnalysisId>,
    links: Links,
    query: ListQuery<AnalysisIssueFilter, AnalysisIssueOrder>,
) -> Result<Linked<AnalysisIssue>> {
    analysis_of(&login, id, ProjectRole::Viewer).await?;
    let filter = query.filter.analysis_id(id);
    Ok(links.of(login
        .db
        .analysis_issues()
        .list(&filter, &query.page)
        .await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateBody {
    gate: QualityGate,
    base: Option<AnalysisId>,
}

/// Evaluates a gate for an analysis, compared with an earlier one of the project.
pub async fn gate(
    login: Login,
    Path(id): Path<AnalysisId>,
    Json(body): Json<GateBody>,
) -> Result<Json<GateVerdict>> {
    analysis_of(&login, id, ProjectRole::Viewer).await?;
    let gates = login.db.quality_gates();
    Ok(Json(gates.evaluate(&body.gate, body.base, id).await?))
}

/// Follows the analyses of a project. A client that connects again gets what it has missed.
pub async fn events(
    login: Login,
    State(service): State<Service>,
    Path(project): Path<ProjectId>,
    last: LastEventId,
) -> Result<Events> {
    require(&login, project, ProjectRole::Viewer).await?;
    let follow = Follow::Project(project);
    let live = service.db.follow(follow).await?;
    Ok(Events::since(&service.db, last, follow, live).await?)
}
