//! What the contracts of several tables begin with.

use super::*;
pub use wundr_db::{
    Analysis, AnalysisType, Error, NewAnalysis, NewOrganization, NewProject, NewUser, Organization,
    OrganizationId, Project, ProjectId, User, UserId,
};

/// A user like no other.
#[both_engines]
pub async fn user(db: &Db) -> User {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    db.users().create(new).await.unwrap()
}

/// An organization like no other, without members.
#[both_engines]
pub async fn organization(db: &Db) -> Organization {
    let new = NewOrganization::new("Lab", OrganizationId::new().to_string());
    db.organizations().create(new).await.unwrap()
}

/// A project of no organization, without members.
#[both_engines]
pub async fn project(db: &Db) -> Project {
    let creator = user(db).await;
    let new = NewProject::new("Flask", creator.id);
    db.projects().create(new).await.unwrap()
}

/// A pending analysis to be created.
#[both_engines]
pub async fn new_analysis(db: &Db, project_id: ProjectId) -> NewAnalysis {
    NewAnalysis::new(project_id, AnalysisType::Quality, user(db).await.id)
}

/// A pending analysis of a project of its own.
#[both_engines]
pub async fn analysis(db: &Db) -> Analysis {
    let new = new_analysis(db, project(db).await.id).await;
    db.analyses().create(new).await.unwrap()
}

/// The column that an error is about.
pub fn field_of(error: Error) -> String {
    match error {
        Error::InvalidInput { field, .. } => field.into_owned(),
        other => panic!("{other:?}"),
    }
}
