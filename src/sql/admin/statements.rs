//! The statements about `pg_stat_statements`.

use diesel::QueryableByName;
use diesel::sql_types::Text;

/// The query for the version of the extension and the quoted name of its schema.
pub(crate) const EXTENSION: &str = "\
    SELECT pg_catalog.quote_ident(n.nspname) AS schema, e.extversion AS version \
    FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace \
    WHERE e.extname = 'pg_stat_statements'";

/// The row of [`EXTENSION`].
#[derive(QueryableByName)]
pub(crate) struct Extension {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    pub(crate) version: String,
}

impl Extension {
    /// Returns the query for the statements that took most time. Its parameters are their number
    /// and the name of the database.
    ///
    /// The columns of the view differ between versions; `to_jsonb` has those that are there.
    pub(crate) fn statements(&self) -> String {
        let schema = &self.schema;
        format!(
            "WITH most AS (\
                 SELECT s.*, r.rolname FROM {schema}.pg_stat_statements AS s \
                 JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid AND d.datname = $2 \
                 LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid \
                 ORDER BY s.total_exec_time DESC, s.queryid LIMIT $1) \
             SELECT pg_catalog.jsonb_build_object(\
                 'statements', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(most) \
                     || pg_catalog.jsonb_build_object('role', rolname, \
                         'query', NULLIF(query, '<insufficient privilege>')) \
                     ORDER BY total_exec_time DESC) FROM most), '[]'), \
                 'deallocations', dealloc, 'reset_at', stats_reset\
             )::pg_catalog.text AS document FROM {schema}.pg_stat_statements_info"
        )
    }
}
