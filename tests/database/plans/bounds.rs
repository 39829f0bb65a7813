//! A statement about analyses or a project reads issues of these alone, whatever its filter says,
//! and however it is planned. What it reads is counted by the server.

use std::fmt::Write as _;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use wundr_db::blocking::*;
use wundr_db::testing::TestDatabase;
use wundr_db::{
    AnalysisId, AnalysisIssueFilter, AnalysisIssueOrder, AnalysisResultFilter, Config,
    IssueSeverity, IssueStatus, IssueType, Page, ProjectId, Result, UserId,
};

use crate::catalog::connect;

/// The project with the most issues, one of its analyses, and a user that resolved some of them.
#[derive(QueryableByName)]
struct Subject {
    #[diesel(sql_type = Text)]
    project: String,
    #[diesel(sql_type = Text)]
    analysis: String,
    #[diesel(sql_type = Text)]
    user: String,
    #[diesel(sql_type = BigInt)]
    analyses: i64,
    #[diesel(sql_type = BigInt)]
    issues: i64,
    #[diesel(sql_type = BigInt)]
    issues_of_analysis: i64,
}

const SUBJECT: &str = "
    SELECT a.project_id::text AS project, min(i.analysis_id::text) AS analysis, \
        (SELECT resolved_by::text FROM analysis.analysis_issues WHERE resolved_by IS NOT NULL \
            GROUP BY resolved_by ORDER BY count(*) DESC LIMIT 1) AS user, \
        count(DISTINCT i.analysis_id) AS analyses, count(*) AS issues, \
        count(*) / count(DISTINCT i.analysis_id) AS issues_of_analysis \
    FROM analysis.analyses AS a JOIN analysis.analysis_issues AS i ON i.analysis_id = a.id \
    GROUP BY a.project_id ORDER BY issues DESC, project LIMIT 1";

/// Returns the query for the rows that scans of a table have read in this session, and the entries
/// of its indexes.
fn rows_read(table: &str) -> String {
    format!(
        "SELECT (pg_stat_get_xact_tuples_returned('{table}'::regclass) \
             + sum(pg_stat_get_xact_tuples_returned(indexrelid)))::bigint AS number \
         FROM pg_index WHERE indrelid = '{table}'::regclass"
    )
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

const ISSUES: &str = "analysis.analysis_issues";
const RESULTS: &str = "analysis.analysis_results";

const GENERIC: &str = "force_generic_plan";
const MODES: [&str; 2] = [GENERIC, "force_custom_plan"];

/// The rows of a page.
const LIMIT: u32 = 20;

/// Adds a condition to a filter.
type Add<'a> = (
    &'a str,
    &'a dyn Fn(AnalysisIssueFilter) -> AnalysisIssueFilter,
);

