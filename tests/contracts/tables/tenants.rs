//! What one organization sees and does where organizations are isolated does not depend on the rows
//! of another one: every call returns the same, errors included, whether these rows exist or not.
//! And no call changes them.

use core::prelude::v1::test;

use super::isolation::{Tenant, isolated, new_issue, owner, tenant};
use super::*;
use std::time::Duration;

use serde_json::json;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisIssueChanges, AnalysisIssueFilter,
    AnalysisMetricChanges, AnalysisMetricFilter, AnalysisResultChanges, AnalysisResultFilter,
    AnalysisSummary, AuditAction, AuditLogFilter, ConfigCategory, ConfigurationChanges,
    ConfigurationFilter, DashboardOptions, DependencyGraphChanges, DependencyGraphFilter,
    DuplicateGroupChanges, DuplicateGroupFilter, GateCondition, IntegrationChanges,
    IntegrationFilter, IntegrationType, Lease, MetricCategory, NewAnalysisMetric,
    NewAnalysisResult, NewAuditLog, NewConfiguration, NewDependencyGraph, NewDuplicateGroup,
    NewIntegration, NewInvitation, NewOrganizationMember, NewProjectMember, NewSetupProfile,
    OrganizationChanges, OrganizationFilter, OrganizationMemberChanges, OrganizationMemberFilter,
    OrganizationRole, Page, ProjectChanges, ProjectFilter, ProjectMemberChanges,
    ProjectMemberFilter, ProjectRole, ProjectStatsFilter, QualityGate, SetupCategory,
    SetupProfileChanges, SetupProfileFilter, SubscriptionPlan, SyncStatus,
};

