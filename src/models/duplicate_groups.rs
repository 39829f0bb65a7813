//! `analysis.duplicate_groups`: code that stands in more than one place.

use bigdecimal::num_bigint::Sign;
use bigdecimal::{BigDecimal, RoundingMode};
use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Deserializer, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow};

use crate::page::orders;
use crate::schema::analysis::duplicate_groups;
use crate::{Analysis, AnalysisId, DuplicateGroupId, Fields, Json};

/// Code that stands in more than one place: a row of the design's `duplicate_groups`.
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
#[diesel(table_name = duplicate_groups, check_for_backend(Pg))]
#[diesel(belongs_to(Analysis, foreign_key = analysis_id))]
#[non_exhaustive]
pub struct DuplicateGroup {
    /// Key.
    pub id: DuplicateGroupId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// Digest of the code.
    pub hash: String,
    /// How much the places are alike: percent, 0 to 100, with 2 decimals.
    #[serde(deserialize_with = "crate::decimal::read")]
    pub similarity_percentage: BigDecimal,
    /// How many lines are duplicated.
    pub total_lines: i32,
    /// The places.
    pub files: Json<Vec<DuplicateFile>>,
    /// When the row was made.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A place where duplicated code stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DuplicateFile {
    /// The file, from the project's root.
    pub path: String,
    /// The first line, from 1.
    pub start_line: u32,
    /// The last line, which belongs to the place.
    pub end_line: u32,
    /// Every other field.
    #[serde(flatten)]
    pub extra: Fields,
}

/// Not derived: a derive would read the other fields through numbers that do not hold all digits.
impl<'de> Deserialize<'de> for DuplicateFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut extra = Fields::deserialize(deserializer)?;
        let missing = D::Error::missing_field;
        let path = crate::json::take(&mut extra, "path")?.ok_or_else(|| missing("path"))?;
        let start_line = crate::json::take(&mut extra, "startLine")?;
        let end_line = crate::json::take(&mut extra, "endLine")?;
        Ok(Self {
            path,
            start_line: start_line.ok_or_else(|| missing("startLine"))?,
            end_line: end_line.ok_or_else(|| missing("endLine"))?,
            extra,
        })
    }
}

impl DuplicateFile {
    /// These lines of this file.
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
pub struct NewDuplicateGroup {
    /// Key; made by [`DuplicateGroupId::new`] unless given.
    #[row(default = DuplicateGroupId::new())]
    pub id: DuplicateGroupId,
    /// The analysis.
    pub analysis_id: AnalysisId,
    /// Digest of the code, at most 64 characters.
    pub hash: String,
    /// Percent, 0 to 100; PostgreSQL rounds it to 2 decimals, half away from zero.
    #[row(precision = 5, scale = 2)]
    pub similarity_percentage: BigDecimal,
    /// How many lines are duplicated.
    pub total_lines: i32,
    /// The places.
    pub files: Json<Vec<DuplicateFile>>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Changes to a group of duplicates. What is not named is kept.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[row(table = duplicate_groups, row = DuplicateGroup, id = DuplicateGroupId)]
#[serde(default)]
pub struct DuplicateGroupChanges {
    /// New digest.
    pub hash: Option<String>,
    /// New similarity, within the bounds of [`NewDuplicateGroup::similarity_percentage`].
    #[row(precision = 5, scale = 2)]
    #[serde(default, deserialize_with = "crate::decimal::read")]
    pub similarity_percentage: Option<BigDecimal>,
    /// New number of lines.
    pub total_lines: Option<i32>,
    /// New places, in place of the old.
    pub files: Option<Json<Vec<DuplicateFile>>>,
}

/// Which groups of duplicates are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct DuplicateGroupFilter {
    /// Of this analysis.
    pub analysis_id: Option<AnalysisId>,
    /// With this digest.
    pub hash: Option<String>,
    /// At least so many percent alike.
    pub similarity_at_least: Option<BigDecimal>,
}

/// A bound that the same percentages are within, all of which have two decimals: to send a number of a hundred thousand
/// digits, which a few bytes can name, takes a second.
fn within_percent(bound: &BigDecimal) -> BigDecimal {
    if crate::decimal::is_bounded(bound) {
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
    pub(crate) fn query(&self) -> duplicate_groups::BoxedQuery<'_, Pg> {
        let mut query = duplicate_groups::table.into_boxed();
        if let Some(analysis_id) = self.analysis_id {
            query = query.filter(duplicate_groups::analysis_id.eq(analysis_id));
        }
        if let Some(hash) = &self.hash {
            query = query.filter(duplicate_groups::hash.eq(hash));
        }
        if let Some(similarity) = &self.similarity_at_least {
            let similarity = within_percent(similarity);
            query = query.filter(duplicate_groups::similarity_percentage.ge(similarity));
        }
        query
    }
}

orders! {
    /// In which order groups of duplicates are listed.
    DuplicateGroupOrder of DuplicateGroup in duplicate_groups {
        /// Most alike first.
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
