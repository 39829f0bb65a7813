//! The rows of this crate in an application's own queries.

use super::*;
use diesel::{ExpressionMethods as _, QueryDsl as _, SelectableHelper as _};
use wundr_db::schema::{analysis, audit, cache, public, setup};
use wundr_db::{NewOrganization, NewUserSession, UserSession};

/// Loads the rows of each table by `as_select`.
macro_rules! select_each {
    ($tx:expr, $($schema:ident.$table:ident as $row:ident),* $(,)?) => { $({
        use wundr_db::$row;
        let rows = $schema::$table::table.select($row::as_select());
        let rows: Vec<$row> = loaded!(rows, $tx);
        assert!(rows.is_empty(), stringify!($row));
    })* };
}

#[both_engines]
#[case]
async fn every_row_is_selected_by_an_applications_own_query() {
    let (db, mut observer, _database) = database().await;
    observer.run("TRUNCATE setup.tools CASCADE");
    db.transaction(async |tx| -> Result<()> {
        select_each!(
            tx,
            public.users as User,
            public.organizations as Organization,
            public.organization_members as OrganizationMember,
            public.projects as Project,
            public.project_members as ProjectMember,
            public.user_sessions as UserSession,
            analysis.analyses as Analysis,
            analysis.analysis_results as AnalysisResult,
            analysis.analysis_issues as AnalysisIssue,
            analysis.analysis_metrics as AnalysisMetric,
            analysis.dependency_graphs as DependencyGraph,
            analysis.duplicate_groups as DuplicateGroup,
            setup.setup_profiles as SetupProfile,
            setup.setup_sessions as SetupSession,
            setup.setup_steps as SetupStep,
            setup.tools as Tool,
            setup.configurations as Configuration,
            setup.integrations as Integration,
            audit.audit_logs as AuditLog,
            audit.system_logs as SystemLog,
            cache.project_stats as ProjectStats,
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[both_engines]
#[case]
async fn joined_rows_are_those_of_the_repositories() {
    use public::{organizations, projects, user_sessions, users};
    let (db, _observer, _database) = database().await;
    let ada = db.users().create(NewUser::new("a@x", "Ada")).await.unwrap();
    let lab = NewOrganization::new("lab", "lab");
    let lab = db.organizations().create(lab).await.unwrap();
    let within = NewProject::new("within", ada.id).organization_id(lab.id);
    let within = db.projects().create(within).await.unwrap();
    let within_id = within.id;
    let alone = NewProject::new("alone", ada.id);
    let alone = db.projects().create(alone).await.unwrap();
    let end = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let session = NewUserSession::new(ada.id, "hash", end);
    let session = db.user_sessions().create(session).await.unwrap();
    db.transaction(async |tx| -> Result<()> {
        let all: Vec<(wundr_db::Project, Option<wundr_db::Organization>)> = projects::table
            .left_join(organizations::table)
            .order(projects::name)
            .select(<(wundr_db::Project, Option<wundr_db::Organization>)>::as_select())
            .load(tx.connection_mut())
            .await?;
        assert_eq!(all, [(alone, None), (within.clone(), Some(lab.clone()))]);
        // All columns, without `as_select`, and in an inner join.
        let all: Vec<(UserSession, User)> = user_sessions::table
            .inner_join(users::table)
            .load(tx.connection_mut())
            .await?;
        assert_eq!(all, [(session, ada.clone())]);
        // A nested tuple, with a row that is returned by a statement.
        let found: (String, (User, Option<wundr_db::Project>)) = users::table
            .left_join(projects::table)
            .filter(projects::name.eq("within"))
            .select((
                users::email,
                <(User, Option<wundr_db::Project>)>::as_select(),
            ))
            .first(tx.connection_mut())
            .await?;
        assert_eq!(found, ("a@x".to_owned(), (ada.clone(), Some(within))));
        let new = NewAnalysis::new(within_id, AnalysisType::Quality, ada.id);
        let analysis = tx.analyses().create(new).await?;
        let all: Vec<(wundr_db::Analysis, Option<wundr_db::AnalysisResult>)> =
            analysis::analyses::table
                .left_join(analysis::analysis_results::table)
                .select(<(wundr_db::Analysis, Option<wundr_db::AnalysisResult>)>::as_select())
                .load(tx.connection_mut())
                .await?;
        assert_eq!(all, [(analysis, None)]);
        let changed: User = diesel::update(users::table)
            .set(users::name.eq("Grace"))
            .returning(User::as_returning())
            .get_result(tx.connection_mut())
            .await?;
        assert_eq!(changed.name, "Grace");
        Ok(())
    })
    .await
    .unwrap();
}
