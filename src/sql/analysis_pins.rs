//! The statements of `analysis.analysis_pins`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Nullable, Text, Timestamptz, Uuid};

use super::Statement;
use crate::{AnalysisId, Error, UserId, constraints};

/// The statement that pins an analysis, unless its removal has begun. A pin with the same reason
/// stays as it is, and is returned.
#[derive(Clone)]
pub(crate) struct Pin<'a> {
    pub(crate) id: AnalysisId,
    pub(crate) reason: &'a str,
    pub(crate) by: Option<UserId>,
}

impl Statement for Pin<'_> {
    type SqlType = (Uuid, Text, Nullable<Uuid>, Timestamptz);
    type Id = Pin<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO analysis.analysis_pins AS pin (analysis_id, reason, pinned_by) SELECT a.id, ",
        );
        out.push_bind_param::<Text, _>(self.reason)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Uuid>, _>(&self.by)?;
        out.push_sql(" FROM analysis.analyses AS a WHERE a.id = ");
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(
            " AND NOT EXISTS (SELECT FROM analysis.analysis_removals AS r WHERE r.analysis_id = a.id) \
             ON CONFLICT (analysis_id, reason) DO UPDATE SET reason = pin.reason \
             RETURNING pin.analysis_id, pin.reason, pin.pinned_by, pin.pinned_at",
        );
        Ok(())
    }
}

/// Returns the error of [`Pin`] as the caller sees it: an analysis whose removal has begun, or that
/// was deleted meanwhile, is not found.
pub(crate) fn not_pinned(error: Error) -> Error {
    match error {
        Error::Unique(constraint) if constraint.name == "analysis_removals_pkey" => {
            Error::NotFound { what: "Analysis" }
        }
        Error::MissingReference(constraint)
            if constraint.name == constraints::ANALYSIS_PINS_ANALYSIS_ID_FKEY =>
        {
            Error::NotFound { what: "Analysis" }
        }
        error => error,
    }
}

/// The statement that locks the project of an analysis, so that of two changes of a gate's base the
/// second waits for the first.
pub(crate) struct LockProject(pub(crate) AnalysisId);

impl Statement for LockProject {
    type SqlType = Uuid;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT p.id FROM public.projects AS p WHERE p.id = \
             (SELECT a.project_id FROM analysis.analyses AS a WHERE a.id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql(") FOR NO KEY UPDATE");
        Ok(())
    }
}
