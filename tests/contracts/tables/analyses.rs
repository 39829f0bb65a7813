use super::*;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use wundr_db::{
    AnalysisChanges, AnalysisFilter, AnalysisId, AnalysisOrder, AnalysisStatus, AnalysisSummary,
    Change, Json, Page,
};

/// A time that the database can hold to the last digit.
fn day(day: u32) -> DateTime<Utc> {
    format!("2024-01-{day:02}T12:00:00Z").parse().unwrap()
}

fn transition(error: Error) -> (String, String) {
    match error {
        Error::IllegalTransition { from, to, .. } => (from.into_owned(), to.into_owned()),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let pending = analysis(&db).await;

    assert_eq!(
        (pending.status, pending.progress),
        (AnalysisStatus::Pending, 0)
    );
    assert_eq!(pending.configuration, json!({}));
    assert_eq!(
        (&pending.summary, &pending.results, pending.started_at),
        (&None, &None, None)
    );
    assert_eq!(
        analyses.find(pending.id).await.unwrap(),
        Some(pending.clone())
    );
    assert!(analyses.exists(pending.id).await.unwrap());
    let nothing = AnalysisId::new();
    assert_eq!(
        analyses.find_many(&[nothing, pending.id]).await.unwrap(),
        [None, Some(pending.clone())]
    );
    let orphan = NewAnalysis::new(ProjectId::new(), AnalysisType::Quality, pending.created_by);
    assert!(matches!(
        analyses.create(orphan).await,
        Err(Error::MissingReference(_))
    ));
    assert!(analyses.delete(pending.id).await.unwrap());
    assert!(!analyses.delete(pending.id).await.unwrap());
}

#[both_engines]
#[case]
async fn history_is_imported_as_it_was() {
    let (db, _database) = database().await;
    let new = new_analysis(&db, project(&db).await.id).await;
    let summary = json!({"overallScore": 91.5, "grade": "A"});
    let imported = new
        .clone()
        .completed(day(2), day(2) + TimeDelta::milliseconds(400))
        .summary(serde_json::from_value::<AnalysisSummary>(summary.clone()).unwrap())
        .results(json!({"files": 3}))
        .created_at(day(1));

    let row = db.analyses().create(imported).await.unwrap();

    assert_eq!(
        (row.status, row.progress, row.duration_seconds),
        (AnalysisStatus::Completed, 100, Some(1))
    );
    assert_eq!((row.created_at, row.started_at), (day(1), Some(day(2))));
    let stored = row.summary.unwrap();
    assert_eq!(stored.typed().unwrap().overall_score, Some(91.5));
    assert_eq!(stored.to_value().unwrap(), summary);
    let half = new.id(AnalysisId::new()).completed_at(day(2));
    let refusal = db.analyses().create(half).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("valid_duration"));
}

#[both_engines]
#[case]
async fn a_summary_of_another_shape_is_kept_as_it_is() {
    let (db, _database) = database().await;
    let row = analysis(&db).await;
    let raw = Json::Raw(json!({"overallScore": "ninety"}).into());
    let changes = AnalysisChanges::new().summary(raw.clone());
    let changed = db.analyses().update(row.id, changes).await.unwrap();
    assert_eq!(changed.summary, Some(raw));
    let changes = AnalysisChanges::new()
        .summary(AnalysisSummary::scored(1.0))
        .configuration(json!({"deep": true}))
        .error_message("none");
    let changed = db.analyses().update(row.id, changes).await.unwrap();
    assert_eq!(
        changed.summary,
        Some(Json::Typed(AnalysisSummary::scored(1.0)))
    );
    let cleared = AnalysisChanges::new().error_message(Change::Clear);
    let cleared = db.analyses().update(row.id, cleared).await.unwrap();
    assert_eq!(
        (cleared.error_message, cleared.configuration),
        (None, json!({"deep": true}).into())
    );
}

