//! Every statement, each with values that show its whole text.

use std::time::Duration;

use diesel::prelude::*;

use super::Registry;
use crate::mapping::condition::Condition;
use crate::models::analysis_lifecycle::Step;
use crate::models::partitions::LogTable;
use crate::models::setup_lifecycle::{SessionAction, StepAction};
use crate::models::*;
use crate::pagination::{Cursor, Order, PageOrder as _};
use crate::schema::analysis::analysis_issues;
use crate::schema::audit::audit_logs;
use crate::schema::public::{organization_members, projects, user_sessions, users};
#[cfg(feature = "redis")]
use crate::sql::access::StandingOf;
use crate::sql::access::{FactsOfOrganization, FactsOfProjects, Visible};
use crate::sql::analyses::NewestOfProjects;
use crate::sql::analysis_issues::SettleMatching;
use crate::sql::analysis_leases::{ClaimNext, Holder, Renew, RequeueAbandoned};
use crate::sql::analysis_lifecycle::{By, Transition};
use crate::sql::analysis_metrics::LatestOfProject;
use crate::sql::analysis_pins::{LockProject, Pin};
use crate::sql::cache::{
    ClusterIdentity, DatabaseIdentity, EndedBefore, HasEnded, NextTransaction, OwnTransaction,
    OwnWrites,
};
use crate::sql::dashboard::{NewestOfTypes, OpenIssues};
use crate::sql::functions::merged;
use crate::sql::health::Probe;
use crate::sql::ingest::Completion;
use crate::sql::live::{FollowedIds, Now, StatesOf, Timeline};
use crate::sql::partitions::{self, InMonths, Spared};
use crate::sql::project_stats::StatsOf;
use crate::sql::quality_gates::Measure;
use crate::sql::queue_state::StateOfQueue;
use crate::sql::setup_lifecycle::{AppendLog, TakeSession, TakeStep};
use crate::sql::tools::NeededTools;
use crate::sql::tracking::Track;
use crate::sql::trends::TrendsOf;
use crate::sql::{
    self as statement, Sql, cacheable, change_member, columns_of, delete_matching, insert,
    insert_many, page_per_parent, parent_id, remove_members, update, upsert, upsert_member,
};
use crate::sql::{CountBy, PageWithTotal, PagesWithTotals, update_matching};
use crate::{
    AnalysisId, AnalysisIssueId, AnalysisType, Document, GateCondition, IssueSeverity, IssueStatus,
    Json, OrganizationId, OrganizationMemberId, OrganizationRole, Page, ProjectId, QualityGate,
    SetupSessionId, SetupStepId, UserId,
};

pub(super) fn add_all(registry: &mut Registry) {
    add_invitations(registry);
    #[cfg(feature = "crypto")]
    add_sessions(registry);
    #[cfg(feature = "crypto")]
    add_resealing(registry);
    add_writes(registry);
    add_memberships(registry);
    add_parts(registry);
    super::pages::add_all(registry);
    add_reads(registry);
    add_lifecycles(registry);
    add_comparisons(registry);
    add_listener(registry);
    add_texts(registry);
}

fn user() -> NewUser {
    NewUser::new("ada@example.org", "Ada")
}

