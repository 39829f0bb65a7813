use std::fs;
use std::path::Path;

/// The tables that have a cached form.
const TABLES: [&str; 10] = [
    "users",
    "user_sessions",
    "organizations",
    "organization_members",
    "projects",
    "project_members",
    "configurations",
    "setup_profiles",
    "tools",
    "analyses",
];

fn is_read(method: &str) -> bool {
    let begins = ["find", "list", "of_", "latest", "effective"];
    let are = [
        "exists",
        "count",
        "visible_to",
        "role_of",
        "featured",
        "install_order",
        "inner",
    ];
    begins.iter().any(|begin| method.starts_with(begin)) || are.contains(&method)
}

/// A method that is new and writes must be tried here, too.
#[test]
fn every_write_of_a_cached_table_is_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tried = String::new();
    for file in ["accounts", "analyses", "projects", "setup"] {
        let file = root.join(format!("tests/cache/writes/{file}.rs"));
        let source = fs::read_to_string(file).unwrap();
        tried.extend(source.split_whitespace());
    }
    let mut missing = Vec::new();
    let mut writes = 0;
    for table in TABLES {
        let source = root.join(format!("src/repositories/{table}.rs"));
        let source = fs::read_to_string(source).unwrap();
        let of_trait = source.split("\npub trait ").nth(1).unwrap();
        let of_trait = of_trait.split("\n}").next().unwrap();
        let methods = of_trait.split("async fn ").skip(1);
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
