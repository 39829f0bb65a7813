//! What can be refused before it is sent, so that the error names the column.
//!
//! PostgreSQL says of a text that is too long for its column which type it has, not which column it is, and has by
//! then failed the transaction. The bounds themselves stand in `schema.rs` alone.

use std::marker::PhantomData;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use diesel::query_source::SizeRestrictedColumn;
use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::{Change, Error, Json, Result};

/// The largest number of characters in a column, if it has a bound.
#[derive(Debug, Clone, Copy)]
pub struct Limit<C>(PhantomData<C>);

impl<C> Limit<C> {
    /// For the column `C`.
    pub const NEW: Self = Self(PhantomData);
}

/// A column with a bound. Found before [`Unlimited`] by method resolution.
pub trait Limited {
    /// The bound.
    fn characters(&self) -> Option<usize>;
}

impl<C: SizeRestrictedColumn> Limited for Limit<C> {
    fn characters(&self) -> Option<usize> {
        Some(C::MAX_LENGTH)
    }
}

/// A column without a bound.
pub trait Unlimited {
    /// None.
    fn characters(&self) -> Option<usize> {
        None
    }
}

impl<C> Unlimited for &Limit<C> {}

/// A value that a column may refuse.
pub trait Storable {
    /// What is wrong with the value, if anything.
    fn objection(&self, characters: Option<usize>) -> Option<String>;
}

/// Refuses a value that the column cannot hold.
///
/// # Errors
/// [`Error::InvalidInput`] with the column's name.
pub fn check(value: &impl Storable, column: &'static str, characters: Option<usize>) -> Result<()> {
    match value.objection(characters) {
        Some(objection) => Err(Error::invalid(column, objection)),
        None => Ok(()),
    }
}

impl Storable for String {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        if self.contains('\0') {
            return Some("holds the character U+0000, which PostgreSQL cannot store".to_owned());
        }
        let limit = characters.filter(|&limit| self.len() > limit)?;
        let length = self.chars().count();
        (length > limit).then(|| format!("has {length} characters, at most {limit} can be stored"))
    }
}

impl Storable for Value {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        match self {
            Value::String(text) => text.objection(None),
            Value::Array(values) => values.iter().find_map(|value| value.objection(None)),
            Value::Object(fields) => fields
                .iter()
                .find_map(|(name, value)| name.objection(None).or_else(|| value.objection(None))),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
}

impl<T: serde::Serialize> Storable for Json<T> {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        match self.to_value() {
            Ok(value) => value.objection(None),
            Err(error) => Some(error.to_string()),
        }
    }
}

impl<T: Storable> Storable for Option<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.as_ref()?.objection(characters)
    }
}

impl<T: Storable> Storable for Vec<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.iter().find_map(|value| value.objection(characters))
    }
}

impl<T: Storable> Storable for Change<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.value()?.objection(characters)
    }
}

macro_rules! always_storable {
    ($($type:ty),* $(,)?) => {$(
        impl Storable for $type {
            fn objection(&self, _: Option<usize>) -> Option<String> {
                None
            }
        }
    )*};
}
always_storable!(bool, i32, BigDecimal, DateTime<Utc>, IpNetwork);

macro_rules! ids_and_enums_are_storable {
    ($($type:ident),* $(,)?) => { always_storable!($(crate::$type),*); };
}
ids_and_enums_are_storable!(
    UserId,
    UserSessionId,
    OrganizationId,
    OrganizationMemberId,
    ProjectId,
    ProjectMemberId,
    AnalysisId,
    AnalysisResultId,
    AnalysisIssueId,
    AnalysisMetricId,
    DependencyGraphId,
    DuplicateGroupId,
    SetupProfileId,
    SetupSessionId,
    SetupStepId,
    ToolId,
    ConfigurationId,
    IntegrationId,
    AuditLogId,
    SystemLogId,
    UserRole,
    SubscriptionPlan,
    OrganizationRole,
    RepositoryProvider,
    ProjectStatus,
    ProjectVisibility,
    ProjectRole,
    AnalysisType,
    AnalysisStatus,
    IssueType,
    IssueSeverity,
    IssueStatus,
    MetricCategory,
    TrendDirection,
    SetupCategory,
    ProfileVisibility,
    SessionStatus,
    StepStatus,
    ToolCategory,
    Platform,
    ConfigScope,
    ConfigCategory,
    IntegrationType,
    SyncStatus,
    AuditAction,
    LogLevel,
);
