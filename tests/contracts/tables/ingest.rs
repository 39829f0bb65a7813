use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bigdecimal::BigDecimal;
use serde_json::json;
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueId, AnalysisMetricFilter,
    AnalysisResultFilter, AnalysisStatus, AnalysisSummary, DependencyGraphFilter, DuplicateFile,
    DuplicateGroupFilter, IngestCounts, IssueSeverity, IssueStatus, IssueType, MetricCategory,
    NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph, NewDuplicateGroup,
};

fn issue(analysis: AnalysisId, title: impl ToString) -> NewAnalysisIssue {
    NewAnalysisIssue::new(
        analysis,
        IssueType::Maintainability,
        IssueSeverity::Low,
        title.to_string(),
        "a.rs",
    )
}

fn graph(project: ProjectId) -> NewDependencyGraph {
    NewDependencyGraph::new(project, json!({"nodes": []}))
}

fn group(analysis: AnalysisId, percent: u32) -> NewDuplicateGroup {
    let places = vec![DuplicateFile::new("a.rs", 1, 9)];
    NewDuplicateGroup::new(analysis, "abc", BigDecimal::from(percent), 9, places)
}

/// Table, index and what is wrong.
fn row_of(error: Error) -> (&'static str, usize, Error) {
    match error {
        Error::Row {
            table,
            index,
            source,
        } => (table, index, *source),
        other => panic!("{other:?}"),
    }
}

/// Returns the number of rows that an analysis has in each table.
#[both_engines]
async fn stored(db: &Db, id: AnalysisId) -> [u64; 6] {
    let analysis = db.analyses().exists(id).await.unwrap();
    let results = AnalysisResultFilter::new().analysis_id(id);
    let issues = AnalysisIssueFilter::new().analysis_id(id);
    let metrics = AnalysisMetricFilter::new().analysis_id(id);
    let groups = DuplicateGroupFilter::new().analysis_id(id);
    let graphs = DependencyGraphFilter::new().analysis_id(id);
    [
        u64::from(analysis),
        db.analysis_results().count(&results).await.unwrap(),
        db.analysis_issues().count(&issues).await.unwrap(),
        db.analysis_metrics().count(&metrics).await.unwrap(),
        db.duplicate_groups().count(&groups).await.unwrap(),
        db.dependency_graphs().count(&graphs).await.unwrap(),
    ]
}

#[both_engines]
#[case]
async fn an_analysis_is_completed_with_everything_that_it_found() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let (id, project) = (new.id, new.project_id);
    let ignored = issue(id, "ignored").status(IssueStatus::Ignored);

    let ingested = db
        .analyses()
        .ingest(new)
        .results([
            NewAnalysisResult::new(id, "a.rs"),
            NewAnalysisResult::new(id, "b.rs"),
        ])
        .issues((0..3).map(|number| issue(id, number)))
        .issues([ignored])
        .metrics([NewAnalysisMetric::new(
            id,
            "lines",
            MetricCategory::Complexity,
        )])
        .duplicate_groups([group(id, 100)])
        .dependency_graphs([graph(project)])
        .run()
        .await
        .unwrap();

    assert_eq!(stored(&db, id).await, [1, 2, 4, 1, 1, 1]);
    let (analysis, counts) = (ingested.analysis, ingested.counts);
    assert_eq!((counts.issues, counts.total()), (4, 9));
    assert_eq!(
        db.analyses().find(id).await.unwrap().as_ref(),
        Some(&analysis)
    );
    assert_eq!(
        (analysis.status, analysis.progress),
        (AnalysisStatus::Completed, 100)
    );
    assert!(analysis.duration_seconds >= Some(1));
    assert!(analysis.completed_at >= analysis.started_at && analysis.started_at.is_some());
    let summary = analysis.summary.unwrap().to_value().unwrap();
    let open = json!({"critical": 0, "high": 0, "medium": 0, "low": 3, "info": 0});
    assert_eq!(
        (&summary["issues"], &summary["openIssues"]),
        (&json!(4), &open),
        "{summary}"
    );
}

#[both_engines]
#[case]
async fn history_keeps_its_times_and_its_summary() {
    let (db, _database) = database().await;
    let (from, to) = (
        "2024-01-01T10:00:00Z".parse().unwrap(),
        "2024-01-01T10:01:30Z".parse().unwrap(),
    );
    let new = new_analysis(&db, project(&db).await.id)
        .await
        .completed(from, to);
    let ingest = db
        .analyses()
        .ingest(new)
        .summary(AnalysisSummary::scored(7.5));
    let analysis = ingest.run().await.unwrap().analysis;
    assert_eq!(
        (analysis.started_at, analysis.completed_at),
        (Some(from), Some(to))
    );
    assert_eq!(analysis.duration_seconds, Some(90));
    let summary = analysis.summary.unwrap().into_typed().unwrap();
    assert_eq!((summary.overall_score, summary.extra.len()), (Some(7.5), 0));
}

