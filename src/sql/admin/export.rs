//! The queries of an export of a user.

use diesel::QueryableByName;
use diesel::sql_types::Text;

use crate::UserId;

/// The rows of a table that are exported.
pub(crate) struct Export {
    /// The table with its schema.
    pub(crate) table: &'static str,
    /// The column by which the rows are found.
    pub(crate) by: &'static str,
    /// The condition on a row `t`; `USER` stands for the id.
    condition: &'static str,
    columns: Columns,
}

/// The columns that are exported.
enum Columns {
    /// All, except secrets and what is about other persons.
    AllExcept(&'static [&'static str]),
    /// These. The row is of others as well; the user is named in it.
    Only(&'static [&'static str]),
}

/// The largest number of rows that are in memory at once.
pub(crate) const ROWS_AT_ONCE: usize = 100;

/// The query for the next rows of the cursor.
pub(crate) const FETCH: &str = "FETCH FORWARD 100 FROM wundr_export";

/// The statement that ends the cursor.
pub(crate) const CLOSE: &str = "CLOSE wundr_export";

const fn whole(
    table: &'static str,
    by: &'static str,
    condition: &'static str,
    except: &'static [&'static str],
) -> Export {
    Export {
        table,
        by,
        condition,
        columns: Columns::AllExcept(except),
    }
}

const fn named(
    table: &'static str,
    by: &'static str,
    condition: &'static str,
    only: &'static [&'static str],
) -> Export {
    Export {
        table,
        by,
        condition,
        columns: Columns::Only(only),
    }
}

/// The rows that are exported, in this order.
pub(crate) const EXPORTS: &[Export] = &[
    whole("public.users", "id", "t.id = USER", &[]),
    whole(
        "public.user_sessions",
        "user_id",
        "t.user_id = USER",
        &["token_hash", "refresh_token_hash"],
    ),
    whole(
        "public.user_session_families",
        "session_id",
        "t.session_id IN (SELECT s.id FROM public.user_sessions AS s WHERE s.user_id = USER)",
        &["predecessor_hash"],
    ),
    whole(
        "public.organization_members",
        "user_id",
        "t.user_id = USER",
        &["invited_by"],
    ),
    named(
        "public.organization_members",
        "invited_by",
        "t.invited_by = USER",
        &["id", "organization_id", "joined_at", "invited_by"],
    ),
    whole(
        "public.organization_invitations",
        "user_id",
        "t.user_id = USER",
        &["invited_by"],
    ),
    named(
        "public.organization_invitations",
        "invited_by",
        "t.invited_by = USER",
        &["id", "organization_id", "invited_at", "invited_by"],
    ),
    whole(
        "public.project_members",
        "user_id",
        "t.user_id = USER",
        &["added_by"],
    ),
    named(
        "public.project_members",
        "added_by",
        "t.added_by = USER",
        &["id", "project_id", "added_at", "added_by"],
    ),
    named(
        "public.projects",
        "created_by",
        "t.created_by = USER",
        &["id", "organization_id", "name", "created_at", "created_by"],
    ),
    named(
        "analysis.analyses",
        "created_by",
        "t.created_by = USER",
        &["id", "project_id", "type", "created_at", "created_by"],
    ),
    named(
        "analysis.analysis_issues",
        "resolved_by",
        "t.resolved_by = USER",
        &["id", "analysis_id", "status", "resolved_at", "resolved_by"],
    ),
    whole(
        "analysis.analysis_pins",
        "pinned_by",
        "t.pinned_by = USER",
        &[],
    ),
    named(
        "setup.setup_profiles",
        "created_by",
        "t.created_by = USER",
        &["id", "organization_id", "name", "created_at", "created_by"],
    ),
    whole("setup.setup_sessions", "user_id", "t.user_id = USER", &[]),
    whole(
        "setup.setup_steps",
        "session_id",
        "t.session_id IN (SELECT s.id FROM setup.setup_sessions AS s WHERE s.user_id = USER)",
        &[],
    ),
    named(
        "setup.configurations",
        "created_by",
        "t.created_by = USER",
        &[
            "id",
            "organization_id",
            "project_id",
            "name",
            "created_at",
            "created_by",
        ],
    ),
    named(
        "setup.integrations",
        "created_by",
        "t.created_by = USER",
        &[
            "id",
            "organization_id",
            "project_id",
            "type",
            "name",
            "created_at",
            "created_by",
        ],
    ),
    whole("audit.audit_logs", "user_id", "t.user_id = USER", &[]),
    // The actor of the entry is another person.
    named(
        "audit.audit_logs",
        "resource_id",
        "t.resource_type = 'user' AND t.resource_id = USER AND t.user_id IS DISTINCT FROM USER",
        &[
            "id",
            "action",
            "resource_type",
            "resource_id",
            "old_values",
            "new_values",
            "created_at",
        ],
    ),
    whole("audit.system_logs", "user_id", "t.user_id = USER", &[]),
];

impl Export {
    /// Returns the statement that opens the cursor. Every name in it is of the crate, and an id is
    /// hexadecimal digits and hyphens.
    pub(crate) fn open(&self, user: UserId) -> String {
        let Self {
            table,
            by,
            condition,
            columns,
        } = self;
        let row = match columns {
            Columns::AllExcept([]) => "pg_catalog.to_jsonb(t)".to_owned(),
            Columns::AllExcept(except) => {
                format!(
                    "pg_catalog.to_jsonb(t) - '{{{}}}'::text[]",
                    except.join(",")
                )
            }
            Columns::Only(only) => {
                let fields: Vec<_> = only
                    .iter()
                    .map(|column| format!("'{column}', t.{column}"))
                    .collect();
                format!("pg_catalog.jsonb_build_object({})", fields.join(", "))
            }
        };
        let condition = condition.replace("USER", &format!("'{user}'::uuid"));
        format!(
            "DECLARE wundr_export NO SCROLL CURSOR FOR \
             SELECT pg_catalog.jsonb_build_object('table', '{table}', 'by', '{by}', 'row', {row})::text AS line \
             FROM {table} AS t WHERE {condition}"
        )
    }
}

/// A line of the export.
#[derive(QueryableByName)]
pub(crate) struct Line {
    #[diesel(sql_type = Text)]
    pub(crate) line: String,
}
