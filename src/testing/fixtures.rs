//! Rows for unit tests, made without a database.

use std::sync::atomic::{AtomicU64, Ordering};

use bigdecimal::BigDecimal;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use ipnetwork::IpNetwork;
use uuid::Uuid;

use crate::*;

/// A row that a unit test can have without a database.
///
/// All rows of this crate implement it. An application implements it for the rows of its own
/// tables.
pub trait Fixture: Sized {
    /// Creates a row with plausible values that the database would accept.
    ///
    /// Each call returns a row with another key and other unique values. The rows that it refers to
    /// have new keys, too.
    fn fixture() -> Self;
}

/// Creates a row with plausible values that the database would accept, for a unit test.
///
/// Each call returns a row with another key and other unique values. Fields can be assigned;
/// [`builder`] sets them in a chain.
///
/// # Examples
/// ```
/// use wundr_db::{User, UserRole, testing};
///
/// fn may_invite(user: &User) -> bool {
///     user.is_active && user.role == UserRole::Admin
/// }
///
/// assert!(!may_invite(&testing::fixture::<User>()));
/// assert!(may_invite(&testing::builder::<User>().role(UserRole::Admin).build()));
/// ```
#[must_use]
pub fn fixture<R: Fixture>() -> R {
    R::fixture()
}

/// Creates a builder of a row, which begins with the values of [`fixture`].
///
/// # Examples
/// ```
/// use wundr_db::{Analysis, AnalysisIssue, IssueSeverity, testing};
///
/// let analysis: Analysis = testing::fixture();
/// let issue = testing::builder::<AnalysisIssue>()
///     .analysis_id(analysis.id)
///     .severity(IssueSeverity::Critical)
///     .line_number(None)
///     .build();
/// assert_eq!((issue.analysis_id, issue.line_number), (analysis.id, None));
/// ```
pub fn builder<R: Fixture>() -> RowBuilder<R> {
    RowBuilder(R::fixture())
}

/// A builder of a row for a unit test. It has a setter for each field of the row.
///
/// The setter of a nullable column takes a value, an `Option` or a [`Change`].
#[derive(Debug, Clone)]
#[must_use]
pub struct RowBuilder<R>(R);

impl<R> RowBuilder<R> {
    /// Returns the row.
    #[must_use]
    pub fn build(self) -> R {
        self.0
    }
}

/// Returns a number that no other call in this process returns.
fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Returns the time at which the rows of fixtures were created: 2025-01-02 03:04:05 UTC.
fn created() -> DateTime<Utc> {
    DateTime::from_timestamp(1_735_787_045, 0).unwrap_or_default()
}

/// Returns the time in a day, in the microseconds that PostgreSQL stores.
fn tomorrow() -> DateTime<Utc> {
    let time = Utc::now() + TimeDelta::days(1);
    time.duration_trunc(TimeDelta::microseconds(1))
        .unwrap_or(time)
}

/// Returns `{}`.
fn empty() -> Document {
    serde_json::Map::new().into()
}

/// Returns `[]`.
fn none() -> Document {
    Vec::<serde_json::Value>::new().into()
}

/// Implements [`Fixture`] and the setters of rows, which have required fields and nullable ones.
macro_rules! fixtures {
    ($($row:ident {
        $($field:ident: $type:ty = $value:expr,)*
    } nullable {
        $($nullable:ident: $inner:ty = $option:expr,)*
    })*) => {$(
        impl Fixture for $row {
            fn fixture() -> Self {
                Self { $($field: $value,)* $($nullable: $option,)* }
            }
        }

        impl RowBuilder<$row> {
            $(
                #[doc = concat!("Sets the field `", stringify!($field), "`.")]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.0.$field = $field.into();
                    self
                }
            )*
            $(
                #[doc = concat!("Sets the field `", stringify!($nullable), "`, or clears it.")]
                pub fn $nullable(mut self, $nullable: impl Into<Change<$inner>>) -> Self {
                    match $nullable.into() {
                        Change::Keep => {}
                        Change::Clear => self.0.$nullable = None,
                        Change::Set(value) => self.0.$nullable = Some(value),
                    }
                    self
                }
            )*
        }

        impl From<RowBuilder<$row>> for $row {
            fn from(builder: RowBuilder<$row>) -> Self {
                builder.0
            }
        }
    )*};
}

