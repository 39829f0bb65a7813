//! The objects of an application that keep this crate's migrations from being reverted.
//!
//! `DROP TABLE` fails while a foreign key or a view refers to the table, and `DROP SCHEMA` while
//! the schema has another object. Without a check, `down` would fail after half of the way.

use std::error::Error as StdError;

use diesel::migration::Migration;
use diesel::pg::Pg;
use diesel::sql_query;
use diesel::sql_types::{Array, Oid, Text};
use diesel::{QueryableByName, RunQueryDsl};

use super::plan::{Plan, Planned};
use super::{Line, MigrationConnection, Watch, failed, watched};
use crate::error::innermost;
use crate::{Error, Result};

/// The tables and views of this crate. Partitions, sequences and indexes belong to their tables.
#[rustfmt::skip]
const RELATIONS: &[&str] = &[
    "public.users", "public.user_sessions", "public.user_session_families",
    "public.rotated_refresh_tokens", "public.organizations", "public.organization_members",
    "public.organization_invitations", "public.projects", "public.project_members",
    "analysis.analyses", "analysis.analysis_results", "analysis.analysis_issues",
    "analysis.analysis_metrics", "analysis.dependency_graphs", "analysis.duplicate_groups",
    "analysis.analysis_leases", "analysis.analysis_abandonments", "analysis.analysis_pins",
    "analysis.analysis_removals",
    "setup.setup_profiles", "setup.setup_sessions", "setup.setup_steps", "setup.tools",
    "setup.configurations", "setup.integrations",
    "audit.audit_logs", "audit.system_logs", "audit.audit_log_seals", "audit.audit_log_seal_pages",
    "audit.audit_log_anonymizations",
    "cache.project_stats",
];

/// The enums and domains of this crate.
#[rustfmt::skip]
const TYPES: &[&str] = &[
    "public.user_role", "public.subscription_plan", "public.organization_role",
    "public.repository_provider", "public.project_status", "public.project_visibility",
    "public.project_role", "public.for_organization", "public.acting_as",
    "analysis.analysis_type", "analysis.analysis_status", "analysis.issue_type",
    "analysis.issue_severity", "analysis.issue_status", "analysis.metric_category",
    "analysis.trend_direction",
    "setup.setup_category", "setup.profile_visibility", "setup.session_status",
    "setup.step_status", "setup.tool_category", "setup.platform", "setup.config_scope",
    "setup.config_category", "setup.integration_type", "setup.sync_status",
    "audit.audit_action", "audit.log_level",
];

/// The functions of this crate.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[&str] = &[
    "public.set_updated_at", "public.end_user_sessions",
    "analysis.end_lease", "analysis.get_analysis_trends", "analysis.notify_analysis",
    "analysis.raise_fence", "analysis.refuse_pin_of_removed",
    "setup.refuse_unsealed_value",
    "audit.create_monthly_partition", "audit.new_entry_id", "audit.record_change",
    "audit.refuse_change",
    "cache.project_stats_of",
];

/// The schemas that are dropped. `public` stays, with the objects of others in it.
const SCHEMAS: &[&str] = &["analysis", "setup", "audit", "cache"];