fn add_writes(registry: &mut Registry) {
    registry.add("insert_user_required", &insert(&user()));
    let whole = user()
        .role(crate::UserRole::Admin)
        .preferences(Document::default())
        .is_active(true)
        .email_verified(true);
    let keyed = statement::keyed(insert(&whole));
    let statement::KeyedInsert::AllColumns(typed) = &keyed else {
        panic!("a row with all its values is found by its type");
    };
    registry.add("insert_user_whole", typed);
    registry.add("upsert_user", &upsert(&user()));
    registry.add("upsert_organization_member", &upsert_member(&member()));

    macro_rules! insert_many {
        ($($schema:ident.$table:ident: $repository:ident, $row:ident, $new:ident, $id:ident, $secret:tt;)*) => {$(
            let name = concat!("insert_many_", stringify!($table));
            registry.add(name, &insert_many::<crate::$new>(&[]));
        )*};
    }
    crate::__for_each_table!(insert_many);
    registry.add(
        "copy_defaults_of_analysis_issues",
        &statement::copy::copy_probe::<NewAnalysisIssue>(),
    );
    registry.add(
        "copy_analysis_issues",
        &statement::copy::copy_from::<NewAnalysisIssue>(),
    );

    let changes = UserChanges::new().name("Ada").role(crate::UserRole::Admin);
    registry.add("update_user", &update(UserId::new(), &changes));
    let changes = changes.unchanged_since(chrono::Utc::now());
    registry.add(
        "update_user_unchanged_since",
        &update(UserId::new(), &changes),
    );

    let ids = users::table
        .filter(users::is_active.eq(true))
        .select(users::id);
    registry.add("delete_matching", &delete_matching(users::table, ids));
    let ids = user_sessions::table.select(user_sessions::id);
    registry.add(
        "delete_returning",
        &delete_matching(user_sessions::table, ids).returning(user_sessions::token_hash),
    );
    let statement = diesel::update(users::table.find(UserId::new()))
        .set(users::preferences.eq(merged(users::preferences, Document::default())))
        .returning(users::id);
    registry.add("merge_preferences", &cacheable(statement));
}

fn member() -> NewOrganizationMember {
    NewOrganizationMember::new(
        OrganizationId::new(),
        UserId::new(),
        OrganizationRole::Owner,
    )
}

fn add_memberships(registry: &mut Registry) {
    let changes = OrganizationMemberChanges::new().role(OrganizationRole::Member);
    let id = organization_members::table
        .find(OrganizationMemberId::new())
        .select(organization_members::id);
    registry.add(
        "change_organization_member",
        &change_member::<NewOrganizationMember, _>(id, &changes),
    );
    let members = organization_members::table
        .filter(organization_members::user_id.eq(UserId::new()))
        .select((
            organization_members::id,
            organization_members::organization_id,
            organization_members::role,
        ));
    registry.add(
        "remove_organization_members",
        &remove_members::<NewOrganizationMember, _>(members),
    );
}

/// Parts of other statements.
fn add_parts(registry: &mut Registry) {
    let of_one = || {
        projects::table
            .filter(projects::organization_id.eq(OrganizationId::new()))
            .select(projects::id)
    };
    let both = PageWithTotal::new(of_one(), of_one().count());
    registry.add("rows_and_total", &both);
    registry.add(
        "literal_limit",
        &statement::at_most(51, of_one().order(projects::id)),
    );
    let id = ProjectId::new();
    registry.add("find_by_id", &statement::find_by_id::<crate::Project>(id));
    registry.add(
        "find_by_ids",
        &statement::find_by_ids::<crate::Project>(&[id]),
    );
    let organizations = [OrganizationId::new()];
    let of_many = projects::table
        .filter(statement::is_one_of(
            projects::organization_id,
            &organizations,
        ))
        .select(projects::id);
    registry.add("is_one_of", &of_many);
    registry.add(
        "exists_by_id",
        &statement::exists_by_id::<crate::Project>(id),
    );
    registry.add(
        "delete_by_id",
        &statement::delete_by_id::<crate::Project>(id),
    );
    registry.add("count_by", &CountBy::new(of_one()));
    registry.add(
        "count_by_most_frequent",
        &CountBy::most_frequent(of_one(), 10),
    );

    let filter = ProjectFilter::new();
    let rows = filter
        .query()
        .filter(projects::organization_id.eq(parent_id(projects::organization_id)))
        .select(columns_of::<crate::Project>());
    let page = Page::<ProjectOrder>::new();
    let rows = Order::start(&page, rows).unwrap();
    let pages = page_per_parent(&[OrganizationId::new()], rows);
    registry.add("page_per_parent", &pages);
    let children = filter.query().select(projects::organization_id);
    registry.add("pages_with_totals", &PagesWithTotals::new(pages, children));

    let made_at = Some("2024-01-31T12:00:00Z".parse().unwrap());
    let now = "2024-02-15T12:00:00Z".parse().unwrap();
    let months = InMonths::of(audit_logs::created_at, made_at, now).unwrap();
    registry.add(
        "in_months",
        &audit_logs::table.filter(months).select(audit_logs::id),
    );

    let cursor = Cursor::new("projects.name", &"name".to_owned(), ProjectId::new());
    let page = Page::new().order(ProjectOrder::Name).before(cursor);
    let rows = filter.query().select(projects::id);
    let (place, order) = page
        .sort()
        .column()
        .page(page.cursor(), page.is_backward())
        .unwrap();
    let rows = rows.filter(place.unwrap()).order(order);
    registry.add("before_cursor", &rows);

    let beyond = crate::mapping::keyset::Beyond {
        table: &users::table,
        column: &users::created_at,
        name: "created_at",
        id: UserId::new().into(),
        ascends: true,
    };
    registry.add(
        "after_time_beyond_chrono",
        &users::table
            .filter(Condition::new(beyond))
            .select(users::id),
    );
}

