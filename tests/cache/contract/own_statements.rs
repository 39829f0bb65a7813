//! A transaction with statements of the caller invalidates what it has written: nothing if no
//! cached table is among it, and everything if one is and its rows are not named.

use super::*;
use diesel::ExpressionMethods as _;
use wundr_db::schema::public::users;
use wundr_db::{Changes, NewRow, Table, TableRow, Touched};

/// The tables of an application beside the crate's.
const NOTES: &str = "\
    CREATE SCHEMA app; \
    CREATE TABLE app.notes (id int PRIMARY KEY, author uuid REFERENCES public.users, text text); \
    CREATE TABLE app.renames (name text); \
    CREATE TABLE app.late (name text); \
    CREATE VIEW app.people AS SELECT id, name FROM public.users; \
    CREATE TABLE app.staged (name text); \
    CREATE RULE copied AS ON INSERT TO app.staged DO ALSO UPDATE public.users SET name = NEW.name; \
    CREATE FUNCTION app.rename(text) RETURNS void LANGUAGE sql \
        AS 'UPDATE public.users SET name = $1'; \
    CREATE FUNCTION app.renamed() RETURNS trigger LANGUAGE plpgsql \
        AS 'BEGIN UPDATE public.users SET name = NEW.name; RETURN NULL; END'; \
    CREATE TRIGGER renamed AFTER INSERT ON app.renames \
        FOR EACH ROW EXECUTE FUNCTION app.renamed(); \
    CREATE CONSTRAINT TRIGGER renamed AFTER INSERT ON app.late \
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.renamed(); \
    CREATE TABLE app.settings (name text); \
    GRANT USAGE ON SCHEMA app TO PUBLIC; \
    GRANT ALL ON ALL TABLES IN SCHEMA app TO PUBLIC";

#[both_engines]
async fn pair_with_notes() -> Pair {
    let pair = pair(shared()).await;
    execute(&pair.plain, NOTES).await;
    pair
}

/// Reads a user until the cache answers: a new generation is filled when all earlier transactions
/// have ended, those of other tests among them.
#[both_engines]
async fn until_cached(db: &Cached, id: UserId) {
    let (began, hits) = (std::time::Instant::now(), db.metrics().hits);
    while db.metrics().hits == hits {
        db.users().find(id).await.unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            db.metrics()
        );
    }
}

#[both_engines]
async fn name_of(db: &Cached, id: UserId) -> String {
    db.users().find(id).await.unwrap().unwrap().name
}

#[both_engines]
#[case]
async fn own_tables_leave_the_cache_alone() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    until_cached(&pair.other, ada.id).await;
    let (one, other) = (pair.one.metrics(), pair.other.metrics());
    for id in 0..100 {
        let author = ada.id;
        execute(
            &pair.one,
            &format!("INSERT INTO app.notes VALUES ({id}, '{author}', 'text')"),
        )
        .await;
        assert_eq!(
            pair.other.users().find(ada.id).await.unwrap().as_ref(),
            Some(&ada)
        );
    }
    execute(&pair.one, "TRUNCATE app.notes").await;
    execute(
        &pair.one,
        "CREATE TEMP TABLE notes ON COMMIT DROP AS SELECT * FROM app.notes",
    )
    .await;
    execute(&pair.one, "SELECT 1 FROM public.users FOR UPDATE").await;
    pair.other.users().find(ada.id).await.unwrap();
    assert_eq!(pair.one.metrics().generations, one.generations);
    assert_eq!(pair.one.metrics().fences, one.fences);
    assert_eq!(pair.other.metrics().hits, other.hits + 101);
}

