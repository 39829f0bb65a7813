//! The tables of an application: its rows, its queries beside this crate's tables, and its pages.

use super::*;
use diesel::dsl::{count_star, exists, min};
use diesel::prelude::*;
use diesel::sql_types::Text;
use wundr_db::chrono::{DateTime, Utc};
use wundr_db::schema::analysis::{analyses, analysis_issues};
use wundr_db::schema::public::{projects, users};
use wundr_db::{
    Actor, Change, Changes, Filter, IssueSeverity, IssueType, NewAnalysisIssue, NewRow, Page,
    Result, TableRow,
};

diesel::table! {
    use diesel::sql_types::*;
    use wundr_db::schema::analysis::sql_types::IssueSeverity;

    app.notes (id) {
        id -> Uuid,
        author_id -> Uuid,
        severity -> Nullable<IssueSeverity>,
        #[max_length = 20]
        title -> Varchar,
        stars -> BigInt,
        score -> Nullable<Double>,
        body -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    app.tags (id) {
        id -> Uuid,
        note_id -> Uuid,
        word -> Text,
    }
}

wundr_db::allow_own_tables!(notes, tags);
diesel::joinable!(notes -> users (author_id));
diesel::joinable!(tags -> notes (note_id));

wundr_db::own_ids! {
    /// Key of a note.
    pub NoteId;
}

#[derive(Debug, Clone, PartialEq, TableRow)]
#[diesel(table_name = notes)]
struct Note {
    id: NoteId,
    author_id: UserId,
    severity: Option<IssueSeverity>,
    title: String,
    stars: i64,
    score: Option<f64>,
    body: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, NewRow)]
#[row(table = notes, row = Note, conflict = "(title)", keep(id))]
struct NewNote {
    #[row(default = NoteId::new())]
    id: NoteId,
    author_id: UserId,
    severity: Option<IssueSeverity>,
    title: String,
    #[row(or = "0")]
    stars: Option<i64>,
    score: Option<f64>,
    body: Option<String>,
}

#[derive(Debug, Clone, Default, Changes)]
#[row(table = notes, row = Note, id = NoteId)]
struct NoteChanges {
    title: Option<String>,
    stars: Option<i64>,
    body: Change<String>,
    #[row(expected)]
    unchanged_since: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, serde::Deserialize, Filter)]
#[serde(default, deny_unknown_fields)]
struct NoteFilter {
    author_id: Option<UserId>,
    at_least: Option<i64>,
}

impl NoteFilter {
    fn query(&self) -> notes::BoxedQuery<'_, diesel::pg::Pg> {
        let mut query = notes::table.into_boxed();
        if let Some(author) = self.author_id {
            query = query.filter(notes::author_id.eq(author));
        }
        if let Some(stars) = self.at_least {
            query = query.filter(notes::stars.ge(stars));
        }
        query
    }
}

wundr_db::orders! {
    /// The order in which notes are listed.
    NoteOrder of Note in notes {
        /// Oldest first.
        #[default]
        Oldest = created_at asc,
        /// Most stars first.
        MostStars = stars desc,
    }
}

/// A note with a column of another table.
#[derive(Debug, Clone, PartialEq, Queryable)]
struct Signed {
    id: NoteId,
    stars: i64,
    title: String,
    email: String,
}

wundr_db::orders! {
    /// The order in which signed notes are listed.
    SignedOrder of Signed in notes {
        /// Fewest stars first.
        #[default]
        Stars = stars asc,
        /// By title, last first.
        Title = title desc,
    }
}

