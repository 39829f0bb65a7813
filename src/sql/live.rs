//! The statements of a listener.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid};

use super::Statement;
use super::list::push_any_of;
use super::timeline::timeline;
use crate::schema::analysis::sql_types::{AnalysisStatus, AnalysisType};
use crate::{AnalysisId, ProjectId};

/// The number of analyses that are read at a time.
pub(crate) const PAGE: usize = 500;

/// The analyses that are pending or running, or were created lately, a page at a time. Those that
/// ended long ago are not walked through: the common table expression keeps the planner from going
/// by the key, and the upper bound lets a plan that is made before the lower one is known take it
/// for the few rows that it is.
pub(crate) struct FollowedIds {
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) created_from: Option<DateTime<Utc>>,
    pub(crate) after: Option<AnalysisId>,
}

impl Statement for FollowedIds {
    type SqlType = Uuid;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH followed AS MATERIALIZED (SELECT id, project_id FROM analysis.analyses \
             WHERE status IN ('pending', 'running') OR created_at <= 'infinity' AND created_at >= ",
        );
        out.push_bind_param::<Nullable<Timestamptz>, _>(&self.created_from)?;
        out.push_sql(") SELECT id FROM followed WHERE project_id = COALESCE(");
        out.push_bind_param::<Nullable<Uuid>, _>(&self.project_id)?;
        out.push_sql(", project_id) AND id > COALESCE(");
        out.push_bind_param::<Nullable<Uuid>, _>(&self.after)?;
        out.push_sql(", '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT ");
        out.push_sql(&PAGE.to_string());
        Ok(())
    }
}

/// The states of those of these analyses that are of the project. The project is compared because
/// any client of the database can send a notification. The findings are counted through an index on
/// `analysis_id` alone.
pub(crate) struct StatesOf {
    pub(crate) ids: Vec<AnalysisId>,
    pub(crate) project_id: Option<ProjectId>,
}

impl Statement for StatesOf {
    type SqlType = (Uuid, Uuid, AnalysisType, AnalysisStatus, Integer, BigInt);
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT a.id, a.project_id, a.type, a.status, a.progress, \
             (SELECT pg_catalog.count(*) FROM analysis.analysis_issues AS i WHERE i.analysis_id = a.id) \
             FROM analysis.analyses AS a WHERE a.id = ",
        );
        push_any_of(&mut out, &self.ids)?;
        out.push_sql(" AND a.project_id = COALESCE(");
        out.push_bind_param::<Nullable<Uuid>, _>(&self.project_id)?;
        out.push_sql(", a.project_id)");
        Ok(())
    }
}

/// The server's time.
pub(crate) struct Now;

impl Statement for Now {
    type SqlType = Timestamptz;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT pg_catalog.statement_timestamp()");
        Ok(())
    }
}

/// The timeline that the server writes, of which every failover begins a new one.
pub(crate) struct Timeline;

impl Statement for Timeline {
    type SqlType = Text;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(concat!("SELECT ", timeline!()));
        Ok(())
    }
}
