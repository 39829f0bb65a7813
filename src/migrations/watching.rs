//! The triggers that record the changes of a table in the audit log.
//!
//! A table is watched if it has these triggers. Their arguments are the type of the resource and
//! the columns whose values are recorded. The trigger of updates, which are the most frequent
//! changes, has a function of its own, which is made of the same columns in the same transaction.

use diesel::QueryableByName;
use diesel::sql_types::{Array, Bool, Text};

use super::*;
use crate::{Table, WatchedTable};

/// The statement before each change: a migration must not make writers queue behind its lock for
/// long.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '5s'";

/// The beginning of the names of the triggers.
const TRIGGER: &str = "wundr_audit_";

/// Selects the names of `$2` that are not columns of the table `$1`.
const UNKNOWN: &str = "SELECT name AS line FROM pg_catalog.unnest($2) AS name WHERE NOT EXISTS ( \
    SELECT FROM pg_catalog.pg_attribute WHERE attrelid = $1::pg_catalog.regclass \
        AND attname = name AND attnum > 0 AND NOT attisdropped)";

/// Selects the names of `$2` whose columns in the table `$1` have a type without equality: that an
/// update has changed them cannot be found.
const INCOMPARABLE: &str = "SELECT attname::pg_catalog.text AS line FROM pg_catalog.pg_attribute \
    WHERE attrelid = $1::pg_catalog.regclass AND attname = ANY ($2) \
        AND atttypid = ANY ('{json, xml, point, polygon, txid_snapshot, pg_snapshot}'::pg_catalog.regtype[])";

/// Selects the watched tables, the arguments of their triggers but the first, and whether each of
/// the four triggers is there and enabled.
///
/// The arguments are bytes, which end with zero. Their text has bytes beyond ASCII as numbers.
const WATCHED: &str = "SELECT n.nspname || '.' || c.relname AS \"table\", \
        ARRAY(SELECT pg_catalog.convert_from(pg_catalog.decode(part, 'escape'), \
                pg_catalog.getdatabaseencoding()) \
            FROM pg_catalog.unnest((pg_catalog.string_to_array( \
                pg_catalog.encode(t.tgargs, 'escape'), '\\000'))[2:t.tgnargs]) \
            WITH ORDINALITY AS parts (part, place) ORDER BY place) AS columns, \
        (SELECT pg_catalog.count(*) = 4 FROM pg_catalog.pg_trigger AS o \
            WHERE o.tgrelid = t.tgrelid AND o.tgenabled IN ('O', 'A') \
                AND pg_catalog.starts_with(o.tgname, 'wundr_audit_')) AS is_complete \
    FROM pg_catalog.pg_trigger AS t \
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid \
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
    WHERE t.tgname = 'wundr_audit_insert' AND t.tgfoid = 'audit.record_change'::pg_catalog.regproc";

#[derive(QueryableByName)]
struct Watched {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Array<Text>)]
    columns: Vec<String>,
    #[diesel(sql_type = Bool)]
    is_complete: bool,
}

