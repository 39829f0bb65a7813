//! Functions that take anything that has the repositories.

use super::*;
use std::sync::Arc;
use wundr_db::{Actor, ProjectFilter, Result, UserFilter};

/// Uses two repositories of what it is given.
#[both_engines]
async fn project_of_a_new_user(all: &dyn Repositories) -> Result<Project> {
    let new = NewUser::new(format!("{}@example.org", UserId::new()), "Ada");
    let user = all.users().create(new).await?;
    all.projects().create(NewProject::new("p", user.id)).await
}

/// The same for a type that is known when it is compiled.
#[both_engines]
async fn number_of_users(all: &impl Repositories) -> Result<u64> {
    all.users().count(&UserFilter::new()).await
}

#[both_engines]
#[case]
async fn a_function_takes_a_database_and_a_transaction() {
    let (db, _database) = database().await;
    let project = project_of_a_new_user(&db).await.unwrap();
    assert_eq!(number_of_users(&db).await.unwrap(), 1);
    let failed = db
        .transaction(async |tx| -> Result<()> {
            let all: &Tx = tx;
            project_of_a_new_user(all).await?;
            assert_eq!(number_of_users(all).await?, 2);
            Err(Error::StaleWrite { what: "test" })
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(number_of_users(&db).await.unwrap(), 1);
    let shared: Arc<dyn Repositories> = Arc::new(db.clone());
    let found = shared.projects().find(project.id).await.unwrap();
    assert_eq!(found, Some(project.clone()));
    assert!(shared.own_tables().is_ok());
    let new = NewAnalysis::new(project.id, AnalysisType::Quality, project.created_by);
    let ingested = shared.ingest(new).unwrap().run().await.unwrap();
    assert_eq!(ingested.analysis.project_id, project.id);
}

#[both_engines]
#[case]
async fn a_function_takes_a_database_for_an_organization_or_an_actor() {
    let (db, _database) = database().await;
    let lab = organization(&db).await;
    let user = user(&db).await;
    let of_lab = db.for_organization(lab.id);
    assert_eq!(number_of_users(&of_lab).await.unwrap(), 1);
    let acting = db.acting_as(Actor {
        user: Some(user.id),
        ..Actor::default()
    });
    project_of_a_new_user(&acting).await.unwrap();
    assert_eq!(number_of_users(&&acting).await.unwrap(), 2);
}

/// A double with one repository.
struct Double;

struct NoProjects;

#[both_engines]
impl ProjectRepository for NoProjects {
    async fn count(&self, _: &ProjectFilter) -> Result<u64> {
        Ok(0)
    }
}

impl Repositories for Double {
    fn projects(&self) -> Box<dyn ProjectRepository + '_> {
        Box::new(NoProjects)
    }
}

/// A decorator that replaces one repository.
struct WithoutProjects<T>(T);

impl<T: Repositories> Repositories for WithoutProjects<T> {
    fn projects(&self) -> Box<dyn ProjectRepository + '_> {
        Box::new(NoProjects)
    }

    fn inner(&self) -> Option<&dyn Repositories> {
        Some(&self.0)
    }
}

#[both_engines]
#[case]
async fn a_double_has_the_repositories_that_it_implements() {
    let all = ProjectFilter::new();
    assert_eq!(Double.projects().count(&all).await.unwrap(), 0);
    let absent = number_of_users(&Double).await;
    assert!(
        matches!(absent, Err(Error::Unsupported { .. })),
        "{absent:?}"
    );
    assert!(matches!(
        Double.own_tables(),
        Err(Error::Unsupported { .. })
    ));
    let (db, _database) = database().await;
    project_of_a_new_user(&db).await.unwrap();
    let without = WithoutProjects(db);
    assert_eq!(without.projects().count(&all).await.unwrap(), 0);
    assert_eq!(number_of_users(&without).await.unwrap(), 1);
    assert!(without.own_tables().is_ok());
}
