//! `analysis.dependency_graphs`: the dependencies between the parts of projects.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::dependency_graphs;
use crate::types::timestamp::AnyTime;
use crate::{Analysis, AnalysisId, Change, DependencyGraphId, Document, Project, ProjectId};

/// The dependencies between the parts of a project: a row of the design's `dependency_graphs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = dependency_graphs)]
#[diesel(belongs_to(Project, foreign_key = project_id))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct DependencyGraph {
    /// Primary key.
    pub id: DependencyGraphId,
    /// The project.
    pub project_id: ProjectId,
    /// The analysis that created the graph; `None` once that is deleted.
    pub analysis_id: Option<AnalysisId>,
    /// The graph, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub graph_data: Document,
    /// Additional data, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub metadata: Document,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A dependency graph to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = dependency_graphs, row = DependencyGraph)]
#[row(body(DependencyGraphBody: graph_data, metadata))]
#[non_exhaustive]
pub struct NewDependencyGraph {
    /// Primary key. Default: [`DependencyGraphId::new`].
    #[row(default = DependencyGraphId::new())]
    pub id: DependencyGraphId,
    /// The project.
    pub project_id: ProjectId,
    /// The analysis that created the graph.
    pub analysis_id: Option<AnalysisId>,
    /// The graph.
    pub graph_data: Document,
    /// Additional data, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub metadata: Option<Document>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a dependency graph. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = dependency_graphs, row = DependencyGraph, id = DependencyGraphId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DependencyGraphChanges {
    /// The analysis that created the graph. Not read from JSON.
    #[serde(skip_deserializing)]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<AnalysisId>))]
    pub analysis_id: Change<AnalysisId>,
    /// New graph, which replaces the old one.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub graph_data: Option<Document>,
    /// New metadata, which replaces the old.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub metadata: Option<Document>,
}

/// A filter for dependency graphs. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DependencyGraphFilter {
    /// Only rows of this project.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub project_id: Option<ProjectId>,
    /// Only graphs that this analysis created.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_id: Option<AnalysisId>,
    /// Only rows created at this time or later.
    pub created_from: Option<DateTime<Utc>>,
    /// Only rows created before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl DependencyGraphFilter {
    pub(crate) fn query(&self) -> dependency_graphs::BoxedQuery<'_, Pg, RowSql<DependencyGraph>> {
        let mut query = dependency_graphs::table
            .select(columns_of::<DependencyGraph>())
            .into_boxed();
        if let Some(project_id) = self.project_id {
            query = query.filter(condition(
                dependency_graphs::table,
                dependency_graphs::project_id.eq(project_id),
            ));
        }
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(condition(
                dependency_graphs::table,
                dependency_graphs::analysis_id.eq(analysis_id),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                dependency_graphs::table,
                dependency_graphs::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                dependency_graphs::table,
                dependency_graphs::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which dependency graphs are listed.
    DependencyGraphOrder of DependencyGraph in dependency_graphs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
