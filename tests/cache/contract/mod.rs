use super::*;
use crate::servers::{self, REDIS, Raw, Turnstile};
use crate::wire::Wire;
use wundr_db::cache::{CacheConfig, CachedKind, Unfenced};
use wundr_db::testing::{PostgresServer, Proxy, ProxyMode, RedisServer, migrated_database};
use wundr_db::{
    AnalysisId, AnalysisSummary, AnalysisType, Config, ConfigCategory, Configuration,
    ConfigurationScope, Error, Json, MetricCategory, NewAnalysis, NewAnalysisMetric,
    NewConfiguration, NewOrganization, NewOrganizationMember, NewProject, NewProjectMember,
    NewSetupProfile, NewTool, NewUser, NewUserSession, OpenSession, OrganizationRole, Platform,
    Project, ProjectChanges, ProjectFilter, ProjectId, ProjectRole, Refreshed, Result,
    SessionClient, SessionKeys, SessionPolicy, SetupCategory, SubscriptionPlan, ToolCategory,
    ToolId, User, UserChanges, UserFilter, UserId, UserRole, UserSessionChanges,
};

include!("../pair.rs");

mod access;
mod caches;
mod doubles;
mod events;
mod faults;
mod foreign;
mod hostile;
mod isolation;
mod logins;
mod origin;
mod own_rows;
mod own_statements;
mod reach;
mod readers;
mod round_trips;
mod sealed;
mod sessions;
mod settings;
mod transactions;
