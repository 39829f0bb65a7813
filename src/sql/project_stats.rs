//! The statement of `cache.project_stats`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, Integer, Uuid};

use super::Statement;
use crate::mapping::RowSql;
use crate::{ProjectId, ProjectStats};

/// The query for the statistics of several projects, in one pass over their analyses and members.
///
/// PostgreSQL's generic plan expects ten ids and uses one process. For `MANY` ids a custom plan is
/// better, which has their number. PostgreSQL makes a custom plan at each call if the generic one
/// has a higher estimated cost. So the text has a condition that is expensive by estimate only: the
/// product of three series from 1 to a parameter. Without the parameter's value each is estimated
/// at 1,000 rows. The value is [`ONE`].
pub(crate) struct StatsOf<'a, const MANY: bool> {
    pub(crate) ids: &'a [ProjectId],
}

const ONE: i32 = 1;

impl<const MANY: bool> Statement for StatsOf<'_, MANY> {
    type SqlType = RowSql<ProjectStats>;
    type Id = StatsOf<'static, MANY>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, member_count \
             FROM cache.project_stats_of(",
        );
        out.push_bind_param::<Array<Uuid>, _>(&self.ids)?;
        out.push_sql(")");
        if MANY {
            out.push_sql(
                " WHERE (SELECT pg_catalog.count(*) FROM pg_catalog.generate_series(1, $2) AS a, \
                 pg_catalog.generate_series(1, $2) AS b, pg_catalog.generate_series(1, ",
            );
            out.push_bind_param::<Integer, _>(&ONE)?;
            out.push_sql(") AS c) > 0");
        }
        Ok(())
    }
}