#[both_engines]
#[case]
async fn a_row_that_breaks_a_constraint_is_named_and_nothing_is_left() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    for broken in [0, 1, 9_999, 10_000, 12_345, 24_999] {
        let new = new_analysis(&db, project).await;
        let id = new.id;
        let issues = (0..25_000).map(|number| {
            let resolver = (number == broken).then(UserId::new);
            let mut issue = issue(id, number);
            issue.resolved_by = resolver;
            issue.status = resolver.map(|_| IssueStatus::Resolved);
            issue
        });
        let ingest = db
            .analyses()
            .ingest(new)
            .results([NewAnalysisResult::new(id, "a.rs")])
            .issues(issues);

        let (table, index, error) = row_of(ingest.run().await.unwrap_err());

        assert_eq!((table, index), ("analysis_issues", broken));
        assert!(matches!(&error, Error::MissingReference(_)), "{error:?}");
        assert_eq!(error.constraint(), Some("analysis_issues_resolved_by_fkey"));
        assert_eq!(stored(&db, id).await, [0; 6]);
    }
}

#[both_engines]
#[case]
async fn each_kind_of_row_that_cannot_be_stored_says_why() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let (id, elsewhere) = (new.id, AnalysisId::new());
    let twice = issue(id, "twice");
    let unreadable = vec![
        Ok(issue(id, "fine")),
        Err(std::io::Error::other("torn page")),
    ];
    let cases = [
        (
            db.analyses()
                .ingest(new.clone())
                .issues([issue(id, "fine"), issue(elsewhere, "not")]),
            1,
            "analysis_id",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .issues([issue(id, "x".repeat(501))]),
            0,
            "title",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .issues(Rows::fallible(unreadable)),
            1,
            "row",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .dependency_graphs([graph(ProjectId::new())]),
            0,
            "project_id",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .dependency_graphs([graph(new.project_id).analysis_id(elsewhere)]),
            0,
            "analysis_id",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .duplicate_groups([group(id, 99), group(id, 101)]),
            1,
            "duplicate_groups_similarity_percentage_check",
        ),
        (
            db.analyses()
                .ingest(new.clone())
                .issues([twice.clone(), issue(id, "once"), twice]),
            2,
            "analysis_issues_pkey",
        ),
    ];
    for (ingest, place, name) in cases {
        let (_, index, error) = row_of(ingest.run().await.unwrap_err());
        let field = error.constraint().map(str::to_owned);
        assert_eq!(
            (index, field.unwrap_or_else(|| field_of(error))),
            (place, name.to_owned())
        );
        assert_eq!(stored(&db, id).await, [0; 6]);
    }
}

