//! Dataloaders for async-graphql: each level of a query is read from the repositories by one query.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use wundr_db::{
    Analysis, AnalysisFilter, AnalysisId, AnalysisIssue, AnalysisIssueFilter,
    AnalysisIssueRepository, AnalysisRepository, Cursor, Db, Error, IssueSeverity, Page, Paged,
    Project, ProjectId, ProjectRepository,
};

/// The loaders of a request.
pub type Loaders = DataLoader<Rows>;

pub fn of(db: &Db) -> Loaders {
    DataLoader::new(Rows(db.clone()), tokio::spawn)
}

/// Reads rows for many parents with one query.
pub struct Rows(Db);

/// The requested part of a list, which is usually the same for all parents of a level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slice {
    pub first: u32,
    pub after: Option<String>,
    pub with_total: bool,
}

impl Slice {
    pub fn page<O: Default>(&self) -> Result<Page<O>, Error> {
        let page = Page::new().limit(self.first);
        let page = match &self.after {
            Some(cursor) => page.after(cursor.parse::<Cursor>()?),
            None => page,
        };
        Ok(if self.with_total {
            page.with_total()
        } else {
            page
        })
    }
}

/// The key of a project's analyses, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AnalysesOf(pub ProjectId, pub Slice);

/// The key of an analysis's issues, worst first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IssuesOf(pub AnalysisId, pub Slice, pub Option<IssueSeverity>);

/// Groups the parents that request the same part of their lists.
fn alike<K, P, A: Eq + Hash>(keys: &[K], parts: impl Fn(&K) -> (P, A)) -> HashMap<A, Vec<P>> {
    let mut groups = HashMap::<A, Vec<P>>::new();
    for key in keys {
        let (parent, arguments) = parts(key);
        groups.entry(arguments).or_default().push(parent);
    }
    groups
}

impl Loader<AnalysesOf> for Rows {
    type Value = Paged<Analysis>;
    type Error = Arc<Error>;

    async fn load(
        &self,
        keys: &[AnalysesOf],
    ) -> Result<HashMap<AnalysesOf, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for (slice, ids) in alike(keys, |key| (key.0, key.1.clone())) {
            let analyses = self.0.analyses();
            let filter = AnalysisFilter::new();
            let page = slice.page()?;
            let pages = analyses.list_of_projects(&ids, &filter, &page).await?;
            let keys = ids.iter().map(|&id| AnalysesOf(id, slice.clone()));
            found.extend(keys.zip(pages));
        }
        Ok(found)
    }
}

impl Loader<IssuesOf> for Rows {
    type Value = Paged<AnalysisIssue>;
    type Error = Arc<Error>;

    async fn load(&self, keys: &[IssuesOf]) -> Result<HashMap<IssuesOf, Self::Value>, Self::Error> {
        let mut found = HashMap::new();
        for ((slice, severity), ids) in alike(keys, |key| (key.0, (key.1.clone(), key.2))) {
            let issues = self.0.analysis_issues();
            let mut filter = AnalysisIssueFilter::new();
            filter.severity_at_least = severity;
            let page = slice.page()?;
            let pages = issues.list_of_analyses(&ids, &filter, &page).await?;
            let keys = ids.iter().map(|&id| IssuesOf(id, slice.clone(), severity));
            found.extend(keys.zip(pages));
        }
        Ok(found)
    }
}

impl Loader<ProjectId> for Rows {
    type Value = Project;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[ProjectId]) -> Result<HashMap<ProjectId, Project>, Self::Error> {
        let projects = self.0.projects().find_many(ids).await?;
        Ok(projects
            .into_iter()
            .flatten()
            .map(|it| (it.id, it))
            .collect())
    }
}

impl Loader<AnalysisId> for Rows {
    type Value = Analysis;
    type Error = Arc<Error>;

    async fn load(&self, ids: &[AnalysisId]) -> Result<HashMap<AnalysisId, Analysis>, Self::Error> {
        let analyses = self.0.analyses().find_many(ids).await?;
        Ok(analyses
            .into_iter()
            .flatten()
            .map(|it| (it.id, it))
            .collect())
    }
}
