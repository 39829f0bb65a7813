use super::*;
use chrono::Utc;
use serde_json::json;
use wundr_db::{
    Analysis, AnalysisChanges, AnalysisFilter, AnalysisIssueChanges, AnalysisIssueFilter,
    AnalysisIssueId, AnalysisIssueOrder, AnalysisMetricChanges, AnalysisMetricFilter,
    AnalysisMetricId, AnalysisMetricOrder, AnalysisOrder, AnalysisResultChanges,
    AnalysisResultFilter, AnalysisResultId, AnalysisResultOrder, AnalysisStatus, AnalysisSummary,
    DependencyGraphChanges, DependencyGraphFilter, DependencyGraphId, DependencyGraphOrder,
    DuplicateFile, DuplicateGroupChanges, DuplicateGroupFilter, DuplicateGroupId,
    DuplicateGroupOrder, IssueSeverity, IssueStatus, IssueType, MetricCategory, NewAnalysisIssue,
    NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph, NewDuplicateGroup,
};

/// Four statements.
#[both_engines]
async fn completed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().start(id).await?;
    db.analyses().progress(id, 50).await?;
    db.analyses()
        .complete(id, AnalysisSummary::scored(9.5))
        .await
}

/// Three statements.
#[both_engines]
async fn failed(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().start(id).await?;
    db.analyses().fail(id, "no disk").await
}

/// Two statements.
#[both_engines]
async fn cancelled(db: &Db, new: NewAnalysis) -> Result<Analysis> {
    let id = db.analyses().create(new).await?.id;
    db.analyses().cancel(id).await
}

#[both_engines]
#[case]
async fn analyses_and_their_lives() {
    let ledger = ledger().await;
    let now = Utc::now();
    let (project, user) = analysed(&ledger.db).await;
    let new = || NewAnalysis::new(project, AnalysisType::Quality, user);
    let id = every_repository!(
        ledger, analyses, new(), AnalysisFilter,
        [project_id(project), r#type(AnalysisType::Quality), status(AnalysisStatus::Pending), created_by(user),
         created_from(now), created_before(now), completed_from(now), completed_before(now)],
        AnalysisOrder[Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        analyses,
        id,
        AnalysisChanges::new().error_message("x".to_owned()),
        AnalysisFilter::new().project_id(ProjectId::new()),
        AnalysisId::new()
    );
    let analyses = ledger.db.analyses();
    costs!(ledger, 1, analyses.access(user, id));
    costs!(ledger, 1, analyses.latest(project, AnalysisType::Quality));
    costs!(
        ledger,
        1,
        analyses.latest_completed(project, AnalysisType::Quality)
    );
    costs!(ledger, 1, analyses.of_projects(&[project], 3));
    costs!(ledger, 1, analyses.pin(id, "release"));
    costs!(ledger, 1, analyses.pins(id));
    costs!(ledger, 1, analyses.pins_of_project(project, 10));
    costs!(ledger, 1, analyses.unpin(id, "release"));
    costs!(ledger, 4, completed(&ledger.db, new()));
    costs!(ledger, 3, failed(&ledger.db, new()));
    costs!(ledger, 2, cancelled(&ledger.db, new()));
    ledger.settle();
}

#[both_engines]
#[case]
async fn the_steps_of_analyses_have_names() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let analyses = ledger.db.analyses();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = NewAnalysis::new(project, AnalysisType::Quality, user);
        ids.push(analyses.create(new).await.unwrap().id);
    }
    named!(ledger, analyses.start(ids[0]));
    named!(ledger, analyses.progress(ids[0], 50));
    named!(
        ledger,
        analyses.complete(ids[0], AnalysisSummary::scored(9.5))
    );
    analyses.start(ids[1]).await.unwrap();
    named!(ledger, analyses.fail(ids[1], "no disk"));
    named!(ledger, analyses.cancel(ids[2]));
    ledger.settle();
}

