//! Bodies that an application reads from JSON cannot raise rights.

use core::prelude::v1::test;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wundr_db::*;

/// The columns that no body may set: they decide about access, or about the state or owner of a
/// row.
const PRIVILEGED: &[&str] = &[
    "added_at",
    "added_by",
    "analysis_id",
    "created_at",
    "created_by",
    "email",
    "email_verified",
    "expires_at",
    "id",
    "invited_by",
    "is_active",
    "is_encrypted",
    "is_featured",
    "joined_at",
    "last_analyzed_at",
    "last_login_at",
    "last_used_at",
    "organization_id",
    "owner",
    "profile_id",
    "project_id",
    "refresh_token_hash",
    "resolved_by",
    "role",
    "scope",
    "session_id",
    "status",
    "subscription_plan",
    "sync_status",
    "token_hash",
    "updated_at",
    "user_id",
    "visibility",
];

/// A struct that is read from JSON: the outcome of reading a body as it.
type Read = fn(Value) -> Result<(), String>;

fn read<T: DeserializeOwned>(body: Value) -> Result<(), String> {
    let read = serde_json::from_value::<T>(body);
    read.map(drop).map_err(|error| error.to_string())
}

/// The structs that describe a write, those that are read from JSON with the fields that a body may
/// name.
fn readable() -> BTreeMap<&'static str, (Read, &'static [&'static str])> {
    macro_rules! table {
        ($($changes:ident: $($field:ident)*;)*) => {
            BTreeMap::from([$((
                stringify!($changes),
                (read::<$changes> as Read, &[$(stringify!($field)),*] as &[&str]),
            )),*])
        };
    }
    table! {
        AnalysisChanges: configuration results summary error_message;
        AnalysisIssueChanges: type severity rule_id title description file_path line_number column_number
            end_line_number end_column_number code_snippet fix_suggestion estimated_fix_time;
        AnalysisMetricChanges: metric_name metric_value metric_unit category description trend_direction;
        AnalysisResultChanges: file_hash metrics issues dependencies;
        ConfigurationChanges: category name value description unchanged_since;
        DependencyGraphChanges: graph_data metadata;
        DuplicateGroupChanges: hash similarity_percentage total_lines files;
        IntegrationChanges: name configuration credentials webhook_url webhook_secret is_enabled unchanged_since;
        OrganizationChanges: name slug description settings unchanged_since;
        ProjectChanges: name description repository_url repository_provider repository_data configuration
            unchanged_since;
        SetupProfileChanges: name description category configuration tools templates prerequisites
            estimated_duration unchanged_since;
        SetupSessionChanges: progress current_step configuration logs error_message started_at completed_at
            duration_seconds;
        SetupStepChanges: name description step_order tool_name command logs error_message started_at completed_at
            duration_seconds;
        ToolChanges: name version category description install_command verify_command configuration_schema
            supported_platforms dependencies metadata unchanged_since;
        UserChanges: name avatar_url github_username preferences unchanged_since;
    }
}

/// The structs from which new rows are made, with the fields that a body may name.
fn bodies() -> BTreeMap<&'static str, (Read, &'static [&'static str])> {
    macro_rules! table {
        ($($body:ident: $($field:ident)*;)*) => {
            BTreeMap::from([$((
                stringify!($body),
                (read::<$body> as Read, &[$(stringify!($field)),*] as &[&str]),
            )),*])
        };
    }
    table! {
        AnalysisBody: type configuration;
        AnalysisMetricBody: metric_name metric_value metric_unit category description trend_direction;
        AnalysisResultBody: file_path file_hash metrics issues dependencies;
        ConfigurationBody: category name value description;
        DependencyGraphBody: graph_data metadata;
        DuplicateGroupBody: hash similarity_percentage total_lines files;
        SetupSessionBody: configuration;
        SetupStepBody: name description step_order tool_name command;
        AnalysisIssueBody: type severity rule_id title description file_path line_number column_number end_line_number end_column_number code_snippet fix_suggestion estimated_fix_time;
        IntegrationBody: type name configuration credentials webhook_url webhook_secret is_enabled;
        OrganizationBody: name slug description settings;
        ProjectBody: name description repository_url repository_provider repository_data configuration;
        SetupProfileBody: name description category configuration tools templates prerequisites estimated_duration;
        ToolBody: name version category description install_command verify_command configuration_schema supported_platforms dependencies metadata;
        UserBody: email name avatar_url github_username preferences;
    }
}

/// Checks whether a type implements `Deserialize`, by the preference of the compiler for inherent
/// methods.
struct Probe<T>(PhantomData<T>);

