//! Analyses of a project: ingest, findings, quality gates, live progress.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use wundr_db::web::{Events, LastEventId, Linked, Links};
use wundr_db::{
    Access, Analysis, AnalysisFilter, AnalysisId, AnalysisIssue, AnalysisIssueFilter,
    AnalysisIssueOrder, AnalysisIssueRepository, AnalysisOrder, AnalysisRepository,
    AnalysisSummary, AnalysisType, Error, Follow, GateVerdict, IssueSeverity, IssueType, ListQuery,
    LiveAnalysis, MetricCategory, NewAnalysis, NewAnalysisIssue, NewAnalysisMetric, Paged,
    ProjectId, ProjectRepository, ProjectRole, QualityGate, QualityGateRepository,
    bigdecimal::BigDecimal,
};

use crate::Service;
use crate::failure::{Body, Failure, Path, Result};
use crate::login::Login;
use crate::openapi::{Invalid, Refused, Unavailable, Unreadable};

/// Refuses a user that has less than this role. To a user without any role the row does not exist.
fn check(
    access: Option<Access<ProjectRole>>,
    least: ProjectRole,
    what: &'static str,
) -> Result<()> {
    match access {
        None => Err(Error::NotFound { what }.into()),
        Some(access) if access.role < least => Err(Failure::Forbidden {
            needs: least.to_string(),
        }),
        Some(_) => Ok(()),
    }
}

/// Refuses a user that has less than this role in the project.
async fn require(login: &Login, id: ProjectId, least: ProjectRole) -> Result<()> {
    let access = login.db.projects().access(login.user.id, id).await?;
    check(access, least, "Project")
}

/// Refuses a user that has less than this role in the project of an analysis.
async fn require_of(login: &Login, id: AnalysisId, least: ProjectRole) -> Result<()> {
    let access = login.db.analyses().access(login.user.id, id).await?;
    check(access, least, "Analysis")
}

/// What an analysis has found.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    r#type: AnalysisType,
    score: Option<f64>,
    #[serde(default)]
    issues: Vec<Finding>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

/// An issue at a line of a file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Finding {
    r#type: IssueType,
    severity: IssueSeverity,
    title: String,
    file: String,
    line: Option<i32>,
    rule: Option<String>,
}

/// A figure of the code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    #[schema(value_type = f64)]
    value: BigDecimal,
    category: MetricCategory,
}

/// Stores an analysis with all its findings, or nothing.
#[utoipa::path(
    post,
    path = "/projects/{id}/analyses",
    tag = "analyses",
    params(("id" = ProjectId, Path)),
    security(("token" = [])),
    responses((status = 201, description = "The stored analysis", body = Analysis), Refused, Unreadable, Unavailable),
)]
pub async fn ingest(
    login: Login,
    Path(project): Path<ProjectId>,
    Body(report): Body<Report>,
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

/// Lists the analyses of a project.
#[utoipa::path(
    get,
    path = "/projects/{id}/analyses",
    tag = "analyses",
    params(("id" = ProjectId, Path), ListQuery<AnalysisFilter, AnalysisOrder>),
    security(("token" = [])),
    responses((status = 200, description = "A page of analyses", body = Paged<Analysis>), Refused, Invalid, Unavailable),
)]
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

/// Lists the findings of an analysis.
#[utoipa::path(
    get,
    path = "/analyses/{id}/issues",
    tag = "analyses",
    params(("id" = AnalysisId, Path), ListQuery<AnalysisIssueFilter, AnalysisIssueOrder>),
    security(("token" = [])),
    responses((status = 200, description = "A page of issues", body = Paged<AnalysisIssue>), Refused, Invalid, Unavailable),
)]
pub async fn issues(
    login: Login,
    Path(id): Path<AnalysisId>,
    links: Links,
    query: ListQuery<AnalysisIssueFilter, AnalysisIssueOrder>,
) -> Result<Linked<AnalysisIssue>> {
    require_of(&login, id, ProjectRole::Viewer).await?;
    let filter = query.filter.analysis_id(id);
    Ok(links.of(login
        .db
        .analysis_issues()
        .list(&filter, &query.page)
        .await?))
}

/// A quality gate, and the analysis to compare with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GateBody {
    gate: QualityGate,
    base: Option<AnalysisId>,
}

/// Evaluates a gate for an analysis, compared with an earlier one of the project.
#[utoipa::path(
    post,
    path = "/analyses/{id}/gate",
    tag = "analyses",
    params(("id" = AnalysisId, Path)),
    security(("token" = [])),
    responses((status = 200, description = "The verdict", body = GateVerdict), Refused, Unreadable, Unavailable),
)]
pub async fn gate(
    login: Login,
    Path(id): Path<AnalysisId>,
    Body(body): Body<GateBody>,
) -> Result<Json<GateVerdict>> {
    require_of(&login, id, ProjectRole::Viewer).await?;
    let gates = login.db.quality_gates();
    Ok(Json(gates.evaluate(&body.gate, body.base, id).await?))
}

/// Follows the analyses of a project. A client that connects again gets what it has missed.
#[utoipa::path(
    get,
    path = "/projects/{id}/events",
    tag = "analyses",
    params(
        ("id" = ProjectId, Path),
        (
            "Last-Event-ID" = Option<String>,
            Header,
            description = "The id of the last event, which a browser sends",
        ),
    ),
    security(("token" = [])),
    responses(
        (
            status = 200,
            description = "Events, the data of which is a `LiveAnalysis`",
            body = LiveAnalysis,
            content_type = "text/event-stream",
        ),
        Refused,
        Invalid,
        Unavailable,
    ),
)]
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
