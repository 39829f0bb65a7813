use example_own_tables::MIGRATIONS;
use example_own_tables::models::{
    IssueNoteChanges, IssueNoteFilter, IssueNoteId, IssueNoteOrder, NewIssueNote,
};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{
    AnalysisIssueId, AnalysisType, Config, Error, IssueSeverity, IssueType, NewAnalysis,
    NewAnalysisIssue, NewProject, NewUser, Page, ProjectId, Result, UserId,
};

use super::*;

/// The rows that notes refer to.
struct Known {
    author: UserId,
    project: ProjectId,
    issues: Vec<AnalysisIssueId>,
}

/// A database with the application's table, and findings of two severities.
#[both_engines]
async fn database() -> (Db, Known, TestDatabase) {
    let database = migrated_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    let applied = Runner::new(&config).and(MIGRATIONS).up().await.unwrap();
    assert_eq!(applied, ["2026-01-01-000000_issue_notes"]);
    let db = Db::connect(config).await.unwrap();
    let ada = NewUser::new("ada@example.org", "Ada");
    let author = db.users().create(ada).await.unwrap().id;
    let project = NewProject::new("Engine", author);
    let project = db.projects().create(project).await.unwrap().id;
    let analysis = NewAnalysis::new(project, AnalysisType::Security, author);
    let analysis = db.analyses().create(analysis).await.unwrap().id;
    let issues: Vec<_> = [IssueSeverity::Low, IssueSeverity::High]
        .into_iter()
        .map(|severity| {
            let kind = IssueType::Security;
            NewAnalysisIssue::new(analysis, kind, severity, "a title", "src/a.rs")
        })
        .collect();
    db.analysis_issues().create_many(&issues).await.unwrap();
    let known = Known {
        author,
        project,
        issues: issues.iter().map(|issue| issue.id).collect(),
    };
    (db, known, database)
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, known, _database) = database().await;
    let notes = IssueNotes::of(&db).unwrap();
    let new = NewIssueNote::new(known.issues[0], known.author, "Look here.");
    let note = notes.create(new).await.unwrap();
    assert_eq!(note.votes, 0);
    assert_eq!(notes.find(note.id).await.unwrap(), Some(note.clone()));
    assert_eq!(notes.find(IssueNoteId::new()).await.unwrap(), None);
    assert!(notes.delete(note.id).await.unwrap());
    assert!(!notes.delete(note.id).await.unwrap());
}

#[both_engines]
#[case]
async fn what_cannot_be_stored_is_refused() {
    let (db, known, _database) = database().await;
    let notes = IssueNotes::of(&db).unwrap();
    let nowhere = NewIssueNote::new(AnalysisIssueId::new(), known.author, "x");
    let refused = notes.create(nowhere).await;
    assert!(
        matches!(refused, Err(Error::MissingReference { .. })),
        "{refused:?}"
    );
    let long = NewIssueNote::new(known.issues[0], known.author, "x".repeat(2_001));
    match notes.create(long).await {
        Err(Error::InvalidInput { field, .. }) => assert_eq!(field, "body"),
        other => panic!("{other:?}"),
    }
}

#[both_engines]
#[case]
async fn an_update_changes_what_it_names_unless_the_row_has_changed() {
    let (db, known, _database) = database().await;
    let notes = IssueNotes::of(&db).unwrap();
    let new = NewIssueNote::new(known.issues[0], known.author, "Look here.");
    let note = notes.create(new).await.unwrap();
    let changes = IssueNoteChanges::new()
        .votes(2)
        .unchanged_since(note.updated_at);
    let changed = notes.update(note.id, changes.clone()).await.unwrap();
    assert_eq!((changed.votes, &changed.body), (2, &note.body));
    let stale = notes.update(note.id, changes.clone()).await;
    assert!(matches!(stale, Err(Error::StaleWrite { .. })), "{stale:?}");
    let absent = notes.update(IssueNoteId::new(), changes).await;
    assert!(matches!(absent, Err(Error::NotFound { .. })), "{absent:?}");
}

#[both_engines]
#[case]
async fn pages_have_each_note_of_the_filter_once() {
    let (db, known, _database) = database().await;
    let notes = IssueNotes::of(&db).unwrap();
    for number in 0..7_usize {
        let issue = known.issues[number % 2];
        let new = NewIssueNote::new(issue, known.author, format!("note {number}"));
        notes.create(new.votes(number as i32)).await.unwrap();
    }
    let filter = IssueNoteFilter::new().issue_id(known.issues[0]);
    let first = Page::new()
        .limit(3)
        .order(IssueNoteOrder::MostVotes)
        .with_total();
    let page = notes.list(&filter, &first).await.unwrap();
    let votes = |items: &[example_own_tables::models::IssueNote]| {
        items.iter().map(|note| note.votes).collect::<Vec<_>>()
    };
    assert_eq!((votes(&page.items), page.total), (vec![6, 4, 2], Some(4)));
    let rest = first.after(page.next.unwrap());
    let page = notes.list(&filter, &rest).await.unwrap();
    assert_eq!((votes(&page.items), page.next), (vec![0], None));
}

/// Creates a note and a user by whatever it is given.
#[both_engines]
async fn note_of_a_new_user(all: &dyn Repositories, issue: AnalysisIssueId) -> Result<IssueNoteId> {
    let user = all
        .users()
        .create(NewUser::new("bob@example.org", "Bob"))
        .await?;
    let new = NewIssueNote::new(issue, user.id, "Seen.");
    Ok(IssueNotes::of(all)?.create(new).await?.id)
}

#[both_engines]
#[case]
async fn notes_and_rows_of_the_platform_are_written_in_one_transaction() {
    let (db, known, _database) = database().await;
    let failed = db
        .transaction(async |tx| -> Result<()> {
            note_of_a_new_user(&*tx, known.issues[1]).await?;
            Err(Error::StaleWrite { what: "test" })
        })
        .await;
    assert!(failed.is_err());
    let notes = IssueNotes::of(&db).unwrap();
    assert_eq!(notes.worst_severity(known.project).await.unwrap(), None);
    let id = note_of_a_new_user(&db, known.issues[1]).await.unwrap();
    assert!(notes.find(id).await.unwrap().is_some());
    let worst = notes.worst_severity(known.project).await.unwrap();
    assert_eq!(worst, Some(IssueSeverity::High));
}
