//! The row types of tokio-postgres, sqlx and sea-orm, with the same field types as wundr-db's own.

use sea_orm::entity::prelude::*;
use tokio_postgres::Row;

macro_rules! words {
    ($($name:ident as $type:tt { $($value:ident = $word:tt),* })*) => {$(
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq,
            postgres_types::FromSql, postgres_types::ToSql, sqlx::Encode, EnumIter, DeriveActiveEnum,
        )]
        #[postgres(name = $type)]
        #[sqlx(rename_all = "snake_case")]
        #[sea_orm(rs_type = "String", db_type = "Enum", enum_name = $type)]
        pub enum $name {
            $(#[postgres(name = $word)] #[sea_orm(string_value = $word)] $value,)*
        }
    )*};
}

words! {
    SubscriptionPlan as "subscription_plan" {
        Free = "free", Professional = "professional", Enterprise = "enterprise"
    }
    RepositoryProvider as "repository_provider" {
        Github = "github", Gitlab = "gitlab", Bitbucket = "bitbucket", AzureDevops = "azure_devops", Local = "local"
    }
    ProjectStatus as "project_status" { Active = "active", Archived = "archived", Deleted = "deleted" }
    ProjectVisibility as "project_visibility" { Private = "private", Internal = "internal", Public = "public" }
    IssueType as "issue_type" {
        CodeQuality = "code_quality", Security = "security", Performance = "performance",
        Maintainability = "maintainability", Accessibility = "accessibility", BestPractice = "best_practice",
        DuplicateCode = "duplicate_code", Dependency = "dependency"
    }
    IssueSeverity as "issue_severity" {
        Critical = "critical", High = "high", Medium = "medium", Low = "low", Info = "info"
    }
    AuditAction as "audit_action" {
        Create = "create", Read = "read", Update = "update", Delete = "delete", Login = "login", Logout = "logout",
        Invite = "invite", Accept = "accept", Reject = "reject"
    }
    IssueStatus as "issue_status" {
        Open = "open", Resolved = "resolved", Ignored = "ignored", FalsePositive = "false_positive"
    }
}

pub mod organizations {
    use super::*;

    pub const COLUMNS: &str =
        "id, name, slug, description, settings, subscription_plan, created_at, updated_at";

    #[derive(Debug, Clone, PartialEq, DeriveEntityModel, sqlx::FromRow)]
    #[sea_orm(schema_name = "public", table_name = "organizations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        #[sea_orm(unique)]
        pub slug: String,
        pub description: Option<String>,
        #[sea_orm(column_type = "JsonBinary")]
        pub settings: Json,
        pub subscription_plan: SubscriptionPlan,
        pub created_at: DateTimeUtc,
        pub updated_at: DateTimeUtc,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl TryFrom<&Row> for Model {
        type Error = tokio_postgres::Error;

        fn try_from(row: &Row) -> Result<Self, Self::Error> {
            Ok(Self {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                slug: row.try_get(2)?,
                description: row.try_get(3)?,
                settings: row.try_get(4)?,
                subscription_plan: row.try_get(5)?,
                created_at: row.try_get(6)?,
                updated_at: row.try_get(7)?,
            })
        }
    }
}

pub mod projects {
    use super::*;

    pub const COLUMNS: &str = "id, organization_id, name, description, repository_url, repository_provider, repository_data, configuration, status, visibility, created_by, created_at, updated_at, last_analyzed_at";

    #[derive(Debug, Clone, PartialEq, DeriveEntityModel, sqlx::FromRow)]
    #[sea_orm(schema_name = "public", table_name = "projects")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub organization_id: Option<Uuid>,
        pub name: String,
        pub description: Option<String>,
        pub repository_url: Option<String>,
        pub repository_provider: Option<RepositoryProvider>,
        #[sea_orm(column_type = "JsonBinary", nullable)]
        pub repository_data: Option<Json>,
        #[sea_orm(column_type = "JsonBinary")]
        pub configuration: Json,
        pub status: ProjectStatus,
        pub visibility: ProjectVisibility,
        pub created_by: Uuid,
        pub created_at: DateTimeUtc,
        pub updated_at: DateTimeUtc,
        pub last_analyzed_at: Option<DateTimeUtc>,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl TryFrom<&Row> for Model {
        type Error = tokio_postgres::Error;

        fn try_from(row: &Row) -> Result<Self, Self::Error> {
            Ok(Self {
                id: row.try_get(0)?,
                organization_id: row.try_get(1)?,
                name: row.try_get(2)?,
                description: row.try_get(3)?,
                repository_url: row.try_get(4)?,
                repository_provider: row.try_get(5)?,
                repository_data: row.try_get(6)?,
                configuration: row.try_get(7)?,
                status: row.try_get(8)?,
                visibility: row.try_get(9)?,
                created_by: row.try_get(10)?,
                created_at: row.try_get(11)?,
                updated_at: row.try_get(12)?,
                last_analyzed_at: row.try_get(13)?,
            })
        }
    }
}