fn add_reads(registry: &mut Registry) {
    let project_id = ProjectId::new();
    let user_id = UserId::new();
    let visible = projects::table
        .filter(Visible(user_id))
        .select(projects::id);
    registry.add("visible_projects", &visible);
    registry.add(
        "access_to_projects",
        &FactsOfProjects::new(user_id, [project_id].as_slice()),
    );
    registry.add(
        "access_to_analysis",
        &FactsOfProjects::new(user_id, AnalysisId::new()),
    );
    registry.add(
        "access_to_issue",
        &FactsOfProjects::new(user_id, AnalysisIssueId::new()),
    );
    let id = OrganizationId::new();
    let facts = FactsOfOrganization { user_id, id };
    registry.add("access_to_organization", &Sql(facts));
    #[cfg(feature = "redis")]
    registry.add("standing_of_user", &Sql(StandingOf(user_id)));
    registry.add(
        "newest_analyses_of_projects",
        &NewestOfProjects::new(&[project_id], 3),
    );
    registry.add("newest_analyses_of_types", &NewestOfTypes::new(project_id));
    registry.add("open_issues", &Sql(OpenIssues(project_id)));
    registry.add(
        "stats_of_few_projects",
        &Sql(StatsOf::<false> { ids: &[project_id] }),
    );
    registry.add(
        "stats_of_many_projects",
        &Sql(StatsOf::<true> { ids: &[project_id] }),
    );
    registry.add(
        "latest_metrics_of_project",
        &LatestOfProject::new(project_id, &["complexity"]),
    );
    let trends = TrendsOf {
        project_id,
        metric_names: &["complexity"],
        days_back: 30,
    };
    registry.add("trends", &Sql(trends));
}