/// Selects the objects of others that depend on an object of this crate: relations `$1`, types
/// `$2`, functions `$3` and those of watched tables, schemas `$4`.
///
/// An index, a trigger or a policy of a table goes with the table. It depends on it in another way
/// (`deptype`), and is not selected.
const DEPENDENTS: &str = "WITH RECURSIVE relations AS ( \
        SELECT c.oid FROM pg_catalog.pg_class AS c \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE n.nspname || '.' || c.relname = ANY($1) \
        UNION \
        SELECT part.child FROM relations AS r JOIN ( \
            SELECT inhparent AS parent, inhrelid AS child FROM pg_catalog.pg_inherits \
            UNION ALL SELECT refobjid, objid FROM pg_catalog.pg_depend \
                WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                    AND refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND deptype IN ('a', 'i') \
        ) AS part ON part.parent = r.oid \
    ), types AS ( \
        SELECT t.oid FROM pg_catalog.pg_type AS t \
        JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace \
        WHERE n.nspname || '.' || t.typname = ANY($2) OR t.typrelid IN (SELECT oid FROM relations) \
    ), objects (class, id) AS ( \
        SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid FROM relations \
        UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, oid FROM types \
        UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, typarray FROM pg_catalog.pg_type \
            WHERE oid IN (SELECT oid FROM types) AND typarray <> 0 \
        UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_proc AS p \
            JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace \
            WHERE n.nspname || '.' || p.proname = ANY($3) \
                OR n.nspname = 'audit' AND p.proname LIKE 'record\\_update\\_of\\_%' \
        UNION ALL SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid FROM pg_catalog.pg_namespace \
            WHERE nspname = ANY($4) \
    ), dependents AS ( \
        SELECT d.classid, d.objid, d.objsubid, d.refclassid, d.refobjid, coalesce( \
            (SELECT indrelid FROM pg_catalog.pg_index \
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND indexrelid = d.objid), \
            (SELECT oid FROM pg_catalog.pg_class \
                WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT nullif(conrelid, 0) FROM pg_catalog.pg_constraint \
                WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT ev_class FROM pg_catalog.pg_rewrite \
                WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT tgrelid FROM pg_catalog.pg_trigger \
                WHERE d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT adrelid FROM pg_catalog.pg_attrdef \
                WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT polrelid FROM pg_catalog.pg_policy \
                WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND oid = d.objid), \
            (SELECT stxrelid FROM pg_catalog.pg_statistic_ext \
                WHERE d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass AND oid = d.objid) \
        ) AS relation \
        FROM pg_catalog.pg_depend AS d \
        JOIN objects AS o ON o.class = d.refclassid AND o.id = d.refobjid \
        WHERE d.deptype = 'n' \
    ) \
    SELECT DISTINCT needed.described AS needed, \
        pg_catalog.format('%s depends on %s', CASE classid \
            WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
            THEN pg_catalog.pg_describe_object('pg_catalog.pg_class'::pg_catalog.regclass, relation, 0) \
            ELSE pg_catalog.pg_describe_object(classid, objid, objsubid) END, needed.described) AS line, \
        classid::pg_catalog.oid AS class, objid AS id \
    FROM dependents, LATERAL ( \
        SELECT pg_catalog.pg_describe_object(refclassid, refobjid, 0) AS described) AS needed \
    WHERE (relation IS NULL OR relation NOT IN (SELECT oid FROM relations)) \
        AND (classid, objid) NOT IN (SELECT class, id FROM objects) \
        AND NOT (classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND EXISTS ( \
            SELECT FROM pg_catalog.pg_constraint \
            WHERE oid = objid AND contypid IN (SELECT oid FROM types))) \
    ORDER BY line";

/// The number of objects that an error names.
const NAMED: usize = 10;

/// An object of others that depends on one of this crate's.
#[derive(QueryableByName)]
pub(super) struct Dependent {
    /// The description of the object of this crate.
    #[diesel(sql_type = Text)]
    needed: String,
    /// What depends on it, and on what.
    #[diesel(sql_type = Text)]
    line: String,
    /// The catalogue with the object, and its key there.
    #[diesel(sql_type = Oid)]
    class: u32,
    #[diesel(sql_type = Oid)]
    id: u32,
}

/// Returns the objects of others that depend on this crate's.
pub(super) fn dependents(connection: &mut impl MigrationConnection) -> Result<Vec<Dependent>> {
    let query = sql_query(DEPENDENTS)
        .bind::<Array<Text>, _>(RELATIONS)
        .bind::<Array<Text>, _>(TYPES)
        .bind::<Array<Text>, _>(FUNCTIONS)
        .bind::<Array<Text>, _>(SCHEMAS);
    Ok(query.load(connection)?)
}

/// Selects which of the objects `$1` of the catalogues `$2` are there no more.
const DROPPED: &str = "SELECT line FROM ROWS FROM ( \
        pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.oid[]), \
        pg_catalog.unnest($3::pg_catalog.text[])) AS object (class, id, line) \
    WHERE pg_catalog.pg_describe_object(class, id, 0) IS NULL";

