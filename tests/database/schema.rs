//! The migrated database is what the code takes it for, and everything that the design names is in
//! it.

use core::prelude::v1::test;
use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{DESIGN, assert_same, connect, lines, value};
use diesel::connection::SimpleConnection;
use diesel::pg::Pg;
use diesel::query_builder::QueryFragment;
use diesel::{PgConnection, QuerySource};
use wundr_db::__private::mapping::{Column, NewRow};
use wundr_db::testing::{PostgresServer, TestDatabase, migrated_database};
use wundr_db::*;

/// Tables that are ours: no partitions, no example children, not diesel's own.
const TABLES: &str = "\
    SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache') AND c.relkind IN ('r', 'p', 'v') \
        AND c.relname <> '__diesel_schema_migrations' \
        AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)";

fn migrated() -> (PgConnection, TestDatabase) {
    let database = migrated_database().unwrap();
    (connect(&database), database)
}

/// A database that was built from the design's own SQL.
fn designed() -> (PgConnection, TestDatabase) {
    let database = PostgresServer::shared().unwrap().create_database().unwrap();
    let mut connection = connect(&database);
    connection.batch_execute(DESIGN).unwrap();
    (connection, database)
}

/// `UserRole` for `user_role`.
fn camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(word).collect()
}

/// The tables of `src/schema.rs`, each with its key and then its columns.
fn tables_of_the_code() -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    // Two names of the same type each.
    let source = include_str!("../../src/schema.rs")
        .replace("Integer", "Int4")
        .replace("BigInt", "Int8");
    for table in source.split("diesel::table! {").skip(1) {
        let table = &table[..table.find("\n    }\n").unwrap()];
        let mut body = table
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("use ") && !line.is_empty());
        let (name, key) = body.next().unwrap().split_once(' ').unwrap();
        let mut columns = vec![format!("key {}", key.trim_end_matches(" {"))];
        let mut limit = String::new();
        for line in body {
            if let Some((_, length)) = line.split_once("max_length = ") {
                limit = format!(" of {}", length.trim_end_matches(']'));
            } else if let Some((column, sql_type)) = line.trim_end_matches(',').split_once(" -> ") {
                let column = column.trim_start_matches("r#");
                columns.push(format!("{column} {sql_type}{limit}"));
                limit.clear();
            }
        }
        tables.insert(name.to_owned(), columns);
    }
    tables
}

/// The same of the database.
fn tables_of_the_database(connection: &mut PgConnection) -> BTreeMap<String, Vec<String>> {
    let described = lines(
        connection,
        &format!(
            "SELECT concat_ws('|', schema || '.' || name, \
                COALESCE((SELECT string_agg(k.attname, ', ' ORDER BY array_position(i.indkey, k.attnum)) \
                    FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey) \
                    WHERE i.indrelid = t.oid AND i.indisprimary), 'id'), \
                a.attname, COALESCE(e.typname, y.typname), y.typcategory, \
                CASE WHEN a.attnotnull OR kind = 'v' THEN 'NOT NULL' ELSE 'NULL' END, \
                CASE WHEN y.typname = 'varchar' THEN a.atttypmod - 4 END) AS line \
             FROM ({TABLES}) t \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped \
             JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = y.typelem AND y.typcategory = 'A' \
             ORDER BY schema, name, a.attnum"
        ),
    );
    let mut tables = BTreeMap::<String, Vec<String>>::new();
    for line in described {
        let parts: Vec<_> = line.split('|').collect();
        let [table, key, column, sql_type, category, nullable, ..] = parts[..] else {
            panic!("{line}");
        };
        let mut sql_type = camel_case(sql_type);
        if category == "A" {
            sql_type = format!("Array<{sql_type}>");
        }
        if nullable == "NULL" {
            sql_type = format!("Nullable<{sql_type}>");
        }
        if let Some(limit) = parts.get(6) {
            sql_type = format!("{sql_type} of {limit}");
        }
        let columns = tables
            .entry(table.to_owned())
            .or_insert_with(|| vec![format!("key ({key})")]);
        columns.push(format!("{column} {sql_type}"));
    }
    tables
}

