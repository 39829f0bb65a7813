//! `analysis.duplicate_groups`: groups of duplicated code.

use bigdecimal::num_bigint::Sign;
use bigdecimal::{BigDecimal, RoundingMode};
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::analysis::duplicate_groups;
use crate::{Analysis, AnalysisId, DuplicateGroupId, Fields, Json};

/// Code that occurs in more than one place: a row of the design's `duplicate_groups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = duplicate_groups)]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct DuplicateGroup {
    /// Primary key.
    pub id: DuplicateGroupId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// Hash of the code.
    pub hash: String,
    /// The similarity of the places in percent, 0 to 100, with 2 decimals.
    #[serde(deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub similarity_percentage: BigDecimal,
    /// The number of duplicated lines.
    pub total_lines: i32,
    /// The places where the code occurs.
    #[cfg_attr(feature = "utoipa", schema(value_type = Vec<DuplicateFile>))]
    pub files: Json<Vec<DuplicateFile>>,
    /// The time at which the row was created.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A place where duplicated code occurs.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct DuplicateFile {
    /// The file's path, relative to the project's root.
    pub path: String,
    /// The first line, counted from 1.
    pub start_line: u32,
    /// The last line, inclusive.
    pub end_line: u32,
    /// All other fields.
    #[serde(flatten)]
    #[cfg_attr(feature = "utoipa", schema(value_type = std::collections::HashMap<String, serde_json::Value>))]
    pub extra: Fields,
}

/// Not derived: with `flatten`, a derived implementation would read numbers through types that do
/// not hold all digits.
impl<'de> Deserialize<'de> for DuplicateFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut extra = Fields::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        let path = crate::types::json::take(&mut extra, "path")?.ok_or_else(|| missing("path"))?;
        let start_line = crate::types::json::take(&mut extra, "startLine")?;
        let end_line = crate::types::json::take(&mut extra, "endLine")?;
        Ok(Self {
            path,
            start_line: start_line.ok_or_else(|| missing("startLine"))?,
            end_line: end_line.ok_or_else(|| missing("endLine"))?,
            extra,
        })
    }
}

impl DuplicateFile {
    /// Creates a place from a file and its first and last line.
    #[must_use]
    pub fn new(path: impl Into<String>, start_line: u32, end_line: u32) -> Self {
        Self {
            path: path.into(),
            start_line,
            end_line,
            extra: Fields::new(),
        }
    }
}

/// A group of duplicates to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = duplicate_groups, row = DuplicateGroup)]
#[row(body(DuplicateGroupBody: hash, similarity_percentage, total_lines, files))]
#[non_exhaustive]
pub struct NewDuplicateGroup {
    /// Primary key. Default: [`DuplicateGroupId::new`].
    #[row(default = DuplicateGroupId::new())]
    pub id: DuplicateGroupId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// Hash of the code, at most 64 characters.
    pub hash: String,
    /// The similarity in percent, 0 to 100. PostgreSQL rounds it to 2 decimals, half away from
    /// zero.
    #[row(precision = 5, scale = 2)]
    pub similarity_percentage: BigDecimal,
    /// The number of duplicated lines.
    pub total_lines: i32,
    /// The places where the code occurs.
    pub files: Json<Vec<DuplicateFile>>,
    /// The time at which the row was created. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a group of duplicates. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = duplicate_groups, row = DuplicateGroup, id = DuplicateGroupId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DuplicateGroupChanges {
    /// New hash.
    pub hash: Option<String>,
    /// New similarity, within the bounds of [`NewDuplicateGroup::similarity_percentage`].
    #[row(precision = 5, scale = 2)]
    #[serde(default, deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub similarity_percentage: Option<BigDecimal>,
    /// New number of lines.
    pub total_lines: Option<i32>,
    /// New places, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Vec<DuplicateFile>>))]
    pub files: Option<Json<Vec<DuplicateFile>>>,
}

/// A filter for groups of duplicates. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DuplicateGroupFilter {
    /// Only rows of this analysis.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub analysis_id: Option<AnalysisId>,
    /// Only groups with this hash.
    pub hash: Option<String>,
    /// Only groups of at least this similarity, in percent.
    #[serde(deserialize_with = "crate::types::decimal::read")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    #[cfg_attr(feature = "utoipa", param(value_type = Option<String>))]
    pub similarity_at_least: Option<BigDecimal>,
}

/// Returns a short number that separates the same percentages as `bound`, given that all of them
/// have two decimals.
///
/// A few bytes, such as `1e100000`, can be a number with a hundred thousand digits, which takes a
/// second to send.
fn within_percent(bound: &BigDecimal) -> BigDecimal {
    if crate::types::decimal::is_bounded(bound) {
        return bound.clone();
    }
    let digits = i64::try_from(bound.digits()).unwrap_or(i64::MAX);
    let whole = digits.saturating_sub(bound.fractional_digit_count());
    match bound.sign() {
        Sign::Plus if whole > 3 => 1_000.into(),
        Sign::Plus if whole < -2 => BigDecimal::new(1.into(), 2),
        Sign::Plus => bound.with_scale_round(2, RoundingMode::Ceiling),
        Sign::NoSign | Sign::Minus => 0.into(),
    }
}

impl DuplicateGroupFilter {
    pub(crate) fn query(&self) -> duplicate_groups::BoxedQuery<'_, Pg, RowSql<DuplicateGroup>> {
        let mut query = duplicate_groups::table
            .select(columns_of::<DuplicateGroup>())
            .into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(condition(
                duplicate_groups::table,
                duplicate_groups::analysis_id.eq(analysis_id),
            ));
        }
        if let Some(hash) = &self.hash {
            query = query.filter(condition(
                duplicate_groups::table,
                duplicate_groups::hash.eq(hash),
            ));
        }
        if let Some(similarity) = &self.similarity_at_least {
            let similarity = within_percent(similarity);
            query = query.filter(condition(
                duplicate_groups::table,
                duplicate_groups::similarity_percentage.ge(similarity),
            ));
        }
        query
    }
}

orders! {
    /// The order in which groups of duplicates are listed.
    DuplicateGroupOrder of DuplicateGroup in duplicate_groups {
        /// Most similar first.
        #[default]
        MostSimilar = similarity_percentage desc,
        /// Most lines first.
        Longest = total_lines desc,
        /// Newest first.
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