/// The outcomes of calls, without what differs from run to run.
#[derive(Default)]
struct Outcomes(Vec<(&'static str, String)>);

impl Outcomes {
    fn push(&mut self, call: &'static str, outcome: &impl std::fmt::Debug) {
        self.0
            .push((call, without_ids_and_times(&format!("{outcome:?}"))));
    }
}

/// Replaces UUIDs, times and fences. A fence is greater than all before, of all organizations.
fn without_ids_and_times(text: &str) -> String {
    let is_of_a_word = |c: char| c.is_ascii_alphanumeric() || "-:.+".contains(c);
    let mut replaced = String::new();
    for word in text.split_inclusive(|c| !is_of_a_word(c)) {
        let (word, end) = match word.char_indices().last() {
            Some((at, c)) if !is_of_a_word(c) => word.split_at(at),
            _ => (word, ""),
        };
        let is_time = word.len() > 18 && word.starts_with("20") && word.contains('T');
        let is_fence = word.parse::<u64>().is_ok_and(|number| number > 1 << 40);
        let varies = is_time || is_fence || word.parse::<uuid::Uuid>().is_ok();
        replaced.push_str(if varies { "_" } else { word });
        replaced.push_str(end);
    }
    replaced
}

#[both_engines]
macro_rules! outcome {
    ($outcomes:expr, $call:expr) => {
        $outcomes.push(stringify!($call), &$call.await)
    };
}

/// The methods that every repository has.
#[both_engines]
macro_rules! common {
    ($out:expr, $db:expr, $table:ident, $filter:ident, $mine:expr, $theirs:expr, $changes:expr, $new:expr) => {{
        let (all, page) = ($filter::new(), Page::new().with_total());
        outcome!($out, $db.$table().find($theirs));
        outcome!($out, $db.$table().find_many(&[$theirs, $mine]));
        outcome!($out, $db.$table().exists($theirs));
        outcome!($out, $db.$table().list(&all, &page));
        outcome!($out, $db.$table().count(&all));
        outcome!($out, $db.$table().update($theirs, $changes));
        outcome!($out, $db.$table().delete($theirs));
        outcome!($out, $db.$table().create($new));
        outcome!($out, $db.$table().create_many(&[$new]));
    }};
}

/// The names of the methods in [`common`], and of those that [`end`] calls.
const COMMON: [&str; 10] = [
    "find",
    "find_many",
    "exists",
    "list",
    "count",
    "update",
    "delete",
    "create",
    "create_many",
    "delete_many",
];

mod accounts;
mod analysis;
mod setup;

/// Calls every method with the ids of another organization.
#[both_engines]
async fn calls(db: &Db, mine: &Tenant, theirs: &Tenant, lease: &Lease) -> Outcomes {
    let mut outcomes = Outcomes::default();
    accounts::accounts(db, &mut outcomes, mine, theirs).await;
    analysis::analysis(db, &mut outcomes, mine, theirs, lease).await;
    setup::setup(db, &mut outcomes, mine, theirs).await;
    end(db, &mut outcomes).await;
    outcomes
}

/// Deletes every row that is seen.
#[both_engines]
async fn end(db: &Db, out: &mut Outcomes) {
    outcome!(
        out,
        db.duplicate_groups()
            .delete_many(&DuplicateGroupFilter::new())
    );
    outcome!(
        out,
        db.dependency_graphs()
            .delete_many(&DependencyGraphFilter::new())
    );
    outcome!(
        out,
        db.analysis_metrics()
            .delete_many(&AnalysisMetricFilter::new())
    );
    outcome!(
        out,
        db.analysis_issues()
            .delete_many(&AnalysisIssueFilter::new())
    );
    outcome!(
        out,
        db.analysis_results()
            .delete_many(&AnalysisResultFilter::new())
    );
    outcome!(out, db.analyses().delete_many(&AnalysisFilter::new()));
    outcome!(
        out,
        db.integrations().delete_many(&IntegrationFilter::new())
    );
    outcome!(
        out,
        db.configurations().delete_many(&ConfigurationFilter::new())
    );
    outcome!(
        out,
        db.setup_profiles().delete_many(&SetupProfileFilter::new())
    );
    outcome!(
        out,
        db.project_members()
            .delete_many(&ProjectMemberFilter::new())
    );
    outcome!(out, db.projects().delete_many(&ProjectFilter::new()));
    outcome!(
        out,
        db.organization_members()
            .delete_many(&OrganizationMemberFilter::new())
    );
    outcome!(
        out,
        db.organizations().delete_many(&OrganizationFilter::new())
    );
}

/// A digest of every row of the isolated tables that does not belong to `mine`.
fn rows_of_others(database: &TestDatabase, mine: &Tenant) -> String {
    let mut observer = Observer::of(&database.url());
    let tables = observer.ask(
        "SELECT pg_catalog.string_agg(c.oid::pg_catalog.regclass::text, ' ' ORDER BY c.oid) \
         FROM pg_catalog.pg_class AS c WHERE c.relrowsecurity AND NOT c.relispartition",
    );
    assert!(tables.split(' ').count() >= 16, "{tables}");
    let mine = [
        mine.organization.to_string(),
        mine.project.to_string(),
        mine.analysis.to_string(),
    ];
    let digests = tables.split(' ').map(|table| {
        let digest = format!(
            "SELECT '{table} ' || pg_catalog.count(*) || ' ' || COALESCE(pg_catalog.md5(pg_catalog.string_agg(t::text, ',' \
             ORDER BY t::text)), '') FROM {table} AS t WHERE t::text !~ '{}'",
            mine.join("|")
        );
        observer.ask(&digest)
    });
    digests.collect::<Vec<_>>().join("\n")
}

#[both_engines]
#[case]
async fn what_an_organization_sees_does_not_depend_on_another() {
    let (_, both) = database().await;
    let (_, alone) = database().await;
    let owner_of_both = owner(&both).await;
    let theirs = tenant(&owner_of_both, "other").await;
    let claimed = owner_of_both.analyses();
    let worker = "of another organization";
    let claimed = claimed.claim(&[AnalysisType::Quality], worker, Duration::from_secs(3600));
    let lease = claimed.await.unwrap().unwrap().lease;
    let mut found = Vec::new();
    for database in [&both, &alone] {
        let owner = owner(database).await;
        if owner.users().find(theirs.user).await.unwrap().is_none() {
            let user = owner_of_both.users().find(theirs.user).await.unwrap();
            let new = NewUser::new(user.unwrap().email, "Ada").id(theirs.user);
            owner.users().create(new).await.unwrap();
        }
        let mine = tenant(&owner, "one").await;
        let plain = isolated(database, &owner).await;
        let before = rows_of_others(database, &mine);
        let db = plain.for_organization(mine.organization);
        found.push(calls(&db, &mine, &theirs, &lease).await);
        assert_eq!(rows_of_others(database, &mine), before);
    }
    let (with, without) = (&found[0].0, &found[1].0);
    assert!(with.len() > 250, "{}", with.len());
    for ((call, seen), (_, alone)) in with.iter().zip(without) {
        assert_eq!(seen, alone, "{call}");
    }
    // The calls of the organization on its own rows have an effect, except that an owner stays, and
    // so does an organization that the audit log names.
    let stays = |call: &str| call.contains("_members") || call.contains("organizations()");
    let deletes = |call: &str| call.contains("delete_many") && !stays(call);
    let deleted = with.iter().filter(|(call, _)| deletes(call));
    for (call, outcome) in deleted {
        assert!(
            outcome.starts_with("Ok(") && outcome != "Ok(0)",
            "{call}: {outcome}"
        );
    }
}

/// A method that is new must be tried here, too.
#[test]
fn every_method_of_an_isolated_table_is_tried() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let tried = [
        include_str!("tenants/accounts.rs"),
        include_str!("tenants/analysis.rs"),
        include_str!("tenants/setup.rs"),
    ];
    let tried: String = tried
        .iter()
        .flat_map(|part| part.split_whitespace())
        .collect();
    let isolated = include_str!("../../../migrations/isolate.sql");
    let mut sources: Vec<_> = wundr_db::Table::ALL
        .iter()
        .filter(|table| isolated.contains(table.as_str()))
        .map(|table| table.as_str().split_once('.').unwrap().1.to_owned())
        .collect();
    assert_eq!(sources.len(), 14, "{sources:?}");
    let others = [
        "project_stats",
        "dashboard",
        "trends",
        "quality_gates",
        "invitations",
    ];
    sources.extend(others.map(str::to_owned));
    let mut missing = Vec::new();
    for table in sources {
        let source = root.join(format!("src/repositories/{table}.rs"));
        let source = std::fs::read_to_string(source).unwrap();
        let of_trait = source.split("\npub trait ").nth(1).unwrap();
        let of_trait = of_trait.split("\n}").next().unwrap();
        let methods = of_trait.split("\n    async fn ").skip(1);
        let has_common = tried.contains(&format!("common!(out,db,{table},"));
        for method in methods.map(|method| method.split('(').next().unwrap()) {
            let is_common = has_common && COMMON.contains(&method);
            if !is_common && !tried.contains(&format!(",db.{table}().{method}(")) {
                missing.push(format!("{table}.{method}"));
            }
        }
    }
    assert!(missing.is_empty(), "not tried: {missing:?}");
}