#[test]
fn the_code_knows_every_table_and_column_as_it_is() {
    let (mut connection, _database) = migrated();
    let code = tables_of_the_code();
    let database = tables_of_the_database(&mut connection);
    let tables = lines(
        &mut connection,
        &format!("SELECT schema || '.' || name AS line FROM ({TABLES}) t WHERE kind <> 'v'"),
    );
    // Tables without a repository of their own: the leases and how often one was left behind, and
    // the families of sessions with the refresh tokens that they had, the seals of the audit log,
    // the pins of analyses and what is being removed, and the invitations, which have one without
    // filters.
    let without = [
        "public.organization_invitations",
        "analysis.analysis_leases",
        "analysis.analysis_abandonments",
        "analysis.analysis_pins",
        "analysis.analysis_removals",
        "public.user_session_families",
        "public.rotated_refresh_tokens",
        "audit.audit_log_seals",
        "audit.audit_log_seal_pages",
        "audit.audit_log_anonymizations",
    ];
    let registered = Table::ALL.iter().map(|table| table.as_str());
    let registered: BTreeSet<String> = registered.chain(without).map(str::to_owned).collect();
    let tables: BTreeSet<String> = tables.into_iter().collect();
    assert_eq!(
        tables, registered,
        "the database (left), src/tables.rs (right)"
    );
    for table in tables {
        assert!(code.contains_key(&table), "{table} is not in schema.rs");
    }
    for (name, columns) in &code {
        let stored = database
            .get(name)
            .unwrap_or_else(|| panic!("there is no {name}"));
        // The columns of a view have neither key nor NOT NULL.
        let is_view = name.starts_with("cache.");
        let plain = |column: &String| match is_view {
            true => column.replace("Nullable<", "").replace('>', ""),
            false => column.clone(),
        };
        let (code, stored): (Vec<_>, Vec<_>) = (
            columns.iter().map(plain).collect(),
            stored.iter().map(plain).collect(),
        );
        assert_same(
            &format!("{name} in schema.rs (-) and in the database (+)"),
            code.iter().map(String::as_str),
            stored.iter().map(String::as_str),
        );
    }
}

#[test]
fn what_the_code_joins_is_a_foreign_key() {
    let (mut connection, _database) = migrated();
    let keys: BTreeSet<String> = lines(
        &mut connection,
        "SELECT DISTINCT child.relname || ' -> ' || parent.relname || ' (' || a.attname || ')' AS line \
         FROM pg_constraint k JOIN pg_class child ON child.oid = conrelid JOIN pg_class parent ON parent.oid = confrelid \
         JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = conkey[1] WHERE contype = 'f'",
    )
    .into_iter()
    .collect();
    let source = include_str!("../../src/schema.rs");
    let joins = source.split("joinable!(").skip(1);
    let joins: Vec<_> = joins
        .map(|join| &join[..join.find(");").unwrap()])
        .collect();
    assert!(joins.len() > 10);
    for join in joins {
        assert!(keys.contains(join), "{join}");
    }
}

/// Every enum with its words.
macro_rules! words_of {
    ($($name:ident),* $(,)?) => {
        BTreeMap::from([$((
            stringify!($name),
            $name::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(" "),
        )),*])
    };
}

#[test]
fn the_code_knows_every_enum_and_its_words_in_order() {
    let code = words_of!(
        UserRole,
        SubscriptionPlan,
        OrganizationRole,
        RepositoryProvider,
        ProjectStatus,
        ProjectVisibility,
        ProjectRole,
        AnalysisType,
        AnalysisStatus,
        IssueType,
        IssueSeverity,
        IssueStatus,
        MetricCategory,
        TrendDirection,
        SetupCategory,
        ProfileVisibility,
        SessionStatus,
        StepStatus,
        ToolCategory,
        Platform,
        ConfigScope,
        ConfigCategory,
        IntegrationType,
        SyncStatus,
        AuditAction,
        LogLevel,
    );
    for (mut connection, database) in [migrated(), designed()] {
        let stored = lines(
            &mut connection,
            "SELECT t.typname || ' ' || string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) AS line \
             FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.oid, t.typname",
        );
        let stored: BTreeMap<_, _> = stored
            .iter()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, words)| (camel_case(name), words.to_owned()))
            .collect();
        let code: BTreeMap<_, _> = code
            .iter()
            .map(|(name, words)| (name.to_string(), words.clone()))
            .collect();
        assert_eq!(code, stored, "{}", database.name());
    }
    // And each lies in the schema that the code casts to.
    let (mut connection, _database) = migrated();
    let places = lines(
        &mut connection,
        "SELECT n.nspname || ' ' || t.typname AS line FROM pg_type t \
         JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e'",
    );
    for place in places {
        let (schema, name) = place.split_once(' ').unwrap();
        let declared = format!("postgres_type(name = \"{name}\", schema = \"{schema}\")");
        assert!(
            include_str!("../../src/schema.rs").contains(&declared),
            "{declared}"
        );
    }
}

