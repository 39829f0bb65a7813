//! Every statement, each with values that show its whole text.

use diesel::prelude::*;

use super::Registry;
use crate::mapping::condition::Condition;
use crate::models::partitions::LogTable;
use crate::models::*;
use crate::pagination::{Cursor, Order, PageOrder as _};
use crate::schema::audit::audit_logs;
use crate::schema::public::{organization_members, projects, user_sessions, users};
#[cfg(feature = "redis")]
use crate::sql::access::StandingOf;
use crate::sql::access::{FactsOfOrganization, FactsOfProjects, Visible};
use crate::sql::analyses::NewestOfProjects;
use crate::sql::analysis_metrics::LatestOfProject;
use crate::sql::cache::{
    ClusterIdentity, DatabaseIdentity, EndedBefore, HasEnded, NextTransaction, OwnTransaction,
    OwnWrites,
};
use crate::sql::dashboard::{NewestOfTypes, OpenIssues};
use crate::sql::functions::merged;
use crate::sql::health::Probe;
use crate::sql::live::{FollowedIds, Now, StatesOf, Timeline};
use crate::sql::partitions::{self, InMonths, Spared};
use crate::sql::project_stats::StatsOf;
use crate::sql::quality_gates::Measure;
use crate::sql::queue_state::StateOfQueue;
use crate::sql::tools::NeededTools;
use crate::sql::tracking::Track;
use crate::sql::trends::TrendsOf;
use crate::sql::{
    self as statement, Sql, cacheable, change_member, columns_of, delete_matching, insert,
    insert_many, page_per_parent, parent_id, remove_members, update, upsert, upsert_member,
};
use crate::sql::{CountBy, PageWithTotal, PagesWithTotals};
use crate::{
    AnalysisId, AnalysisIssueId, Document, GateCondition, OrganizationId, OrganizationMemberId,
    OrganizationRole, Page, ProjectId, QualityGate, UserId,
};

pub(super) fn add_all(registry: &mut Registry) {
    super::states::add_all(registry);
    add_writes(registry);
    add_memberships(registry);
    add_parts(registry);
    super::pages::add_all(registry);
    add_reads(registry);
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
