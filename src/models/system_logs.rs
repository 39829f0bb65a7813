//! `audit.system_logs`: the log of the platform's services.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wundr_db_macros::{Filter, NewRow, TableRow};

use super::User;
use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::audit::system_logs;
use crate::types::timestamp::AnyTime;
use crate::{Document, LogLevel, SystemLogId, UserId};

/// A line of the system log: a row of the design's `system_logs`. It is written once and never
/// changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable, Associations)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = system_logs, primary_key(id, created_at))]
#[diesel(belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct SystemLog {
    /// Primary key, together with `created_at`.
    pub id: SystemLogId,
    /// The level.
    pub level: LogLevel,
    /// The service that wrote the line.
    pub service: String,
    /// The component of the service.
    pub component: Option<String>,
    /// The message.
    pub message: String,
    /// Structured fields of the message.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub data: Option<Document>,
    /// The id that the lines of one operation share across services.
    pub correlation_id: Option<Uuid>,
    /// The id that the lines of one request share.
    pub request_id: Option<Uuid>,
    /// The user on whose behalf the service acted.
    pub user_id: Option<UserId>,
    /// The time of the event. Its month in UTC determines the partition.
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A line to be written to the system log.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = system_logs, row = SystemLog)]
#[non_exhaustive]
pub struct NewSystemLog {
    /// Primary key. Default: [`SystemLogId::new`].
    #[row(default = SystemLogId::new())]
    pub id: SystemLogId,
    /// The level.
    pub level: LogLevel,
    /// The service that wrote the line, at most 100 characters.
    pub service: String,
    /// The component of the service, at most 100 characters.
    pub component: Option<String>,
    /// The message.
    pub message: String,
    /// Structured fields of the message.
    pub data: Option<Document>,
    /// The id that the lines of one operation share across services.
    pub correlation_id: Option<Uuid>,
    /// The id that the lines of one request share.
    pub request_id: Option<Uuid>,
    /// The user on whose behalf the service acted.
    pub user_id: Option<UserId>,
    /// The time of the event. Its month in UTC determines the partition. Default: `now()`.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// A filter for lines of the system log. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SystemLogFilter {
    /// Only lines of this level.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub level: Option<LogLevel>,
    /// Only lines of this level or a more severe one.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub at_least: Option<LogLevel>,
    /// Only lines of this service.
    pub service: Option<String>,
    /// Only lines of this component.
    pub component: Option<String>,
    /// Only lines with this correlation id.
    pub correlation_id: Option<Uuid>,
    /// Only lines of this request.
    pub request_id: Option<Uuid>,
    /// Only lines about work for this user.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub user_id: Option<UserId>,
    /// Only lines with this text in the message, ignoring case. There is no index for it, so
    /// restrict the time, too.
    pub search: Option<String>,
    /// Only lines of this time or later. Months outside both times are not read.
    pub created_from: Option<DateTime<Utc>>,
    /// Only lines from before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SystemLogFilter {
    /// Checks whether the filter restricts nothing but the times.
    pub(crate) fn names_times_only(&self) -> bool {
        let times = Self {
            created_from: self.created_from,
            created_before: self.created_before,
            ..Self::default()
        };
        *self == times
    }

    pub(crate) fn query(&self) -> system_logs::BoxedQuery<'_, Pg, RowSql<SystemLog>> {
        let mut query = system_logs::table
            .select(columns_of::<SystemLog>())
            .into_boxed();
        if let Some(level) = self.level {
            query = query.filter(condition(system_logs::table, system_logs::level.eq(level)));
        }
        if let Some(at_least) = self.at_least {
            query = query.filter(condition(
                system_logs::table,
                system_logs::level.ge(at_least),
            ));
        }
        if let Some(service) = &self.service {
            query = query.filter(condition(
                system_logs::table,
                system_logs::service.eq(service),
            ));
        }
        if let Some(component) = &self.component {
            query = query.filter(condition(
                system_logs::table,
                system_logs::component.eq(component),
            ));
        }
        if let Some(correlation_id) = self.correlation_id {
            query = query.filter(condition(
                system_logs::table,
                system_logs::correlation_id.eq(correlation_id),
            ));
        }
        if let Some(request_id) = self.request_id {
            query = query.filter(condition(
                system_logs::table,
                system_logs::request_id.eq(request_id),
            ));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(condition(
                system_logs::table,
                system_logs::user_id.eq(user_id),
            ));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                system_logs::table,
                crate::mapping::expressions::matches_text!(system_logs::message, pattern),
            ));
        }
        if let Some(from) = self.created_from {
            query = query.filter(condition(
                system_logs::table,
                system_logs::created_at.ge(AnyTime::of_filter(from)),
            ));
        }
        if let Some(before) = self.created_before {
            query = query.filter(condition(
                system_logs::table,
                system_logs::created_at.lt(AnyTime::of_filter(before)),
            ));
        }
        query
    }
}

orders! {
    /// The order in which lines of the system log are listed.
    SystemLogOrder of SystemLog in system_logs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