const TABLES: &str = "CREATE SCHEMA app; \
    CREATE TABLE app.notes (id UUID PRIMARY KEY, author_id UUID NOT NULL REFERENCES public.users (id), \
        severity analysis.issue_severity, title VARCHAR(20) NOT NULL CONSTRAINT notes_title_key UNIQUE, \
        stars BIGINT NOT NULL DEFAULT 0, score FLOAT8, body TEXT, \
        created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(), \
        updated_at TIMESTAMPTZ NOT NULL DEFAULT now()); \
    CREATE TABLE app.tags (id UUID PRIMARY KEY, note_id UUID NOT NULL REFERENCES app.notes (id), \
        word TEXT NOT NULL); \
    CREATE TRIGGER updated_at BEFORE UPDATE ON app.notes \
        FOR EACH ROW EXECUTE FUNCTION public.set_updated_at(); \
    GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA app TO PUBLIC";

/// Returns a user, in a database that has the application's tables.
#[both_engines]
async fn author(db: &Db) -> UserId {
    execute(db, TABLES).await;
    user(db).await.id
}

fn all_notes() -> notes::BoxedQuery<'static, diesel::pg::Pg> {
    notes::table.into_boxed()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    let new = NewNote::new(author, "one").severity(IssueSeverity::High);
    let one = own.create(new).await.unwrap();
    assert_eq!((one.stars, one.severity), (0, Some(IssueSeverity::High)));
    let two = NewNote::new(author, "two").stars(7).score(0.5).body("b");
    let two = own.create(two).await.unwrap();
    assert_eq!((two.stars, two.score), (7, Some(0.5)));

    assert_eq!(own.find(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(own.find::<Note>(NoteId::new()).await.unwrap(), None);
    let ids = [two.id, NoteId::new(), one.id, two.id];
    let found = own.find_many(&ids).await.unwrap();
    assert_eq!(
        found,
        [Some(two.clone()), None, Some(one.clone()), Some(two)]
    );
    assert!(own.exists::<Note>(one.id).await.unwrap());
    assert!(own.delete::<Note>(one.id).await.unwrap());
    assert!(!own.delete::<Note>(one.id).await.unwrap());
    assert!(!own.exists::<Note>(one.id).await.unwrap());
}

#[both_engines]
#[case]
async fn what_cannot_be_stored_names_its_column() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    for title in ["a title of 21 letters", "\0"] {
        match own.create(NewNote::new(author, title)).await {
            Err(Error::InvalidInput { field, .. }) => assert_eq!(field, "title"),
            other => panic!("{other:?}"),
        }
    }
    own.create(NewNote::new(author, "one")).await.unwrap();
    let taken = own.create(NewNote::new(author, "one")).await.unwrap_err();
    assert!(matches!(taken, Error::Unique(_)), "{taken:?}");
    let constraint = taken.constraint().map(|constraint| constraint.to_string());
    assert!(constraint.is_some_and(|name| name.contains("notes_title_key")));
    let nobody = own.create(NewNote::new(UserId::new(), "two")).await;
    assert!(
        matches!(nobody, Err(Error::MissingReference { .. })),
        "{nobody:?}"
    );
}

#[both_engines]
#[case]
async fn changes_and_upserts_write_what_they_name() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    let new = NewNote::new(author, "one").stars(3).body("b");
    let one = own.create(new).await.unwrap();
    let again = NewNote::new(author, "one").score(1.0);
    let upserted = own.upsert(again).await.unwrap();
    assert_eq!((upserted.id, upserted.stars), (one.id, 3));
    assert_eq!(
        (upserted.body.as_deref(), upserted.score),
        (Some("b"), Some(1.0))
    );

    let nothing = own.update(one.id, NoteChanges::new()).await.unwrap();
    assert_eq!(nothing, upserted);
    let changes = NoteChanges::new().title("two").body(Change::Clear);
    let changed = own.update(one.id, changes).await.unwrap();
    assert_eq!((&*changed.title, changed.body), ("two", None));
    let stale = NoteChanges::new().stars(4).unchanged_since(one.updated_at);
    let stale = own.update(one.id, stale).await;
    assert!(
        matches!(stale, Err(Error::StaleWrite { what: "Note" })),
        "{stale:?}"
    );
    let fresh = NoteChanges::new()
        .stars(4)
        .unchanged_since(changed.updated_at);
    assert_eq!(own.update(one.id, fresh).await.unwrap().stars, 4);
    let absent = own.update(NoteId::new(), NoteChanges::new().stars(1)).await;
    assert!(
        matches!(absent, Err(Error::NotFound { what: "Note" })),
        "{absent:?}"
    );
    let long = NoteChanges::new().title("a title of 21 letters");
    let long = own.update(one.id, long).await;
    assert!(matches!(long, Err(Error::InvalidInput { .. })), "{long:?}");

    let starred = diesel::update(notes::table.filter(notes::stars.ge(4))).set(notes::stars.eq(5));
    assert_eq!(own.execute(starred).await.unwrap(), 1);
    let deleted = diesel::delete(notes::table.filter(notes::stars.eq(5)));
    assert_eq!(own.execute(deleted).await.unwrap(), 1);
    assert_eq!(own.one::<_, i64>(notes::table.count()).await.unwrap(), 0);
}