pub mod issues {
    use super::*;

    pub const COLUMNS: &str = "id, analysis_id, type, severity, rule_id, title, description, file_path, line_number, column_number, end_line_number, end_column_number, code_snippet, fix_suggestion, estimated_fix_time, status, resolved_at, resolved_by, created_at";

    #[derive(Debug, Clone, PartialEq, DeriveEntityModel, sqlx::FromRow)]
    #[sea_orm(schema_name = "analysis", table_name = "analysis_issues")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub analysis_id: Uuid,
        #[sea_orm(column_name = "type")]
        #[sqlx(rename = "type")]
        pub kind: IssueType,
        pub severity: IssueSeverity,
        pub rule_id: Option<String>,
        pub title: String,
        pub description: Option<String>,
        pub file_path: String,
        pub line_number: Option<i32>,
        pub column_number: Option<i32>,
        pub end_line_number: Option<i32>,
        pub end_column_number: Option<i32>,
        pub code_snippet: Option<String>,
        pub fix_suggestion: Option<String>,
        pub estimated_fix_time: Option<i32>,
        pub status: IssueStatus,
        pub resolved_at: Option<DateTimeUtc>,
        pub resolved_by: Option<Uuid>,
        pub created_at: DateTimeUtc,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl TryFrom<&Row> for Model {
        type Error = tokio_postgres::Error;

        fn try_from(row: &Row) -> Result<Self, Self::Error> {
            Ok(Self {
                id: row.try_get(0)?,
                analysis_id: row.try_get(1)?,
                kind: row.try_get(2)?,
                severity: row.try_get(3)?,
                rule_id: row.try_get(4)?,
                title: row.try_get(5)?,
                description: row.try_get(6)?,
                file_path: row.try_get(7)?,
                line_number: row.try_get(8)?,
                column_number: row.try_get(9)?,
                end_line_number: row.try_get(10)?,
                end_column_number: row.try_get(11)?,
                code_snippet: row.try_get(12)?,
                fix_suggestion: row.try_get(13)?,
                estimated_fix_time: row.try_get(14)?,
                status: row.try_get(15)?,
                resolved_at: row.try_get(16)?,
                resolved_by: row.try_get(17)?,
                created_at: row.try_get(18)?,
            })
        }
    }
}

/// The entries of the audit log, which only tokio-postgres reads with this type.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditLog {
    pub id: Uuid,
    pub user_id: Option<Uuid>,
    pub organization_id: Option<Uuid>,
    pub action: AuditAction,
    pub resource_type: String,
    pub resource_id: Option<Uuid>,
    pub old_values: Option<Json>,
    pub new_values: Option<Json>,
    pub metadata: Json,
    pub ip_address: Option<std::net::IpAddr>,
    pub user_agent: Option<String>,
    pub created_at: DateTimeUtc,
}

pub const AUDIT_LOG: &str = "id, user_id, organization_id, action, resource_type, resource_id, old_values, \
    new_values, metadata, ip_address, user_agent, created_at";

impl TryFrom<&Row> for AuditLog {
    type Error = tokio_postgres::Error;

    fn try_from(row: &Row) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            organization_id: row.try_get(2)?,
            action: row.try_get(3)?,
            resource_type: row.try_get(4)?,
            resource_id: row.try_get(5)?,
            old_values: row.try_get(6)?,
            new_values: row.try_get(7)?,
            metadata: row.try_get(8)?,
            ip_address: row.try_get(9)?,
            user_agent: row.try_get(10)?,
            created_at: row.try_get(11)?,
        })
    }
}

/// Decodes every row.
pub fn decoded<T>(rows: &[Row]) -> Result<Vec<T>, tokio_postgres::Error>
where
    T: for<'r> TryFrom<&'r Row, Error = tokio_postgres::Error>,
{
    rows.iter().map(T::try_from).collect()
}
