//! The table of applied migrations, and what writes it.

use diesel::migration::Migration;
use diesel::pg::Pg;
use diesel::sql_types::Text;
use diesel::{RunQueryDsl, sql_query};

use super::plan::{Plan, Planned};
use super::{FIRST_LAYER, MigrationConnection, failed, lines};
use crate::{Error, Result};

/// Selects the schemas that have a table with the name of the table of applied migrations.
const TABLE_SCHEMAS: &str = "SELECT n.nspname::TEXT AS line FROM pg_catalog.pg_class AS c \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE c.relname = '__diesel_schema_migrations' AND c.relkind = 'r' ORDER BY line";

/// Creates the table of applied migrations as diesel does.
const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS public.__diesel_schema_migrations (\
    version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)";

const APPLIED: &str = "SELECT version::TEXT AS line FROM public.__diesel_schema_migrations";

/// Returns the versions of the applied migrations.
///
/// The table is found by its schema and name alone. It is created if it does not exist.
pub(super) fn applied(connection: &mut impl MigrationConnection) -> Result<Vec<String>> {
    let listed_in = lines(connection, TABLE_SCHEMAS)?;
    if !listed_in.iter().any(|schema| schema == "public") {
        // diesel's own runner has created the table where its search_path led.
        for schema in &listed_in {
            let schema = schema.replace('"', "\"\"");
            let ours = format!(
                "SELECT version::TEXT AS line FROM \"{schema}\".__diesel_schema_migrations \
                 WHERE version LIKE '{FIRST_LAYER}%'"
            );
            if !lines(connection, &ours).unwrap_or_default().is_empty() {
                return Err(Error::invalid(
                    "database",
                    format_args!(
                        "the table of applied migrations is in another schema: \
                         ALTER TABLE \"{schema}\".__diesel_schema_migrations SET SCHEMA public"
                    ),
                ));
            }
        }
        connection.batch_execute(CREATE_TABLE)?;
    }
    lines(connection, APPLIED)
}

/// Runs one migration and records that in the table, in the same transaction if it runs in one.
pub(super) fn run<C: MigrationConnection>(
    connection: &mut C,
    plan: &Plan,
    planned: &Planned,
    work: impl Fn(&dyn Migration<Pg>, &mut C) -> diesel::migration::Result<()>,
    record: &str,
) -> Result<String> {
    let both = |connection: &mut C| {
        work(&*planned.migration, connection)?;
        if planned.is_own {
            connection.batch_execute(plan.restoring())?;
        }
        sql_query(record)
            .bind::<Text, _>(planned.version())
            .execute(connection)?;
        Ok(())
    };
    let outcome: diesel::migration::Result<()> =
        if planned.migration.metadata().run_in_transaction() {
            connection.transaction(both)
        } else {
            both(connection)
        };
    outcome.map_err(|error| failed(&planned.name(), &*error))?;
    Ok(planned.name())
}

pub(super) const RECORD_APPLIED: &str =
    "INSERT INTO public.__diesel_schema_migrations (version) VALUES ($1)";
pub(super) const RECORD_REVERTED: &str =
    "DELETE FROM public.__diesel_schema_migrations WHERE version = $1::VARCHAR";
