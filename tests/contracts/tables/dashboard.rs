use super::*;
use chrono::{TimeDelta, Utc};
use wundr_db::{
    AnalysisStatus, DashboardOptions, IssueSeverity, IssueType, MetricCategory, NewAnalysisIssue,
    NewAnalysisMetric, NewProjectMember, ProjectRole,
};

/// An issue of this severity.
fn issue(analysis: &Analysis, severity: IssueSeverity) -> NewAnalysisIssue {
    NewAnalysisIssue::new(
        analysis.id,
        IssueType::CodeQuality,
        severity,
        "wrong",
        "src/a.rs",
    )
}

/// An analysis that was created so many hours ago, and completed if so.
#[both_engines]
async fn analysis_of(
    db: &Db,
    project: ProjectId,
    r#type: AnalysisType,
    hours: i64,
    is_completed: bool,
) -> Analysis {
    let created = Utc::now() - TimeDelta::hours(hours);
    let new = NewAnalysis::new(project, r#type, user(db).await.id).created_at(created);
    let new = if is_completed {
        new.completed(created, created + TimeDelta::minutes(1))
    } else {
        new
    };
    db.analyses().create(new).await.unwrap()
}

#[both_engines]
#[case]
async fn a_project_is_seen_at_a_glance() {
    let (db, _database) = database().await;
    let (project, other) = (project(&db).await, project(&db).await);
    let mut users = Vec::new();
    for hours in [3, 2, 1] {
        let user = user(&db).await;
        let member = NewProjectMember::new(project.id, user.id, ProjectRole::Viewer)
            .added_at(Utc::now() - TimeDelta::hours(hours));
        db.project_members().create(member).await.unwrap();
        users.push(user);
    }
    let (quality, security) = (AnalysisType::Quality, AnalysisType::Security);
    let outdated = analysis_of(&db, project.id, quality, 9, true).await;
    let completed = analysis_of(&db, project.id, quality, 8, true).await;
    let pending = analysis_of(&db, project.id, quality, 7, false).await;
    let secured = analysis_of(&db, project.id, security, 6, true).await;
    let elsewhere = analysis_of(&db, other.id, quality, 5, true).await;
    let (high, low) = (IssueSeverity::High, IssueSeverity::Low);
    let issues = [
        issue(&outdated, low),
        issue(&completed, high),
        issue(&completed, low),
        issue(&completed, low),
        issue(&pending, low),
        issue(&secured, high),
        issue(&elsewhere, high),
    ];
    db.analysis_issues().create_many(&issues).await.unwrap();
    let resolved = issues[2].id;
    let by = users[0].id;
    db.analysis_issues().resolve(resolved, by).await.unwrap();
    let metrics = [(outdated.id, 1), (secured.id, 4), (elsewhere.id, 9)].map(|(id, value)| {
        NewAnalysisMetric::new(id, "bugs", MetricCategory::Quality).metric_value(value)
    });
    db.analysis_metrics().create_many(&metrics).await.unwrap();

    let options = DashboardOptions::new().metrics(["none", "bugs"]).members(2);
    let dashboard = db.dashboard().of_project(project.id, &options).await;
    let dashboard = dashboard.unwrap().unwrap();

    assert_eq!(dashboard.project.id, project.id);
    let members: Vec<_> = dashboard
        .members
        .iter()
        .map(|member| (member.user_id, &*member.name, member.role))
        .collect();
    let developer = |user: &User| (user.id, "Ada", ProjectRole::Viewer);
    assert_eq!(members, [developer(&users[0]), developer(&users[1])]);
    let statistics = db.project_stats().find(project.id).await.unwrap();
    assert_eq!(statistics.as_ref().unwrap().total_analyses, 4);
    assert_eq!(dashboard.statistics, statistics);
    let mut latest: Vec<_> = dashboard.latest_analyses.iter().map(|it| it.id).collect();
    let mut expected = [pending.id, secured.id];
    latest.sort();
    expected.sort();
    assert_eq!(latest, expected);
    let places: Vec<_> = dashboard
        .latest_analyses
        .iter()
        .map(|it| {
            AnalysisType::ALL
                .iter()
                .position(|r#type| *r#type == it.r#type)
        })
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    let open: Vec<_> = dashboard
        .open_issues
        .iter()
        .map(|(_, open)| *open)
        .collect();
    assert_eq!(open.len(), IssueSeverity::ALL.len());
    let of = |severity| {
        let mut counts = dashboard.open_issues.iter();
        counts.find(|(found, _)| *found == severity).unwrap().1
    };
    assert_eq!((of(high), of(low), open.iter().sum::<u64>()), (2, 1, 3));
    let [none, bugs] = &dashboard.trends[..] else {
        panic!("{:?}", dashboard.trends);
    };
    assert_eq!((&*none.metric_name, none.points.len()), ("none", 0));
    assert_eq!(bugs.metric_name, "bugs");
    let trend = db.trends().of_metric(project.id, "bugs", 30).await.unwrap();
    assert_eq!(bugs.points, trend);
}

#[both_engines]
#[case]
async fn a_dashboard_of_nothing_is_none_and_one_of_an_empty_project_is_empty() {
    let (db, _database) = database().await;
    let options = DashboardOptions::new();
    let nowhere = db.dashboard().of_project(ProjectId::new(), &options).await;
    assert_eq!(nowhere.unwrap(), None);

    let project = project(&db).await;
    let dashboard = db.dashboard().of_project(project.id, &options).await;
    let dashboard = dashboard.unwrap().unwrap();
    assert_eq!(dashboard.project, project);
    assert!(dashboard.members.is_empty() && dashboard.latest_analyses.is_empty());
    assert!(dashboard.open_issues.iter().all(|(_, open)| *open == 0));
    assert!(dashboard.trends.is_empty());

    let error = db
        .dashboard()
        .of_project(project.id, &options.members(101))
        .await
        .unwrap_err();
    assert_eq!(field_of(error), "members");
}

#[both_engines]
#[case]
async fn a_dashboard_in_a_transaction_shows_what_it_has_written() {
    let (db, _database) = database().await;
    let creator = user(&db).await.id;
    let seen = db
        .transaction(async |tx| {
            let project = tx
                .projects()
                .create(NewProject::new("New", creator))
                .await?;
            let new = NewAnalysis::new(project.id, AnalysisType::Quality, creator);
            tx.analyses().create(new).await?;
            tx.dashboard()
                .of_project(project.id, &DashboardOptions::new())
                .await
        })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.latest_analyses[0].status, AnalysisStatus::Pending);
    assert_eq!(seen.statistics.unwrap().total_analyses, 1);
}
