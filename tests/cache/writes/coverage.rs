use core::prelude::v1::test;
use std::fs;
use std::path::Path;

use super::*;

/// The tables that have a repository in `src/cache/repositories`. The statistics and the trends
/// there have no table.
fn cached_tables(root: &Path) -> Vec<String> {
    let names = names(&root.join("src/cache/repositories"));
    let is_table = |name: &String| {
        let registered = wundr_db::Table::ALL.iter();
        let mut names = registered.filter_map(|table| table.as_str().split_once('.'));
        names.any(|(_, table)| table == name)
    };
    names.into_iter().filter(is_table).collect()
}

/// The names of a directory's source files.
fn names(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap();
    let names = files.filter_map(|file| file.unwrap().file_name().into_string().ok());
    let stems = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned));
    stems.collect()
}

fn is_read(method: &str) -> bool {
    let begins = ["find", "list", "of_", "latest", "effective"];
    let are = [
        "exists",
        "count",
        "visible_to",
        "role_of",
        "access",
        "access_many",
        "featured",
        "install_order",
        "inner",
        // Pins are not cached.
        "pin",
        "unpin",
        "pins",
        "pins_of_project",
    ];
    begins.iter().any(|begin| method.starts_with(begin)) || are.contains(&method)
}

/// A method that is new and writes must be tried here, too.
#[test]
fn every_write_of_a_cached_table_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tried = String::new();
    for file in names(&root.join("tests/cache/writes")) {
        let file = root.join(format!("tests/cache/writes/{file}.rs"));
        let source = fs::read_to_string(file).unwrap();
        tried.extend(source.split_whitespace());
    }
    let mut missing = Vec::new();
    let mut writes = 0;
    let tables = cached_tables(root);
    assert!(tables.len() >= 10, "{tables:?}");
    for table in tables {
        let source = root.join(format!("src/repositories/{table}.rs"));
        let source = fs::read_to_string(source).unwrap();
        let of_trait = source.split("\npub trait ").nth(1).unwrap();
        let of_trait = of_trait.split("\n}").next().unwrap();
        let methods = of_trait.split("\n    async fn ").skip(1);
        for method in methods.map(|method| method.split('(').next().unwrap()) {
            if !is_read(method) {
                writes += 1;
                let call = format!(",{table}.{method}(");
                if !tried.contains(&call) {
                    missing.push(format!("{table}.{method}"));
                }
            }
        }
    }
    assert!(writes > 70, "only {writes} were found");
    assert!(missing.is_empty(), "not tried: {missing:?}");
}

/// The functions of the administration that write no table of the cache.
const UNCACHED: [&str; 24] = [
    "activity",
    "archive_month",
    "archiver",
    "compare",
    "digests",
    "drain_default",
    "drop_archived",
    "end",
    "export_organization",
    "export_user",
    "indexes",
    "lean_indexes",
    "locks",
    "plan",
    "plan_retained_analyses",
    "readiness",
    "remove_orphaned_graphs",
    "replication",
    "restore_month",
    "snapshot",
    "statements",
    "statements_of",
    "tables",
    "warnings",
];

/// A function of the administration that is new must be tried here, too, or be listed above.
#[test]
fn every_function_of_the_administration_that_writes_a_cached_table_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tried = String::new();
    for file in names(&root.join("tests/cache/writes")) {
        let file = root.join(format!("tests/cache/writes/{file}.rs"));
        tried.push_str(&fs::read_to_string(file).unwrap());
    }
    let directory = root.join("src/repositories/admin");
    let mut functions = Vec::new();
    for file in names(&directory) {
        let source = fs::read_to_string(directory.join(format!("{file}.rs"))).unwrap();
        let of_file = source.split("pub async fn ").skip(1);
        functions.extend(of_file.map(|rest| rest.split(['(', '<']).next().unwrap().to_owned()));
    }
    // `Db::maintenance` runs it.
    functions.retain(|function| function != "run");
    assert!(functions.len() > 25, "{functions:?}");
    for listed in UNCACHED {
        assert!(
            functions.iter().any(|function| function == listed),
            "{listed}"
        );
    }
    let missing = functions.iter().filter(|function| {
        let is_tried = [format!("admin::{function}("), format!(".{function}(")];
        !UNCACHED.contains(&function.as_str()) && !is_tried.iter().any(|call| tried.contains(call))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not tried: {missing:?}");
}

/// The foreign keys of cached tables that delete or change rows together with their parent: the
/// delete of the parent must record the keys of these rows. The tests of this folder try each of
/// them.
const CASCADES: [&str; 9] = [
    "analysis.analyses -> public.projects",
    "public.organization_members -> public.organizations",
    "public.organization_members -> public.users",
    "public.project_members -> public.projects",
    "public.project_members -> public.users",
    "public.projects -> public.organizations",
    "public.user_sessions -> public.users",
    "setup.configurations -> public.organizations",
    "setup.configurations -> public.projects",
];

#[test]
fn every_cascade_to_a_cached_table_is_known() {
    let database = migrated_database().unwrap();
    let tables = cached_tables(Path::new(env!("CARGO_MANIFEST_DIR")));
    let tables: Vec<_> = tables.iter().map(|table| format!("'{table}'")).collect();
    // Neither NO ACTION nor RESTRICT.
    let cascades = format!(
        "SELECT string_agg(DISTINCT concat_ws(' -> ', (SELECT nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) \
             || '.' || c.relname, (SELECT nspname FROM pg_namespace n WHERE n.oid = p.relnamespace) || '.' || p.relname), \
             ', ') \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid \
         WHERE k.contype = 'f' AND k.confdeltype NOT IN ('a', 'r') AND c.relname IN ({})",
        tables.join(", ")
    );
    let cascades = Observer::of(&database.url()).ask(&cascades);
    assert_eq!(cascades, CASCADES.join(", "));
}