fixtures! {
    User {
        id: UserId = UserId::new(),
        email: String = format!("ada-{}@example.org", next()),
        name: String = "Ada Lovelace".to_owned(),
        role: UserRole = UserRole::Developer,
        preferences: Document = empty(),
        is_active: bool = true,
        email_verified: bool = true,
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        avatar_url: String = None,
        github_username: String = None,
        last_login_at: DateTime<Utc> = None,
    }
    UserSession {
        id: UserSessionId = UserSessionId::new(),
        user_id: UserId = UserId::new(),
        token_hash: String = format!("{:064x}", next()),
        expires_at: DateTime<Utc> = tomorrow(),
        created_at: DateTime<Utc> = created(),
        last_used_at: DateTime<Utc> = created(),
    } nullable {
        refresh_token_hash: String = Some(format!("{:064x}", next())),
        user_agent: String = Some("Mozilla/5.0".to_owned()),
        ip_address: IpNetwork = Some(IpNetwork::from(std::net::IpAddr::from([192, 0, 2, 1]))),
    }
    Organization {
        id: OrganizationId = OrganizationId::new(),
        name: String = "Acme".to_owned(),
        slug: String = format!("acme-{}", next()),
        settings: Document = empty(),
        subscription_plan: SubscriptionPlan = SubscriptionPlan::Free,
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        description: String = None,
    }
    OrganizationMember {
        id: OrganizationMemberId = OrganizationMemberId::new(),
        organization_id: OrganizationId = OrganizationId::new(),
        user_id: UserId = UserId::new(),
        role: OrganizationRole = OrganizationRole::Member,
        joined_at: DateTime<Utc> = created(),
    } nullable {
        invited_by: UserId = None,
    }
    Invitation {
        id: InvitationId = InvitationId::new(),
        organization_id: OrganizationId = OrganizationId::new(),
        user_id: UserId = UserId::new(),
        role: OrganizationRole = OrganizationRole::Member,
        invited_at: DateTime<Utc> = created(),
        expires_at: DateTime<Utc> = tomorrow(),
    } nullable {
        invited_by: UserId = Some(UserId::new()),
    }
    Project {
        id: ProjectId = ProjectId::new(),
        name: String = "Engine".to_owned(),
        configuration: Document = empty(),
        status: ProjectStatus = ProjectStatus::Active,
        visibility: ProjectVisibility = ProjectVisibility::Private,
        created_by: UserId = UserId::new(),
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        organization_id: OrganizationId = Some(OrganizationId::new()),
        description: String = None,
        repository_url: String = Some(format!("https://github.com/example/engine-{}", next())),
        repository_provider: RepositoryProvider = Some(RepositoryProvider::Github),
        repository_data: Document = None,
        last_analyzed_at: DateTime<Utc> = None,
    }
    ProjectMember {
        id: ProjectMemberId = ProjectMemberId::new(),
        project_id: ProjectId = ProjectId::new(),
        user_id: UserId = UserId::new(),
        role: ProjectRole = ProjectRole::Contributor,
        added_at: DateTime<Utc> = created(),
    } nullable {
        added_by: UserId = None,
    }
    ProjectStats {
        id: ProjectId = ProjectId::new(),
        name: String = "Engine".to_owned(),
        total_analyses: i64 = 2,
        completed_analyses: i64 = 1,
        member_count: i64 = 3,
    } nullable {
        last_analysis_at: DateTime<Utc> = Some(created()),
        avg_quality_score: BigDecimal = Some(BigDecimal::from(87)),
    }
    Analysis {
        id: AnalysisId = AnalysisId::new(),
        project_id: ProjectId = ProjectId::new(),
        r#type: AnalysisType = AnalysisType::Quality,
        status: AnalysisStatus = AnalysisStatus::Pending,
        progress: i32 = 0,
        configuration: Document = empty(),
        created_by: UserId = UserId::new(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        results: Document = None,
        summary: Json<AnalysisSummary> = None,
        error_message: String = None,
        started_at: DateTime<Utc> = None,
        completed_at: DateTime<Utc> = None,
        duration_seconds: i32 = None,
    }
    AnalysisResult {
        id: AnalysisResultId = AnalysisResultId::new(),
        analysis_id: AnalysisId = AnalysisId::new(),
        file_path: String = "src/engine.rs".to_owned(),
        metrics: Json<Fields> = Fields::new().into(),
        issues: Json<Vec<Document>> = Vec::<Document>::new().into(),
        dependencies: Json<Vec<String>> = Vec::<String>::new().into(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        file_hash: String = Some(format!("{:064x}", next())),
    }
    AnalysisIssue {
        id: AnalysisIssueId = AnalysisIssueId::new(),
        analysis_id: AnalysisId = AnalysisId::new(),
        r#type: IssueType = IssueType::CodeQuality,
        severity: IssueSeverity = IssueSeverity::Medium,
        title: String = "variable is never used".to_owned(),
        file_path: String = "src/engine.rs".to_owned(),
        status: IssueStatus = IssueStatus::Open,
        created_at: DateTime<Utc> = created(),
    } nullable {
        rule_id: String = Some("unused-variable".to_owned()),
        description: String = None,
        line_number: i32 = Some(12),
        column_number: i32 = Some(5),
        end_line_number: i32 = Some(12),
        end_column_number: i32 = Some(9),
        code_snippet: String = Some("let gear = 1;".to_owned()),
        fix_suggestion: String = None,
        estimated_fix_time: i32 = Some(5),
        resolved_at: DateTime<Utc> = None,
        resolved_by: UserId = None,
    }
    AnalysisMetric {
        id: AnalysisMetricId = AnalysisMetricId::new(),
        analysis_id: AnalysisId = AnalysisId::new(),
        metric_name: String = "coverage".to_owned(),
        category: MetricCategory = MetricCategory::Coverage,
        created_at: DateTime<Utc> = created(),
    } nullable {
        metric_value: BigDecimal = Some(BigDecimal::from(87)),
        metric_unit: String = Some("percent".to_owned()),
        description: String = None,
        trend_direction: TrendDirection = Some(TrendDirection::Stable),
    }
    DependencyGraph {
        id: DependencyGraphId = DependencyGraphId::new(),
        project_id: ProjectId = ProjectId::new(),
        graph_data: Document = empty(),
        metadata: Document = empty(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        analysis_id: AnalysisId = Some(AnalysisId::new()),
    }
    DuplicateGroup {
        id: DuplicateGroupId = DuplicateGroupId::new(),
        analysis_id: AnalysisId = AnalysisId::new(),
        hash: String = format!("{:064x}", next()),
        similarity_percentage: BigDecimal = BigDecimal::from(100),
        total_lines: i32 = 24,
        files: Json<Vec<DuplicateFile>> = ["src/engine.rs", "src/gear.rs"]
            .map(|path| DuplicateFile {
                path: path.to_owned(),
                start_line: 1,
                end_line: 12,
                extra: Fields::new(),
            })
            .to_vec()
            .into(),
        created_at: DateTime<Utc> = created(),
    } nullable {}
    SetupProfile {
        id: SetupProfileId = SetupProfileId::new(),
        name: String = "Rust workstation".to_owned(),
        category: SetupCategory = SetupCategory::Backend,
        configuration: Document = empty(),
        tools: Document = none(),
        templates: Document = none(),
        prerequisites: Document = none(),
        visibility: ProfileVisibility = ProfileVisibility::Organization,
        is_featured: bool = false,
        created_by: UserId = UserId::new(),
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        description: String = None,
        estimated_duration: i32 = Some(15),
        organization_id: OrganizationId = Some(OrganizationId::new()),
    }
    SetupSession {
        id: SetupSessionId = SetupSessionId::new(),
        profile_id: SetupProfileId = SetupProfileId::new(),
        user_id: UserId = UserId::new(),
        status: SessionStatus = SessionStatus::Pending,
        progress: i32 = 0,
        configuration: Document = empty(),
        logs: Document = none(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        current_step: String = None,
        error_message: String = None,
        started_at: DateTime<Utc> = None,
        completed_at: DateTime<Utc> = None,
        duration_seconds: i32 = None,
    }
    SetupStep {
        id: SetupStepId = SetupStepId::new(),
        session_id: SetupSessionId = SetupSessionId::new(),
        name: String = "install the compiler".to_owned(),
        step_order: i32 = 1,
        status: StepStatus = StepStatus::Pending,
        created_at: DateTime<Utc> = created(),
    } nullable {
        description: String = None,
        tool_name: String = Some("rust".to_owned()),
        command: String = Some("rustup update stable".to_owned()),
        logs: String = None,
        error_message: String = None,
        started_at: DateTime<Utc> = None,
        completed_at: DateTime<Utc> = None,
        duration_seconds: i32 = None,
    }
    Tool {
        id: ToolId = ToolId::new(),
        name: String = format!("rust-{}", next()),
        category: ToolCategory = ToolCategory::Runtime,
        supported_platforms: Vec<Platform> = vec![Platform::Linux, Platform::Macos],
        metadata: Document = empty(),
        is_active: bool = true,
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        version: String = Some("1.92.0".to_owned()),
        description: String = None,
        install_command: String = Some("rustup toolchain install stable".to_owned()),
        verify_command: String = Some("rustc --version".to_owned()),
        configuration_schema: Document = None,
        dependencies: Vec<String> = None,
    }
    Configuration {
        id: ConfigurationId = ConfigurationId::new(),
        scope: ConfigScope = ConfigScope::Organization,
        category: ConfigCategory = ConfigCategory::General,
        name: String = format!("setting-{}", next()),
        value: SettingValue = SettingValue::Plain(true.into()),
        is_encrypted: bool = false,
        created_by: UserId = UserId::new(),
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        organization_id: OrganizationId = Some(OrganizationId::new()),
        project_id: ProjectId = None,
        description: String = None,
    }
    Integration {
        id: IntegrationId = IntegrationId::new(),
        r#type: IntegrationType = IntegrationType::Slack,
        name: String = "Chat of the team".to_owned(),
        configuration: Document = empty(),
        is_enabled: bool = true,
        sync_status: SyncStatus = SyncStatus::Never,
        created_by: UserId = UserId::new(),
        created_at: DateTime<Utc> = created(),
        updated_at: DateTime<Utc> = created(),
    } nullable {
        organization_id: OrganizationId = Some(OrganizationId::new()),
        project_id: ProjectId = None,
        credentials: Protected<Document> = None,
        webhook_url: String = None,
        webhook_secret: Protected<String> = None,
        last_sync_at: DateTime<Utc> = None,
    }
    AuditLog {
        id: AuditLogId = AuditLogId::new(),
        action: AuditAction = AuditAction::Update,
        resource_type: String = "project".to_owned(),
        metadata: Document = empty(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        user_id: UserId = Some(UserId::new()),
        organization_id: OrganizationId = Some(OrganizationId::new()),
        resource_id: Uuid = Some(Uuid::now_v7()),
        old_values: Document = None,
        new_values: Document = None,
        ip_address: IpNetwork = None,
        user_agent: String = None,
    }
    SystemLog {
        id: SystemLogId = SystemLogId::new(),
        level: LogLevel = LogLevel::Info,
        service: String = "api".to_owned(),
        message: String = "the service has started".to_owned(),
        created_at: DateTime<Utc> = created(),
    } nullable {
        component: String = None,
        data: Document = None,
        correlation_id: Uuid = None,
        request_id: Uuid = None,
        user_id: UserId = None,
    }
}

impl RowBuilder<Analysis> {
    /// Makes it a completed run between these times: sets status, progress, both times and the
    /// duration.
    ///
    /// The duration is rounded and at least 1 second.
    pub fn completed(mut self, started_at: DateTime<Utc>, completed_at: DateTime<Utc>) -> Self {
        let seconds = (completed_at - started_at).as_seconds_f64().round();
        self.0.status = AnalysisStatus::Completed;
        self.0.progress = 100;
        self.0.started_at = Some(started_at);
        self.0.completed_at = Some(completed_at);
        // Saturates if there are more seconds than the column can hold.
        self.0.duration_seconds = Some((seconds as i32).max(1));
        self
    }
}