/// Checks the table and the columns, as far as that needs no database.
pub(crate) fn check(table: Table, columns: &[String]) -> Result<()> {
    if matches!(table, Table::AuditLogs | Table::SystemLogs) {
        let reason = format_args!("{table} is a log itself");
        return Err(Error::invalid("table", reason));
    }
    if columns.is_empty() {
        return Err(Error::invalid("columns", "must name at least one column"));
    }
    if columns.iter().any(|column| column.contains('\0')) {
        return Err(Error::invalid("columns", "contains the character U+0000"));
    }
    match columns.iter().find(|column| table.is_secret(column)) {
        Some(column) => Err(Error::invalid(
            "columns",
            format_args!("{table}.{column} contains secrets"),
        )),
        None => Ok(()),
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the name of the function that records the updates of a table.
pub(crate) fn update_function(table: Table) -> String {
    format!(
        "audit.record_update_of_{}",
        table.as_str().replace('.', "_")
    )
}

/// Returns the statements for the function that records the updates of a table.
///
/// It names the columns. `audit.record_change` finds them by their names and would convert both
/// rows as a whole, which takes longer than the update.
fn create_update_function(table: Table, columns: &[String]) -> String {
    let name = update_function(table);
    let mut values = String::new();
    for column in columns {
        let (identifier, key) = (identifier(column), literal(column));
        values.push_str(&format!(
            "IF OLD.{identifier} IS DISTINCT FROM NEW.{identifier} THEN \
                 old_values := old_values || jsonb_build_object({key}, OLD.{identifier}); \
                 new_values := new_values || jsonb_build_object({key}, NEW.{identifier}); \
             END IF; "
        ));
    }
    let (resource, watched) = (literal(table.resource_type()), literal(table.as_str()));
    let refusal = literal(&format!("{name}() is a trigger of {table} alone"));
    let body = format!(
        "DECLARE \
             actor CONSTANT JSONB := NULLIF(current_setting('wundr.actor', true), '')::JSONB; \
             old_values JSONB := '{{}}'; \
             new_values JSONB := '{{}}'; \
         BEGIN \
             IF TG_RELID <> {watched}::regclass OR TG_OP <> 'UPDATE' THEN \
                 RAISE EXCEPTION USING MESSAGE = {refusal}, ERRCODE = 'insufficient_privilege'; \
             END IF; \
             {values}\
             INSERT INTO audit.audit_logs (id, user_id, organization_id, action, resource_type, \
                 resource_id, old_values, new_values, metadata, ip_address, user_agent) \
             VALUES (audit.new_entry_id(), (actor ->> 'user')::UUID, (actor ->> 'organization')::UUID, \
                 'update', {resource}, NEW.id, old_values, new_values, \
                 jsonb_strip_nulls(jsonb_build_object('role', session_user, 'request', actor -> 'request')), \
                 (actor ->> 'ip')::INET, actor ->> 'user_agent'); \
             RETURN NULL; \
         END"
    );
    format!(
        "CREATE FUNCTION {name}() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp AS {}; \
         REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC",
        literal(&body)
    )
}

fn create_triggers(table: Table, columns: &[String]) -> String {
    let arguments: Vec<_> = std::iter::once(table.resource_type())
        .chain(columns.iter().map(String::as_str))
        .map(literal)
        .collect();
    let record = format!(
        "EXECUTE FUNCTION audit.record_change({})",
        arguments.join(", ")
    );
    let changed: Vec<_> = columns
        .iter()
        .map(|column| identifier(column))
        .map(|column| format!("OLD.{column} IS DISTINCT FROM NEW.{column}"))
        .collect();
    let changed = changed.join(" OR ");
    let (create, update) = (
        create_update_function(table, columns),
        update_function(table),
    );
    format!(
        "{create}; \
         CREATE TRIGGER {TRIGGER}insert AFTER INSERT ON {table} \
             REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT {record}; \
         CREATE TRIGGER {TRIGGER}update AFTER UPDATE ON {table} FOR EACH ROW WHEN ({changed}) \
             EXECUTE FUNCTION {update}(); \
         CREATE TRIGGER {TRIGGER}delete AFTER DELETE ON {table} \
             REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT {record}; \
         CREATE TRIGGER {TRIGGER}truncate AFTER TRUNCATE ON {table} FOR EACH STATEMENT {record}"
    )
}

fn drop_triggers(table: Table) -> String {
    let drops = ["insert", "update", "delete", "truncate"]
        .map(|event| format!("DROP TRIGGER IF EXISTS {TRIGGER}{event} ON {table}"));
    let function = update_function(table);
    format!("{}; DROP FUNCTION IF EXISTS {function}()", drops.join("; "))
}

/// Replaces the triggers of a table. Without columns it has none afterwards.
pub(crate) fn replace<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
    table: Table,
    columns: Option<&[String]>,
) -> Result<()> {
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    check_owners(connection, watch)?;
    if let Some(columns) = columns {
        let unknown = sql_query(UNKNOWN)
            .bind::<Text, _>(table.as_str())
            .bind::<Array<Text>, _>(columns);
        let unknown: Vec<Line> = unknown.load(connection)?;
        if let Some(Line { line }) = unknown.first() {
            let reason = format_args!("{table} has no column {line}");
            return Err(Error::invalid("columns", reason));
        }
        let incomparable = sql_query(INCOMPARABLE)
            .bind::<Text, _>(table.as_str())
            .bind::<Array<Text>, _>(columns);
        let incomparable: Vec<Line> = incomparable.load(connection)?;
        if let Some(Line { line }) = incomparable.first() {
            let reason = format_args!("{table}.{line} is of a type whose values are not compared");
            return Err(Error::invalid("columns", reason));
        }
    }
    connection.transaction(|connection| {
        connection.batch_execute(LOCK_TIMEOUT)?;
        connection.batch_execute(&drop_triggers(table))?;
        if let Some(columns) = columns {
            connection.batch_execute(&create_triggers(table, columns))?;
        }
        Ok(())
    })
}

/// Returns the watched tables, in the order of the design.
pub(crate) fn list<C: MigrationConnection>(
    connection: &mut C,
    watch: Watch<'_>,
) -> Result<Vec<WatchedTable>> {
    watched(watch, || Ok(connection.batch_execute(SESSION)?))?;
    let mut found: Vec<Watched> = sql_query(WATCHED).load(connection)?;
    let watched_of = |&table: &Table| {
        let position = found.iter().position(|row| row.table == table.as_str())?;
        let Watched {
            columns,
            is_complete,
            ..
        } = found.swap_remove(position);
        Some(WatchedTable {
            table,
            columns,
            is_complete,
        })
    };
    Ok(Table::ALL.iter().filter_map(watched_of).collect())
}
