//! The statements of `cache.project_stats`.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Integer, Uuid};
use diesel::{QueryDsl, QueryResult};

use super::Statement;
use crate::PageOrder as _;
use crate::mapping::condition::Condition;
use crate::mapping::keyset::SortColumn;
use crate::mapping::{RowSql, columns_of};
use crate::schema::cache::project_stats;
use crate::schema::public::projects;
use crate::{Page, ProjectId, ProjectStats, ProjectStatsFilter, ProjectStatsOrder, Result};

/// Returns the query for a page of statistics, and of one row more.
///
/// PostgreSQL would compute the statistics of all projects before it applied a limit. So the ids of
/// the page are computed first.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100, or
///   the cursor is of another list
pub(crate) fn page_of_stats<'q>(
    filter: &'q ProjectStatsFilter,
    page: &Page<ProjectStatsOrder>,
) -> Result<project_stats::BoxedQuery<'q, Pg, RowSql<ProjectStats>>> {
    let (condition, order) =
        column_of_projects(*page.sort()).page(page.cursor(), page.is_backward())?;
    let mut ids = filter.projects();
    if let Some(condition) = condition {
        ids = ids.filter(condition);
    }
    let ids = ids
        .order(order)
        .limit(page.rows_to_fetch()?)
        .select(projects::id);
    let (_, order) = page.sort().column().page(None, page.is_backward())?;
    Ok(project_stats::table
        .select(columns_of::<ProjectStats>())
        .into_boxed()
        .filter(Condition::new(OfProjects(ids)))
        .order(order))
}

/// Returns the column by which the projects themselves are sorted.
fn column_of_projects(order: ProjectStatsOrder) -> SortColumn {
    let column = order.column();
    SortColumn {
        table: &projects::table,
        column: match order {
            ProjectStatsOrder::Name => &projects::name,
            ProjectStatsOrder::MostAnalyses => &NumberOf::Analyses,
            ProjectStatsOrder::MostMembers => &NumberOf::Members,
        },
        id: &projects::id,
        ..column
    }
}

/// The number of rows of a project, by which the projects are sorted before their statistics are
/// computed.
enum NumberOf {
    Analyses,
    Members,
}

impl QueryFragment<Pg> for NumberOf {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(match self {
            Self::Analyses => {
                "(SELECT pg_catalog.count(*) FROM analysis.analyses AS counted \
                 WHERE counted.project_id = public.projects.id)"
            }
            Self::Members => {
                "(SELECT pg_catalog.count(*) FROM public.project_members AS counted \
                 WHERE counted.project_id = public.projects.id)"
            }
        });
        Ok(())
    }
}

/// The condition for the statistics of the projects whose ids a query selects.
///
/// The ids are an array, which is computed first: PostgreSQL could join a subquery to the
/// statistics of all projects.
struct OfProjects<Q>(Q);

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for OfProjects<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(cache.project_stats.id = ANY (ARRAY(");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(")))");
        Ok(())
    }
}

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