#[both_engines]
#[case]
async fn what_was_rolled_back_to_a_savepoint_leaves_the_cache_alone() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    until_cached(&pair.other, ada.id).await;
    let generations = pair.one.metrics().generations;
    let undone = "INSERT INTO app.notes VALUES (1); \
        SAVEPOINT here; UPDATE public.users SET name = 'Grace'; ROLLBACK TO SAVEPOINT here; \
        DO 'BEGIN UPDATE public.users SET name = ''Grace''; RAISE division_by_zero; \
            EXCEPTION WHEN division_by_zero THEN NULL; END'";
    execute(&pair.one, undone).await;
    assert_eq!(pair.one.metrics().generations, generations);
    let kept = "SAVEPOINT here; UPDATE public.users SET name = 'Grace'; RELEASE SAVEPOINT here";
    execute(&pair.one, kept).await;
    assert_eq!(pair.one.metrics().generations, generations + 1);
    assert_eq!(name_of(&pair.other, ada.id).await, "Grace");
}

#[both_engines]
#[case]
async fn a_write_to_a_cached_table_is_found_however_it_is_done() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    let ways = [
        "UPDATE public.users SET name = '{}'",
        "WITH changed AS (UPDATE public.users SET name = '{}' RETURNING id) SELECT FROM changed",
        "SELECT app.rename('{}')",
        "DO 'BEGIN PERFORM app.rename(''{}''); EXCEPTION WHEN others THEN RAISE; END'",
        "INSERT INTO app.renames VALUES ('{}')",
        "INSERT INTO app.late VALUES ('{}')",
        "INSERT INTO app.staged VALUES ('{}')",
        "UPDATE app.people SET name = '{}'",
        "MERGE INTO public.users AS u USING app.people AS p ON u.id = p.id \
         WHEN MATCHED THEN UPDATE SET name = '{}'",
        "COPY app.renames FROM PROGRAM 'echo {}'",
        "DROP VIEW app.people; DROP RULE copied ON app.staged; \
         ALTER TABLE public.users ALTER name TYPE varchar(255) USING '{}'",
        "CREATE TABLE app.other (LIKE public.users INCLUDING ALL); \
         INSERT INTO app.other SELECT * FROM public.users; UPDATE app.other SET name = '{}'; \
         ALTER TABLE app.other INHERIT public.users; DELETE FROM ONLY public.users",
        "UPDATE app.other SET name = '{}'",
        // The mark is lost with the settings.
        "UPDATE public.users SET name = '{}'; RESET ALL",
        // Another transaction takes the place of the one that was begun.
        "UPDATE public.users SET name = '{}'; COMMIT; BEGIN",
        "UPDATE public.users SET name = '{}'; COMMIT; BEGIN; INSERT INTO app.settings VALUES ('')",
    ];
    for (number, way) in ways.into_iter().enumerate() {
        until_cached(&pair.other, ada.id).await;
        let name = format!("Ada{number}");
        execute(&pair.one, &way.replace("{}", &name)).await;
        assert_eq!(name_of(&pair.other, ada.id).await, name, "{way}");
    }
}

#[both_engines]
#[case]
async fn a_table_in_the_place_of_a_cached_one_is_found() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    until_cached(&pair.other, ada.id).await;
    let swap = "CREATE TABLE app.users AS SELECT * FROM public.users; \
        UPDATE app.users SET name = 'Grace'; \
        ALTER TABLE public.users RENAME TO earlier_users; ALTER TABLE app.users SET SCHEMA public";
    execute(&pair.one, swap).await;
    assert_eq!(name_of(&pair.other, ada.id).await, "Grace");
    until_cached(&pair.other, ada.id).await;
    let swap = "CREATE SCHEMA copy; CREATE TABLE copy.users AS SELECT * FROM public.users; \
        UPDATE copy.users SET name = 'Joan'; \
        ALTER SCHEMA public RENAME TO earlier; ALTER SCHEMA copy RENAME TO public";
    execute(&pair.one, swap).await;
    assert_eq!(name_of(&pair.other, ada.id).await, "Joan");
}