#[test]
fn every_foreign_key_is_led_by_an_index() {
    let (mut connection, _database) = migrated();
    // An index of the rows that have the column is as good: the key looks for no others.
    let bare = lines(
        &mut connection,
        "SELECT k.conrelid::regclass || ' ' || k.conname AS line FROM pg_constraint k \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1] \
         WHERE k.contype = 'f' AND NOT EXISTS ( \
             SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid \
                 AND i.indkey[0] = k.conkey[1] AND cardinality(k.conkey) = 1 \
                 AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)'))",
    );
    assert!(bare.is_empty(), "{bare:#?}");
    let keys = lines(
        &mut connection,
        "SELECT conname::text AS line FROM pg_constraint WHERE contype = 'f'",
    );
    assert!(keys.len() > 30, "{keys:?}");
}

/// An index that begins another one of the same rows, or equals it, costs every write and serves
/// nothing that the other does not serve.
#[test]
fn no_index_of_this_crate_begins_another() {
    let (mut connection, _database) = migrated();
    let (mut designed, _designed) = designed();
    let of_design: Vec<String> = lines(
        &mut designed,
        "SELECT relname::text AS line FROM pg_class WHERE relkind IN ('i', 'I')",
    );
    let redundant = lines(
        &mut connection,
        "WITH columns AS ( \
             SELECT i.indexrelid, i.indrelid, i.indisunique, c.relname, c.relam, \
                 COALESCE(pg_get_expr(i.indpred, i.indrelid), '') AS rows, \
                 (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, false) || ' ' || i.indclass[k - 1] \
                     || ' ' || i.indoption[k - 1] || ' ' || i.indcollation[k - 1] || '|', '' ORDER BY k) \
                  FROM generate_series(1, i.indnkeyatts) AS k) AS keys \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
             WHERE c.relnamespace::regnamespace::text IN ('public', 'analysis', 'setup', 'audit') \
                 AND NOT c.relispartition) \
         SELECT a.relname || ' begins ' || b.relname AS line FROM columns a \
         JOIN columns b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.relam = a.relam \
             AND b.rows = a.rows AND starts_with(b.keys, a.keys) \
         WHERE NOT a.indisunique",
    );
    let of_crate: Vec<_> = redundant
        .iter()
        .filter(|line| {
            let index = line.split(' ').next().unwrap();
            !of_design.iter().any(|name| name == index)
        })
        .collect();
    assert!(of_crate.is_empty(), "{of_crate:#?}");
    assert!(redundant.len() > 3, "the design has some: {redundant:?}");
}

/// The design's names and what they stand for, without the schemas, which are ours.
fn named_things(connection: &mut PgConnection) -> BTreeMap<String, String> {
    connection
        .batch_execute("SET search_path = public, analysis, setup, audit, cache")
        .unwrap();
    let things = lines(
        connection,
        &format!(
            "WITH tables AS ({TABLES}) \
             SELECT 'index ' || x.relname || '|' || pg_get_indexdef(x.oid) AS line FROM pg_index i \
             JOIN tables t ON t.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid \
             UNION ALL \
             SELECT 'constraint ' || t.name || ' ' || k.conname || '|' || pg_get_constraintdef(k.oid) \
             FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid \
             UNION ALL \
             SELECT 'column ' || t.name || ' ' || a.attname || '|' || format_type(a.atttypid, a.atttypmod) \
                || COALESCE(' default ' || pg_get_expr(d.adbin, d.adrelid), '') \
             FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped \
             LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum \
             UNION ALL \
             SELECT 'function ' || p.proname || '|' || pg_get_function_arguments(p.oid) || ' -> ' \
                || pg_get_function_result(p.oid) \
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE n.nspname IN ('public', 'analysis', 'setup', 'audit', 'cache')"
        ),
    );
    let schemas = ["public.", "analysis.", "setup.", "audit.", "cache."];
    let mut named = BTreeMap::new();
    for thing in things {
        let (name, meaning) = thing.split_once('|').unwrap();
        let mut meaning = meaning.replace(" ON ONLY ", " ON ");
        for schema in schemas {
            meaning = meaning.replace(schema, "");
        }
        named.insert(name.to_owned(), meaning);
    }
    named
}

