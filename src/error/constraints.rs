//! The names of the constraints of this crate's tables, as [`Constraint::name`] has them.
//!
//! A constant is named after its constraint. Primary keys have none.
//!
//! ```
//! use wundr_db::{Error, constraints};
//!
//! fn is_taken(error: &Error) -> bool {
//!     matches!(error, Error::Unique(_)) && error.constraint() == Some(constraints::USERS_EMAIL_KEY)
//! }
//! ```
//!
//! [`Constraint::name`]: crate::Constraint::name

/// Declares a constant for each constraint, and the list of all.
macro_rules! constraints {
    ($($(#[$documentation:meta])* $constant:ident = $name:literal;)*) => {
        $(
            $(#[$documentation])*
            pub const $constant: &str = $name;
        )*

        /// The names of all constraints that have a constant.
        pub const ALL: &[&str] = &[$($name),*];
    };
}

constraints! {
    /// `created_by` of `analysis.analyses` refers to `users`.
    ANALYSES_CREATED_BY_FKEY = "analyses_created_by_fkey";
    /// A check of `analysis.analyses`.
    ANALYSES_PROGRESS_CHECK = "analyses_progress_check";
    /// `project_id` of `analysis.analyses` refers to `projects`.
    ANALYSES_PROJECT_ID_FKEY = "analyses_project_id_fkey";
    /// `analysis_id` of `analysis.analysis_abandonments` refers to `analyses`.
    ANALYSIS_ABANDONMENTS_ANALYSIS_ID_FKEY = "analysis_abandonments_analysis_id_fkey";
    /// `analysis_id` of `analysis.analysis_issues` refers to `analyses`.
    ANALYSIS_ISSUES_ANALYSIS_ID_FKEY = "analysis_issues_analysis_id_fkey";
    /// `resolved_by` of `analysis.analysis_issues` refers to `users`.
    ANALYSIS_ISSUES_RESOLVED_BY_FKEY = "analysis_issues_resolved_by_fkey";
    /// `analysis_id` of `analysis.analysis_leases` refers to `analyses`.
    ANALYSIS_LEASES_ANALYSIS_ID_FKEY = "analysis_leases_analysis_id_fkey";
    /// `analysis_id` of `analysis.analysis_metrics` refers to `analyses`.
    ANALYSIS_METRICS_ANALYSIS_ID_FKEY = "analysis_metrics_analysis_id_fkey";
    /// `analysis_id` of `analysis.analysis_pins` refers to `analyses`.
    ANALYSIS_PINS_ANALYSIS_ID_FKEY = "analysis_pins_analysis_id_fkey";
    /// `pinned_by` of `analysis.analysis_pins` refers to `users`.
    ANALYSIS_PINS_PINNED_BY_FKEY = "analysis_pins_pinned_by_fkey";
    /// `analysis_id` of `analysis.analysis_removals` refers to `analyses`.
    ANALYSIS_REMOVALS_ANALYSIS_ID_FKEY = "analysis_removals_analysis_id_fkey";
    /// `analysis_id` of `analysis.analysis_results` refers to `analyses`.
    ANALYSIS_RESULTS_ANALYSIS_ID_FKEY = "analysis_results_analysis_id_fkey";
    /// `organization_id` of `audit.audit_logs` refers to `organizations`.
    AUDIT_LOGS_ORGANIZATION_ID_FKEY = "audit_logs_organization_id_fkey";
    /// `user_id` of `audit.audit_logs` refers to `users`.
    AUDIT_LOGS_USER_ID_FKEY = "audit_logs_user_id_fkey";
    /// A check of `analysis.analyses` and `setup.setup_sessions` and `setup.setup_steps`.
    CHECK_COMPLETED_AFTER_STARTED = "check_completed_after_started";
    /// A check of `analysis.analyses`.
    CHECK_PROGRESS_STATUS = "check_progress_status";
    /// A check of `setup.setup_sessions`.
    CHECK_SESSION_DURATION = "check_session_duration";
    /// A check of `setup.configurations`.
    CONFIG_SCOPE_CHECK = "config_scope_check";
    /// `created_by` of `setup.configurations` refers to `users`.
    CONFIGURATIONS_CREATED_BY_FKEY = "configurations_created_by_fkey";
    /// `organization_id` of `setup.configurations` refers to `organizations`.
    CONFIGURATIONS_ORGANIZATION_ID_FKEY = "configurations_organization_id_fkey";
    /// `project_id` of `setup.configurations` refers to `projects`.
    CONFIGURATIONS_PROJECT_ID_FKEY = "configurations_project_id_fkey";
    /// `analysis_id` of `analysis.dependency_graphs` refers to `analyses`.
    DEPENDENCY_GRAPHS_ANALYSIS_ID_FKEY = "dependency_graphs_analysis_id_fkey";
    /// `project_id` of `analysis.dependency_graphs` refers to `projects`.
    DEPENDENCY_GRAPHS_PROJECT_ID_FKEY = "dependency_graphs_project_id_fkey";
    /// `analysis_id` of `analysis.duplicate_groups` refers to `analyses`.
    DUPLICATE_GROUPS_ANALYSIS_ID_FKEY = "duplicate_groups_analysis_id_fkey";
    /// A check of `analysis.duplicate_groups`.
    DUPLICATE_GROUPS_SIMILARITY_PERCENTAGE_CHECK = "duplicate_groups_similarity_percentage_check";
    /// A check of `audit.audit_log_seals`.
    FIRST_OF_MONTH = "first_of_month";
    /// `created_by` of `setup.integrations` refers to `users`.
    INTEGRATIONS_CREATED_BY_FKEY = "integrations_created_by_fkey";
    /// `organization_id` of `setup.integrations` refers to `organizations`.
    INTEGRATIONS_ORGANIZATION_ID_FKEY = "integrations_organization_id_fkey";
    /// `project_id` of `setup.integrations` refers to `projects`.
    INTEGRATIONS_PROJECT_ID_FKEY = "integrations_project_id_fkey";
    /// A check of `audit.audit_log_seal_pages`.
    ONE_DIGEST_FOR_EACH_ID = "one_digest_for_each_id";
    /// A user has at most one invitation to an organization: `public.organization_invitations`.
    ONE_INVITATION_OF_A_USER = "one_invitation_of_a_user";
    /// An organization keeps an owner.
    ORGANIZATION_KEEPS_AN_OWNER = "organization_keeps_an_owner";
    /// `invited_by` of `public.organization_invitations` refers to `users`.
    ORGANIZATION_INVITATIONS_INVITED_BY_FKEY = "organization_invitations_invited_by_fkey";
    /// `organization_id` of `public.organization_invitations` refers to `organizations`.
    ORGANIZATION_INVITATIONS_ORGANIZATION_ID_FKEY = "organization_invitations_organization_id_fkey";
    /// `user_id` of `public.organization_invitations` refers to `users`.
    ORGANIZATION_INVITATIONS_USER_ID_FKEY = "organization_invitations_user_id_fkey";
    /// `invited_by` of `public.organization_members` refers to `users`.
    ORGANIZATION_MEMBERS_INVITED_BY_FKEY = "organization_members_invited_by_fkey";
    /// `organization_id` of `public.organization_members` refers to `organizations`.
    ORGANIZATION_MEMBERS_ORGANIZATION_ID_FKEY = "organization_members_organization_id_fkey";
    /// `organization_id` and `user_id` of `public.organization_members` are together unique.
    ORGANIZATION_MEMBERS_ORGANIZATION_ID_USER_ID_KEY = "organization_members_organization_id_user_id_key";
    /// `user_id` of `public.organization_members` refers to `users`.
    ORGANIZATION_MEMBERS_USER_ID_FKEY = "organization_members_user_id_fkey";
    /// `slug` of `public.organizations` is unique.
    ORGANIZATIONS_SLUG_KEY = "organizations_slug_key";
    /// A project keeps an owner.
    PROJECT_KEEPS_AN_OWNER = "project_keeps_an_owner";
    /// `added_by` of `public.project_members` refers to `users`.
    PROJECT_MEMBERS_ADDED_BY_FKEY = "project_members_added_by_fkey";
    /// `project_id` of `public.project_members` refers to `projects`.
    PROJECT_MEMBERS_PROJECT_ID_FKEY = "project_members_project_id_fkey";
    /// `project_id` and `user_id` of `public.project_members` are together unique.
    PROJECT_MEMBERS_PROJECT_ID_USER_ID_KEY = "project_members_project_id_user_id_key";
    /// `user_id` of `public.project_members` refers to `users`.
    PROJECT_MEMBERS_USER_ID_FKEY = "project_members_user_id_fkey";
    /// `created_by` of `public.projects` refers to `users`.
    PROJECTS_CREATED_BY_FKEY = "projects_created_by_fkey";
    /// `organization_id` of `public.projects` refers to `organizations`.
    PROJECTS_ORGANIZATION_ID_FKEY = "projects_organization_id_fkey";
    /// `session_id` of `public.rotated_refresh_tokens` refers to `user_sessions`.
    ROTATED_REFRESH_TOKENS_SESSION_ID_FKEY = "rotated_refresh_tokens_session_id_fkey";
    /// `created_by` of `setup.setup_profiles` refers to `users`.
    SETUP_PROFILES_CREATED_BY_FKEY = "setup_profiles_created_by_fkey";
    /// `organization_id` of `setup.setup_profiles` refers to `organizations`.
    SETUP_PROFILES_ORGANIZATION_ID_FKEY = "setup_profiles_organization_id_fkey";
    /// `profile_id` of `setup.setup_sessions` refers to `setup_profiles`.
    SETUP_SESSIONS_PROFILE_ID_FKEY = "setup_sessions_profile_id_fkey";
    /// A check of `setup.setup_sessions`.
    SETUP_SESSIONS_PROGRESS_CHECK = "setup_sessions_progress_check";
    /// `user_id` of `setup.setup_sessions` refers to `users`.
    SETUP_SESSIONS_USER_ID_FKEY = "setup_sessions_user_id_fkey";
    /// `session_id` of `setup.setup_steps` refers to `setup_sessions`.
    SETUP_STEPS_SESSION_ID_FKEY = "setup_steps_session_id_fkey";
    /// `user_id` of `audit.system_logs` refers to `users`.
    SYSTEM_LOGS_USER_ID_FKEY = "system_logs_user_id_fkey";
    /// `organization_id`, `project_id`, `category` and `name` of `setup.configurations` are
    /// together unique.
    UNIQUE_CONFIG_SCOPE = "unique_config_scope";
    /// `session_id` of `public.user_session_families` refers to `user_sessions`.
    USER_SESSION_FAMILIES_SESSION_ID_FKEY = "user_session_families_session_id_fkey";
    /// `user_id` of `public.user_sessions` refers to `users`.
    USER_SESSIONS_USER_ID_FKEY = "user_sessions_user_id_fkey";
    /// The email address of `public.users` is unique, whatever its case.
    USERS_EMAIL_KEY = "users_email_key";
    /// A check of `analysis.analyses`.
    VALID_DURATION = "valid_duration";
    /// A check of `public.user_session_families`.
    VALID_PREDECESSOR = "valid_predecessor";
    /// A check of `public.projects`.
    VALID_REPO_URL = "valid_repo_url";
    /// A check of `analysis.analysis_abandonments`.
    VALID_TIMES = "valid_times";
}