#[both_engines]
#[case]
async fn truncated_and_cascaded_rows_are_found() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    let lab = NewOrganization::new("Lab", format!("lab-{}", UserId::new()));
    let lab = pair.one.organizations().create(lab).await.unwrap();
    let member = NewOrganizationMember::new(lab.id, ada.id, OrganizationRole::Admin);
    pair.one
        .organization_members()
        .create(member)
        .await
        .unwrap();
    for _ in 0..2 {
        until_cached(&pair.other, ada.id).await;
        let role = pair
            .other
            .organization_members()
            .role_of(lab.id, ada.id)
            .await;
        assert_eq!(role.unwrap(), Some(OrganizationRole::Admin));
    }
    execute(
        &pair.one,
        &format!("DELETE FROM public.organizations WHERE id = '{}'", lab.id),
    )
    .await;
    let role = pair
        .other
        .organization_members()
        .role_of(lab.id, ada.id)
        .await;
    assert_eq!(role.unwrap(), None);
    let tool = NewTool::new("eslint", ToolCategory::ALL[0]);
    let tool = pair.one.tools().create(tool).await.unwrap();
    until_cached(&pair.other, ada.id).await;
    assert!(pair.other.tools().find(tool.id).await.unwrap().is_some());
    execute(&pair.one, "TRUNCATE setup.tools CASCADE").await;
    assert_eq!(pair.other.tools().find(tool.id).await.unwrap(), None);
}

#[both_engines]
#[case]
async fn named_rows_become_invalid_and_others_stay_cached() {
    let pair = pair_with_notes().await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    until_cached(&pair.other, ada.id).await;
    until_cached(&pair.other, bob.id).await;
    let generations = pair.one.metrics().generations;
    let renamed = format!(
        "UPDATE public.users SET name = 'Grace' WHERE id = '{}'",
        ada.id
    );
    let outcome: Result<()> = pair
        .one
        .transaction(async |tx| {
            tx.touches([Touched::User(ada.id)]);
            run!(tx, &renamed)
        })
        .await;
    outcome.unwrap();
    assert_eq!(pair.one.metrics().generations, generations);
    let hits = pair.other.metrics().hits;
    assert_eq!(pair.other.users().find(bob.id).await.unwrap(), Some(bob));
    assert_eq!(pair.other.metrics().hits, hits + 1);
    assert_eq!(name_of(&pair.other, ada.id).await, "Grace");
}

#[both_engines]
#[case]
async fn a_written_table_of_which_no_row_is_named_is_found() {
    let pair = pair_with_notes().await;
    let ada = user(&pair.one).await;
    for (touched, sql, name) in [
        (
            Touched::Tool(ToolId::new()),
            "UPDATE public.users SET name = 'Bob'",
            "Bob",
        ),
        (
            Touched::Table(Table::SystemLogs),
            "INSERT INTO app.renames VALUES ('Eve')",
            "Eve",
        ),
        // The table itself.
        (
            Touched::Table(Table::Users),
            "UPDATE public.users SET name = 'Joan'",
            "Joan",
        ),
        (
            Touched::Table(Table::Users),
            "SELECT app.rename('Mary')",
            "Mary",
        ),
    ] {
        until_cached(&pair.other, ada.id).await;
        let outcome: Result<()> = pair
            .one
            .transaction(async |tx| {
                tx.touches([touched.clone()]);
                run!(tx, sql)
            })
            .await;
        outcome.unwrap();
        assert_eq!(name_of(&pair.other, ada.id).await, name, "{touched:?}");
    }
}

#[both_engines]
#[case]
async fn own_tables_and_repositories_in_one_transaction_invalidate_the_rows_of_the_repositories() {
    let pair = pair_with_notes().await;
    let (ada, bob) = (user(&pair.one).await, user(&pair.one).await);
    until_cached(&pair.other, ada.id).await;
    until_cached(&pair.other, bob.id).await;
    let generations = pair.one.metrics().generations;
    let changes = UserChanges::new().name("Grace");
    let outcome: Result<()> = pair
        .one
        .transaction(async |tx| {
            tx.users().update(ada.id, changes.clone()).await?;
            run!(tx, "INSERT INTO app.notes VALUES (1)")?;
            tx.touches(Touched::NOTHING);
            Ok(())
        })
        .await;
    outcome.unwrap();
    assert_eq!(pair.one.metrics().generations, generations);
    let hits = pair.other.metrics().hits;
    pair.other.users().find(bob.id).await.unwrap();
    assert_eq!(pair.other.metrics().hits, hits + 1);
    assert_eq!(name_of(&pair.other, ada.id).await, "Grace");
}

