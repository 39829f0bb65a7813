//! Rows of the application are cached under the guarantee of the cache, if writes name their keys.

use super::*;
use serde::{Deserialize, Serialize};
use wundr_db::cache::CachedRow;

#[derive(Debug, Clone, PartialEq, diesel::QueryableByName, Serialize, Deserialize)]
struct Note {
    #[diesel(sql_type = diesel::sql_types::Text)]
    text: String,
}

impl CachedRow for Note {
    const KIND: &'static str = "note";
}

const NOTES: &str = "CREATE SCHEMA app; CREATE TABLE app.notes (id text PRIMARY KEY, text text); \
    INSERT INTO app.notes VALUES ('a b', 'first'), ('c', 'other')";

/// Reads a note from the database.
#[both_engines]
async fn load(db: &Db, id: &str) -> Result<Option<Note>> {
    let query = format!("SELECT text FROM app.notes WHERE id = '{id}'");
    let notes: Vec<Note> = db
        .transaction(async |tx| -> Result<_> { Ok(rows!(tx, diesel::sql_query(query.clone()))) })
        .await?;
    Ok(notes.into_iter().next())
}

#[both_engines]
async fn note(db: &Cached, id: &str) -> Option<String> {
    let note = db.of(Note::key(id), loads!(db, id)).await.unwrap();
    note.map(|note| note.text)
}

/// Reads a note until the cache answers.
#[both_engines]
async fn until_note_is_cached(db: &Cached, id: &str) -> Option<String> {
    let answered = || db.metrics().hits + db.metrics().near_hits;
    let (began, before) = (std::time::Instant::now(), answered());
    loop {
        let found = note(db, id).await;
        if answered() > before {
            return found;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            db.metrics()
        );
    }
}

#[both_engines]
async fn write(db: &Cached, ids: &[&str], sql: &str) {
    let outcome: Result<()> = db
        .transaction(async |tx| {
            tx.touches(ids.iter().map(Note::key));
            run!(tx, sql)
        })
        .await;
    outcome.unwrap();
}

#[both_engines]
#[case]
async fn a_row_of_the_application_is_cached_until_a_write_names_it() {
    let pair = pair(shared()).await;
    execute(&pair.plain, NOTES).await;
    let (a, c) = ("a b", "c");
    assert_eq!(
        until_note_is_cached(&pair.other, a).await.as_deref(),
        Some("first")
    );
    assert_eq!(
        until_note_is_cached(&pair.other, c).await.as_deref(),
        Some("other")
    );
    let traffic = pair.wire.traffic();
    assert_eq!(note(&pair.other, a).await.as_deref(), Some("first"));
    assert_eq!(pair.wire.traffic(), traffic, "the database was asked");

    let generations = pair.one.metrics().generations;
    write(
        &pair.one,
        &[a],
        "UPDATE app.notes SET text = 'second' WHERE id = 'a b'",
    )
    .await;
    assert_eq!(note(&pair.other, a).await.as_deref(), Some("second"));
    let hits = pair.other.metrics().hits;
    assert_eq!(note(&pair.other, c).await.as_deref(), Some("other"));
    assert_eq!(
        pair.other.metrics().hits,
        hits + 1,
        "the other row is still cached"
    );
    assert_eq!(pair.one.metrics().generations, generations);

    // An absence is cached, and the row that is created is found.
    assert_eq!(until_note_is_cached(&pair.other, "new").await, None);
    write(
        &pair.one,
        &["new"],
        "INSERT INTO app.notes VALUES ('new', 'created')",
    )
    .await;
    assert_eq!(note(&pair.other, "new").await.as_deref(), Some("created"));
    write(&pair.one, &["new", a], "DELETE FROM app.notes").await;
    assert_eq!(note(&pair.other, "new").await, None);
    assert_eq!(note(&pair.other, a).await, None);
    // What no write names is found when the lifetime ends, as documented.
    assert_eq!(note(&pair.other, c).await.as_deref(), Some("other"));
    pair.one.forget_everything().await.unwrap();
    assert_eq!(note(&pair.other, c).await, None);
}

#[both_engines]
#[case]
async fn a_row_that_changes_while_it_is_loaded_is_not_cached() {
    let pair = pair(shared()).await;
    execute(&pair.plain, NOTES).await;
    until_note_is_cached(&pair.other, "c").await;
    // The write is acknowledged between the read of the old row and its fill.
    let outdated = pair
        .other
        .of(Note::key("a b"), loads_and_writes!(pair, "a b"))
        .await;
    assert_eq!(outdated.unwrap().unwrap().text, "first");
    assert_eq!(note(&pair.other, "a b").await.as_deref(), Some("second"));
}

#[both_engines]
#[case]
async fn an_error_of_the_load_is_returned_and_not_cached() {
    let pair = pair(shared()).await;
    // The table is missing.
    let error = pair
        .other
        .of(Note::key("c"), loads!(&pair.other, "c"))
        .await;
    assert!(error.is_err(), "{error:?}");
    execute(&pair.plain, NOTES).await;
    assert_eq!(note(&pair.other, "c").await.as_deref(), Some("other"));
}

#[both_engines]
#[case]
async fn a_near_value_of_the_application_is_removed_by_the_process_that_writes_it() {
    let near = shared().near(100, Duration::from_secs(3600));
    let pair = pair(near).await;
    execute(&pair.plain, NOTES).await;
    until_note_is_cached(&pair.one, "c").await;
    let near_hits = pair.one.metrics().near_hits;
    note(&pair.one, "c").await;
    assert_eq!(pair.one.metrics().near_hits, near_hits + 1);
    write(&pair.one, &["c"], "UPDATE app.notes SET text = 'changed'").await;
    assert_eq!(note(&pair.one, "c").await.as_deref(), Some("changed"));
}
