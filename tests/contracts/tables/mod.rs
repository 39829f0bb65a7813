use super::*;
use wundr_db::{
    Analysis, AnalysisType, Error, NewAnalysis, NewOrganization, NewProject, NewUser, Organization,
    OrganizationId, Project, ProjectId, User, UserId,
};

mod access;
mod analyses;
mod analyses_queue;
mod analysis_issues;
mod analysis_metrics;
mod analysis_pins;
mod analysis_results;
mod audit_logs;
mod auditing;
mod bulk;
mod configurations;
mod dashboard;
mod dependency_graphs;
mod documents;
mod duplicate_groups;
mod faults_of_the_database;
mod ingest;
mod integrations;
mod invitations;
pub(super) mod isolation;
mod loaders;
mod organization_members;
mod organizations;
mod own_tables;
mod partitions;
mod project_members;
mod project_stats;
mod projects;
mod quality_gates;
mod repositories;
mod resealing;
mod secrets;
mod sessions;
mod setup_lifecycle;
mod setup_profiles;
mod setup_sessions;
mod setup_steps;
mod strange_values;
mod system_logs;
mod tenants;
mod tools;
mod tracking;
mod trends;
mod user_sessions;
mod users;

/// A user like no other.
#[both_engines]
async fn user(db: &Db) -> User {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await.unwrap()
}

/// An organization like no other, without members.
#[both_engines]
async fn organization(db: &Db) -> Organization {
    let new = NewOrganization::new("Lab", OrganizationId::new().to_string());
    db.organizations().create(new).await.unwrap()
}

/// A project of no organization, without members.
#[both_engines]
async fn project(db: &Db) -> Project {
    let creator = user(db).await;
    let new = NewProject::new("Flask", creator.id);
    db.projects().create(new).await.unwrap()
}

/// A pending analysis to be created.
#[both_engines]
async fn new_analysis(db: &Db, project_id: ProjectId) -> NewAnalysis {
    NewAnalysis::new(project_id, AnalysisType::Quality, user(db).await.id)
}

/// A pending analysis of a project of its own.
#[both_engines]
async fn analysis(db: &Db) -> Analysis {
    let new = new_analysis(db, project(db).await.id).await;
    db.analyses().create(new).await.unwrap()
}

/// The column that an error is about.
fn field_of(error: Error) -> String {
    match error {
        Error::InvalidInput { field, .. } => field.into_owned(),
        other => panic!("{other:?}"),
    }
}
