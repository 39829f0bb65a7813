//! The plans of the main statements on a filled database: each uses the index that is there for it,
//! and none reads a large table as a whole.
//!
//! A method is called in a transaction on a new connection. What it prepared there is explained
//! with its generic plan, which is the same for all values.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use wundr_db::blocking::*;
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueId, AnalysisIssueOrder,
    AnalysisType, AuditLogFilter, Config, Error, IssueSeverity, OrganizationId, Page,
    ProjectFilter, ProjectId, QualityGate, Result, UserChanges, UserId, UserSessionId,
};

use crate::catalog::connect;

/// Some thousand rows in each table that grows.
const ROWS: &str = include_str!("plans/rows.sql");

fn filled_database() -> TestDatabase {
    let database = migrated_database().unwrap();
    connect(&database).batch_execute(ROWS).unwrap();
    database
}

#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    statement: String,
    #[diesel(sql_type = Integer)]
    parameters: i32,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// The statements that a call prepares, each with its plan.
fn explained(database: &TestDatabase, call: Call) -> String {
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).unwrap();
    let mut text = String::new();
    let outcome = db.transaction(|tx| -> Result<()> {
        match call(tx) {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let connection = tx.connection_mut();
        connection.batch_execute("SET LOCAL plan_cache_mode = force_generic_plan")?;
        let prepared: Vec<Prepared> = sql_query(
            "SELECT name, statement, cardinality(parameter_types) AS parameters FROM pg_prepared_statements \
             WHERE statement ~ '\"?(public|analysis|setup|audit)\"?\\.' ORDER BY prepare_time",
        )
        .load(connection)?;
        for Prepared { name, statement, parameters } in prepared {
            let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
            let values = if nulls.is_empty() { nulls } else { format!("({nulls})") };
            let explain = format!("EXPLAIN (COSTS OFF) EXECUTE \"{name}\"{values}");
            let plan: Vec<Line> = sql_query(explain).load(connection)?;
            writeln!(text, "{statement}").unwrap();
            plan.iter().for_each(|line| writeln!(text, "    {}", line.line).unwrap());
        }
        Ok(())
    });
    outcome.unwrap();
    text
}

type Call = fn(&Tx) -> Result<()>;