#[both_engines]
#[case]
async fn many_rows_are_created_or_none() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    let named = |number: usize| NewNote::new(author, format!("note {number}"));
    assert_eq!(own.create_many::<NewNote>(&[]).await.unwrap(), 0);
    let few: Vec<_> = (0..3).map(named).collect();
    assert_eq!(own.create_many(&few).await.unwrap(), 3);
    let many: Vec<_> = (3..2_000).map(named).collect();
    assert_eq!(own.create_many(&many).await.unwrap(), 1_997);
    let count = notes::table.count();
    assert_eq!(own.one::<_, i64>(count).await.unwrap(), 2_000);
    let clashes: Vec<_> = (1_990..2_010).map(named).collect();
    assert!(own.create_many(&clashes).await.is_err());
    assert_eq!(own.one::<_, i64>(count).await.unwrap(), 2_000);
}

#[both_engines]
#[case]
async fn own_tables_join_those_of_every_schema() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    let project = db
        .projects()
        .create(NewProject::new("p", author))
        .await
        .unwrap();
    let new = NewAnalysis::new(project.id, AnalysisType::Security, author);
    let analysis = db.analyses().create(new).await.unwrap();
    let issue =
        |severity| NewAnalysisIssue::new(analysis.id, IssueType::Security, severity, "t", "a.rs");
    let issues = [issue(IssueSeverity::Low), issue(IssueSeverity::Critical)];
    db.analysis_issues().create_many(&issues).await.unwrap();
    let new = NewNote::new(author, "one").severity(IssueSeverity::Low);
    let note = own.create(new).await.unwrap();

    let of_authors = notes::table
        .inner_join(users::table)
        .left_join(tags::table)
        .select((notes::title, users::id, tags::word.nullable()));
    let found: Vec<(String, UserId, Option<String>)> = own.load(of_authors).await.unwrap();
    assert_eq!(found, [("one".to_owned(), author, None)]);

    // Tables of three schemas, and one in a subquery.
    let with_issues = notes::table
        .inner_join(users::table)
        .inner_join(
            analysis_issues::table.on(analysis_issues::severity.nullable().eq(notes::severity)),
        )
        .inner_join(analyses::table.on(analyses::id.eq(analysis_issues::analysis_id)))
        .filter(exists(
            projects::table.filter(projects::id.eq(analyses::project_id)),
        ))
        .select((Note::as_select(), User::as_select(), analyses::id));
    let found: Option<(Note, User, wundr_db::AnalysisId)> = own.first(with_issues).await.unwrap();
    let (found, user, id) = found.unwrap();
    assert_eq!((found, user.id, id), (note, author, analysis.id));

    // An enum orders as the database does: the worst first.
    let worst = analysis_issues::table
        .group_by(analysis_issues::analysis_id)
        .select((min(analysis_issues::severity), count_star()));
    let worst: Vec<(Option<IssueSeverity>, i64)> = own.load(worst).await.unwrap();
    assert_eq!(worst, [(Some(IssueSeverity::Critical), 2)]);
    let own_worst = notes::table.select(min(notes::severity));
    let own_worst: Option<IssueSeverity> = own.one(own_worst).await.unwrap();
    assert_eq!(own_worst, Some(IssueSeverity::Low));
}

