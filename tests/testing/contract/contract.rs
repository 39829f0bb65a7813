use core::prelude::v1::test;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::{has_database, output_of};
use wundr_db::__private::testing::{Needs, argument, begin};
use wundr_db::testing::{Scenario, StatementRecorder, TestDatabase};
use wundr_db::{
    AnalysisFilter, AnalysisIssueFilter, AnalysisStatus, Config, NewUser, OrganizationRole, Page,
    ProjectFilter, Result, UserFilter,
};

/// The address that two tests store, each in its own database.
const ADDRESS: &str = "ada@example.org";

#[both_engines]
#[wundr_db::test]
async fn a_test_has_a_database_of_its_own(db: Db) -> Result<()> {
    db.users().create(NewUser::new(ADDRESS, "Ada")).await?;
    assert_eq!(db.users().count(&UserFilter::new()).await?, 1);
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn another_test_has_another_database(db: Db) -> Result<()> {
    db.users().create(NewUser::new(ADDRESS, "Ada")).await?;
    assert_eq!(db.users().count(&UserFilter::new()).await?, 1);
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn all_arguments_are_of_one_database(config: Config, db: Db, database: TestDatabase) {
    let other = Db::connect(config).await.unwrap();
    let ada = other.users().create(NewUser::new(ADDRESS, "Ada")).await;
    assert!(db.users().exists(ada.unwrap().id).await.unwrap());
    let third = Db::connect_to(&database.url()).await.unwrap();
    assert_eq!(third.users().count(&UserFilter::new()).await.unwrap(), 1);
}

#[both_engines]
#[wundr_db::test]
async fn a_test_without_arguments_is_a_test() {}

#[both_engines]
#[wundr_db::test(prepare = prepare)]
async fn a_prepared_database_has_what_the_function_made(db: Db) {
    let prepared = db.users().find_by_email("prepared@x").await.unwrap();
    assert!(prepared.is_some());
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 1);
}

#[both_engines]
#[wundr_db::test(prepare = prepare)]
#[should_panic(expected = "the test's own panic")]
async fn a_test_may_panic(_db: Db) {
    panic!("the test's own panic");
}

/// Begins a test as the attribute does, and returns the name of its database.
fn begins_and(ends: impl FnOnce(Config)) -> String {
    let mut name = String::new();
    let name_of = &mut name;
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let needs = Needs {
            database: true,
            recorder: false,
        };
        let mut context = begin(needs);
        let url = context.url();
        *name_of = url.rsplit('/').next().unwrap().to_owned();
        assert!(has_database(name_of));
        ends(argument::<Kind, Config>(&mut context));
    }));
    drop(outcome);
    name
}

#[test]
fn the_database_is_dropped_at_the_end() {
    let name = begins_and(drop);
    assert!(!name.is_empty() && !has_database(&name), "{name}");
}

#[test]
fn the_database_is_dropped_after_a_panic() {
    let name = begins_and(|_| panic!("the test's own panic"));
    assert!(!name.is_empty() && !has_database(&name), "{name}");
}

#[test]
fn a_missing_server_program_is_named_with_the_command_to_install_it() {
    let test = format!("{}::a_test_has_a_database_of_its_own", module());
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let (success, printed) = output_of(&test, &[("PG_BIN", empty)]);
    assert!(!success, "{printed}");
    assert!(
        printed.contains("the test cannot run: PG_BIN is"),
        "{printed}"
    );
    assert!(printed.contains("install the programs:"), "{printed}");
    let (success, printed) = output_of(&test, &[]);
    assert!(success && printed.contains("1 passed"), "{printed}");
}

/// The path of this module, as the names of its tests begin.
fn module() -> &'static str {
    module_path!().split_once("::").unwrap().1
}