/// Refuses the reversal of one migration, which has just been done in the transaction of this
/// connection, if it has dropped one of these objects. `DROP ... CASCADE` does so.
///
/// # Errors
/// - [`Error::InvalidInput`] with the objects. The transaction must be rolled back.
pub(super) fn check_kept(
    connection: &mut impl MigrationConnection,
    dependents: &[Dependent],
) -> Result<()> {
    if dependents.is_empty() {
        return Ok(());
    }
    let classes: Vec<_> = dependents.iter().map(|object| object.class).collect();
    let ids: Vec<_> = dependents.iter().map(|object| object.id).collect();
    let named: Vec<_> = dependents.iter().map(|object| &*object.line).collect();
    let query = sql_query(DROPPED)
        .bind::<Array<Oid>, _>(classes)
        .bind::<Array<Oid>, _>(ids)
        .bind::<Array<Text>, _>(named);
    let dropped: Vec<Line> = query.load(connection)?;
    refuse(dropped.into_iter().map(|Line { line }| line).collect(), "")
}

/// Returns the error of a migration that could not be reverted because of some of these objects.
/// `None` if it failed for another reason.
///
/// The server's message names what it cannot drop, in its own language, as the descriptions do.
/// diesel keeps the message alone, without the details, which name what depends on it.
pub(super) fn refusal(
    failure: &(dyn StdError + Send + Sync + 'static),
    dependents: &[Dependent],
) -> Option<Error> {
    let message = innermost(failure);
    // The columns of a type are often of its array.
    let is_needed = |object: &&Dependent| message.contains(object.needed.trim_end_matches("[]"));
    let found = dependents.iter().filter(is_needed);
    refuse(found.map(|object| object.line.clone()).collect(), "").err()
}

/// Refuses to revert a migration because of objects, each with what it depends on.
fn refuse(mut found: Vec<String>, unknown: &str) -> Result<()> {
    found.dedup();
    if found.is_empty() {
        return Ok(());
    }
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let named: Vec<_> = found.into_iter().take(NAMED).collect();
    Err(Error::invalid(
        "database",
        format_args!("nothing was reverted: {}{more}{unknown}", named.join("; ")),
    ))
}

/// The outcome of a trial, whose transaction is rolled back in any case.
struct Tried(Result<Vec<Dependent>>);

impl From<diesel::result::Error> for Tried {
    fn from(error: diesel::result::Error) -> Self {
        Self(Err(error.into()))
    }
}

/// Refuses a way back that something keeps from its end.
///
/// `own` are the application's migrations that are reverted before this crate's. They are reverted
/// on trial, in a transaction that is rolled back, because they drop what depends on this crate's
/// tables.
///
/// # Errors
/// - [`Error::Migration`] if one of `own` cannot be reverted
/// - [`Error::InvalidInput`] if another object would remain that depends on this crate's
pub(super) fn check<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    plan: &Plan,
    own: &[&Planned],
    unknown: &[String],
) -> Result<()> {
    let tried = connection.transaction::<(), Tried, _>(|connection| {
        for planned in own {
            let reverted: diesel::migration::Result<()> = planned.migration.revert(connection);
            reverted.map_err(|error| Tried(Err(failed(&planned.name(), &*error))))?;
            connection.batch_execute(plan.restoring())?;
        }
        Err(Tried(watched(watch, || dependents(connection))))
    });
    let found = match tried {
        Ok(()) => Vec::new(),
        Err(Tried(outcome)) => outcome?,
    };
    let unknown = match unknown {
        [] => String::new(),
        unknown => format!(
            "; applied, but not among the migrations of this run: {}",
            unknown.join(", ")
        ),
    };
    let found = found.into_iter().map(|object| object.line).collect();
    refuse(found, &unknown)
}

/// Checks whether a migration can be reverted on trial.
pub(super) fn can_be_tried(planned: &Planned) -> bool {
    let migration: &dyn Migration<Pg> = &*planned.migration;
    migration.metadata().run_in_transaction()
}
