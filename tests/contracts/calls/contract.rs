use super::*;
use diesel::QueryableByName;
use diesel::sql_types::Integer;
use std::sync::Mutex;

fn user(name: impl std::fmt::Display) -> NewUser {
    NewUser::new(format!("{name}@example.org"), "x")
}

fn issue(analysis: AnalysisId, number: usize) -> NewAnalysisIssue {
    let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
    NewAnalysisIssue::new(analysis, kind, severity, number.to_string(), "a.rs")
}

/// A new analysis of a new project.
#[both_engines]
async fn new_analysis(db: &Db, name: &str) -> NewAnalysis {
    let owner = db.users().create(user(name)).await.unwrap().id;
    let project = NewProject::new("p", owner);
    let project = db.projects().create(project).await.unwrap().id;
    NewAnalysis::new(project, AnalysisType::Quality, owner)
}

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[both_engines]
async fn backend(db: &Db) -> i32 {
    db.transaction(async |tx| -> Result<_> {
        let pid = diesel::sql_query("SELECT pg_backend_pid() AS pid");
        let backend: Backend = pid.get_result(tx.connection_mut()).await?;
        Ok(backend.pid)
    })
    .await
    .unwrap()
}

#[both_engines]
#[case]
async fn a_bulk_insert_that_is_refused_keeps_its_connection() {
    let (db, mut observer, _database) = database().await;
    let before = backend(&db).await;
    // By one statement, by COPY, and by several of either.
    for rows in [900, 1_500, 25_000] {
        let mut users: Vec<_> = (0..rows).map(user).collect();
        users[rows - 2].email = "0@example.org".to_owned();
        for _ in 0..2 {
            let refused = db.users().create_many(&users).await;
            assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
            assert_eq!(backend(&db).await, before, "after {rows} rows");
        }
        assert_eq!(observer.count("public.users"), 0);
    }
    // A value that cannot be sent is found while the others are on their way.
    let refused = db
        .transaction(async |tx| -> Result<()> {
            let mut users: Vec<_> = (0..1_500).map(user).collect();
            users[1_400].email = "0@example.org".to_owned();
            tx.users().create_many(&users).await?;
            Ok(())
        })
        .await;
    assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
    assert_eq!(backend(&db).await, before);
}

#[both_engines]
#[case]
async fn a_refused_bulk_insert_is_undone_by_its_savepoint_alone() {
    let (db, mut observer, _database) = database().await;
    db.transaction(async |tx| -> Result<()> {
        tx.users().create(user("before")).await?;
        for _ in 0..3 {
            let refused = tx
                .savepoint(async |tx| -> Result<_> {
                    let mut users: Vec<_> = (0..1_500).map(user).collect();
                    users[1_400].email = "0@example.org".to_owned();
                    tx.users().create_many(&users).await
                })
                .await;
            assert!(matches!(refused, Err(Error::Unique(_))), "{refused:?}");
        }
        tx.users().create(user("after")).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(observer.count("public.users"), 2);
}

/// Says that there is no further row, and then goes on.
fn that_goes_on<T>(rows: usize, mut make: impl FnMut(usize) -> T) -> impl Iterator<Item = T> {
    let mut asked = 0;
    std::iter::from_fn(move || {
        asked += 1;
        (asked != rows + 1).then(|| make(asked))
    })
}

#[both_engines]
#[case]
async fn an_input_is_not_read_on_after_its_end() {
    let (db, mut observer, _database) = database().await;
    // The end comes within a chunk, at its beginning, and before the first.
    for rows in [3, 10_000, 0] {
        let new = new_analysis(&db, &rows.to_string()).await;
        let id = new.id;
        let make = |number| issue(id, number);
        let ingest = db.analyses().ingest(new);
        let ingest = ingest.issues(that_goes_on(rows, make));
        let fallible = that_goes_on(rows, |number| Ok::<_, Error>(make(number)));
        let ingest = ingest.issues(Rows::fallible(fallible));
        let ingest = ingest.issues(that_goes_on(rows, make));
        let ingested = ingest.run().await.unwrap();
        assert_eq!(ingested.counts.issues, 3 * rows as u64);
        let stored = format!("analysis.analysis_issues WHERE analysis_id = '{id}'");
        assert_eq!(observer.count(&stored), 3 * rows);
    }
}

/// The rows of a unit may be made by code that has the same transaction.
#[both_engines]
#[case]
async fn a_call_within_anothers_unit_is_refused_and_the_transaction_goes_on() {
    let (db, mut observer, _database) = database().await;
    let (good, bad) = (new_analysis(&db, "g").await, new_analysis(&db, "b").await);
    let (good_id, bad_id) = (good.id, bad.id);
    let answers = Mutex::new(Vec::new());

    db.transaction(async |tx| -> Result<()> {
        let tx = &*tx;
        tx.users().create(user("before")).await?;
        // Refused by the server, so that all of the unit is undone.
        let (twice, answers) = (issue(bad_id, 0), &answers);
        let rows = std::iter::repeat_n(twice, 2);
        let outcome = ingest_beside(tx, bad, rows, answers, "ada").await;
        assert!(matches!(outcome, Err(Error::Row { .. })), "{outcome:?}");
        let rows = (0..2).map(|number| issue(good_id, number));
        ingest_beside(tx, good, rows, answers, "bob").await?;
        tx.users().create(user("after")).await?;
        Ok(())
    })
    .await
    .unwrap();

    let answers = answers.into_inner().unwrap();
    assert_eq!(answers.len(), 4);
    for answer in answers {
        assert!(matches!(answer, Err(Error::InUse { .. })), "{answer:?}");
    }
    assert_eq!(observer.count("public.users WHERE email ~ '^(ada|bob)'"), 0);
    let around = "public.users WHERE email ~ '^(before|after)'";
    assert_eq!(observer.count(around), 2);
    assert_eq!(observer.count("analysis.analysis_issues"), 2);
    assert_eq!(observer.count("analysis.analyses"), 1);
}