#[both_engines]
#[case]
async fn a_transaction_has_both_kinds_of_tables() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let failed = db
        .transaction(async |tx| -> Result<()> {
            let note = tx.own_tables().create(NewNote::new(author, "one")).await?;
            tx.users().set_active(author, false).await?;
            assert!(tx.own_tables().exists::<Note>(note.id).await?);
            Err(Error::StaleWrite { what: "test" })
        })
        .await;
    assert!(failed.is_err());
    let own = db.own_tables();
    assert_eq!(own.one::<_, i64>(notes::table.count()).await.unwrap(), 0);
    let note = db
        .transaction(async |tx| -> Result<Note> {
            tx.own_tables().create(NewNote::new(author, "one")).await
        })
        .await
        .unwrap();
    assert_eq!(own.find(note.id).await.unwrap(), Some(note));
}

#[both_engines]
#[case]
async fn statements_are_for_the_organization_and_the_actor_of_the_database() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    execute(
        &db,
        "CREATE FUNCTION app.record() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN \
             NEW.body := coalesce(current_setting('wundr.organization', true), '') || ' ' || \
                 coalesce(current_setting('wundr.actor', true)::JSONB ->> 'user', ''); \
             RETURN NEW; END $$; \
         CREATE TRIGGER record BEFORE INSERT OR UPDATE ON app.notes \
             FOR EACH ROW EXECUTE FUNCTION app.record()",
    )
    .await;
    let lab = organization(&db).await.id;
    let acting = db.for_organization(lab).acting_as(Actor {
        user: Some(author),
        ..Actor::default()
    });
    let own = acting.own_tables();
    let setting = diesel::dsl::sql::<Text>("current_setting('wundr.organization', true)");
    let seen: String = own.one(diesel::select(setting)).await.unwrap();
    assert_eq!(seen, lab.to_string());
    let both = format!("{lab} {author}");
    let note = own.create(NewNote::new(author, "one")).await.unwrap();
    assert_eq!(note.body.as_ref(), Some(&both));
    let note = own
        .update(note.id, NoteChanges::new().stars(1))
        .await
        .unwrap();
    assert_eq!(note.body.as_ref(), Some(&both));
    let starred = diesel::update(notes::table).set(notes::stars.eq(2));
    assert_eq!(own.execute(starred).await.unwrap(), 1);
    let stored: Note = own.find(note.id).await.unwrap().unwrap();
    assert_eq!(stored.body, Some(both));
    // None of it is left for the next statement.
    let setting =
        diesel::dsl::sql::<Text>("coalesce(current_setting('wundr.organization', true), '')");
    let seen: String = db.own_tables().one(diesel::select(setting)).await.unwrap();
    assert_eq!(seen, "");
}

