//! The plans of the main statements on a filled database: each uses the index that is there for it,
//! and none reads a large table as a whole.
//!
//! A method is called in a transaction on a new connection. What it prepared there is explained
//! with its generic plan, which is the same for all values.

mod bounds;
mod cases;

use std::fmt::Write as _;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use wundr_db::blocking::*;
use wundr_db::migrations::Rights;
use wundr_db::testing::{
    Collation, TestDatabase, migrated_database, migrated_database_with_collation,
};
use wundr_db::{
    AnalysisId, AnalysisIssueFilter, AnalysisResultFilter, Config, DependencyGraphFilter, Error,
    IntegrationFilter, IssueSeverity, IssueStatus, IssueType, OrganizationId, Page, ProjectId,
    ProjectStatsFilter, ProjectStatsOrder, Result,
};

use self::cases::{CASES, Call};
use crate::catalog::connect;
use crate::support::hostile::as_role;

/// Some thousand rows in each table that grows, with `{issues}` issues in each of 500 analyses.
const ROWS: &str = include_str!("plans/rows.sql");

/// Set to the number of issues in the databases with a collation. Default: 200,000.
const ISSUES: &str = "WUNDR_DB_TESTS_ISSUES";

fn fill(database: &TestDatabase, issues: usize) {
    let rows = ROWS.replace("{issues}", &(issues / 500).to_string());
    connect(database).batch_execute(&rows).unwrap();
}

fn filled_database() -> TestDatabase {
    let database = migrated_database().unwrap();
    fill(&database, 20_000);
    database
}

