//! The migrations: forwards, backwards, at the same time, and over a database that has data.

use std::sync::Barrier;
use std::thread;

use crate::catalog::{DESIGN, assert_same, connect, dump, lines, value};
use diesel::Connection as _;
use diesel::connection::SimpleConnection;
use diesel_migrations::MigrationHarness;
use wundr_db::Config;
use wundr_db::migrations::MIGRATIONS;
use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode, TestDatabase, migrated_database};
use wundr_db::{AnalysisType, NewAnalysis, NewProject, NewUser, UserFilter};

fn empty_database() -> (Config, TestDatabase) {
    let database = PostgresServer::shared().unwrap().create_database().unwrap();
    (Config::new(&database.url()).unwrap(), database)
}

/// A database that was built from the design's own SQL.
fn designed_database() -> (Config, TestDatabase) {
    let (config, database) = empty_database();
    connect(&database).batch_execute(DESIGN).unwrap();
    (config, database)
}

#[path = "migrations"]
mod asynchronous {
    use super::*;
    use tokio::test as case;
    use wundr_db::{
        AnalysisRepository as _, Db, Error, ProjectRepository as _, UserRepository as _, audit,
        migrations, repository as both_engines,
    };

    mod own;
    mod runner;
}

#[path = "migrations"]
mod blocking {
    use super::*;
    use core::prelude::v1::test as case;
    use wundr_db::Error;
    use wundr_db::blocking::{
        AnalysisRepository as _, Db, ProjectRepository as _, UserRepository as _, audit,
        migrations, repository as both_engines,
    };

    mod own;
    mod runner;
}

use wundr_db::blocking::migrations;

#[test]
fn the_way_back_leaves_nothing_and_the_way_forth_ends_at_the_same_place() {
    let (config, database) = empty_database();
    // Makes diesel's own table, which stays.
    migrations::status(&config).unwrap();
    let empty = dump(&database);

    migrations::up(&config).unwrap();
    let first = dump(&database);
    migrations::down(&config).unwrap();
    assert_same("after the way back", empty.lines(), dump(&database).lines());
    migrations::up(&config).unwrap();
    assert_same("the second time", first.lines(), dump(&database).lines());
}

#[test]
fn each_migration_can_be_taken_back_and_applied_again() {
    let (_config, database) = empty_database();
    let mut connection = connect(&database);
    connection.applied_migrations().unwrap();
    let mut before = dump(&database);
    while connection.has_pending_migration(MIGRATIONS).unwrap() {
        let name = connection
            .run_next_migration(MIGRATIONS)
            .unwrap()
            .to_string();
        let after = dump(&database);
        connection.revert_last_migration(MIGRATIONS).unwrap();
        let what = format!("{name} taken back");
        assert_same(&what, before.lines(), dump(&database).lines());
        connection.run_next_migration(MIGRATIONS).unwrap();
        let what = format!("{name} applied again");
        assert_same(&what, after.lines(), dump(&database).lines());
        before = after;
    }
}

