//! Analyses and what they found.

use super::*;
use wundr_db::{ConfigurationScope, IssueStatus};

#[both_engines]
pub(super) async fn analysis(
    db: &Db,
    out: &mut Outcomes,
    mine: &Tenant,
    theirs: &Tenant,
    lease: &Lease,
) {
    let (project, ids) = (theirs.project, [theirs.project]);
    let filter = ProjectStatsFilter::new();
    outcome!(out, db.project_stats().find(project));
    outcome!(out, db.project_stats().find_many(&[project, mine.project]));
    outcome!(
        out,
        db.project_stats().list(&filter, &Page::new().with_total())
    );
    outcome!(out, db.project_stats().count(&filter));
    outcome!(
        out,
        db.dashboard().of_project(project, &DashboardOptions::new())
    );
    outcome!(out, db.trends().of_metric(project, "a", 30));
    outcome!(out, db.trends().of_metrics(project, &["a"], 30));

    let (analysis, quality) = (theirs.analysis, AnalysisType::Quality);
    let new = || NewAnalysis::new(project, quality, mine.user);
    common!(
        out,
        db,
        analyses,
        AnalysisFilter,
        mine.analysis,
        analysis,
        AnalysisChanges::new().error_message("x"),
        new()
    );
    let summary = || AnalysisSummary::scored(1.0);
    let minute = Duration::from_secs(60);
    outcome!(out, db.analyses().access(mine.user, analysis));
    outcome!(out, db.analyses().latest(project, quality));
    outcome!(out, db.analyses().latest_completed(project, quality));
    outcome!(out, db.analyses().of_projects(&ids, 5));
    outcome!(
        out,
        db.analyses()
            .list_of_projects(&ids, &AnalysisFilter::new(), &Page::new())
    );
    outcome!(out, db.analyses().start(analysis));
    outcome!(out, db.analyses().progress(analysis, 5));
    outcome!(out, db.analyses().complete(analysis, summary()));
    outcome!(out, db.analyses().fail(analysis, "x"));
    outcome!(out, db.analyses().cancel(analysis));
    outcome!(out, db.analyses().renew(lease, minute, Some(7)));
    outcome!(out, db.analyses().complete_claimed(lease, summary()));
    outcome!(out, db.analyses().fail_claimed(lease, "x"));
    outcome!(out, db.analyses().release(lease));
    outcome!(out, db.analyses().pin(analysis, "release"));
    outcome!(out, db.analyses().unpin(analysis, "release"));
    outcome!(out, db.analyses().pins(analysis));
    outcome!(out, db.analyses().pins_of_project(project, 10));
    outcome!(out, db.quality_gates().set_base("merge", analysis));
    outcome!(out, db.quality_gates().base(project, "merge"));
    outcome!(out, db.analyses().requeue_abandoned(3));
    // The first takes the organization's own analysis, the second none.
    outcome!(out, db.analyses().claim(&[quality], "worker", minute));
    outcome!(out, db.analyses().claim(&[quality], "worker", minute));
    outcome!(out, db.analyses().ingest(new()).run());
    outcome!(
        out,
        db.analyses()
            .ingest_into(analysis)
            .issues([new_issue(analysis)])
            .run()
    );
    outcome!(out, db.analyses().ingest_claimed(lease).run());

    let ids = [analysis];
    common!(
        out,
        db,
        analysis_results,
        AnalysisResultFilter,
        mine.result,
        theirs.result,
        AnalysisResultChanges::new().file_hash("x"),
        NewAnalysisResult::new(analysis, "x.rs")
    );
    let filter = AnalysisResultFilter::new();
    outcome!(
        out,
        db.analysis_results()
            .list_of_analyses(&ids, &filter, &Page::new())
    );

    common!(
        out,
        db,
        analysis_issues,
        AnalysisIssueFilter,
        mine.issue,
        theirs.issue,
        AnalysisIssueChanges::new().title("x"),
        new_issue(analysis)
    );
    let (filter, of_theirs) = (
        AnalysisIssueFilter::new(),
        AnalysisIssueFilter::new().analysis_id(analysis),
    );
    outcome!(
        out,
        db.analysis_issues()
            .list_of_analyses(&ids, &filter, &Page::new())
    );
    outcome!(out, db.analysis_issues().access(mine.user, theirs.issue));
    outcome!(out, db.analysis_issues().resolve(theirs.issue, mine.user));
    outcome!(out, db.analysis_issues().ignore(theirs.issue, mine.user));
    outcome!(
        out,
        db.analysis_issues()
            .mark_false_positive(theirs.issue, mine.user)
    );
    outcome!(out, db.analysis_issues().reopen(theirs.issue));
    outcome!(
        out,
        db.analysis_issues().resolve_many(&of_theirs, mine.user)
    );
    let opened = IssueStatus::Open;
    outcome!(
        out,
        db.analysis_issues()
            .settle_many(&of_theirs, opened, mine.user)
    );
    let changes = AnalysisIssueChanges::new().title("x");
    outcome!(out, db.analysis_issues().update_many(&of_theirs, changes));
    outcome!(out, db.analysis_issues().track(analysis, mine.analysis));
    outcome!(out, db.analysis_issues().track(mine.analysis, analysis));
    outcome!(out, db.analysis_issues().count_by_severity(&filter));
    outcome!(out, db.analysis_issues().count_by_type(&filter));
    outcome!(out, db.analysis_issues().count_by_rule(&filter, 5));
    let many: Vec<_> = (0..2_000).map(|_| new_issue(analysis)).collect();
    outcome!(out, db.analysis_issues().create_many(&many));
    let gate = QualityGate::new([GateCondition::OpenIssues {
        severity: None,
        at_most: 0,
    }]);
    let scope = ConfigurationScope::Project(project);
    outcome!(
        out,
        db.quality_gates().save(scope, "merge", &gate, mine.user)
    );
    outcome!(out, db.quality_gates().find(scope, "merge"));
    outcome!(out, db.quality_gates().evaluate(&gate, None, analysis));
    outcome!(
        out,
        db.quality_gates()
            .evaluate(&gate, Some(analysis), mine.analysis)
    );

    common!(
        out,
        db,
        analysis_metrics,
        AnalysisMetricFilter,
        mine.metric,
        theirs.metric,
        AnalysisMetricChanges::new().metric_unit("x"),
        NewAnalysisMetric::new(analysis, "x", MetricCategory::Quality)
    );
    let filter = AnalysisMetricFilter::new();
    outcome!(out, db.analysis_metrics().of_analyses(&ids));
    outcome!(
        out,
        db.analysis_metrics().latest_of_project(project, &["a"])
    );
    outcome!(
        out,
        db.analysis_metrics()
            .list_of_analyses(&ids, &filter, &Page::new())
    );

    common!(
        out,
        db,
        dependency_graphs,
        DependencyGraphFilter,
        mine.graph,
        theirs.graph,
        DependencyGraphChanges::new().metadata(json!({})),
        NewDependencyGraph::new(mine.project, json!({})).analysis_id(analysis)
    );
    let filter = DependencyGraphFilter::new();
    outcome!(out, db.dependency_graphs().latest(project));
    outcome!(out, db.dependency_graphs().of_analysis(analysis));
    outcome!(
        out,
        db.dependency_graphs()
            .list_of_projects(&[project], &filter, &Page::new())
    );
    outcome!(
        out,
        db.dependency_graphs()
            .list_of_analyses(&ids, &filter, &Page::new())
    );

    let similarity = || bigdecimal::BigDecimal::from(50);
    common!(
        out,
        db,
        duplicate_groups,
        DuplicateGroupFilter,
        mine.duplicates,
        theirs.duplicates,
        DuplicateGroupChanges::new().hash("x"),
        NewDuplicateGroup::new(analysis, "x", similarity(), 1, Vec::new())
    );
    let filter = DuplicateGroupFilter::new();
    outcome!(out, db.duplicate_groups().find_by_hash("a"));
    outcome!(
        out,
        db.duplicate_groups()
            .list_of_analyses(&ids, &filter, &Page::new())
    );
}
