//! Whether the database answers.

use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Integer};

/// What [`Db::health`](crate::Db::health) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How long a checkout and a statement took together.
    pub round_trip: Duration,
    /// The server's version, for example 150012 for 15.12.
    pub server_version: i32,
    /// Whether the server is a standby, which refuses writes.
    pub is_standby: bool,
    /// Connections that are open.
    pub connections: u32,
    /// Connections of these that nobody uses.
    pub idle_connections: u32,
}

#[derive(QueryableByName)]
pub(crate) struct Probe {
    #[diesel(sql_type = Integer)]
    pub(crate) server_version: i32,
    #[diesel(sql_type = Bool)]
    pub(crate) is_standby: bool,
}

pub(crate) const PROBE: &str = "SELECT current_setting('server_version_num')::integer AS server_version, \
                                pg_catalog.pg_is_in_recovery() AS is_standby";