#[test]
fn one_of_eight_concurrent_processes_migrates() {
    const STARTERS: usize = 8;
    let (config, database) = empty_database();
    let start = Barrier::new(STARTERS);
    let starter = |number: usize| {
        start.wait();
        if number.is_multiple_of(2) {
            return migrations::up(&config);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(wundr_db::migrations::up(&config))
    };
    let applied: Vec<_> = thread::scope(|scope| {
        let starters: Vec<_> = (0..STARTERS)
            .map(|number| scope.spawn(move || starter(number)))
            .collect();
        let applied = starters
            .into_iter()
            .map(|starter| starter.join().unwrap().unwrap());
        applied.map(|applied| applied.len()).collect()
    });
    let all = migrations::status(&config).unwrap();
    assert!(all.iter().all(|migration| migration.is_applied));
    assert_eq!(applied.iter().sum::<usize>(), all.len(), "{applied:?}");
    assert_eq!(
        applied.iter().filter(|&&number| number > 0).count(),
        1,
        "{applied:?}"
    );
    let other = migrated_database().unwrap();
    assert_same(
        "migrated by eight",
        dump(&other).lines(),
        dump(&database).lines(),
    );
}

const TABLES: [&str; 20] = [
    "users",
    "user_sessions",
    "organizations",
    "organization_members",
    "projects",
    "project_members",
    "analyses",
    "analysis_results",
    "analysis_issues",
    "analysis_metrics",
    "dependency_graphs",
    "duplicate_groups",
    "setup_profiles",
    "setup_sessions",
    "setup_steps",
    "tools",
    "configurations",
    "integrations",
    "audit_logs",
    "system_logs",
];

/// A row or more in each table and in both children by inheritance, with NULL where the design lets
/// it stand.
const ROWS: &str = "
INSERT INTO users (id, email, name, is_active, created_at) VALUES
  ('00000000-0000-0000-0000-000000000001', 'Ada@example.org', 'Ada', NULL, NULL),
  ('00000000-0000-0000-0000-000000000002', 'bob@example.org', 'Bob', TRUE, '2020-01-01');
INSERT INTO user_sessions (user_id, token_hash, expires_at) SELECT id, 'hash', '2030-01-01' FROM users;
INSERT INTO organizations (id, name, slug, settings) VALUES
  ('00000000-0000-0000-0000-000000000003', 'Lab', 'lab', NULL);
INSERT INTO organization_members (organization_id, user_id, role)
  SELECT o.id, u.id, 'member' FROM organizations o, users u;
INSERT INTO projects (id, organization_id, name, status, created_by)
  SELECT '00000000-0000-0000-0000-000000000004', o.id, 'Engine', NULL, '00000000-0000-0000-0000-000000000001'
  FROM organizations o;
INSERT INTO project_members (project_id, user_id, role) SELECT p.id, u.id, 'owner' FROM projects p, users u;
INSERT INTO analyses (id, project_id, type, status, progress, created_by)
  SELECT '00000000-0000-0000-0000-000000000005', p.id, 'quality', NULL, NULL, p.created_by FROM projects p;
INSERT INTO analysis_results (analysis_id, file_path, issues) SELECT id, 'a.rs', NULL FROM analyses;
INSERT INTO analysis_issues (analysis_id, type, severity, title, file_path, status)
  SELECT id, 'security', 'high', 'x', 'a.rs', NULL FROM analyses;
INSERT INTO analysis_metrics (analysis_id, metric_name, category) SELECT id, 'lines', 'quality' FROM analyses;
INSERT INTO dependency_graphs (project_id, graph_data) SELECT id, '{}' FROM projects;
INSERT INTO duplicate_groups (analysis_id, hash, similarity_percentage, total_lines, files)
  SELECT id, 'h', 99.5, 10, '[]' FROM analyses;
INSERT INTO setup_profiles (name, category, created_by) SELECT 'Laptop', 'backend', created_by FROM projects;
INSERT INTO setup_sessions (profile_id, user_id) SELECT id, created_by FROM setup_profiles;
INSERT INTO setup_steps (session_id, name, step_order) SELECT id, 'rust', 1 FROM setup_sessions;
INSERT INTO tools (name, category, supported_platforms) VALUES ('cargo', 'build_tool', NULL);
INSERT INTO configurations (scope, category, name, value, created_by)
  SELECT 'global', 'general', 'theme', v, '00000000-0000-0000-0000-000000000001'
  FROM (VALUES ('1'::jsonb), ('2')) AS twice (v);
INSERT INTO integrations (type, name, created_by) SELECT 'slack', 'chat', created_by FROM projects;
INSERT INTO audit_logs (user_id, action, resource_type, created_at) VALUES
  ('00000000-0000-0000-0000-000000000001', 'login', 'user', '2024-01-15'), (NULL, 'read', 'user', NULL),
  (NULL, 'read', 'user', '2023-06-01');
INSERT INTO audit_logs_2024_01 (user_id, action, resource_type, created_at) VALUES
  ('00000000-0000-0000-0000-000000000001', 'read', 'project', '2024-01-20'),
  ('00000000-0000-0000-0000-00000000dead', 'read', 'project', '2024-01-21');
INSERT INTO audit_logs_template (action, resource_type, created_at) VALUES ('update', 'project', '2022-02-02');
INSERT INTO system_logs (level, service, message, created_at) VALUES ('info', 'api', 'started', NULL);
";

/// The id of every row.
fn rows(connection: &mut diesel::PgConnection) -> Vec<String> {
    connection
        .batch_execute("SET search_path = public, analysis, setup, audit, cache")
        .unwrap();
    let ids = TABLES.map(|table| format!("SELECT '{table} ' || id AS line FROM {table}"));
    lines(
        connection,
        &format!("{} ORDER BY line", ids.join(" UNION ALL ")),
    )
}

#[test]
fn a_database_built_from_the_design_is_adopted_with_its_rows() {
    let (config, database) = designed_database();
    let mut connection = connect(&database);
    connection.batch_execute(ROWS).unwrap();
    let before = rows(&mut connection);
    for table in TABLES {
        assert!(
            before.iter().any(|row| row.starts_with(table)),
            "{table} is empty"
        );
    }

    migrations::adopt(&config).unwrap();

    let mut connection = connect(&database);
    assert_eq!(before, rows(&mut connection));
    let january = "SELECT count(*)::text AS line FROM audit.audit_logs_2024_01";
    assert_eq!(value(&mut connection, january), "3");
    let dangling = "SELECT metadata ->> 'dangling_user_id' AS line FROM audit.audit_logs \
                    WHERE metadata ? 'dangling_user_id'";
    assert_eq!(
        value(&mut connection, dangling),
        "00000000-0000-0000-0000-00000000dead"
    );
    let names = "SELECT string_agg(name, ', ' ORDER BY length(name))::text AS line FROM setup.configurations";
    let names = value(&mut connection, names);
    assert!(names.starts_with("theme, theme (duplicate "), "{names}");

    // The design's example month is all that a new database has not.
    let fresh = migrated_database().unwrap();
    connect(&fresh)
        .batch_execute("SELECT audit.create_monthly_partition('audit_logs', '2024-01-01')")
        .unwrap();
    assert_same(
        "adopted (+) and made new (-)",
        dump(&fresh).lines(),
        dump(&database).lines(),
    );
}

#[test]
fn the_way_back_keeps_the_rows_of_the_logs() {
    let (config, database) = designed_database();
    let mut connection = connect(&database);
    connection.batch_execute(ROWS).unwrap();
    migrations::adopt(&config).unwrap();
    let before = rows(&mut connection);

    let mut reverted = String::new();
    while !reverted.contains("default_columns_checked") {
        reverted = migrations::down_by_one(&config).unwrap().unwrap();
    }
    assert_eq!(before, rows(&mut connection));
    migrations::up(&config).unwrap();
    assert_eq!(before, rows(&mut connection));
}

#[test]
fn updated_at_rises_with_every_change_and_with_nothing_else() {
    let database = migrated_database().unwrap();
    let mut connection = connect(&database);
    let without_trigger = lines(
        &mut connection,
        "SELECT attrelid::regclass::text AS line FROM pg_attribute JOIN pg_class c ON c.oid = attrelid \
         WHERE attname = 'updated_at' AND relkind IN ('r', 'p') AND NOT EXISTS ( \
             SELECT FROM pg_trigger WHERE tgrelid = attrelid AND tgname = 'trg_' || relname || '_updated_at')",
    );
    assert!(without_trigger.is_empty(), "{without_trigger:?}");

    connection
        .batch_execute(
            "INSERT INTO public.users (email, name) VALUES ('ada@example.org', 'Ada'); BEGIN",
        )
        .unwrap();
    let mut set = |name: &str| {
        let update = format!(
            "UPDATE public.users SET name = '{name}' RETURNING extract(epoch FROM updated_at)::text AS line"
        );
        value(&mut connection, &update).parse::<f64>().unwrap()
    };
    let created = set("Ada");
    assert_eq!(set("Ada"), created);
    let first = set("Lovelace");
    let second = set("Byron");
    assert!(
        created < first && first < second,
        "{created}, {first}, {second}"
    );
    assert_eq!(set("Byron"), second);
}