diesel::table! {
    app.marks (id) {
        id -> Uuid,
        author -> Uuid,
    }
}

wundr_db::own_ids! {
    pub MarkId;
}

#[derive(Debug, Clone, PartialEq, TableRow)]
#[diesel(table_name = marks)]
struct Mark {
    id: MarkId,
    author: UserId,
}

#[derive(Debug, Clone, NewRow)]
#[row(table = marks, row = Mark)]
struct NewMark {
    #[row(default = MarkId::new())]
    id: MarkId,
    author: UserId,
}

/// The name of a user, as an application may change it beside the repository.
#[derive(Debug, Clone, PartialEq, TableRow)]
#[diesel(table_name = users)]
struct Name {
    id: UserId,
    name: String,
}

#[derive(Debug, Clone, Default, Changes)]
#[row(table = users, row = Name, id = UserId)]
struct Rename {
    name: Option<String>,
}

#[both_engines]
#[case]
async fn writes_of_own_rows_leave_the_cache_alone() {
    let pair = pair(shared()).await;
    let marks = "CREATE SCHEMA app; \
        CREATE TABLE app.marks (id UUID PRIMARY KEY, author UUID NOT NULL REFERENCES public.users)";
    execute(&pair.plain, marks).await;
    let ada = user(&pair.one).await;
    until_cached(&pair.other, ada.id).await;
    let (before, hits) = (pair.one.metrics(), pair.other.metrics().hits);
    let own = pair.one.own_tables();
    let mark = own.create(NewMark::new(ada.id)).await.unwrap();
    own.create_many(&[NewMark::new(ada.id)]).await.unwrap();
    let statement = diesel::update(marks::table).set(marks::author.eq(ada.id));
    assert_eq!(own.execute(statement).await.unwrap(), 2);
    assert!(own.delete::<Mark>(mark.id).await.unwrap());
    pair.one
        .transaction(async |tx| tx.own_tables().create(NewMark::new(ada.id)).await)
        .await
        .unwrap();
    let found = pair.other.users().find(ada.id).await.unwrap();
    assert_eq!(found.as_ref(), Some(&ada));
    assert_eq!(pair.other.metrics().hits, hits + 1);
    let after = pair.one.metrics();
    assert_eq!(
        (after.generations, after.fences),
        (before.generations, before.fences)
    );
}

#[both_engines]
#[case]
async fn writes_of_the_crates_rows_as_own_ones_invalidate_everything() {
    let pair = pair(shared()).await;
    let ada = user(&pair.one).await;
    let own = pair.one.own_tables();
    for name in ["one", "two", "three"] {
        until_cached(&pair.other, ada.id).await;
        match name {
            "one" => {
                let renamed = own.update(ada.id, Rename::new().name(name)).await.unwrap();
                assert_eq!(renamed.name, name);
            }
            "two" => {
                let statement = diesel::update(users::table).set(users::name.eq(name));
                assert_eq!(own.execute(statement).await.unwrap(), 1);
            }
            _ => {
                let rename = Rename::new().name(name);
                pair.one
                    .transaction(async |tx| tx.own_tables().update(ada.id, rename).await)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(name_of(&pair.other, ada.id).await, name);
    }
    until_cached(&pair.other, ada.id).await;
    assert!(own.delete::<Name>(ada.id).await.unwrap());
    assert_eq!(pair.other.users().find(ada.id).await.unwrap(), None);
}
