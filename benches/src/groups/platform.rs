//! The rows that the groups of everyday operations read and write.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types;
use uuid::Uuid;
use wundr_db::schema::analysis::analysis_issues;
use wundr_db::{AnalysisId, AnalysisIssueId, NewAnalysisIssue, UserId};

use crate::Outcome;
use crate::database::{Connector, World};
use crate::rows::{IssueSeverity, IssueStatus, IssueType, issues};

/// The SQL that defines the function `pg_temp.v7`.
pub const V7: &str = include_str!("../../data/v7.sql");

/// The number of issues of the first analysis. The second has a thousand, the others none.
const ISSUES_OF_FIRST: usize = 120_000;

/// A database with users, organizations, projects, analyses and issues.
pub fn platform(world: &mut World) -> Outcome<Arc<Connector>> {
    world.migrated("platform", |connection| {
        connection.batch_execute(V7)?;
        connection.batch_execute(include_str!("../../data/platform.sql"))?;
        let analyses = ids(connection, "SELECT id FROM analysis.analyses ORDER BY id")?;
        let many = (0..ISSUES_OF_FIRST).map(|number| issue(analyses[0], number));
        let thousand = (0..1000).map(|number| issue(analyses[1], number));
        let rows: Vec<_> = many.chain(thousand).collect();
        diesel::copy_from(analysis_issues::table)
            .from_insertable(rows.iter().map(IssueRow::from).collect::<Vec<_>>())
            .execute(connection)?;
        Ok(())
    })
}

/// Returns the ids that a query selects.
pub fn ids(connection: &mut PgConnection, query: &str) -> Outcome<Vec<Uuid>> {
    #[derive(QueryableByName)]
    struct Key {
        #[diesel(sql_type = sql_types::Uuid)]
        id: Uuid,
    }
    let keys: Vec<Key> = diesel::sql_query(query).load(connection)?;
    Ok(keys.into_iter().map(|key| key.id).collect())
}

const RULES: [(&str, &str, IssueType, IssueSeverity); 8] = [
    (
        "D102",
        "Missing docstring in public method",
        IssueType::Maintainability,
        IssueSeverity::Low,
    ),
    (
        "ANN001",
        "Missing type annotation for function argument",
        IssueType::CodeQuality,
        IssueSeverity::Info,
    ),
    (
        "E501",
        "Line too long (97 > 88)",
        IssueType::CodeQuality,
        IssueSeverity::Low,
    ),
    (
        "S101",
        "Use of `assert` detected",
        IssueType::Security,
        IssueSeverity::Medium,
    ),
    (
        "PLR0913",
        "Too many arguments in function definition (7 > 5)",
        IssueType::Maintainability,
        IssueSeverity::Medium,
    ),
    (
        "PERF401",
        "Use a list comprehension to create a transformed list",
        IssueType::Performance,
        IssueSeverity::Info,
    ),
    (
        "S608",
        "Possible SQL injection vector through string-based query",
        IssueType::Security,
        IssueSeverity::High,
    ),
    (
        "S105",
        "Possible hardcoded password assigned to a variable",
        IssueType::Security,
        IssueSeverity::Critical,
    ),
];

/// Creates a finding such as linters report, which is the same in every run except for its id.
pub fn issue(analysis_id: Uuid, number: usize) -> issues::Model {
    let (rule, title, kind, severity) = RULES[(number * number / 7) % RULES.len()];
    let line = i32::try_from(1 + number * 37 % 1900).unwrap_or(1);
    issues::Model {
        id: Uuid::now_v7(),
        analysis_id,
        kind,
        severity,
        rule_id: Some(rule.to_owned()),
        title: title.to_owned(),
        description: number
            .is_multiple_of(3)
            .then(|| format!("{title}; see the rule {rule} for what to do about it")),
        file_path: format!("src/package_{}/module_{}.py", number % 40, number / 25 % 50),
        line_number: Some(line),
        column_number: Some(5),
        end_line_number: Some(line),
        end_column_number: Some(31),
        code_snippet: None,
        fix_suggestion: number
            .is_multiple_of(5)
            .then(|| "Split the statement".to_owned()),
        estimated_fix_time: Some(5),
        status: IssueStatus::Open,
        resolved_at: None,
        resolved_by: None,
        created_at: time(number),
    }
}