#[both_engines]
#[case]
async fn pages_of_an_own_query_have_each_row_once() {
    // Reads all pages, forwards and backwards, and returns the rows of both. Within the function,
    // which is compiled for both engines.
    macro_rules! all_pages {
        ($own:expr, $query:expr, $page:expr, $limit:expr) => {{
            let first = $page.limit($limit);
            let mut forwards = $own.page($query, &first).await.unwrap();
            let mut rows = forwards.items.clone();
            while let Some(next) = forwards.next {
                forwards = $own.page($query, &first.clone().after(next)).await.unwrap();
                rows.extend(forwards.items.clone());
            }
            let mut backwards = $own.page($query, &first.clone().last()).await.unwrap();
            let mut reversed = backwards.items.clone();
            while let Some(previous) = backwards.previous {
                backwards = $own
                    .page($query, &first.clone().before(previous))
                    .await
                    .unwrap();
                reversed.splice(0..0, backwards.items.clone());
            }
            assert_eq!(rows, reversed);
            rows
        }};
    }

    let (db, _database) = database().await;
    let author = author(&db).await;
    let other = user(&db).await.id;
    let own = db.own_tables();
    for number in 0..11 {
        let author = if number % 4 == 3 { other } else { author };
        let new = NewNote::new(author, format!("note {number:02}")).stars(number % 3);
        own.create(new).await.unwrap();
    }
    let all: Vec<Note> = own
        .load(notes::table.order(notes::created_at))
        .await
        .unwrap();
    for limit in [1, 3, 11, 100] {
        let rows = all_pages!(own, all_notes(), Page::<NoteOrder>::new(), limit);
        assert_eq!(rows, all);
        let rows = all_pages!(
            own,
            all_notes(),
            Page::new().order(NoteOrder::MostStars),
            limit
        );
        assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.stars)));
        assert_eq!(rows.len(), 11);
        let filter = NoteFilter::new().author_id(author).at_least(1);
        let rows = all_pages!(own, filter.query(), Page::<NoteOrder>::new(), limit);
        let expected = all
            .iter()
            .filter(|row| row.author_id == author && row.stars > 0);
        assert!(rows.iter().eq(expected));
    }
    // The query of a join, whose conditions may be alternatives.
    let of_both = || {
        notes::table
            .inner_join(users::table)
            .filter(notes::stars.eq(0))
            .or_filter(notes::stars.eq(2))
            .select((notes::id, notes::stars, notes::title, users::email))
            .into_boxed()
    };
    for order in [SignedOrder::Stars, SignedOrder::Title] {
        let rows = all_pages!(own, of_both(), Page::new().order(order), 2);
        let mut expected: Vec<_> = all.iter().filter(|row| row.stars != 1).collect();
        match order {
            SignedOrder::Title => expected.sort_by(|one, other| other.title.cmp(&one.title)),
            _ => expected.sort_by_key(|row| (row.stars, row.id)),
        }
        let ids = |row: &Signed| row.id;
        assert!(rows.iter().map(ids).eq(expected.iter().map(|row| row.id)));
        assert!(rows.iter().all(|row| row.email.ends_with("@example.org")));
    }
    // The total is that of all pages.
    let first = Page::<SignedOrder>::new().limit(2).with_total();
    let page = own.page(of_both(), &first).await.unwrap();
    assert_eq!((page.items.len(), page.total), (2, Some(7)));
    let second = first.clone().after(page.next.unwrap());
    let page = own.page(of_both(), &second).await.unwrap();
    assert_eq!((page.items.len(), page.total), (2, Some(7)));
    let one = Page::<NoteOrder>::new().limit(1).with_total();
    let page = own.page(all_notes(), &one).await.unwrap();
    assert_eq!(page.total, Some(11));
    let in_transaction = db
        .transaction(async |tx| -> Result<_> { tx.own_tables().page(of_both(), &second).await })
        .await
        .unwrap();
    assert_eq!(in_transaction.items.len(), 2);
}

#[both_engines]
#[case]
async fn a_page_that_cannot_be_read_is_refused() {
    let (db, _database) = database().await;
    let author = author(&db).await;
    let own = db.own_tables();
    let note = own.create(NewNote::new(author, "one")).await.unwrap();
    let first = Page::<NoteOrder>::new();
    let by_stars = NoteOrder::MostStars.cursor_of(&note);
    let too_many = own.page(all_notes(), &first.clone().limit(101)).await;
    let of_another = own.page(all_notes(), &first.clone().after(by_stars)).await;
    let ordered = own.page(all_notes().order(notes::title), &first).await;
    let limited = own.page(all_notes().limit(5), &first).await;
    for (refused, named) in [
        (too_many, "limit"),
        (of_another, "cursor"),
        (ordered, "query"),
        (limited, "query"),
    ] {
        match refused {
            Err(Error::InvalidInput { field, .. }) => assert_eq!(field, named),
            other => panic!("{other:?}"),
        }
    }
}