#[both_engines]
#[case]
async fn issues_of_analyses() {
    let ledger = ledger().await;
    let (project, user) = analysed(&ledger.db).await;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    let analysis = ledger.db.analyses().create(new).await.unwrap().id;
    let nowhere = AnalysisId::new();

    let (kind, high) = (IssueType::CodeQuality, IssueSeverity::High);
    let issue = || NewAnalysisIssue::new(analysis, kind, high, "wrong", "src/a.rs");
    let id = every_repository!(
        ledger, analysis_issues, issue(), AnalysisIssueFilter,
        [project_id(project), latest_of_project(project), analysis_id(analysis),
         analysis_ids(vec![analysis, nowhere]), r#type(kind), severity(high),
         severity_at_least(high), status(IssueStatus::Open), rule_id("x"), file_path("src/a.rs"),
         file_path_prefix("src/"), resolved_by(user)],
        AnalysisIssueOrder[Severity, Newest, Oldest, File]
    );
    let nothing = AnalysisIssueFilter::new().analysis_id(nowhere);
    every_writable_repository!(
        ledger,
        analysis_issues,
        id,
        AnalysisIssueChanges::new().title("worse"),
        nothing,
        AnalysisIssueId::new()
    );
    let issues = ledger.db.analysis_issues();
    costs!(ledger, 1, issues.access(user, id));
    costs!(ledger, 1, issues.resolve(id, user));
    costs!(ledger, 1, issues.ignore(id, user));
    costs!(ledger, 1, issues.mark_false_positive(id, user));
    costs!(ledger, 1, issues.reopen(id));
    costs!(ledger, 1, issues.resolve_many(&nothing, user));
    costs!(
        ledger,
        1,
        issues.settle_many(&nothing, IssueStatus::Open, user)
    );
    costs!(
        ledger,
        1,
        issues.update_many(&nothing, AnalysisIssueChanges::new().rule_id("lower"))
    );
    costs!(ledger, 1, issues.count_by_severity(&nothing));
    costs!(ledger, 1, issues.count_by_type(&nothing));
    costs!(ledger, 1, issues.count_by_rule(&nothing, 5));

    ledger.settle();
}

#[both_engines]
#[case]
async fn results_and_metrics_of_analyses() {
    let ledger = ledger().await;
    let (project, analysis) = pending(&ledger.db).await;
    let nowhere = AnalysisId::new();
    let result = || NewAnalysisResult::new(analysis, "src/a.rs");
    let id = every_repository!(
        ledger, analysis_results, result(), AnalysisResultFilter,
        [analysis_id(analysis), file_path("src/a.rs"), file_path_prefix("src/"), file_hash("x")],
        AnalysisResultOrder[Newest, Oldest, File]
    );
    every_writable_repository!(
        ledger,
        analysis_results,
        id,
        AnalysisResultChanges::new().file_hash("y".to_owned()),
        AnalysisResultFilter::new().analysis_id(nowhere),
        AnalysisResultId::new()
    );

    let metric =
        || NewAnalysisMetric::new(analysis, "bugs", MetricCategory::Quality).metric_value(1);
    let id = every_repository!(
        ledger, analysis_metrics, metric(), AnalysisMetricFilter,
        [analysis_id(analysis), metric_name("bugs"), category(MetricCategory::Quality)],
        AnalysisMetricOrder[Newest, Oldest, Name]
    );
    every_writable_repository!(
        ledger,
        analysis_metrics,
        id,
        AnalysisMetricChanges::new().metric_unit("x".to_owned()),
        AnalysisMetricFilter::new().analysis_id(nowhere),
        AnalysisMetricId::new()
    );
    let metrics = ledger.db.analysis_metrics();
    costs!(ledger, 1, metrics.of_analyses(&[analysis]));
    costs!(ledger, 1, metrics.latest_of_project(project, &["bugs"]));

    ledger.settle();
}

#[both_engines]
#[case]
async fn duplicates_and_graphs_of_analyses() {
    let ledger = ledger().await;
    let (project, analysis) = pending(&ledger.db).await;
    let nowhere = AnalysisId::new();
    let group =
        || NewDuplicateGroup::new(analysis, "x", 90, 10, vec![DuplicateFile::new("a", 1, 2)]);
    let id = every_repository!(
        ledger, duplicate_groups, group(), DuplicateGroupFilter,
        [analysis_id(analysis), hash("x"), similarity_at_least(50)],
        DuplicateGroupOrder[MostSimilar, Longest, Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        duplicate_groups,
        id,
        DuplicateGroupChanges::new().total_lines(11),
        DuplicateGroupFilter::new().analysis_id(nowhere),
        DuplicateGroupId::new()
    );
    costs!(ledger, 1, ledger.db.duplicate_groups().find_by_hash("x"));

    let graph = || NewDependencyGraph::new(project, json!({})).analysis_id(analysis);
    let id = every_repository!(
        ledger, dependency_graphs, graph(), DependencyGraphFilter,
        [project_id(project), analysis_id(analysis), created_from(Utc::now()), created_before(Utc::now())],
        DependencyGraphOrder[Newest, Oldest]
    );
    every_writable_repository!(
        ledger,
        dependency_graphs,
        id,
        DependencyGraphChanges::new().metadata(json!({})),
        DependencyGraphFilter::new().analysis_id(nowhere),
        DependencyGraphId::new()
    );
    costs!(ledger, 1, ledger.db.dependency_graphs().latest(project));
    costs!(
        ledger,
        1,
        ledger.db.dependency_graphs().of_analysis(nowhere)
    );
    ledger.settle();
}
