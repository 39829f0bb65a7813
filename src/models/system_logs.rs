//! `audit.system_logs`: what the platform's services report.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wundr_db_macros::{Filter, NewRow};

use super::User;
use crate::page::orders;
use crate::schema::audit::system_logs;
use crate::{Document, LogLevel, SystemLogId, UserId};

/// A line of the system log: a row of the design's `system_logs`. It is written once and never changed.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Serialize,
    Deserialize,
    Queryable,
    Selectable,
    Identifiable,
    Associations,
)]
#[diesel(table_name = system_logs, primary_key(id, created_at), check_for_backend(Pg))]
#[diesel(belongs_to(User, foreign_key = user_id))]
#[non_exhaustive]
pub struct SystemLog {
    /// Key, together with `created_at`.
    pub id: SystemLogId,
    /// How grave it is.
    pub level: LogLevel,
    /// The service that reports.
    pub service: String,
    /// The part of the service.
    pub component: Option<String>,
    /// What happened, in words.
    pub message: String,
    /// What happened, in fields.
    pub data: Option<Document>,
    /// Joins the lines of one piece of work across services.
    pub correlation_id: Option<Uuid>,
    /// Joins the lines of one request.
    pub request_id: Option<Uuid>,
    /// The user whom it was done for.
    pub user_id: Option<UserId>,
    /// When it happened. The month in UTC decides the partition.
    #[diesel(deserialize_as = crate::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
}

/// A line to be written to the system log.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = system_logs, row = SystemLog)]
pub struct NewSystemLog {
    /// Key; made by [`SystemLogId::new`] unless given.
    #[row(default = SystemLogId::new())]
    pub id: SystemLogId,
    /// How grave it is.
    pub level: LogLevel,
    /// The service that reports, at most 100 characters.
    pub service: String,
    /// The part of the service, at most 100 characters.
    pub component: Option<String>,
    /// What happened, in words.
    pub message: String,
    /// What happened, in fields.
    pub data: Option<Document>,
    /// Joins the lines of one piece of work across services.
    pub correlation_id: Option<Uuid>,
    /// Joins the lines of one request.
    pub request_id: Option<Uuid>,
    /// The user whom it was done for.
    pub user_id: Option<UserId>,
    /// Now unless given.
    #[row(or = "now()")]
    pub created_at: Option<DateTime<Utc>>,
}

/// Which lines of the system log are meant. What is not named does not matter.
#[derive(Debug, Clone, PartialEq, Default, Filter)]
pub struct SystemLogFilter {
    /// Of this level.
    pub level: Option<LogLevel>,
    /// Of this level or a graver one.
    pub at_least: Option<LogLevel>,
    /// Reported by this service.
    pub service: Option<String>,
    /// Reported by this part of a service.
    pub component: Option<String>,
    /// Of this piece of work.
    pub correlation_id: Option<Uuid>,
    /// Of this request.
    pub request_id: Option<Uuid>,
    /// Done for this user.
    pub user_id: Option<UserId>,
    /// With this text in the message, without regard to case. No index serves it: name a time range, too.
    pub search: Option<String>,
    /// Happened at this time or later. Both times keep months out of which nothing is wanted from being read.
    pub created_from: Option<DateTime<Utc>>,
    /// Happened before this time.
    pub created_before: Option<DateTime<Utc>>,
}

impl SystemLogFilter {
    /// Whether every entry of some time is meant.
    pub(crate) fn names_times_only(&self) -> bool {
        let times = Self {
            created_from: self.created_from,
            created_before: self.created_before,
            ..Self::default()
        };
        *self == times
    }

    pub(crate) fn query(&self) -> system_logs::BoxedQuery<'_, Pg> {
        let mut query = system_logs::table.into_boxed();
        if let Some(level) = self.level {
            query = query.filter(system_logs::level.eq(level));
        }
        if let Some(at_least) = self.at_least {
            query = query.filter(system_logs::level.ge(at_least));
        }
        if let Some(service) = &self.service {
            query = query.filter(system_logs::service.eq(service));
        }
        if let Some(component) = &self.component {
            query = query.filter(system_logs::component.eq(component));
        }
        if let Some(correlation_id) = self.correlation_id {
            query = query.filter(system_logs::correlation_id.eq(correlation_id));
        }
        if let Some(request_id) = self.request_id {
            query = query.filter(system_logs::request_id.eq(request_id));
        }
        if let Some(user_id) = self.user_id {
            query = query.filter(system_logs::user_id.eq(user_id));
        }
        if let Some(search) = &self.search {
            let pattern = crate::text::containing(search);
            query = query.filter(crate::text::matches_text!(system_logs::message, pattern));
        }
        if let Some(from) = self.created_from {
            query = query.filter(system_logs::created_at.ge(from));
        }
        if let Some(before) = self.created_before {
            query = query.filter(system_logs::created_at.lt(before));
        }
        query
    }
}

orders! {
    /// In which order lines of the system log are listed.
    SystemLogOrder of SystemLog in system_logs {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
    }
}
