//! The statement of `analysis.get_analysis_trends`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, Date, Integer, Numeric, Text, Uuid};

use super::Statement;
use super::list::push_list;
use crate::ProjectId;
use crate::schema::analysis::sql_types::TrendDirection as TrendDirectionSql;

/// The query for the trends of several metrics of a project. Each row has its metric's position in
/// the list, counted from 1.
pub(crate) struct TrendsOf<'a> {
    pub(crate) project_id: ProjectId,
    pub(crate) metric_names: &'a [&'a str],
    pub(crate) days_back: i32,
}

impl Statement for TrendsOf<'_> {
    type SqlType = (BigInt, Date, Numeric, TrendDirectionSql);
    type Id = TrendsOf<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT metric.position, trend.date, trend.avg_value, trend.trend::analysis.trend_direction \
             FROM pg_catalog.unnest(",
        );
        push_list::<Array<Text>, _>(&mut out, &self.metric_names)?;
        out.push_sql(
            ") WITH ORDINALITY AS metric (name, position) \
             CROSS JOIN LATERAL analysis.get_analysis_trends(",
        );
        out.push_bind_param::<Uuid, _>(&self.project_id)?;
        out.push_sql(", metric.name, ");
        out.push_bind_param::<Integer, _>(&self.days_back)?;
        out.push_sql(") AS trend ORDER BY metric.position, trend.date");
        Ok(())
    }
}