#[test]
fn what_the_design_names_is_there_and_means_the_same() {
    let departures = BTreeMap::from([
        // A partitioned table's key holds the column that it is partitioned by.
        (
            "constraint audit_logs audit_logs_pkey",
            "PRIMARY KEY (id, created_at)",
        ),
        (
            "constraint system_logs system_logs_pkey",
            "PRIMARY KEY (id, created_at)",
        ),
        (
            "index audit_logs_pkey",
            "CREATE UNIQUE INDEX audit_logs_pkey ON audit_logs USING btree (id, created_at)",
        ),
        (
            "index system_logs_pkey",
            "CREATE UNIQUE INDEX system_logs_pkey ON system_logs USING btree (id, created_at)",
        ),
        // One of the first two is always NULL.
        (
            "constraint configurations unique_config_scope",
            "UNIQUE NULLS NOT DISTINCT (organization_id, project_id, category, name)",
        ),
        (
            "index unique_config_scope",
            "CREATE UNIQUE INDEX unique_config_scope ON configurations USING btree \
             (organization_id, project_id, category, name) NULLS NOT DISTINCT",
        ),
    ]);
    let (mut designed, _one) = designed();
    let (mut migrated, _other) = migrated();
    let design = named_things(&mut designed);
    let ours = named_things(&mut migrated);
    assert!(design.len() > 300, "{}", design.len());
    for (name, meaning) in &design {
        let expected = departures.get(name.as_str()).copied().unwrap_or(meaning);
        assert_eq!(ours.get(name).map(String::as_str), Some(expected), "{name}");
    }
    for departure in departures.keys() {
        assert!(design.contains_key(*departure), "{departure}");
    }
}

/// The table of a new row, and its columns.
fn target<N: NewRow>() -> (String, &'static [Column]) {
    fn name_of(table: &impl QueryFragment<Pg>) -> String {
        let name = diesel::debug_query::<Pg, _>(table).to_string();
        name.split(" -- ").next().unwrap().replace('"', "")
    }
    (name_of(&N::Table::default().from_clause()), N::COLUMNS)
}

/// [`target`] of every table's new row.
macro_rules! targets {
    ($($schema:ident.$table:ident: $repository:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {
        [$((concat!(stringify!($schema), ".", stringify!($table)), target::<$new>())),*]
    };
}

#[test]
fn an_insert_fills_in_what_the_database_would() {
    let targets = wundr_db::__for_each_table!(targets).map(|(registered, (table, columns))| {
        assert_eq!(registered, table, "src/tables.rs");
        (table, columns)
    });
    let (mut connection, _database) = migrated();
    for (table, columns) in targets {
        let defaults = format!(
            "SELECT attname || '|' || format_type(atttypid, atttypmod) || '|' || pg_get_expr(adbin, adrelid) AS line \
             FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum \
             WHERE adrelid = '{table}'::regclass"
        );
        let defaults = lines(&mut connection, &defaults);
        let defaults: BTreeMap<_, _> = defaults
            .iter()
            .filter_map(|line| line.split_once('|'))
            .collect();
        for column in columns {
            let (name, Some(ours)) = (column.name, column.default) else {
                continue;
            };
            let stored = defaults
                .get(name)
                .unwrap_or_else(|| panic!("{table}.{name} has no default, {ours} is filled in"));
            let (sql_type, stored) = stored.split_once('|').unwrap();
            // In one statement: now() is equal to itself.
            let same =
                format!("SELECT (({ours})::{sql_type} = ({stored})::{sql_type})::text AS line");
            let same = value(&mut connection, &same);
            assert_eq!(same, "true", "{table}.{name}: {ours}, {stored}");
        }
    }
}

/// The rules about owners are checked by statements, and the index of addresses by its constraint's
/// name.
#[test]
fn every_constraint_has_a_constant() {
    let (mut connection, _database) = migrated();
    let constraints = format!(
        "WITH tables AS ({TABLES}) \
         SELECT DISTINCT conname::text AS line FROM pg_constraint JOIN tables ON conrelid = tables.oid \
             WHERE contype NOT IN ('p', 't', 'n') \
         UNION SELECT relname::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
             JOIN tables ON indrelid = tables.oid \
             WHERE indisunique AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"
    );
    let mut of_the_database: BTreeSet<String> =
        lines(&mut connection, &constraints).into_iter().collect();
    assert!(of_the_database.remove("idx_users_email_lower"));
    let of_statements = [
        constraints::ORGANIZATION_KEEPS_AN_OWNER,
        constraints::PROJECT_KEEPS_AN_OWNER,
    ];
    of_the_database.extend(of_statements.map(str::to_owned));
    let of_the_code: BTreeSet<String> = constraints::ALL
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    assert_eq!(of_the_code, of_the_database);
}