fn grown_database(collation: &Collation) -> Option<TestDatabase> {
    let database = migrated_database_with_collation(collation).ok()?;
    let issues = std::env::var(ISSUES).ok();
    fill(
        &database,
        issues.map_or(200_000, |number| number.parse().unwrap()),
    );
    Some(database)
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
struct Planned {
    #[diesel(sql_type = Text)]
    statement: String,
    #[diesel(sql_type = BigInt)]
    custom_plans: i64,
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
             WHERE statement ~ '\"?(public|analysis|setup|audit|cache)\"?\\.' ORDER BY prepare_time",
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
    // An analysis of 40 issues is sorted sooner than its index is read.
    let database = migrated_database().unwrap();
    fill(&database, 200_000);
    check_plans(&database);
}

#[test]
fn the_main_statements_use_their_indexes_in_a_collation_of_icu() {
    let collation = Collation::Icu("en-US".to_owned());
    let database = grown_database(&collation).expect("a server with ICU");
    check_plans(&database);
    bounds::check(&database);
}

#[test]
fn the_main_statements_use_their_indexes_in_a_collation_of_the_system() {
    let names = ["en_US.UTF-8", "C.UTF-8", "C.utf8"].into_iter();
    let mut collations = names.map(|name| Collation::Libc(name.to_owned()));
    let database = collations.find_map(|collation| grown_database(&collation));
    let database = database.expect("a locale of UTF-8");
    check_plans(&database);
    bounds::check(&database);
}

/// An index that is named as lean can go: each statement still has an index.
#[test]
fn the_main_statements_do_without_the_lean_indexes() {
    let database = filled_database();
    let db = Db::connect_to(&database.url()).unwrap();
    let mut connection = connect(&database);
    for index in wundr_db::blocking::admin::lean_indexes(&db).unwrap() {
        connection.batch_execute(&index.drop).unwrap();
    }
    check_plans(&database);
}

/// The number of calls that the server makes a plan for given values for, whatever it costs.
const FIRST_PLANS: i64 = 5;

/// The statements of a call that the server plans at each execution.
fn planned_each_time(db: &Db, call: impl Fn(&Tx) -> Result<()>) -> Vec<Planned> {
    let planned = db.transaction(|tx| -> Result<_> {
        for _ in 0..4 * FIRST_PLANS {
            match call(tx) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let planned = "SELECT statement, custom_plans FROM pg_prepared_statements \
             WHERE custom_plans > $1";
        let planned = sql_query(planned).bind::<BigInt, _>(FIRST_PLANS);
        Ok(planned.load(tx.connection_mut())?)
    });
    planned.unwrap()
}

/// The server makes a plan for given values at each of the first five calls. If a plan for any
/// values seems much dearer, it goes on so, and planning takes longer than the work.
#[test]
fn the_main_statements_are_planned_a_few_times_only() {
    // The values matter: a prefix has one row or most of them. No project has the id that the two
    // others are called with, which is cheap; the id of a project is not.
    const PLANNED_FOR_VALUES: [&str; 4] = [
        "analysis_issues.list of a project by prefix",
        "analysis_results.count by prefix",
        "trends.of_metric",
        "analysis_metrics.latest_of_project",
    ];
    let database = filled_database();
    let config = Config::new(&database.url()).unwrap().max_connections(1);
    let mut findings = String::new();
    let others = CASES
        .iter()
        .filter(|case| !PLANNED_FOR_VALUES.contains(&case.0));
    for (name, call, _) in others {
        let db = Db::connect(config.clone()).unwrap();
        for Planned {
            statement,
            custom_plans,
        } in planned_each_time(&db, *call)
        {
            writeln!(findings, "{name}: {custom_plans} times: {statement}").unwrap();
        }
    }
    assert!(findings.is_empty(), "{findings}");
}

#[derive(QueryableByName)]
struct Owned {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    organization: OrganizationId,
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    analysis: AnalysisId,
}

/// A policy whose subquery is a part of the plan makes each row seem dear.
#[test]
fn a_page_of_an_isolated_organization_is_planned_a_few_times_only() {
    // Its issues are those of one analysis, which is much larger than a page.
    let database = filled_database();
    let config = Config::new(&database.url()).unwrap();
    let role = format!("isolated_{}", database.name());
    let connection = &mut connect(&database);
    let move_all = "UPDATE analysis.analysis_issues SET analysis_id = \
             (SELECT min(analysis_id::text)::uuid FROM analysis.analysis_issues); \
         VACUUM ANALYZE analysis.analysis_issues";
    for statement in move_all.split("; ") {
        connection.batch_execute(statement).unwrap();
    }
    let create = format!("CREATE ROLE \"{role}\" LOGIN");
    connection.batch_execute(&create).unwrap();
    migrations::grant(&config, &role, Rights::Application).unwrap();
    migrations::isolate(&config).unwrap();
    let owned: Owned = sql_query(
        "SELECT p.organization_id AS organization, a.id AS analysis FROM public.projects AS p \
         JOIN analysis.analyses AS a ON a.project_id = p.id \
         JOIN analysis.analysis_issues AS i ON i.analysis_id = a.id LIMIT 1",
    )
    .get_result(connection)
    .unwrap();
    let issues = AnalysisIssueFilter::new().analysis_id(owned.analysis);
    let results = AnalysisResultFilter::new().analysis_id(owned.analysis);

    let url = as_role(&database.url(), &role);
    let db = Db::connect(Config::new(&url).unwrap().max_connections(1)).unwrap();
    let db = db.for_organization(owned.organization);
    let planned = planned_each_time(&db, |tx| {
        let issues = tx.analysis_issues().list(&issues, &Page::new().limit(10))?;
        assert_eq!(issues.items.len(), 10);
        tx.analysis_results().list(&results, &Page::new())?;
        tx.integrations()
            .list(&IntegrationFilter::new(), &Page::new())?;
        tx.dependency_graphs()
            .list(&DependencyGraphFilter::new(), &Page::new())?;
        Ok(())
    });
    let mut findings = String::new();
    for Planned {
        statement,
        custom_plans,
    } in planned
    {
        writeln!(findings, "{custom_plans} times: {statement}").unwrap();
    }
    assert!(findings.is_empty(), "{findings}");
}

/// A page without a filter sorts the projects by name. It computes the statistics of its own alone.
#[test]
fn a_page_of_statistics_begins_with_its_ids() {
    let database = filled_database();
    for call in [
        (|tx| {
            let filter = ProjectStatsFilter::new();
            tx.project_stats().list(&filter, &Page::new()).map(drop)
        }) as Call,
        |tx| {
            let filter = ProjectStatsFilter::new();
            let page = Page::new().order(ProjectStatsOrder::MostAnalyses);
            tx.project_stats().list(&filter, &page).map(drop)
        },
    ] {
        let plan = explained(&database, call);
        let sorts = plan.find("Limit").unwrap();
        let computes = plan.find("Nested Loop Left Join").unwrap();
        assert!(sorts < computes, "{plan}");
        assert!(!plan.contains("Seq Scan on analyses"), "{plan}");
    }
}

/// 100 analyses of 1,000 issues in each, stored one after the other, which VACUUM has not seen: the
/// pages of the default order read the keys of a page from the index, and sort no analysis.
#[test]
fn a_page_of_large_analyses_sorts_none_of_them() {
    let database = filled_database();
    connect(&database)
        .batch_execute(
            "SET session_replication_role = replica; \
             CREATE TEMPORARY TABLE large AS SELECT id FROM analysis.analyses ORDER BY id LIMIT 100; \
             DELETE FROM analysis.analysis_issues; \
             INSERT INTO analysis.analysis_issues (analysis_id, type, severity, title, file_path, description) \
                 SELECT large.id, 'security', (enum_range(NULL::analysis.issue_severity))[1 + k % 4], 'Title', 'a.rs', \
                     repeat('x', 200) \
                 FROM large CROSS JOIN generate_series(1, 1000) AS k ORDER BY large.id; \
             ANALYZE analysis.analysis_issues",
        )
        .unwrap();
    let of_analysis: Call = |tx| {
        let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
        tx.analysis_issues().list(&filter, &Page::new()).map(drop)
    };
    let backward: Call = |tx| {
        let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::new());
        let page = Page::new().last();
        tx.analysis_issues().list(&filter, &page).map(drop)
    };
    let of_project: Call = |tx| {
        let filter = AnalysisIssueFilter::new().project_id(ProjectId::new());
        tx.analysis_issues().list(&filter, &Page::new()).map(drop)
    };
    let of_each: Call = |tx| {
        let (ids, filter) = ([AnalysisId::new()], AnalysisIssueFilter::new());
        let issues = tx.analysis_issues();
        issues
            .list_of_analyses(&ids, &filter, &Page::new())
            .map(drop)
    };
    let of_latest: Call = |tx| {
        let filter = AnalysisIssueFilter::new().latest_of_project(ProjectId::new());
        tx.analysis_issues().list(&filter, &Page::new()).map(drop)
    };
    let with_conditions: [Call; 4] = [
        |tx| of_one(tx, |filter| filter.severity(IssueSeverity::High)),
        |tx| of_one(tx, |filter| filter.severity_at_least(IssueSeverity::High)),
        |tx| of_one(tx, |filter| filter.status(IssueStatus::Open)),
        |tx| of_one(tx, |filter| filter.r#type(IssueType::Security)),
    ];
    // The merged page is sorted, and the rows that it selects.
    let calls = [
        (of_analysis, 0),
        (backward, 0),
        (of_each, 0),
        (of_project, 2),
        (of_latest, 2),
    ];
    for (call, sorts) in calls
        .into_iter()
        .chain(with_conditions.map(|call| (call, 0)))
    {
        let plan = explained(&database, call);
        assert!(
            plan.contains("idx_analysis_issues_analysis_severity_id"),
            "{plan}"
        );
        let found = plan
            .lines()
            .filter(|line| line.trim_start().trim_start_matches("->").trim() == "Sort");
        assert_eq!(found.count(), sorts, "{plan}");
    }
}

/// Reads the first page of an analysis with a condition.
fn of_one(tx: &Tx, with: fn(AnalysisIssueFilter) -> AnalysisIssueFilter) -> Result<()> {
    let filter = with(AnalysisIssueFilter::new().analysis_id(AnalysisId::new()));
    tx.analysis_issues().list(&filter, &Page::new()).map(drop)
}

fn check_plans(database: &TestDatabase) {
    let mut findings = String::new();
    for (name, call, indexes) in CASES {
        let explained = explained(database, *call);
        let scans = |line: &str| {
            let table = line.split_once("Seq Scan on ").map(|(_, table)| table);
            table.is_some_and(|table| LARGE.iter().any(|large| table.starts_with(large)))
        };
        let missing: Vec<_> = indexes
            .iter()
            .filter(|index| match index.strip_prefix('!') {
                Some(unused) => explained.contains(unused),
                None => !explained.contains(*index),
            })
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
