//! The statements of `analysis.analysis_issues`.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Uuid};
use diesel::{QueryDsl, QueryResult};

use super::{Identity, Sql, Statement};
use crate::PageOrder as _;
use crate::mapping::RowSql;
use crate::mapping::analyses_of::AnalysesOf;
use crate::mapping::condition::Condition;
use crate::schema::analysis::analysis_issues;
use crate::schema::analysis::sql_types::IssueStatus as IssueStatusSql;
use crate::types::encoding::{Encoding, Unknown};
use crate::{
    AnalysisIssue, AnalysisIssueFilter, AnalysisIssueOrder, IssueStatus, Page, Result, UserId,
};

/// The condition for issues of the analysis `parent`.
struct OfParent;

impl QueryFragment<Pg> for OfParent {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(analysis.analysis_issues.analysis_id = parent.id)");
        Ok(())
    }
}

/// A condition that every issue meets: its id is not less than a bound one, which is zero.
///
/// Without it, PostgreSQL sorts all issues of an analysis for its first page if it takes the rows
/// for being in many places, or if VACUUM has not seen them yet. The larger the table, the more
/// likely that is: the estimates of two plans are near each other. PostgreSQL takes a third of the
/// rows for meeting a comparison with the result of a subquery. With it, a page's keys are read
/// from the index that has the order, at any size. Later pages have such a condition: their cursor.
struct AnyId(uuid::Uuid);

impl QueryFragment<Pg> for AnyId {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(analysis.analysis_issues.id >= (SELECT ");
        out.push_bind_param::<Uuid, _>(&self.0)?;
        out.push_sql("))");
        Ok(())
    }
}

/// Checks whether a page is read from the index that has its order.
///
/// With a condition that few rows may meet, PostgreSQL decides whether to read an analysis in this
/// order or to sort it. Both read the analysis alone: see [`By::OtherConditions`].
///
/// [`By::OtherConditions`]: crate::mapping::condition::By::OtherConditions
pub(crate) fn is_in_order_of_index(
    filter: &AnalysisIssueFilter,
    page: &Page<AnalysisIssueOrder>,
) -> bool {
    *page.sort() == AnalysisIssueOrder::Severity && filter.matches_many_of_an_analysis()
}

/// Returns the condition with which the first page of an analysis's issues is read from the index
/// that [has its order](is_in_order_of_index).
pub(crate) fn in_order_of_index(
    filter: &AnalysisIssueFilter,
    page: &Page<AnalysisIssueOrder>,
) -> Option<Condition<'static>> {
    let is_first = page.cursor().is_none() && is_in_order_of_index(filter, page);
    is_first.then(|| Condition::new(AnyId(uuid::Uuid::nil())))
}

/// Returns the query for a page of the issues of several analyses, and of one row more.
///
/// No index has the issues of a project in an order. So this reads the keys of a page of each
/// analysis, which an index has in the default order, merges them, and reads the rows of the
/// merged page alone.
///
/// # Errors
/// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the limit is not within 1 and 100, or
///   the cursor is of another list
pub(crate) fn page_of_analyses<'q>(
    filter: &'q AnalysisIssueFilter,
    analyses: AnalysesOf,
    page: &Page<AnalysisIssueOrder>,
    rows: analysis_issues::BoxedQuery<'q, Pg, RowSql<AnalysisIssue>>,
) -> Result<analysis_issues::BoxedQuery<'q, Pg, RowSql<AnalysisIssue>>> {
    let column = page.sort().column();
    let limit = page.rows_to_fetch()?;
    let (condition, order) = column.page(page.cursor(), page.is_backward())?;
    let ascends = order.ascends();
    let mut keys = filter
        .query_of_one_analysis()
        .filter(Condition::new(OfParent));
    if let Some(condition) = condition {
        keys = keys.filter(condition);
    }
    if let Some(condition) = in_order_of_index(filter, page) {
        keys = keys.filter(condition);
    }
    let keys = keys.order(order).select(column.keys());
    let ids = MergedPage {
        analyses,
        keys,
        ascends,
        limit,
        has_reusable_plan: is_in_order_of_index(filter, page),
    };
    let (_, order) = column.page(None, page.is_backward())?;
    Ok(rows.filter(Condition::new(ids)).order(order))
}

/// The condition for the rows of a page that is merged from the pages of several analyses.
struct MergedPage<Q> {
    analyses: AnalysesOf,
    keys: Q,
    ascends: bool,
    limit: i64,
    /// Whether the limit is a part of the text, as in [`AtMost`](super::AtMost).
    has_reusable_plan: bool,
}

impl<Q> MergedPage<Q> {
    fn push_limit<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(" LIMIT ");
        if self.has_reusable_plan {
            out.push_sql(&self.limit.to_string());
            Ok(())
        } else {
            out.push_bind_param::<BigInt, _>(&self.limit)
        }
    }
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for MergedPage<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(analysis.analysis_issues.id = ANY (ARRAY(SELECT child.id FROM (");
        self.analyses.walk_ast(out.reborrow())?;
        out.push_sql(") AS parent CROSS JOIN LATERAL (");
        self.keys.walk_ast(out.reborrow())?;
        self.push_limit(&mut out)?;
        out.push_sql(if self.ascends {
            ") AS child ORDER BY child.key ASC, child.id ASC"
        } else {
            ") AS child ORDER BY child.key DESC, child.id DESC"
        });
        self.push_limit(&mut out)?;
        out.push_sql(")))");
        Ok(())
    }
}

/// The statement that gives a status to the issues whose ids a query selects. An open issue has
/// neither a time nor a user.
pub(crate) struct SettleMatching<Q> {
    ids: Q,
    status: IssueStatus,
    by: Option<UserId>,
}

impl<Q> SettleMatching<Q> {
    pub(crate) const fn new(ids: Q, status: IssueStatus, by: UserId) -> Sql<Self> {
        let by = match status {
            IssueStatus::Open => None,
            _ => Some(by),
        };
        Sql(Self { ids, status, by })
    }
}

impl<Q: QueryFragment<Pg>> Statement for SettleMatching<Q> {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("UPDATE analysis.analysis_issues SET status = ");
        out.push_bind_param::<Unknown, _>(&self.status)?;
        out.push_sql(<IssueStatusSql as Encoding>::CAST);
        match &self.by {
            Some(by) => {
                out.push_sql(", resolved_at = pg_catalog.now(), resolved_by = ");
                out.push_bind_param::<Uuid, _>(by)?;
            }
            None => out.push_sql(", resolved_at = NULL, resolved_by = NULL"),
        }
        out.push_sql(" WHERE id IN (");
        self.ids.walk_ast(out.reborrow())?;
        out.push_sql(" FOR UPDATE)");
        Ok(())
    }
}