#[both_engines]
#[case]
async fn a_run_goes_from_pending_to_completed() {
    let (db, _database) = database().await;
    let (analyses, id) = (db.analyses(), analysis(&db).await.id);

    let early = analyses.progress(id, 1).await.unwrap_err();
    assert_eq!(
        early.to_string(),
        "Analysis is pending: progress cannot take it to running"
    );
    assert_eq!(transition(early), ("pending".into(), "running".into()));
    let started = analyses.start(id).await.unwrap();
    assert_eq!(started.status, AnalysisStatus::Running);
    assert!(started.started_at.is_some() && started.completed_at.is_none());
    assert_eq!(analyses.progress(id, 60).await.unwrap().progress, 60);
    assert_eq!(
        analyses.progress(id, 40).await.unwrap().progress,
        60,
        "never backwards"
    );
    for wrong in [-1, 101] {
        assert_eq!(
            field_of(analyses.progress(id, wrong).await.unwrap_err()),
            "progress"
        );
    }
    let completed = analyses
        .complete(id, AnalysisSummary::scored(88.0))
        .await
        .unwrap();
    assert_eq!(
        (completed.status, completed.progress),
        (AnalysisStatus::Completed, 100)
    );
    assert!(completed.duration_seconds >= Some(1));
    assert!(completed.completed_at >= completed.started_at);
    assert_eq!(completed.started_at, started.started_at);
}

#[both_engines]
#[case]
async fn an_ended_run_takes_no_further_step() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let ended = analysis(&db).await.id;
    analyses.start(ended).await.unwrap();
    analyses.fail(ended, "out of memory").await.unwrap();
    let summary = AnalysisSummary::default();

    let refusals = [
        (analyses.start(ended).await, "running"),
        (analyses.progress(ended, 1).await, "running"),
        (analyses.complete(ended, summary).await, "completed"),
        (analyses.fail(ended, "again").await, "failed"),
        (analyses.cancel(ended).await, "cancelled"),
    ];
    for (refusal, to) in refusals {
        assert_eq!(
            transition(refusal.unwrap_err()),
            ("failed".into(), to.into())
        );
    }
    let row = analyses.find(ended).await.unwrap().unwrap();
    assert_eq!(row.error_message.as_deref(), Some("out of memory"));
    let nothing = analyses.cancel(AnalysisId::new()).await;
    assert!(matches!(nothing, Err(Error::NotFound { what: "Analysis" })));
}

#[both_engines]
#[case]
async fn a_step_that_has_become_possible_meanwhile_is_taken() {
    let (db, _database) = database().await;
    let id = analysis(&db).await.id;
    // Starts what is pending just after an UPDATE has not found it running, before anybody can look
    // why.
    execute(
        &db,
        "CREATE FUNCTION public.start_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF pg_trigger_depth() = 1 THEN \
             UPDATE analysis.analyses SET status = 'running', started_at = now() WHERE status = 'pending'; \
         END IF; RETURN NULL; END $$; \
         CREATE TRIGGER start_late AFTER UPDATE ON analysis.analyses \
         FOR EACH STATEMENT EXECUTE FUNCTION public.start_late()",
    )
    .await;

    let row = db.analyses().progress(id, 10).await.unwrap();
    assert_eq!((row.status, row.progress), (AnalysisStatus::Running, 10));
}

