//! The statements that export and import an organization.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Text};

use crate::{OrganizationId, Table};

/// The rows of a table that belong to an organization. `$organization` stands for its id.
enum Rows {
    /// The users that a row of another table of the archive names.
    Named,
    Where(&'static str),
}

macro_rules! projects {
    () => {
        "SELECT id FROM public.projects WHERE organization_id = $organization"
    };
}

const OF_ORGANIZATION: Rows = Rows::Where("r.organization_id = $organization");
const OF_PROJECT: Rows = Rows::Where(concat!("r.project_id IN (", projects!(), ")"));
const OF_EITHER: Rows = Rows::Where(concat!(
    "r.organization_id = $organization OR r.project_id IN (",
    projects!(),
    ")"
));
const OF_ANALYSIS: Rows = Rows::Where(concat!(
    "r.analysis_id IN (SELECT id FROM analysis.analyses WHERE project_id IN (",
    projects!(),
    "))"
));

/// Returns the rows of a table of the design that belong to an organization.
///
/// Sessions and what a user sets up belong to the user, as in row-level security. Tools and the
/// system log belong to the platform.
fn rows_of(table: Table) -> Option<Rows> {
    Some(match table {
        Table::Users => Rows::Named,
        Table::Organizations => Rows::Where("r.id = $organization"),
        Table::OrganizationMembers | Table::Projects | Table::SetupProfiles | Table::AuditLogs => {
            OF_ORGANIZATION
        }
        Table::ProjectMembers | Table::Analyses | Table::DependencyGraphs => OF_PROJECT,
        Table::AnalysisResults
        | Table::AnalysisIssues
        | Table::AnalysisMetrics
        | Table::DuplicateGroups => OF_ANALYSIS,
        Table::Configurations | Table::Integrations => OF_EITHER,
        Table::UserSessions
        | Table::SetupSessions
        | Table::SetupSteps
        | Table::Tools
        | Table::SystemLogs => return None,
    })
}

/// The tables of this crate that are not of the design. A lease is exported, since its analysis
/// would be running for ever without one; it gets another fence.
const OTHERS: [(&str, Rows); 5] = [
    ("public.organization_invitations", OF_ORGANIZATION),
    ("analysis.analysis_leases", OF_ANALYSIS),
    ("analysis.analysis_abandonments", OF_ANALYSIS),
    ("analysis.analysis_pins", OF_ANALYSIS),
    ("analysis.analysis_removals", OF_ANALYSIS),
];

fn parts() -> impl Iterator<Item = (&'static str, Rows)> {
    let design = Table::ALL.iter();
    design
        .filter_map(|&table| Some((table.as_str(), rows_of(table)?)))
        .chain(OTHERS)
}

/// Returns the tables of an archive. A table comes after those that its foreign keys name.
pub(crate) fn tables() -> Vec<&'static str> {
    parts().map(|(name, _)| name).collect()
}

/// Returns the condition of the rows `r` of a table. `users` are the columns that name users, with
/// their tables.
pub(crate) fn condition(table: &str, users: &[UserColumn], id: OrganizationId) -> String {
    let organization = format!("'{id}'::pg_catalog.uuid");
    let rows = parts().find(|(name, _)| *name == table);
    let text = match rows {
        Some((_, Rows::Where(condition))) => condition.to_owned(),
        Some((_, Rows::Named)) => {
            let mut named = String::from("r.id IN (");
            for (index, user) in users.iter().enumerate() {
                if index > 0 {
                    named.push_str(" UNION ");
                }
                let (table, column) = (&user.name, &user.column);
                let condition = match parts().find(|(name, _)| name == table) {
                    Some((_, Rows::Where(condition))) => condition,
                    _ => "false",
                };
                named.push_str(&format!(
                    "SELECT r.{column} FROM {table} AS r WHERE {condition}"
                ));
            }
            named.push(')');
            named
        }
        None => "false".to_owned(),
    };
    text.replace("$organization", &organization)
}

/// The query for the columns of the tables `$1`, in their order. Columns that the server generates
/// are left out.
pub(crate) const COLUMNS: &str = "\
    SELECT listed.name, pg_catalog.quote_ident(a.attname) AS column, \
        pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, \
        COALESCE(a.attnum = ANY (i.indkey), false) AS is_key \
    FROM pg_catalog.unnest($1) WITH ORDINALITY AS listed (name, place) \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = listed.name::pg_catalog.regclass \
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a' \
    LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary \
    ORDER BY listed.place, a.attnum";

