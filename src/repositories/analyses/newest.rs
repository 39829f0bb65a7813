//! The newest analyses of a project.

use diesel::dsl::{Desc, Eq, Filter, Order};
use diesel::prelude::{ExpressionMethods, QueryDsl};

use crate::schema::analysis::analyses;
use crate::{AnalysisType, ProjectId};

/// The analyses of a project that have one type, newest first.
type Newest = Order<
    Filter<
        Filter<analyses::table, Eq<analyses::project_id, ProjectId>>,
        Eq<analyses::r#type, AnalysisType>,
    >,
    (Desc<analyses::created_at>, Desc<analyses::id>),
>;

/// Returns the query of a project's analyses of one type, newest first.
pub(super) fn newest(project_id: ProjectId, r#type: AnalysisType) -> Newest {
    analyses::table
        .filter(analyses::project_id.eq(project_id))
        .filter(analyses::r#type.eq(r#type))
        .order((analyses::created_at.desc(), analyses::id.desc()))
}
