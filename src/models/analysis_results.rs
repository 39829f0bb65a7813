//! `analysis.analysis_results`: what an analysis says of each file.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::analysis_results;
use crate::{Analysis, AnalysisId, AnalysisResultId, Change, Document, Fields, Json};

/// What an analysis says of a file: a row of the design's `analysis_results`.
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
#[diesel(table_name = analysis_results, check_for_backend(Pg))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct AnalysisResult {
    /// Key.
    pub id: AnalysisResultId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The file, from the project's root.
    pub file_path: String,
    /// Digest of the file's content.
    pub file_hash: Option<String>,
    /// Measures of the file by name, as the application writes them.
    pub metrics: Json<Fields>,
    /// What was found in the file, as the application writes it.
    pub issues: Json<Vec<Document>>,
    /// What the file depends on.
    pub dependencies: Json<Vec<String>>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A file's result to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = analysis_results, row = AnalysisResult)]
pub struct NewAnalysisResult {
    /// Key; made by [`AnalysisResultId::new`] unless given.
    #[row(default = AnalysisResultId::new())]
    pub id: AnalysisResultId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// The file, from the project's root; indexed, hence at most some 2,700 bytes.
    pub file_path: String,
    /// Digest of the file's content, at most 64 characters.
    pub file_hash: Option<String>,
    /// `{}` unless given.
    #[row(or = "'{}'")]
    pub metrics: Option<Json<Fields>>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub issues: Option<Json<Vec<Document>>>,
    /// `[]` unless given.
    #[row(or = "'[]'")]
    pub dependencies: Option<Json<Vec<String>>>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a file's result. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = analysis_results, row = AnalysisResult, id = AnalysisResultId)]
#[serde(default)]
pub struct AnalysisResultChanges {
    /// New digest.
    pub file_hash: Change<String>,
    /// New measures, in place of the old.
    pub metrics: Option<Json<Fields>>,
    /// New findings, in place of the old.
    pub issues: Option<Json<Vec<Document>>>,
    /// New dependencies, in place of the old.
    pub dependencies: Option<Json<Vec<String>>>,
}

/// Which files' results are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct AnalysisResultFilter {
    /// Of this analysis.
    pub analysis_id: Option<AnalysisId>,
    /// Of this file.
    pub file_path: Option<String>,
    /// Of the files whose path begins with this text, such as `src/`.
    pub file_path_prefix: Option<String>,
    /// Of the files with this digest.
    pub file_hash: Option<String>,
}

impl AnalysisResultFilter {
    pub(crate) fn query(&self) -> analysis_results::BoxedQuery<'_, Pg> {
        let mut query = analysis_results::table.into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(analysis_results::analysis_id.eq(analysis_id));
        }
        if let Some(file_path) = &self.file_path {
            query = query.filter(analysis_results::file_path.eq(file_path));
        }
        if let Some(prefix) = &self.file_path_prefix {
            let pattern = crate::text::beginning_with(prefix);
            query = query.filter(analysis_results::file_path.like(pattern));
        }
        if let Some(file_hash) = &self.file_hash {
            query = query.filter(analysis_results::file_hash.eq(file_hash));
        }
        query
    }
}

orders! {
    /// In which order files' results are listed.
    AnalysisResultOrder of AnalysisResult in analysis_results {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By the file's path.
        File = file_path asc,
    }
}
