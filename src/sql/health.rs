//! The statement of the health check.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Bool, Integer};

use super::Statement;

/// The query for the server's version, and whether it is a standby.
pub(crate) struct Probe;

impl Statement for Probe {
    type SqlType = (Integer, Bool);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT current_setting('server_version_num')::integer AS server_version, \
             pg_catalog.pg_is_in_recovery() AS is_standby",
        );
        Ok(())
    }
}