/// Returns times that are a millisecond apart.
fn time(number: usize) -> DateTime<Utc> {
    let milliseconds = i64::try_from(number).unwrap_or(0);
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::milliseconds(milliseconds)
}

/// An issue for bare diesel with all columns, which diesel prepares once.
#[derive(Insertable)]
#[diesel(table_name = analysis_issues, treat_none_as_default_value = false)]
pub struct IssueRow<'a> {
    id: AnalysisIssueId,
    analysis_id: AnalysisId,
    r#type: wundr_db::IssueType,
    severity: wundr_db::IssueSeverity,
    rule_id: Option<&'a str>,
    title: &'a str,
    description: Option<&'a str>,
    file_path: &'a str,
    line_number: Option<i32>,
    column_number: Option<i32>,
    end_line_number: Option<i32>,
    end_column_number: Option<i32>,
    code_snippet: Option<&'a str>,
    fix_suggestion: Option<&'a str>,
    estimated_fix_time: Option<i32>,
    status: wundr_db::IssueStatus,
    resolved_at: Option<DateTime<Utc>>,
    resolved_by: Option<UserId>,
    created_at: DateTime<Utc>,
}

impl<'a> From<&'a issues::Model> for IssueRow<'a> {
    fn from(issue: &'a issues::Model) -> Self {
        Self {
            id: issue.id.into(),
            analysis_id: issue.analysis_id.into(),
            r#type: kind(issue.kind),
            severity: severity(issue.severity),
            rule_id: issue.rule_id.as_deref(),
            title: &issue.title,
            description: issue.description.as_deref(),
            file_path: &issue.file_path,
            line_number: issue.line_number,
            column_number: issue.column_number,
            end_line_number: issue.end_line_number,
            end_column_number: issue.end_column_number,
            code_snippet: issue.code_snippet.as_deref(),
            fix_suggestion: issue.fix_suggestion.as_deref(),
            estimated_fix_time: issue.estimated_fix_time,
            status: wundr_db::IssueStatus::Open,
            resolved_at: issue.resolved_at,
            resolved_by: issue.resolved_by.map(UserId::from),
            created_at: issue.created_at,
        }
    }
}

/// Creates an issue for wundr-db.
pub fn new_issue(issue: &issues::Model) -> NewAnalysisIssue {
    let mut new = NewAnalysisIssue::new(
        AnalysisId::from(issue.analysis_id),
        kind(issue.kind),
        severity(issue.severity),
        issue.title.as_str(),
        issue.file_path.as_str(),
    );
    new.id = issue.id.into();
    new.rule_id.clone_from(&issue.rule_id);
    new.description.clone_from(&issue.description);
    new.line_number = issue.line_number;
    new.column_number = issue.column_number;
    new.end_line_number = issue.end_line_number;
    new.end_column_number = issue.end_column_number;
    new.code_snippet.clone_from(&issue.code_snippet);
    new.fix_suggestion.clone_from(&issue.fix_suggestion);
    new.estimated_fix_time = issue.estimated_fix_time;
    new.status = Some(wundr_db::IssueStatus::Open);
    new.resolved_at = issue.resolved_at;
    new.resolved_by = issue.resolved_by.map(UserId::from);
    new.created_at = Some(issue.created_at);
    new
}

fn kind(kind: IssueType) -> wundr_db::IssueType {
    wundr_db::IssueType::ALL[kind as usize]
}

fn severity(severity: IssueSeverity) -> wundr_db::IssueSeverity {
    wundr_db::IssueSeverity::ALL[severity as usize]
}
