//! `analysis.analysis_results`: the results of analyses for each file.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::{By, condition};
use crate::mapping::expressions::begins_with;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::analysis_results;
use crate::{Analysis, AnalysisId, AnalysisResultId, Change, Document, Fields, Json};

/// The result of an analysis for a file: a row of the design's `analysis_results`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = analysis_results)]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisResult {
    /// Primary key.
    pub id: AnalysisResultId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The file's path, relative to the project's root.
    pub file_path: String,
    /// Hash of the file's content.
    pub file_hash: Option<String>,
    /// Metrics of the file by name, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub metrics: Json<Fields>,
    /// The issues of the file, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = Vec<serde_json::Value>))]
    pub issues: Json<Vec<Document>>,
    /// The file's dependencies.
    #[cfg_attr(feature = "utoipa", schema(value_type = Vec<String>))]
    pub dependencies: Json<Vec<String>>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A file's result to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_results, row = AnalysisResult)]
#[row(body(AnalysisResultBody: file_path, file_hash, metrics, issues, dependencies))]
#[non_exhaustive]
pub struct NewAnalysisResult {
    /// Primary key. Default: [`AnalysisResultId::new`].
    #[row(default = AnalysisResultId::new())]
    pub id: AnalysisResultId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The file's path, relative to the project's root. It is indexed, which limits it to about
    /// 2,700 bytes.
    pub file_path: String,
    /// Hash of the file's content, at most 64 characters.
    pub file_hash: Option<String>,
    /// Metrics of the file by name, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub metrics: Option<Json<Fields>>,
    /// The issues of the file, in the application's own format. Default: `[]`.
    #[row(or = "'[]'")]
    pub issues: Option<Json<Vec<Document>>>,
    /// The file's dependencies. Default: `[]`.
    #[row(or = "'[]'")]
    pub dependencies: Option<Json<Vec<String>>>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a file's result. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = analysis_results, row = AnalysisResult, id = AnalysisResultId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisResultChanges {
    /// New hash.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub file_hash: Change<String>,
    /// New metrics, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>))]
    pub metrics: Option<Json<Fields>>,
    /// New issues, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Vec<serde_json::Value>>))]
    pub issues: Option<Json<Vec<Document>>>,
    /// New dependencies, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Vec<String>>))]
    pub dependencies: Option<Json<Vec<String>>>,
}

/// A filter for files' results. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AnalysisResultFilter {
    /// Only rows of this analysis.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_id: Option<AnalysisId>,
    /// Only results of this file.
    pub file_path: Option<String>,
    /// Only results of files whose path begins with this text, such as `src/`.
    pub file_path_prefix: Option<String>,
    /// Only results of files with this hash.
    pub file_hash: Option<String>,
}

impl AnalysisResultFilter {
    pub(crate) fn query(&self) -> analysis_results::BoxedQuery<'_, Pg, RowSql<AnalysisResult>> {
        self.conditions(match self.analysis_id {
            Some(_) => By::OtherConditions,
            None => By::Index,
        })
    }

    /// Returns the query for a caller that restricts it to some analyses.
    pub(crate) fn query_of_some_analyses(
        &self,
    ) -> analysis_results::BoxedQuery<'_, Pg, RowSql<AnalysisResult>> {
        self.conditions(By::OtherConditions)
    }

    fn conditions(&self, by: By) -> analysis_results::BoxedQuery<'_, Pg, RowSql<AnalysisResult>> {
        let mut query = analysis_results::table
            .select(columns_of::<AnalysisResult>())
            .into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(condition(
                analysis_results::table,
                analysis_results::analysis_id.eq(analysis_id),
            ));
        }
        if let Some(file_path) = &self.file_path {
            let is_same = analysis_results::file_path.eq(file_path);
            query = query.filter(condition(analysis_results::table, is_same).found(by));
        }
        if let Some(prefix) = &self.file_path_prefix {
            query = query.filter(begins_with(analysis_results::file_path, prefix, by).found(by));
        }
        if let Some(file_hash) = &self.file_hash {
            let is_same = analysis_results::file_hash.eq(file_hash);
            query = query.filter(condition(analysis_results::table, is_same).found(by));
        }
        query
    }
}

orders! {
    /// The order in which files' results are listed.
    AnalysisResultOrder of AnalysisResult in analysis_results {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By file path.
        File = file_path asc,
    }
}
