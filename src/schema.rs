//! The tables, as declared for diesel. A test compares them with the migrated database.
#![allow(missing_docs)]

pub(crate) mod together;

pub mod public {
    pub mod sql_types {
        use diesel::query_builder::QueryId;
        use diesel::sql_types::SqlType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "user_role", schema = "public"))]
        pub struct UserRole;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "subscription_plan", schema = "public"))]
        pub struct SubscriptionPlan;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "organization_role", schema = "public"))]
        pub struct OrganizationRole;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "repository_provider", schema = "public"))]
        pub struct RepositoryProvider;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "project_status", schema = "public"))]
        pub struct ProjectStatus;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "project_visibility", schema = "public"))]
        pub struct ProjectVisibility;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "project_role", schema = "public"))]
        pub struct ProjectRole;
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.users (id) {
            id -> Uuid,
            #[max_length = 255]
            email -> Varchar,
            #[max_length = 255]
            name -> Varchar,
            role -> UserRole,
            avatar_url -> Nullable<Text>,
            #[max_length = 255]
            github_username -> Nullable<Varchar>,
            preferences -> Jsonb,
            is_active -> Bool,
            email_verified -> Bool,
            last_login_at -> Nullable<Timestamptz>,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.user_sessions (id) {
            id -> Uuid,
            user_id -> Uuid,
            #[max_length = 255]
            token_hash -> Varchar,
            #[max_length = 255]
            refresh_token_hash -> Nullable<Varchar>,
            expires_at -> Timestamptz,
            created_at -> Timestamptz,
            last_used_at -> Timestamptz,
            user_agent -> Nullable<Text>,
            ip_address -> Nullable<Inet>,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        use super::sql_types::OrganizationRole;

        public.organization_invitations (id) {
            id -> Uuid,
            organization_id -> Uuid,
            user_id -> Uuid,
            role -> OrganizationRole,
            invited_by -> Nullable<Uuid>,
            invited_at -> Timestamptz,
            expires_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        public.user_session_families (session_id) {
            session_id -> Uuid,
            ends_at -> Timestamptz,
            #[max_length = 255]
            predecessor_hash -> Nullable<Varchar>,
            predecessor_until -> Nullable<Timestamptz>,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        public.rotated_refresh_tokens (token_hash) {
            #[max_length = 255]
            token_hash -> Varchar,
            session_id -> Uuid,
            expires_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.organizations (id) {
            id -> Uuid,
            #[max_length = 255]
            name -> Varchar,
            #[max_length = 100]
            slug -> Varchar,
            description -> Nullable<Text>,
            settings -> Jsonb,
            subscription_plan -> SubscriptionPlan,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.organization_members (id) {
            id -> Uuid,
            organization_id -> Uuid,
            user_id -> Uuid,
            role -> OrganizationRole,
            joined_at -> Timestamptz,
            invited_by -> Nullable<Uuid>,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.projects (id) {
            id -> Uuid,
            organization_id -> Nullable<Uuid>,
            #[max_length = 255]
            name -> Varchar,
            description -> Nullable<Text>,
            repository_url -> Nullable<Text>,
            repository_provider -> Nullable<RepositoryProvider>,
            repository_data -> Nullable<Jsonb>,
            configuration -> Jsonb,
            status -> ProjectStatus,
            visibility -> ProjectVisibility,
            created_by -> Uuid,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
            last_analyzed_at -> Nullable<Timestamptz>,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        public.project_members (id) {
            id -> Uuid,
            project_id -> Uuid,
            user_id -> Uuid,
            role -> ProjectRole,
            added_at -> Timestamptz,
            added_by -> Nullable<Uuid>,
        }
    }

    diesel::joinable!(user_sessions -> users (user_id));
    diesel::joinable!(organization_members -> organizations (organization_id));
    diesel::joinable!(projects -> organizations (organization_id));
    diesel::joinable!(projects -> users (created_by));
    diesel::joinable!(project_members -> projects (project_id));
    diesel::allow_tables_to_appear_in_same_query!(
        users,
        user_sessions,
        user_session_families,
        rotated_refresh_tokens,
        organizations,
        organization_invitations,
        organization_members,
        projects,
        project_members
    );
}

pub mod analysis {
    pub mod sql_types {
        use diesel::query_builder::QueryId;
        use diesel::sql_types::SqlType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "analysis_type", schema = "analysis"))]
        pub struct AnalysisType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "analysis_status", schema = "analysis"))]
        pub struct AnalysisStatus;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "issue_type", schema = "analysis"))]
        pub struct IssueType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "issue_severity", schema = "analysis"))]
        pub struct IssueSeverity;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "issue_status", schema = "analysis"))]
        pub struct IssueStatus;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "metric_category", schema = "analysis"))]
        pub struct MetricCategory;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "trend_direction", schema = "analysis"))]
        pub struct TrendDirection;
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analyses (id) {
            id -> Uuid,
            project_id -> Uuid,
            #[sql_name = "type"]
            r#type -> AnalysisType,
            status -> AnalysisStatus,
            progress -> Int4,
            configuration -> Jsonb,
            results -> Nullable<Jsonb>,
            summary -> Nullable<Jsonb>,
            error_message -> Nullable<Text>,
            started_at -> Nullable<Timestamptz>,
            completed_at -> Nullable<Timestamptz>,
            duration_seconds -> Nullable<Int4>,
            created_by -> Uuid,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_results (id) {
            id -> Uuid,
            analysis_id -> Uuid,
            file_path -> Text,
            #[max_length = 64]
            file_hash -> Nullable<Varchar>,
            metrics -> Jsonb,
            issues -> Jsonb,
            dependencies -> Jsonb,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_issues (id) {
            id -> Uuid,
            analysis_id -> Uuid,
            #[sql_name = "type"]
            r#type -> IssueType,
            severity -> IssueSeverity,
            #[max_length = 255]
            rule_id -> Nullable<Varchar>,
            #[max_length = 500]
            title -> Varchar,
            description -> Nullable<Text>,
            file_path -> Text,
            line_number -> Nullable<Int4>,
            column_number -> Nullable<Int4>,
            end_line_number -> Nullable<Int4>,
            end_column_number -> Nullable<Int4>,
            code_snippet -> Nullable<Text>,
            fix_suggestion -> Nullable<Text>,
            estimated_fix_time -> Nullable<Int4>,
            status -> IssueStatus,
            resolved_at -> Nullable<Timestamptz>,
            resolved_by -> Nullable<Uuid>,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_abandonments (analysis_id) {
            analysis_id -> Uuid,
            times -> Int4,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_leases (analysis_id) {
            analysis_id -> Uuid,
            worker -> Text,
            fence -> Int8,
            expires_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_metrics (id) {
            id -> Uuid,
            analysis_id -> Uuid,
            #[max_length = 255]
            metric_name -> Varchar,
            metric_value -> Nullable<Numeric>,
            #[max_length = 50]
            metric_unit -> Nullable<Varchar>,
            category -> MetricCategory,
            description -> Nullable<Text>,
            trend_direction -> Nullable<TrendDirection>,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_pins (analysis_id, reason) {
            analysis_id -> Uuid,
            #[max_length = 255]
            reason -> Varchar,
            pinned_by -> Nullable<Uuid>,
            pinned_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.analysis_removals (analysis_id) {
            analysis_id -> Uuid,
            begun_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.dependency_graphs (id) {
            id -> Uuid,
            project_id -> Uuid,
            analysis_id -> Nullable<Uuid>,
            graph_data -> Jsonb,
            metadata -> Jsonb,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        analysis.duplicate_groups (id) {
            id -> Uuid,
            analysis_id -> Uuid,
            #[max_length = 64]
            hash -> Varchar,
            similarity_percentage -> Numeric,
            total_lines -> Int4,
            files -> Jsonb,
            created_at -> Timestamptz,
        }
    }

    diesel::joinable!(analysis_results -> analyses (analysis_id));
    diesel::joinable!(analysis_issues -> analyses (analysis_id));
    diesel::joinable!(analysis_abandonments -> analyses (analysis_id));
    diesel::joinable!(analysis_leases -> analyses (analysis_id));
    diesel::joinable!(analysis_metrics -> analyses (analysis_id));
    diesel::joinable!(analysis_pins -> analyses (analysis_id));
    diesel::joinable!(analysis_removals -> analyses (analysis_id));
    diesel::joinable!(dependency_graphs -> analyses (analysis_id));
    diesel::joinable!(duplicate_groups -> analyses (analysis_id));
    diesel::allow_tables_to_appear_in_same_query!(
        analyses,
        analysis_results,
        analysis_issues,
        analysis_abandonments,
        analysis_leases,
        analysis_metrics,
        analysis_pins,
        analysis_removals,
        dependency_graphs,
        duplicate_groups
    );
}

pub mod setup {
    pub mod sql_types {
        use diesel::query_builder::QueryId;
        use diesel::sql_types::SqlType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "setup_category", schema = "setup"))]
        pub struct SetupCategory;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "profile_visibility", schema = "setup"))]
        pub struct ProfileVisibility;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "session_status", schema = "setup"))]
        pub struct SessionStatus;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "step_status", schema = "setup"))]
        pub struct StepStatus;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "tool_category", schema = "setup"))]
        pub struct ToolCategory;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "platform", schema = "setup"))]
        pub struct Platform;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "config_scope", schema = "setup"))]
        pub struct ConfigScope;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "config_category", schema = "setup"))]
        pub struct ConfigCategory;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "integration_type", schema = "setup"))]
        pub struct IntegrationType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "sync_status", schema = "setup"))]
        pub struct SyncStatus;
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.setup_profiles (id) {
            id -> Uuid,
            #[max_length = 255]
            name -> Varchar,
            description -> Nullable<Text>,
            category -> SetupCategory,
            configuration -> Jsonb,
            tools -> Jsonb,
            templates -> Jsonb,
            prerequisites -> Jsonb,
            estimated_duration -> Nullable<Int4>,
            visibility -> ProfileVisibility,
            is_featured -> Bool,
            created_by -> Uuid,
            organization_id -> Nullable<Uuid>,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.setup_sessions (id) {
            id -> Uuid,
            profile_id -> Uuid,
            user_id -> Uuid,
            status -> SessionStatus,
            progress -> Int4,
            #[max_length = 255]
            current_step -> Nullable<Varchar>,
            configuration -> Jsonb,
            logs -> Jsonb,
            error_message -> Nullable<Text>,
            started_at -> Nullable<Timestamptz>,
            completed_at -> Nullable<Timestamptz>,
            duration_seconds -> Nullable<Int4>,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.setup_steps (id) {
            id -> Uuid,
            session_id -> Uuid,
            #[max_length = 255]
            name -> Varchar,
            description -> Nullable<Text>,
            step_order -> Int4,
            #[max_length = 255]
            tool_name -> Nullable<Varchar>,
            command -> Nullable<Text>,
            status -> StepStatus,
            logs -> Nullable<Text>,
            error_message -> Nullable<Text>,
            started_at -> Nullable<Timestamptz>,
            completed_at -> Nullable<Timestamptz>,
            duration_seconds -> Nullable<Int4>,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.tools (id) {
            id -> Uuid,
            #[max_length = 255]
            name -> Varchar,
            #[max_length = 100]
            version -> Nullable<Varchar>,
            category -> ToolCategory,
            description -> Nullable<Text>,
            install_command -> Nullable<Text>,
            verify_command -> Nullable<Text>,
            configuration_schema -> Nullable<Jsonb>,
            supported_platforms -> Array<Platform>,
            dependencies -> Nullable<Array<Text>>,
            metadata -> Jsonb,
            is_active -> Bool,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.configurations (id) {
            id -> Uuid,
            organization_id -> Nullable<Uuid>,
            project_id -> Nullable<Uuid>,
            scope -> ConfigScope,
            category -> ConfigCategory,
            #[max_length = 255]
            name -> Varchar,
            value -> Jsonb,
            description -> Nullable<Text>,
            is_encrypted -> Bool,
            created_by -> Uuid,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        setup.integrations (id) {
            id -> Uuid,
            organization_id -> Nullable<Uuid>,
            project_id -> Nullable<Uuid>,
            #[sql_name = "type"]
            r#type -> IntegrationType,
            #[max_length = 255]
            name -> Varchar,
            configuration -> Jsonb,
            credentials -> Nullable<Jsonb>,
            webhook_url -> Nullable<Text>,
            #[max_length = 255]
            webhook_secret -> Nullable<Varchar>,
            is_enabled -> Bool,
            last_sync_at -> Nullable<Timestamptz>,
            sync_status -> SyncStatus,
            created_by -> Uuid,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
        }
    }

    diesel::joinable!(setup_sessions -> setup_profiles (profile_id));
    diesel::joinable!(setup_steps -> setup_sessions (session_id));
    diesel::allow_tables_to_appear_in_same_query!(
        setup_profiles,
        setup_sessions,
        setup_steps,
        tools,
        configurations,
        integrations
    );
}

pub mod audit {
    pub mod sql_types {
        use diesel::query_builder::QueryId;
        use diesel::sql_types::SqlType;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "audit_action", schema = "audit"))]
        pub struct AuditAction;

        #[derive(Debug, Clone, Copy, QueryId, SqlType)]
        #[diesel(postgres_type(name = "log_level", schema = "audit"))]
        pub struct LogLevel;
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        audit.audit_logs (id, created_at) {
            id -> Uuid,
            user_id -> Nullable<Uuid>,
            organization_id -> Nullable<Uuid>,
            action -> AuditAction,
            #[max_length = 100]
            resource_type -> Varchar,
            resource_id -> Nullable<Uuid>,
            old_values -> Nullable<Jsonb>,
            new_values -> Nullable<Jsonb>,
            metadata -> Jsonb,
            ip_address -> Nullable<Inet>,
            user_agent -> Nullable<Text>,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        audit.audit_log_anonymizations (month, entry_id, generation) {
            month -> Date,
            entry_id -> Uuid,
            generation -> Int4,
            sealed -> Bytea,
            digest -> Bytea,
            anonymized_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        audit.audit_log_seals (month) {
            month -> Date,
            entries -> Int8,
            hash -> Bytea,
            sealed_at -> Timestamptz,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;

        audit.audit_log_seal_pages (month, page) {
            month -> Date,
            page -> Int4,
            first_created_at -> Timestamptz,
            first_id -> Uuid,
            ids -> Array<Uuid>,
            digests -> Array<Bytea>,
            hash -> Bytea,
        }
    }

    diesel::table! {
        use diesel::sql_types::*;
        use super::sql_types::*;

        audit.system_logs (id, created_at) {
            id -> Uuid,
            level -> LogLevel,
            #[max_length = 100]
            service -> Varchar,
            #[max_length = 100]
            component -> Nullable<Varchar>,
            message -> Text,
            data -> Nullable<Jsonb>,
            correlation_id -> Nullable<Uuid>,
            request_id -> Nullable<Uuid>,
            user_id -> Nullable<Uuid>,
            created_at -> Timestamptz,
        }
    }

    diesel::allow_tables_to_appear_in_same_query!(
        audit_logs,
        audit_log_anonymizations,
        audit_log_seals,
        audit_log_seal_pages,
        system_logs
    );
}

pub mod cache {
    diesel::table! {
        use diesel::sql_types::*;

        cache.project_stats (id) {
            id -> Uuid,
            #[max_length = 255]
            name -> Varchar,
            total_analyses -> Int8,
            completed_analyses -> Int8,
            last_analysis_at -> Nullable<Timestamptz>,
            avg_quality_score -> Nullable<Numeric>,
            member_count -> Int8,
        }
    }
}