/// The query for the columns of the tables `$1` that name users.
pub(crate) const USER_COLUMNS: &str = "\
    SELECT listed.name, pg_catalog.quote_ident(a.attname) AS column \
    FROM pg_catalog.unnest($1) WITH ORDINALITY AS listed (name, place) \
    JOIN pg_catalog.pg_constraint AS c ON c.conrelid = listed.name::pg_catalog.regclass AND c.contype = 'f' \
        AND c.confrelid = 'public.users'::pg_catalog.regclass \
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1] \
    ORDER BY listed.place, a.attnum";

/// The statement that prepares the transaction of an import: no limits of time, and no
/// notifications of each analysis that is inserted.
pub(crate) const PREPARE_IMPORT: &str = "\
    SELECT pg_catalog.count(pg_catalog.set_config(name, value, true)) AS number \
    FROM (VALUES ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'), \
        ('wundr.quiet', 'on')) AS prepared (name, value)";

/// The table that the rows are copied into first.
pub(crate) const STAGING: &str = "pg_temp.wundr_import";

pub(crate) const DROP_STAGING: &str = "DROP TABLE pg_temp.wundr_import";

/// The query for the name of an organization.
pub(crate) const ORGANIZATION_NAME: &str =
    "SELECT name::text FROM public.organizations WHERE id = $1";

/// Returns the statement that creates [`STAGING`].
pub(crate) fn create_staging(table: &str, columns: &str) -> String {
    format!(
        "CREATE TEMPORARY TABLE {STAGING} ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
    )
}

/// Returns the statement that inserts the rows that the table does not have.
pub(crate) fn insert(table: &str, columns: &str) -> String {
    // An entry that is added to a sealed month would look like a forged one.
    let unsealed = match table {
        "audit.audit_logs" => {
            " WHERE NOT EXISTS (SELECT FROM audit.audit_log_seals AS s WHERE s.month = \
             pg_catalog.date_trunc('month', i.created_at AT TIME ZONE 'UTC')::date)"
        }
        _ => "",
    };
    format!(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {STAGING} AS i{unsealed} ON CONFLICT DO NOTHING"
    )
}

/// Returns the query for the rows that were not inserted, and are not in the table in the same
/// form. Of users, those that the table has are the same.
pub(crate) fn conflicts(table: &str, columns: &[String], keys: &[String]) -> String {
    let row = |alias: &str| {
        let columns = columns.iter().map(|column| format!("{alias}.{column}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let same = keys.iter().map(|key| format!("t.{key} = i.{key}"));
    let same = same.collect::<Vec<_>>().join(" AND ");
    let key = keys.first().map_or("id", String::as_str);
    let different = match table {
        "public.users" => String::new(),
        _ => format!(
            " OR ROW({})::text IS DISTINCT FROM ROW({})::text",
            row("i"),
            row("t")
        ),
    };
    format!(
        "SELECT pg_catalog.count(*) OVER () AS number, i.{key}::text AS key, t.{key} IS NULL AS is_taken \
         FROM {STAGING} AS i LEFT JOIN {table} AS t ON {same} WHERE t.{key} IS NULL{different} \
         ORDER BY i.{key} LIMIT 100"
    )
}

/// A row of [`COLUMNS`].
#[derive(QueryableByName)]
pub(crate) struct ColumnRow {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) column: String,
    #[diesel(sql_type = Text)]
    pub(crate) r#type: String,
    #[diesel(sql_type = Bool)]
    pub(crate) is_key: bool,
}

/// A row of [`USER_COLUMNS`].
#[derive(QueryableByName)]
pub(crate) struct UserColumn {
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) column: String,
}

/// A row of [`conflicts`].
#[derive(QueryableByName)]
pub(crate) struct ConflictRow {
    #[diesel(sql_type = BigInt)]
    pub(crate) number: i64,
    #[diesel(sql_type = Text)]
    pub(crate) key: String,
    #[diesel(sql_type = Bool)]
    pub(crate) is_taken: bool,
}