impl<T: DeserializeOwned> Probe<T> {
    fn is_readable(&self) -> bool {
        true
    }
}

trait Otherwise {
    fn is_readable(&self) -> bool {
        false
    }
}

impl<T> Otherwise for Probe<T> {}

/// The structs that describe a write and are made by code alone.
fn unreadable() -> BTreeMap<&'static str, bool> {
    macro_rules! table {
        ($($name:ident)*) => {
            BTreeMap::from([$((stringify!($name), Probe::<$name>(PhantomData).is_readable())),*])
        };
    }
    table! {
        NewAnalysis NewAnalysisIssue NewAnalysisMetric NewAnalysisResult NewAuditLog NewConfiguration
        NewDependencyGraph NewDuplicateGroup NewIntegration NewInvitation NewOrganization NewOrganizationMember NewProject
        NewProjectMember NewSetupProfile NewSetupSession NewSetupStep NewSystemLog NewTool NewUser NewUserSession
        OrganizationMemberChanges ProjectMemberChanges UserSessionChanges
    }
}

/// The names of the models' structs that describe a write.
fn structs() -> BTreeSet<String> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/models");
    let (mut found, mut folders) = (BTreeSet::new(), vec![models]);
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let names = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub struct "));
        for name in names.filter_map(|name| name.split_whitespace().next()) {
            if name.starts_with("New") || name.ends_with("Changes") {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_struct_that_describes_a_write_is_listed() {
    let listed = readable().into_keys().chain(unreadable().into_keys());
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(structs(), listed);
}

#[test]
fn a_new_row_and_a_membership_are_made_by_code_alone() {
    assert!(Probe::<UserChanges>(PhantomData).is_readable());
    for (name, is_readable) in unreadable() {
        assert!(!is_readable, "{name} implements Deserialize");
    }
}

#[test]
fn a_body_that_names_a_privileged_field_is_refused_with_its_name() {
    for (name, (read, fields)) in readable() {
        for privileged in PRIVILEGED {
            assert!(!fields.contains(privileged), "{name}.{privileged}");
            for value in [json!(null), json!("admin"), json!(true)] {
                let error = read(json!({ *privileged: value })).unwrap_err();
                let begin = format!("unknown field `{privileged}`");
                assert!(error.starts_with(&begin), "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_body_may_name_the_listed_fields_and_no_other() {
    for (name, (read, fields)) in readable() {
        assert_eq!(read(json!({})), Ok(()), "{name}");
        let error = read(json!({"no_such_field": 1})).unwrap_err();
        let (_, expected) = error.split_once("expected ").unwrap();
        let expected = expected.trim_start_matches("one of ").split(" or ");
        let expected = expected.flat_map(|names| names.split(", "));
        let expected: BTreeSet<&str> = expected.map(|name| name.trim_matches('`')).collect();
        assert_eq!(expected, fields.iter().copied().collect(), "{name}");
        for field in fields {
            assert_eq!(read(json!({ *field: null })), Ok(()), "{name}.{field}");
        }
    }
}

/// The fields of structs and enums in `src` that hold a decimal and are deserialized by the crate
/// that has it, not by this one.
fn unbounded_decimals() -> Vec<String> {
    let (mut folders, mut found) = (
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")],
        vec![],
    );
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let (mut is_read, mut attributes) = (false, String::new());
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[derive(") {
                    is_read = line.contains("Deserialize");
                    attributes.clear();
                } else if line == "}" {
                    is_read = false;
                } else if line.starts_with("#[") {
                    attributes.push_str(line);
                } else if !line.starts_with("//") {
                    let has_decimal = line.contains("BigDecimal") && line.ends_with(',');
                    let is_bounded = [attributes.as_str(), line]
                        .iter()
                        .any(|text| text.contains("decimal::read"));
                    if is_read && has_decimal && !is_bounded {
                        found.push(format!("{}: {line}", path.display()));
                    }
                    attributes.clear();
                }
            }
        }
    }
    found
}

#[test]
fn every_decimal_is_read_exactly_and_within_bounds() {
    assert_eq!(unbounded_decimals(), [""; 0]);
    let read = |value: &str| {
        let query = format!("similarity_at_least={value}");
        let read = query.parse::<ListQuery<DuplicateGroupFilter, DuplicateGroupOrder>>();
        read.map(|query| query.filter.similarity_at_least.unwrap().to_string())
    };
    assert_eq!(read("79.9").unwrap(), "79.9");
    for endless in ["1e131000", "1e-131000", "1e2147483647", "NaN"] {
        let refused = read(endless);
        assert!(
            matches!(refused, Err(Error::InvalidInput { .. })),
            "{endless}"
        );
    }
    let body = json!({"similarity_at_least": 79.9});
    let filter: DuplicateGroupFilter = serde_json::from_value(body).unwrap();
    assert_eq!(filter.similarity_at_least.unwrap().to_string(), "79.9");
}

#[test]
fn a_body_of_a_new_row_has_no_privileged_field() {
    for (name, (read, fields)) in bodies() {
        for privileged in PRIVILEGED {
            // A user registers with an address.
            if (name, *privileged) == ("UserBody", "email") {
                continue;
            }
            assert!(!fields.contains(privileged), "{name}.{privileged}");
            let error = read(json!({ *privileged: "admin" })).unwrap_err();
            let begin = format!("unknown field `{privileged}`");
            assert!(error.starts_with(&begin), "{name}: {error}");
        }
        let error = read(json!({"no_such_field": 1})).unwrap_err();
        let (_, expected) = error.split_once("expected ").unwrap();
        let expected = expected.trim_start_matches("one of ").split(" or ");
        let expected = expected.flat_map(|names| names.split(", "));
        let expected: BTreeSet<&str> = expected.map(|name| name.trim_matches('`')).collect();
        assert_eq!(expected, fields.iter().copied().collect(), "{name}");
    }
}

/// The new rows that no body decides anything of: sessions and logs are written by the crate and by
/// code, and a membership is no more than its parent, its user and its role.
const WITHOUT_BODY: [&str; 6] = [
    "NewAuditLog",
    "NewInvitation",
    "NewOrganizationMember",
    "NewProjectMember",
    "NewSystemLog",
    "NewUserSession",
];

#[test]
fn every_other_new_row_has_a_body() {
    let bodies = bodies();
    let new = structs().into_iter().filter(|name| name.starts_with("New"));
    let without = new.filter(|name| {
        let body = name.trim_start_matches("New").to_owned() + "Body";
        !bodies.contains_key(&*body)
    });
    assert_eq!(without.collect::<Vec<_>>(), WITHOUT_BODY);
}

#[test]
fn a_decimal_of_a_body_is_read_exactly_and_within_bounds() {
    let body = json!({"metric_name": "bugs", "category": "quality", "metric_value": 79.9});
    let body: AnalysisMetricBody = serde_json::from_value(body).unwrap();
    let analysis = AnalysisId::new();
    let new = body.into_new(analysis);
    assert_eq!(new.metric_value.unwrap().to_string(), "79.9");
    assert_eq!((new.analysis_id, &*new.metric_name), (analysis, "bugs"));
    let group = |similarity: &str| json!({"hash": "x", "similarity_percentage": similarity, "total_lines": 3, "files": []});
    assert_eq!(read::<DuplicateGroupBody>(group("79.9")), Ok(()));
    for endless in ["1e131000", "1e-131000", "NaN"] {
        assert!(
            read::<DuplicateGroupBody>(group(endless)).is_err(),
            "{endless}"
        );
    }
    let absent = json!({"metric_name": "bugs", "category": "quality"});
    let absent: AnalysisMetricBody = serde_json::from_value(absent).unwrap();
    assert_eq!(absent.metric_value, None);
}

#[test]
fn a_setting_of_a_body_has_the_scope_and_the_user_of_the_code() {
    let body = json!({"category": "general", "name": "theme", "value": "dark"});
    let body = serde_json::from_value::<ConfigurationBody>(body);
    let Ok(body) = body else {
        panic!("{body:?}");
    };
    let ada = UserId::new();
    let expected = NewConfiguration::new(
        ConfigurationScope::Global,
        body.category,
        "theme",
        "dark",
        ada,
    );
    let id = ConfigurationId::new();
    let new = body.into_new(ConfigurationScope::Global, ada);
    assert_eq!(new.id(id), expected.id(id));
}

#[test]
fn a_body_becomes_a_new_row_with_what_code_decides() {
    let body = json!({"name": "Flask", "repository_provider": "github"});
    let body: ProjectBody = serde_json::from_value(body).unwrap();
    let ada = UserId::new();
    let new = body.into_new(ada);
    assert_eq!((&*new.name, new.created_by), ("Flask", ada));
    assert_eq!(new.repository_provider, Some(RepositoryProvider::Github));
    assert_eq!(
        (new.status, new.visibility, new.organization_id),
        (None, None, None)
    );
}
