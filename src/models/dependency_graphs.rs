//! `analysis.dependency_graphs`: how the parts of a project depend on each other.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::dependency_graphs;
use crate::{Analysis, AnalysisId, Change, DependencyGraphId, Document, Project, ProjectId};

/// How the parts of a project depend on each other: a row of the design's `dependency_graphs`.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = dependency_graphs, check_for_backend(Pg))]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct DependencyGraph {
    /// Key.
    pub id: DependencyGraphId,
    /// The project.
    pub project_id: ProjectId,
    /// The analysis that made the graph, as long as that is kept.
    pub analysis_id: Option<AnalysisId>,
    /// The graph, as the application writes it.
    pub graph_data: Document,
    /// What else there is to say, as the application writes it.
    pub metadata: Document,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A dependency graph to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = dependency_graphs, row = DependencyGraph)]
pub struct NewDependencyGraph {
    /// Key; made by [`DependencyGraphId::new`] unless given.
    #[row(default = DependencyGraphId::new())]
    pub id: DependencyGraphId,
    /// The project.
    pub project_id: ProjectId,
    /// The analysis that made the graph.
    pub analysis_id: Option<AnalysisId>,
    /// The graph.
    pub graph_data: Document,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub metadata: Option<Document>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a dependency graph. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = dependency_graphs, row = DependencyGraph, id = DependencyGraphId)]
#[serde(default)]
pub struct DependencyGraphChanges {
    /// The analysis that made the graph.
    pub analysis_id: Change<AnalysisId>,
    /// New graph, in place of the old.
    pub graph_data: Option<Document>,
    /// New metadata, in place of the old.
    pub metadata: Option<Document>,
}

/// Which dependency graphs are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct DependencyGraphFilter {
    /// Of this project.
    pub project_id: Option<ProjectId>,
    /// Made by this analysis.
    pub analysis_id: Option<AnalysisId>,
    /// Created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl DependencyGraphFilter {
    pub(crate) fn query(&self) -> dependency_graphs::BoxedQuery<'_, Pg> {
        let mut query = dependency_graphs::table.into_boxed();
        if let Some(project_id) = self.project_id {
            query = query.filter(dependency_graphs::project_id.eq(project_id));
        }
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(dependency_graphs::analysis_id.eq(analysis_id));
        }
        if let Some(from) = self.created_from {
            query = query.filter(dependency_graphs::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(dependency_graphs::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order dependency graphs are listed.
    DependencyGraphOrder of DependencyGraph in dependency_graphs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
