//! The streams of an organization where organizations are isolated: each yields its own rows.

use super::tables::isolation::{isolated, owner, tenant};
use super::*;
use futures_util::{StreamExt as _, TryStreamExt as _};

macro_rules! yields_only {
    ($db:expr, $plain:expr, $table:ident, $filter:ident, $mine:expr) => {{
        let all = $filter::new();
        let rows: Vec<_> = $db.$table().stream(&all).try_collect().await.unwrap();
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids, [$mine], stringify!($table));
        let of_none = $plain.$table();
        assert_eq!(of_none.stream(&all).count().await, 0, stringify!($table));
    }};
}

#[case]
async fn a_stream_of_an_organization_yields_its_rows_alone() {
    let (_, database) = database().await;
    let owner = owner(&database).await;
    let mine = tenant(&owner, "one").await;
    tenant(&owner, "other").await;
    let plain = isolated(&database, &owner).await;
    let db = plain.for_organization(mine.organization);
    yields_only!(
        db,
        plain,
        organizations,
        OrganizationFilter,
        mine.organization
    );
    let member = mine.organization_member;
    yields_only!(
        db,
        plain,
        organization_members,
        OrganizationMemberFilter,
        member
    );
    yields_only!(db, plain, projects, ProjectFilter, mine.project);
    yields_only!(
        db,
        plain,
        project_members,
        ProjectMemberFilter,
        mine.project_member
    );
    yields_only!(db, plain, analyses, AnalysisFilter, mine.analysis);
    yields_only!(
        db,
        plain,
        analysis_results,
        AnalysisResultFilter,
        mine.result
    );
    yields_only!(db, plain, analysis_issues, AnalysisIssueFilter, mine.issue);
    yields_only!(
        db,
        plain,
        analysis_metrics,
        AnalysisMetricFilter,
        mine.metric
    );
    yields_only!(
        db,
        plain,
        dependency_graphs,
        DependencyGraphFilter,
        mine.graph
    );
    yields_only!(
        db,
        plain,
        duplicate_groups,
        DuplicateGroupFilter,
        mine.duplicates
    );
    yields_only!(db, plain, setup_profiles, SetupProfileFilter, mine.profile);
    yields_only!(db, plain, configurations, ConfigurationFilter, mine.setting);
    yields_only!(db, plain, integrations, IntegrationFilter, mine.integration);
    let of_projects = AuditLogFilter::new().resource_type("project");
    let entries = db.audit_logs();
    let entries: Vec<_> = entries.stream(&of_projects).try_collect().await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].id, mine.entry);
}