#[both_engines]
#[case]
async fn an_end_is_noted_where_there_was_a_start() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let new = new_analysis(&db, project(&db).await.id).await;

    let never_started = analyses.create(new.clone()).await.unwrap().id;
    let cancelled = analyses.cancel(never_started).await.unwrap();
    assert_eq!(
        (
            cancelled.status,
            cancelled.completed_at,
            cancelled.duration_seconds
        ),
        (AnalysisStatus::Cancelled, None, None)
    );
    let started = new
        .clone()
        .id(AnalysisId::new())
        .status(AnalysisStatus::Running)
        .started_at(Utc::now() - TimeDelta::seconds(90));
    let started = analyses.create(started).await.unwrap().id;
    let failed = analyses.fail(started, "no").await.unwrap();
    assert!((Some(90)..Some(900)).contains(&failed.duration_seconds));
    // The run's start lies ahead: another machine's clock said when, or this transaction began
    // before it.
    let ahead = new
        .clone()
        .id(AnalysisId::new())
        .status(AnalysisStatus::Running)
        .started_at(Utc::now() + TimeDelta::days(1));
    let ahead = analyses.create(ahead).await.unwrap().id;
    let cancelled = analyses.cancel(ahead).await.unwrap();
    assert_eq!(cancelled.completed_at, cancelled.started_at);
    let unnoted = new.id(AnalysisId::new()).status(AnalysisStatus::Running);
    let unnoted = analyses.create(unnoted).await.unwrap().id;
    let summary = AnalysisSummary::default();
    let completed = analyses.complete(unnoted, summary).await.unwrap();
    assert_eq!(
        completed.completed_at.unwrap() - completed.started_at.unwrap(),
        TimeDelta::seconds(1)
    );
}

#[both_engines]
#[case]
async fn the_newest_of_each_project_are_found() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let (first, second) = (project(&db).await.id, project(&db).await.id);
    for n in 1..=5 {
        for project_id in [first, second] {
            let new = new_analysis(&db, project_id).await.created_at(day(n));
            let new = if n == 3 {
                new.completed(day(n), day(n + 1))
            } else {
                new
            };
            analyses.create(new).await.unwrap();
        }
    }

    let quality = AnalysisType::Quality;
    let latest = analyses.latest(first, quality).await.unwrap().unwrap();
    assert_eq!((latest.project_id, latest.created_at), (first, day(5)));
    let completed = analyses.latest_completed(first, quality).await.unwrap();
    assert_eq!(completed.unwrap().created_at, day(3));
    assert_eq!(
        analyses
            .latest(first, AnalysisType::Security)
            .await
            .unwrap(),
        None
    );
    let nothing = ProjectId::new();
    let newest = analyses
        .of_projects(&[second, nothing, first], 2)
        .await
        .unwrap();
    let days: Vec<Vec<_>> = newest
        .iter()
        .map(|rows| {
            rows.iter()
                .map(|row| (row.project_id, row.created_at))
                .collect()
        })
        .collect();
    assert_eq!(
        days,
        [
            vec![(second, day(5)), (second, day(4))],
            vec![],
            vec![(first, day(5)), (first, day(4))]
        ]
    );
    let twice = analyses.of_projects(&[first, first], 2).await.unwrap();
    assert_eq!(twice, [newest[2].clone(), newest[2].clone()]);
    assert_eq!(
        field_of(analyses.of_projects(&[first], 0).await.unwrap_err()),
        "each"
    );

    let of_first = AnalysisFilter::new().project_id(first);
    let page = Page::new().limit(3).with_total();
    let page_one = analyses.list(&of_first, &page).await.unwrap();
    assert_eq!((page_one.items.len(), page_one.total), (3, Some(5)));
    let rest = Page::new().limit(3).after(page_one.next.unwrap());
    let rest = analyses.list(&of_first, &rest).await.unwrap();
    assert_eq!(rest.items.last().unwrap().created_at, day(1));
    let oldest = Page::new().limit(1).order(AnalysisOrder::Oldest);
    let oldest = analyses.list(&of_first, &oldest).await.unwrap();
    assert_eq!(oldest.items[0].created_at, day(1));
    let ended = AnalysisFilter::new()
        .status(AnalysisStatus::Completed)
        .r#type(quality)
        .created_from(day(3))
        .created_before(day(4))
        .completed_from(day(4))
        .completed_before(day(5));
    assert_eq!(analyses.count(&ended).await.unwrap(), 2);
    assert_eq!(analyses.delete_many(&ended).await.unwrap(), 2);
    assert_eq!(analyses.count(&of_first).await.unwrap(), 4);
}