/// The methods by name, each with the indexes that its plan uses.
const CASES: &[(&str, Call, &[&str])] = &[
    (
        "users.find",
        |tx| tx.users().find(UserId::new()).map(drop),
        &["users_pkey"],
    ),
    (
        "users.find_many",
        |tx| tx.users().find_many(&[UserId::new()]).map(drop),
        &["users_pkey"],
    ),
    (
        "users.find_by_email",
        |tx| tx.users().find_by_email("7@example.org").map(drop),
        &["idx_users_email_lower"],
    ),
    (
        "users.update",
        |tx| {
            tx.users()
                .update(UserId::new(), UserChanges::new().name("Ada"))
                .map(drop)
        },
        &["users_pkey"],
    ),
    (
        "user_sessions.find_by_token_hash",
        |tx| tx.user_sessions().find_by_token_hash("x").map(drop),
        &["token"],
    ),
    (
        "user_sessions.find_by_refresh_token_hash",
        |tx| tx.user_sessions().find_by_refresh_token_hash("x").map(drop),
        &["idx_user_sessions_refresh_token"],
    ),
    (
        "user_sessions.touch",
        |tx| tx.user_sessions().touch(UserSessionId::new()).map(drop),
        &["user_sessions_pkey"],
    ),
    (
        "user_sessions.delete_expired",
        |tx| tx.user_sessions().delete_expired(100).map(drop),
        &["idx_user_sessions_expires", "user_sessions_pkey"],
    ),
    (
        "organizations.find_by_slug",
        |tx| tx.organizations().find_by_slug("org-7").map(drop),
        &["slug"],
    ),
    (
        "organization_members.role_of",
        |tx| {
            tx.organization_members()
                .role_of(OrganizationId::new(), UserId::new())
                .map(drop)
        },
        &["organization_members"],
    ),
    (
        "projects.list of an organization",
        |tx| {
            let filter = ProjectFilter::new().organization_id(OrganizationId::new());
            tx.projects().list(&filter, &Page::new()).map(drop)
        },
        &["idx_projects_org_created_id"],
    ),
    (
        "projects.list_of_organizations",
        |tx| {
            let (filter, ids) = (ProjectFilter::new(), [OrganizationId::new()]);
            tx.projects()
                .list_of_organizations(&ids, &filter, &Page::new())
                .map(drop)
        },
        &["idx_projects_org_created_id"],
    ),
    (
        "analyses.list of a project",
        |tx| {
            let filter = AnalysisFilter::new().project_id(ProjectId::new());
            tx.analyses().list(&filter, &Page::new()).map(drop)
        },
        &["idx_analyses_project_created_id"],
    ),
    (
        "analyses.of_projects",
        |tx| tx.analyses().of_projects(&[ProjectId::new()], 5).map(drop),
        &["idx_analyses_project_created_id"],
    ),
    (
        "analyses.latest",
        |tx| {
            tx.analyses()
                .latest(ProjectId::new(), AnalysisType::Quality)
                .map(drop)
        },
        &["idx_analyses_project_type_created_id"],
    ),
    (
        "analyses.claim",
        |tx| {
            tx.analyses()
                .claim(&[AnalysisType::Quality], "worker", Duration::from_secs(60))
                .map(drop)
        },
        &["idx_analyses_pending", "analyses_pkey"],
    ),
    (
        "analyses.renew",
        |tx| {
            let claim =
                tx.analyses()
                    .claim(AnalysisType::ALL, "worker", Duration::from_secs(60))?;
            tx.analyses()
                .renew(&claim.unwrap().lease, Duration::from_secs(60), Some(50))
                .map(drop)
        },
        &["analyses_pkey", "analysis_leases_pkey"],
    ),
    (
        "analyses.requeue_abandoned",
        |tx| tx.analyses().requeue_abandoned(3).map(drop),
        &["idx_analysis_leases_expires_at", "analyses_pkey"],
    ),
    (
        "analyses.start",
        |tx| tx.analyses().start(AnalysisId::new()).map(drop),
        &["analyses_pkey"],
    ),
    (
        "analysis_issues.list of an analysis",
        |tx| {
            let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
            tx.analysis_issues().list(&filter, &Page::new()).map(drop)
        },
        &["idx_analysis_issues_analysis_"],
    ),
    (
        "analysis_issues.list of an analysis by severity",
        |tx| {
            let filter = AnalysisIssueFilter::new()
                .analysis_id(AnalysisId::new())
                .severity(IssueSeverity::High);
            let page = Page::new().order(AnalysisIssueOrder::Severity);
            tx.analysis_issues().list(&filter, &page).map(drop)
        },
        &["idx_analysis_issues_analysis_severity"],
    ),
    (
        "analysis_issues.count_by_severity",
        |tx| {
            let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
            tx.analysis_issues().count_by_severity(&filter).map(drop)
        },
        &["idx_analysis_issues_analysis_"],
    ),
    (
        "analysis_issues.resolve",
        |tx| {
            tx.analysis_issues()
                .resolve(AnalysisIssueId::new(), UserId::new())
                .map(drop)
        },
        &["analysis_issues_pkey"],
    ),
    (
        "analysis_issues.track",
        |tx| {
            tx.analysis_issues()
                .track(AnalysisId::new(), AnalysisId::new())
                .map(drop)
        },
        &["idx_analysis_issues_analysis_", "analyses_pkey"],
    ),
    (
        "analysis_metrics.latest_of_project",
        |tx| {
            tx.analysis_metrics()
                .latest_of_project(ProjectId::new(), &["complexity"])
                .map(drop)
        },
        &["idx_analysis_metrics_analysis_name"],
    ),
    (
        "duplicate_groups.find_by_hash",
        |tx| tx.duplicate_groups().find_by_hash("x").map(drop),
        &["idx_duplicate_groups_hash"],
    ),
    (
        "audit_logs.list of an organization",
        |tx| {
            let filter = AuditLogFilter::new().organization_id(OrganizationId::new());
            tx.audit_logs().list(&filter, &Page::new()).map(drop)
        },
        &["organization_id_created_at_id_idx"],
    ),
    (
        "quality_gates.evaluate",
        |tx| {
            let gate = QualityGate::default();
            tx.quality_gates()
                .evaluate(&gate, Some(AnalysisId::new()), AnalysisId::new())
                .map(drop)
        },
        &["analyses_pkey"],
    ),
];

/// The tables that [`ROWS`] fills, but for the logs, which have empty partitions. A plan that scans
/// one of them takes longer with every row.
const LARGE: [&str; 11] = [
    "users",
    "user_sessions",
    "organization_members",
    "projects",
    "project_members",
    "analyses",
    "analysis_issues",
    "analysis_leases",
    "analysis_metrics",
    "analysis_results",
    "duplicate_groups",
];

#[test]
fn the_main_statements_use_their_indexes() {
    let database = filled_database();
    let mut findings = String::new();
    for (name, call, indexes) in CASES {
        let explained = explained(&database, *call);
        let scans = |line: &str| {
            let table = line.split_once("Seq Scan on ").map(|(_, table)| table);
            table.is_some_and(|table| LARGE.iter().any(|large| table.starts_with(large)))
        };
        let missing: Vec<_> = indexes
            .iter()
            .filter(|index| !explained.contains(*index))
            .collect();
        let has_scan = explained.lines().any(scans);
        if has_scan || !missing.is_empty() {
            writeln!(
                findings,
                "{name}: without {missing:?}, a scan: {has_scan}\n{explained}"
            )
            .unwrap();
        }
    }
    assert!(findings.is_empty(), "{findings}");
}