fn add_lifecycles(registry: &mut Registry) {
    let id = AnalysisId::new();
    let lease = Lease {
        analysis_id: id,
        worker: "worker".to_owned(),
        fence: 1,
        expires_at: chrono::Utc::now(),
    };
    let minute = Duration::from_secs(60);
    let summary = || Json::from(AnalysisSummary::default());
    registry.add(
        "claim",
        &ClaimNext::new(&[AnalysisType::ALL[0]], "worker", minute).unwrap(),
    );
    registry.add(
        "renew_lease",
        &Renew::new(&lease, minute, Some(50)).unwrap(),
    );
    registry.add("requeue_abandoned", &RequeueAbandoned::new(3).unwrap());
    registry.add("lease_holder", &Sql(Holder(id)));
    let (reason, by) = ("release 1.4", None);
    registry.add("pin_analysis", &Sql(Pin { id, reason, by }));
    registry.add("lock_project_of_analysis", &Sql(LockProject(id)));
    registry.add("complete_ingest", &Completion::new(id, summary()));
    let unresolved = analysis_issues::table
        .filter(analysis_issues::analysis_id.eq(id))
        .select(analysis_issues::id);
    registry.add(
        "settle_issues",
        &SettleMatching::new(unresolved, IssueStatus::Ignored, UserId::new()),
    );
    registry.add(
        "reopen_issues",
        &SettleMatching::new(unresolved, IssueStatus::Open, UserId::new()),
    );
    let changes = AnalysisIssueChanges::new().severity(IssueSeverity::Low);
    registry.add("update_issues", &update_matching(&changes, unresolved));
    let of_user = user_sessions::table
        .filter(user_sessions::user_id.eq(UserId::new()))
        .select(user_sessions::id);
    let changes = UserSessionChanges::new().expires_at(chrono::DateTime::UNIX_EPOCH);
    let update = update_matching(&changes, of_user).returning(user_sessions::token_hash);
    registry.add("update_user_sessions", &update);

    for (name, held, step) in [
        ("start_analysis", "start_held_analysis", Step::Start),
        (
            "progress_of_analysis",
            "progress_of_held_analysis",
            Step::Progress(50),
        ),
        (
            "complete_analysis",
            "complete_held_analysis",
            Step::Complete(summary()),
        ),
        (
            "fail_analysis",
            "fail_held_analysis",
            Step::Fail("error".to_owned()),
        ),
        ("cancel_analysis", "cancel_held_analysis", Step::Cancel),
        ("release_analysis", "release_held_analysis", Step::Release),
    ] {
        registry.add(name, &Transition::new(By::Anybody(id), &step));
        registry.add(held, &Transition::new(By::Holder(&lease), &step));
    }

    for (name, action) in [
        ("start_setup_step", StepAction::Start),
        ("complete_setup_step", StepAction::Complete),
        ("fail_setup_step", StepAction::Fail("error".to_owned())),
        ("skip_setup_step", StepAction::Skip),
        ("retry_setup_step", StepAction::Retry),
    ] {
        registry.add(name, &TakeStep::new(SetupStepId::new(), &action));
    }
    for (name, action) in [
        ("start_setup_session", SessionAction::Start),
        ("cancel_setup_session", SessionAction::Cancel),
    ] {
        registry.add(name, &TakeSession::new(SetupSessionId::new(), action));
    }
    registry.add(
        "append_setup_session_log",
        &Sql(AppendLog::Session(
            SetupSessionId::new(),
            &Document::default(),
        )),
    );
    registry.add(
        "append_setup_step_log",
        &Sql(AppendLog::Step(SetupStepId::new(), "line")),
    );
}

fn add_invitations(registry: &mut Registry) {
    use crate::sql::invitations::{
        Accept, EndInvitation, FindInvitation, Invite, OpenInvitations, PruneInvitations,
    };
    let (lab, user) = (OrganizationId::new(), UserId::new());
    let new = crate::NewInvitation::new(lab, user, OrganizationRole::Member);
    let id = new.id;
    registry.add("invite", &Invite::new(&new).unwrap());
    registry.add("accept_invitation", &Accept::new(id, user));
    registry.add("reject_invitation", &EndInvitation::rejected(id, user));
    registry.add("withdraw_invitation", &EndInvitation::withdrawn(id));
    registry.add("find_invitation", &Sql(FindInvitation(id)));
    for (name, of) in [
        ("invitations_of_user", OpenInvitations::OfUser(user)),
        (
            "invitations_of_organization",
            OpenInvitations::OfOrganization(lab),
        ),
    ] {
        registry.add(name, &Sql(of));
    }
    registry.add("prune_invitations", &Sql(PruneInvitations(10)));
}

#[cfg(feature = "crypto")]
fn add_sessions(registry: &mut Registry) {
    use crate::sql::sessions::{End, Ended, NewTokens, Open, PruneRotated, Rotate, Touch};
    let client = SessionClient::new();
    let tokens = NewTokens::new("token", "refresh", &client, &SessionPolicy::new());
    registry.add("open_session", &Open::new(UserId::new(), tokens.clone()));
    let current = Rotate::<false>::new("presented", tokens.clone());
    registry.add("rotate_session", &current);
    let predecessor = Rotate::<true>::new("presented", tokens.clone());
    registry.add("rotate_session_again", &predecessor);
    let id = crate::UserSessionId::new();
    for (name, ended) in [
        (
            "end_session_of_rotated_token",
            Ended::OfRotated("presented".to_owned()),
        ),
        ("end_session", Ended::One(id)),
        ("end_other_sessions", Ended::OthersThan(id)),
        ("end_sessions_of_user", Ended::OfUser(UserId::new())),
    ] {
        registry.add(name, &End::new(ended, &client, true));
    }
    registry.add("touch_session", &Touch::new(id, Duration::from_secs(300)));
    registry.add("prune_rotated_tokens", &Sql(PruneRotated(10)));
}