#[both_engines]
#[wundr_db::test]
async fn a_recorder_names_the_statements(recorder: StatementRecorder, db: Db) -> Result<()> {
    let ada = db.users().create(NewUser::new(ADDRESS, "Ada")).await?;
    db.users().find_by_email(ADDRESS).await?;
    db.users().find(ada.id).await?;
    db.users().find(ada.id).await?;

    let names = [
        "users.create",
        "users.find_by_email",
        "users.find",
        "users.find",
    ];
    assert_eq!(recorder.names(), names);
    assert_eq!(recorder.queries(), 4);
    assert_eq!(recorder.counts()["users.find"], 2);
    let statements = recorder.statements();
    assert!(
        statements[0].text.starts_with("INSERT INTO"),
        "{statements:?}"
    );
    assert!(!statements[0].text.contains(ADDRESS), "{statements:?}");
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn a_recorder_has_the_transactions_but_does_not_count_them(
    recorder: StatementRecorder,
    db: Db,
) -> Result<()> {
    db.transaction(async |tx| -> Result<()> {
        let ada = tx.users().create(NewUser::new(ADDRESS, "Ada")).await?;
        tx.users().set_active(ada.id, false).await?;
        Ok(())
    })
    .await?;

    assert_eq!(recorder.names(), ["users.create", "users.set_active"]);
    assert_eq!(recorder.queries(), 2);
    let counts = recorder.counts();
    assert_eq!(counts["transaction.begin"], 1, "{counts:?}");
    assert_eq!(counts["transaction.commit"], 1, "{counts:?}");
    let control = recorder.statements();
    let control = control.iter().filter(|one| one.is_transaction_control());
    assert_eq!(control.count(), 2);
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn a_recorder_leaves_out_what_an_engine_sends_for_itself(
    recorder: StatementRecorder,
    config: Config,
) -> Result<()> {
    // Types are looked up, and the connection is set up, by the engine itself.
    let db = Db::connect(config.max_connections(1)).await?;
    let page = Page::new();
    let of_owner = ProjectFilter::new().status(wundr_db::ProjectStatus::Active);
    db.projects().list(&of_owner, &page).await?;
    assert_eq!(recorder.names(), ["db.health", "projects.list"]);
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn an_organization_with_members_projects_and_analyses_takes_three_lines(
    db: Db,
) -> Result<()> {
    let acme = Scenario::new()
        .organization("Acme")
        .members(3)
        .projects(2)
        .analyses(4)
        .issues(5);
    let acme = db.seed(&acme.member(OrganizationRole::Viewer)).await?;
    let other = db.seed(&Scenario::new().members(1)).await?;

    assert_eq!(acme.organization.name, "Acme");
    assert_eq!((acme.members.len(), acme.projects.len()), (4, 2));
    assert_eq!(acme.analyses.len(), 8);
    assert_ne!(acme.organization.slug, other.organization.slug);
    let organization = [acme.organization.id];
    let members = db
        .organization_members()
        .of_organizations(&organization)
        .await?;
    let mut members = members.into_iter().next().unwrap();
    members.sort_by_key(|member| member.user_id != acme.owner.id);
    assert_eq!(members.len(), 5);
    assert_eq!(members[0].role, OrganizationRole::Owner);
    let viewer = members
        .iter()
        .find(|member| member.user_id == acme.members[3].id);
    assert_eq!(viewer.unwrap().role, OrganizationRole::Viewer);
    for project in &acme.projects {
        assert_eq!(project.organization_id, Some(acme.organization.id));
        let of_project = AnalysisFilter::new().project_id(project.id);
        assert_eq!(db.analyses().count(&of_project).await?, 4);
    }
    let days: HashSet<_> = acme.analyses[..4]
        .iter()
        .map(|one| one.completed_at)
        .collect();
    assert_eq!(days.len(), 4);
    assert!(acme.analyses[..4].is_sorted_by_key(|one| one.completed_at));
    for analysis in &acme.analyses {
        assert_eq!(analysis.status, AnalysisStatus::Completed);
        let of_analysis = AnalysisIssueFilter::new().analysis_id(analysis.id);
        assert_eq!(db.analysis_issues().count(&of_analysis).await?, 5);
    }
    Ok(())
}

#[both_engines]
#[wundr_db::test]
async fn a_scenario_that_cannot_be_stored_stores_nothing(db: Db) {
    let long = "x".repeat(300);
    let refused = db.seed(&Scenario::new().organization(long)).await;
    assert_eq!(refused.unwrap_err().code(), "invalid_input");
    assert_eq!(db.users().count(&UserFilter::new()).await.unwrap(), 0);
}
