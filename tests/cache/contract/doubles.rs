//! Code that takes a repository does not notice that there is a cache.

use super::*;

/// An application's own code.
#[both_engines]
async fn names(projects: &dyn ProjectRepository, ids: &[ProjectId]) -> Vec<String> {
    let mut names = Vec::new();
    for &id in ids {
        names.extend(projects.find(id).await.unwrap().map(|project| project.name));
    }
    names
}

struct Loud<'r>(&'r dyn ProjectRepository);

#[both_engines]
impl ProjectRepository for Loud<'_> {
    fn inner(&self) -> Option<&dyn ProjectRepository> {
        Some(self.0)
    }

    async fn find(&self, id: ProjectId) -> Result<Option<Project>> {
        let found = self.0.find(id).await?;
        Ok(found.map(|mut project| {
            project.name = project.name.to_uppercase();
            project
        }))
    }
}

#[both_engines]
#[case]
async fn code_that_takes_a_repository_does_not_notice() {
    let pair = pair(shared()).await;
    let ada = user(&pair.one).await.id;
    // All of it through the traits, writes and what is not cached too.
    let cached = pair.one.projects();
    let projects: &dyn ProjectRepository = &cached;
    let flask = projects
        .create(NewProject::new("Flask", ada))
        .await
        .unwrap()
        .id;
    assert!(projects.exists(flask).await.unwrap());
    let hits = pair.one.metrics().hits;
    for _ in 0..3 {
        assert_eq!(names(projects, &[flask, ProjectId::new()]).await, ["Flask"]);
    }
    assert_eq!(pair.one.metrics().hits, hits + 2);
    let changes = ProjectChanges::new().name("Click");
    pair.other.projects().update(flask, changes).await.unwrap();
    assert_eq!(names(&Loud(projects), &[flask]).await, ["CLICK"]);
    let past = pair.one.db().projects();
    assert_eq!(names(&past, &[flask]).await, ["Click"]);
    assert_eq!(past.count(&ProjectFilter::new()).await.unwrap(), 1);
}