#[both_engines]
#[case]
async fn a_transaction_goes_on_after_an_ingest_that_failed() {
    let (db, _database) = database().await;
    let (first, second) = (
        new_analysis(&db, project(&db).await.id).await,
        new_analysis(&db, project(&db).await.id).await,
    );
    let (failed, done) = (first.id, second.id);
    db.transaction(async |tx| -> Result<(), Error> {
        let broken = [
            issue(failed, "fine"),
            issue(failed, "not").resolved_by(UserId::new()),
        ];
        let outcome = tx.analyses().ingest(first).issues(broken).run().await;
        assert_eq!(row_of(outcome.unwrap_err()).1, 1);
        tx.analyses()
            .ingest(second)
            .issues([issue(done, "fine")])
            .run()
            .await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(stored(&db, failed).await, [0; 6]);
    assert_eq!(stored(&db, done).await, [1, 0, 1, 0, 0, 0]);

    let third = new_analysis(&db, project(&db).await.id).await;
    let undone = third.id;
    let outcome = db
        .transaction(async |tx| -> Result<(), Error> {
            tx.analyses()
                .ingest(third)
                .issues([issue(undone, "fine")])
                .run()
                .await?;
            Err(Error::NotFound { what: "patience" })
        })
        .await;
    assert!(matches!(outcome, Err(Error::NotFound { what: "patience" })));
    assert_eq!(stored(&db, undone).await, [0; 6]);
}

#[both_engines]
#[case]
async fn the_same_analysis_twice_is_refused_or_replaced() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let (id, project) = (new.id, new.project_id);
    let first = db
        .analyses()
        .ingest(new.clone())
        .dependency_graphs([graph(project)]);
    first
        .issues([issue(id, "a"), issue(id, "b")])
        .run()
        .await
        .unwrap();

    let again = db
        .analyses()
        .ingest(new.clone())
        .issues([issue(id, "c")])
        .run()
        .await;
    assert_eq!(again.unwrap_err().constraint(), Some("analyses_pkey"));
    assert_eq!(stored(&db, id).await, [1, 0, 2, 0, 0, 1]);

    let broken = [issue(id, "c"), issue(id, "x".repeat(501))];
    let replacement = db.analyses().ingest(new.clone()).replacing();
    replacement.issues(broken).run().await.unwrap_err();
    assert_eq!(stored(&db, id).await, [1, 0, 2, 0, 0, 1]);

    let replacement = db
        .analyses()
        .ingest(new)
        .replacing()
        .issues([issue(id, "c")]);
    replacement
        .dependency_graphs([graph(project)])
        .run()
        .await
        .unwrap();
    assert_eq!(stored(&db, id).await, [1, 0, 1, 0, 0, 1]);
    // The first one's would have been kept without its analysis.
    let graphs = DependencyGraphFilter::new().project_id(project);
    assert_eq!(db.dependency_graphs().count(&graphs).await.unwrap(), 1);
    assert_eq!(
        db.analyses().count(&AnalysisFilter::new()).await.unwrap(),
        1
    );
}

#[both_engines]
#[case]
async fn a_running_analysis_is_completed_by_what_it_found() {
    let (db, _database) = database().await;
    let id = analysis(&db).await.id;
    let into = |title| db.analyses().ingest_into(id).issues([issue(id, title)]);

    let early = into("early").run().await.unwrap_err();
    assert!(
        matches!(early, Error::IllegalTransition { .. }),
        "{early:?}"
    );
    let started = db.analyses().start(id).await.unwrap();
    let done = into("found").run().await.unwrap().analysis;
    assert_eq!(
        (done.status, done.started_at),
        (AnalysisStatus::Completed, started.started_at)
    );
    let late = into("late").run().await.unwrap_err();
    assert!(matches!(late, Error::IllegalTransition { .. }), "{late:?}");
    assert_eq!(stored(&db, id).await[2], 1);

    let nothing = db.analyses().ingest_into(AnalysisId::new()).run().await;
    assert!(matches!(nothing, Err(Error::NotFound { what: "Analysis" })));
}

#[both_engines]
#[case]
async fn no_more_than_two_chunks_are_read_ahead_and_progress_is_told() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let id = new.id;
    let (pulled, written, most_ahead) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let issues = (0..35_000).map(|number| {
        let pulled = pulled.fetch_add(1, Ordering::Relaxed) + 1;
        most_ahead.fetch_max(pulled - written.load(Ordering::Relaxed), Ordering::Relaxed);
        issue(id, number)
    });
    let metric = NewAnalysisMetric::new(id, "lines", MetricCategory::Complexity);
    let mut reported = Vec::new();
    let report = |counts: &IngestCounts| {
        written.store(counts.issues as usize, Ordering::Relaxed);
        reported.push(counts.total());
    };

    let ingest = db.analyses().ingest(new).metrics([metric]).issues(issues);
    let ingested = ingest.on_progress(report).run().await.unwrap();

    assert_eq!(reported, [10_000, 20_000, 30_000, 35_000, 35_001]);
    assert_eq!(ingested.counts.total(), 35_001);
    let most_ahead = most_ahead.into_inner();
    assert!((10_000..=20_000).contains(&most_ahead), "{most_ahead}");
}

#[both_engines]
#[case]
async fn an_issue_that_is_moved_into_place_keeps_its_key() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let id = new.id;
    let key = AnalysisIssueId::new();
    let mut found = issue(id, "found");
    found.id = key;
    db.analyses()
        .ingest(new)
        .issues([found])
        .run()
        .await
        .unwrap();
    let stored = db.analysis_issues().find(key).await.unwrap().unwrap();
    assert_eq!((stored.analysis_id, stored.title.as_str()), (id, "found"));
}

#[both_engines]
#[case]
async fn a_worker_that_has_lost_its_lease_stores_nothing() {
    let (db, _database) = database().await;
    let (id, hour) = (analysis(&db).await.id, Duration::from_secs(3_600));
    let claim = async || db.analyses().claim(AnalysisType::ALL, "worker", hour).await;
    let (lost, found) = (claim().await.unwrap().unwrap().lease, [issue(id, "found")]);
    db.analyses().release(&lost).await.unwrap();
    let held = claim().await.unwrap().unwrap().lease;

    let late = db
        .analyses()
        .ingest_claimed(&lost)
        .issues(found.clone())
        .run()
        .await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    assert_eq!(stored(&db, id).await[2], 0);
    db.analyses()
        .ingest_claimed(&held)
        .issues(found.clone())
        .run()
        .await
        .unwrap();
    assert_eq!(stored(&db, id).await[2], 1);
    let again = db
        .analyses()
        .ingest_claimed(&held)
        .issues(found)
        .run()
        .await;
    assert!(matches!(again, Err(Error::LeaseLost { .. })), "{again:?}");
}