#[cfg(feature = "crypto")]
fn add_resealing(registry: &mut Registry) {
    use crate::sql::resealing::{
        CountSecrets, OtherIntegrations, OtherSettings, ReplaceIntegrations, ReplaceSettings,
    };
    registry.add("count_secrets", &Sql(CountSecrets));
    let other = OtherIntegrations {
        after: uuid::Uuid::nil().into(),
        active: 1,
        limit: 100,
    };
    registry.add("integrations_under_other_keys", &Sql(other));
    let other = OtherSettings {
        after: uuid::Uuid::nil().into(),
        active: 1,
        limit: 100,
    };
    registry.add("settings_under_other_keys", &Sql(other));
    registry.add("replace_integrations", &Sql(ReplaceIntegrations::default()));
    registry.add("replace_settings", &Sql(ReplaceSettings::default()));
}

fn add_comparisons(registry: &mut Registry) {
    let (base, new) = (AnalysisId::new(), AnalysisId::new());
    registry.add("track_findings", &Track::new(base, new).unwrap());
    let gate = QualityGate::new([GateCondition::NewIssues {
        severity: None,
        at_most: 0,
    }]);
    registry.add(
        "measure_quality_gate",
        &Measure::new(&gate, Some(base), new).unwrap(),
    );
}

fn add_listener(registry: &mut Registry) {
    let followed = FollowedIds {
        project_id: None,
        created_from: None,
        after: None,
    };
    registry.add("followed_analyses", &Sql(followed));
    let states = StatesOf {
        ids: vec![AnalysisId::new()],
        project_id: None,
    };
    registry.add("states_of_analyses", &Sql(states));
    registry.add("health", &Sql(Probe));
    registry.add("state_of_queue", &Sql(StateOfQueue));
    registry.add("cache_database_identity", &Sql(DatabaseIdentity));
    registry.add("cache_cluster_identity", &Sql(ClusterIdentity));
    registry.add("cache_next_transaction", &Sql(NextTransaction));
    registry.add("cache_own_transaction", &Sql(OwnTransaction));
    registry.add("cache_own_writes", &Sql(OwnWrites));
    registry.add("cache_ended_before", &Sql(EndedBefore("1")));
    registry.add("cache_has_ended", &Sql(HasEnded("1")));
    registry.add("needed_tools", &NeededTools::new(&["node"]));
    registry.add("server_time", &Sql(Now));
    registry.add("timeline", &Sql(Timeline));
}

/// Statements that are run as text.
fn add_texts(registry: &mut Registry) {
    let tables = LogTable::AuditLogs;
    let months = ["2024-01-01".parse().unwrap(), "2024-03-01".parse().unwrap()];
    let spared = Spared::new(tables, &months).unwrap();
    for (name, types, sql) in [
        (
            "partitions_missing",
            "text, date, int4",
            partitions::MISSING,
        ),
        ("partition_make", "text, date, text", partitions::MAKE),
        ("partitions_list", "text", partitions::LIST),
        (
            "partition_is_there",
            "text, text, bool",
            partitions::IS_THERE,
        ),
        ("partitions_spare_begin", "", &spared.begin()),
        ("partitions_spare_validate", "", &spared.validate()),
        ("partitions_spare_end", "", &spared.end()),
        (
            "with_lock_timeout",
            "",
            &partitions::with_lock_timeout("DROP TABLE audit.audit_logs_2024_01", Some("2s")),
        ),
    ]
    .into_iter()
    .chain(crate::sql::audit_seals::TEXTS)
    .chain(crate::sql::admin::retention::TEXTS)
    .chain(crate::sql::admin::erasure::TEXTS)
    {
        registry.add_text(name, types, sql);
    }
}