/// A call on the issues that a filter matches.
type Call = (&'static str, fn(&Tx, &AnalysisIssueFilter) -> Result<()>);

const CALLS: [Call; 4] = [
    ("list", |tx, filter| {
        tx.analysis_issues()
            .list(filter, &Page::new().limit(LIMIT))
            .map(drop)
    }),
    ("list, newest first", |tx, filter| {
        let page = Page::new().limit(LIMIT).order(AnalysisIssueOrder::Newest);
        tx.analysis_issues().list(filter, &page).map(drop)
    }),
    ("count", |tx, filter| {
        tx.analysis_issues().count(filter).map(drop)
    }),
    ("count_by_rule", |tx, filter| {
        tx.analysis_issues().count_by_rule(filter, 10).map(drop)
    }),
];

/// Returns what a call has read of a table, planned in one of the two ways.
fn read(db: &Db, table: &str, mode: &str, call: impl Fn(&Tx) -> Result<()>) -> i64 {
    let number = db.transaction(|tx| -> Result<i64> {
        let connection = tx.connection_mut();
        connection.batch_execute(&format!("SET LOCAL plan_cache_mode = {mode}"))?;
        let before: Number = sql_query(rows_read(table)).get_result(connection)?;
        call(tx)?;
        let after: Number = sql_query(rows_read(table)).get_result(tx.connection_mut())?;
        Ok(after.number - before.number)
    });
    number.unwrap()
}

pub fn check(database: &TestDatabase) {
    let subject: Subject = sql_query(SUBJECT)
        .get_result(&mut connect(database))
        .unwrap();
    let project: ProjectId = subject.project.parse().unwrap();
    let analysis: AnalysisId = subject.analysis.parse().unwrap();
    let user: UserId = subject.user.parse().unwrap();
    let conditions: [Add<'_>; 8] = [
        ("severity", &|filter| filter.severity(IssueSeverity::High)),
        ("severity_at_least", &|filter| {
            filter.severity_at_least(IssueSeverity::High)
        }),
        ("type", &|filter| filter.r#type(IssueType::Security)),
        ("status", &|filter| filter.status(IssueStatus::Open)),
        ("rule_id", &|filter| filter.rule_id("rule-3")),
        ("file_path", &|filter| filter.file_path("src/0/lib.rs")),
        ("file_path_prefix", &|filter| {
            filter.file_path_prefix("src/1/")
        }),
        ("resolved_by", &|filter| filter.resolved_by(user)),
    ];
    let scopes: [(Add<'_>, i64, i64); 4] = [
        (
            ("analysis_id", &|filter| filter.analysis_id(analysis)),
            1,
            subject.issues_of_analysis,
        ),
        (
            ("analysis_ids", &|filter| filter.analysis_ids([analysis])),
            1,
            subject.issues_of_analysis,
        ),
        (
            ("project_id", &|filter| filter.project_id(project)),
            subject.analyses,
            subject.issues,
        ),
        (
            ("latest_of_project", &|filter| {
                filter.latest_of_project(project)
            }),
            subject.analyses,
            subject.issues,
        ),
    ];
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let db = Db::connect(config).unwrap();
    // The rows of a page and one more, first as keys and then as rows.
    let of_page = |analyses: i64| (analyses + 1) * (i64::from(LIMIT) + 1);
    let mut findings = String::new();
    for (number, first) in conditions.iter().enumerate() {
        // A condition with itself is that condition.
        for second in &conditions[number..] {
            for ((scope, within), analyses, issues) in scopes {
                let filter = second.1(first.1(within(AnalysisIssueFilter::new())));
                let is_pair = first.0 != second.0;
                for (name, call) in &CALLS[..if is_pair { 1 } else { CALLS.len() }] {
                    for mode in MODES {
                        let found = read(&db, ISSUES, mode, |tx| call(tx, &filter));
                        let is_in_order = *name == "list"
                            && mode == GENERIC
                            && scope != "analysis_ids"
                            && [first.0, second.0]
                                .iter()
                                .all(|name| name.starts_with("severity"));
                        // Two indexes may be combined.
                        let bound = match is_in_order {
                            true => of_page(analyses),
                            false => 2 * issues + of_page(analyses),
                        };
                        if found > bound {
                            let (first, second) = (first.0, second.0);
                            writeln!(
                                findings,
                                "{name} of {scope} with {first} and {second}, {mode}: {found} of at most {bound}"
                            )
                            .unwrap();
                        }
                    }
                }
            }
            let filter = second.1(first.1(AnalysisIssueFilter::new()));
            let found = read(&db, ISSUES, GENERIC, |tx| {
                let issues = tx.analysis_issues();
                issues
                    .list_of_analyses(&[analysis], &filter, &Page::new().limit(LIMIT))
                    .map(drop)
            });
            if found > 2 * subject.issues_of_analysis {
                let (first, second) = (first.0, second.0);
                writeln!(
                    findings,
                    "list_of_analyses with {first} and {second}: {found}"
                )
                .unwrap();
            }
        }
    }
    check_results(&db, analysis, &mut findings);
    assert!(findings.is_empty(), "{findings}");
}

/// The results of files have fewer conditions. Each analysis has one of the path and of the hash.
fn check_results(db: &Db, analysis: AnalysisId, findings: &mut String) {
    let of_analysis = || AnalysisResultFilter::new().analysis_id(analysis);
    for (name, filter) in [
        ("file_path", of_analysis().file_path("src/lib.rs")),
        ("file_path_prefix", of_analysis().file_path_prefix("src/")),
        ("file_hash", of_analysis().file_hash("same")),
    ] {
        for mode in MODES {
            let found = read(db, RESULTS, mode, |tx| {
                let results = tx.analysis_results();
                results.count(&filter)?;
                results.list(&filter, &Page::new()).map(drop)
            });
            if found > 40 {
                writeln!(findings, "results with {name}, {mode}: {found}").unwrap();
            }
        }
    }
}
