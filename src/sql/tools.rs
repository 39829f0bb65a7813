//! The statement of `setup.tools`.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, Text};

use super::list::push_list;
use super::{Sql, Statement};
use crate::Tool;
use crate::mapping::{Columns, RowSql, columns_of};

/// The newest active tool of the name `needed.name`, ordered and limited.
const NEWEST_OF_NAME: &str = " FROM setup.tools WHERE tools.name = needed.name AND tools.is_active \
                              ORDER BY tools.created_at DESC, tools.id DESC LIMIT 1) AS tool";

/// The query for the newest active tool of each name, and of all their direct and indirect
/// dependencies.
pub(crate) struct NeededTools<'a> {
    names: &'a [&'a str],
    columns: Columns<Tool>,
}

impl<'a> NeededTools<'a> {
    pub(crate) fn new(names: &'a [&'a str]) -> Sql<Self> {
        Sql(Self {
            names,
            columns: columns_of::<Tool>(),
        })
    }
}

impl Statement for NeededTools<'_> {
    type SqlType = RowSql<Tool>;
    type Id = NeededTools<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH RECURSIVE needed (name) AS (SELECT pg_catalog.unnest(");
        push_list::<Array<Text>, _>(&mut out, &self.names)?;
        out.push_sql(
            ") UNION SELECT pg_catalog.unnest(tool.dependencies) FROM needed CROSS JOIN LATERAL (SELECT tools.dependencies",
        );
        out.push_sql(NEWEST_OF_NAME);
        out.push_sql(") SELECT tool.* FROM needed CROSS JOIN LATERAL (SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(NEWEST_OF_NAME);
        Ok(())
    }
}
