//! The GraphQL schema: projects, their analyses, and the issues of these.

use std::sync::Arc;

use async_graphql::connection::{Connection, Edge};
use async_graphql::{Context, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use wundr_db::{
    AnalysisIssueOrder, AnalysisOrder, Cursor, Db, IssueSeverity, Paged, ProjectFilter,
    ProjectOrder, ProjectRepository,
};

use crate::loaders::{AnalysesOf, IssuesOf, Loaders, Slice};

/// A list with cursors and, if it is requested, a total.
type List<Node> = Connection<String, Node, Total>;

#[derive(SimpleObject)]
pub struct Total {
    /// The number of items on all pages. Counted only if it is requested.
    total_count: Option<u64>,
}

/// The part of a list that the arguments and the selection request.
fn slice(context: &Context<'_>, first: u32, after: Option<String>) -> Slice {
    Slice {
        first,
        after,
        with_total: context.look_ahead().field("totalCount").exists(),
    }
}

fn list<Row, Node: async_graphql::OutputType>(
    page: Paged<Row>,
    cursor_of: impl Fn(&Row) -> Cursor,
    node: impl Fn(Row) -> Node,
) -> List<Node> {
    let total_count = page.total;
    let (has_previous, has_next) = (page.previous.is_some(), page.next.is_some());
    let mut list =
        Connection::with_additional_fields(has_previous, has_next, Total { total_count });
    let edges = page.items.into_iter();
    list.edges
        .extend(edges.map(|row| Edge::new(cursor_of(&row).to_string(), node(row))));
    list
}

pub struct Query;

#[Object]
impl Query {
    /// The projects, newest first.
    async fn projects(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
    ) -> Result<List<Project>> {
        let page = slice(context, first, after).page()?;
        let projects = context.data::<Db>()?.projects();
        let page = projects.list(&ProjectFilter::new(), &page).await?;
        Ok(list(
            page,
            |row| ProjectOrder::Newest.cursor_of(row),
            Project,
        ))
    }
}

pub struct Project(wundr_db::Project);

#[Object]
impl Project {
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Newest first.
    async fn analyses(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
    ) -> Result<List<Analysis>> {
        let key = AnalysesOf(self.0.id, slice(context, first, after));
        let page = context.data::<Loaders>()?.load_one(key).await?;
        let page = page.ok_or("no such project")?;
        Ok(list(
            page,
            |row| AnalysisOrder::Newest.cursor_of(row),
            Analysis,
        ))
    }
}

pub struct Analysis(wundr_db::Analysis);

#[Object]
impl Analysis {
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    /// The release that was analyzed.
    async fn label(&self) -> Result<Option<String>> {
        Ok(self.0.configuration.field("label")?)
    }

    async fn status(&self) -> &str {
        self.0.status.as_str()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn project(&self, context: &Context<'_>) -> Result<Project> {
        let found = context.data::<Loaders>()?.load_one(self.0.project_id);
        Ok(Project(found.await?.ok_or("the project is gone")?))
    }

    /// Worst first.
    async fn issues(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20)] first: u32,
        after: Option<String>,
        severity_at_least: Option<String>,
    ) -> Result<List<Issue>> {
        let severity: Option<IssueSeverity> = severity_at_least
            .map(|word| word.parse())
            .transpose()
            .map_err(Arc::new)?;
        let key = IssuesOf(self.0.id, slice(context, first, after), severity);
        let page = context.data::<Loaders>()?.load_one(key).await?;
        let page = page.ok_or("no such analysis")?;
        Ok(list(
            page,
            |row| AnalysisIssueOrder::Severity.cursor_of(row),
            Issue,
        ))
    }
}

pub struct Issue(wundr_db::AnalysisIssue);

#[Object]
impl Issue {
    async fn id(&self) -> ID {
        self.0.id.to_string().into()
    }

    async fn severity(&self) -> &str {
        self.0.severity.as_str()
    }

    async fn title(&self) -> &str {
        &self.0.title
    }

    async fn file_path(&self) -> &str {
        &self.0.file_path
    }

    async fn line_number(&self) -> Option<i32> {
        self.0.line_number
    }

    async fn analysis(&self, context: &Context<'_>) -> Result<Analysis> {
        let found = context.data::<Loaders>()?.load_one(self.0.analysis_id);
        Ok(Analysis(found.await?.ok_or("the analysis is gone")?))
    }
}
