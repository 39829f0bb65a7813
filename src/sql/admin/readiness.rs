//! The statement of the checks of a server's settings.

use crate::models::admin::settings;

/// Returns the query for the facts that the checks judge.
pub(crate) fn facts() -> String {
    let names: Vec<_> = settings().map(|name| format!("'{name}'")).collect();
    format!(
        "SELECT pg_catalog.jsonb_build_object(\
             'settings', (SELECT pg_catalog.jsonb_object_agg(name, pg_catalog.jsonb_build_object(\
                 'value', setting, 'unit', unit, 'waits_for_restart', pending_restart)) \
                 FROM pg_catalog.pg_settings WHERE name IN ({})), \
             'extensions', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(\
                 'name', extname, 'version', extversion, 'schema', nspname, \
                 'is_trusted', COALESCE((SELECT trusted FROM pg_catalog.pg_available_extension_versions AS v \
                     WHERE v.name = extname AND v.version = extversion), false)) ORDER BY extname) \
                 FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace AS n ON n.oid = extnamespace), '[]'), \
             'archived', last_archived_time, 'failed', last_failed_time, 'failures', failed_count\
         )::pg_catalog.text AS document FROM pg_catalog.pg_stat_archiver",
        names.join(", ")
    )
}
