use super::*;
use std::collections::HashMap;
use std::sync::Mutex;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use wundr_db::__private::sql::cacheable;
use wundr_db::{
    AnalysisId, AnalysisType, NewAnalysis, NewProject, NewUser, Page, ProjectId, Result, UserId,
};

/// A pool of one connection, and what was found that costs more than it must.
struct Ledger {
    db: Db,
    wire: Wire,
    findings: Mutex<Vec<String>>,
    _database: TestDatabase,
}

impl Ledger {
    fn settle(self) {
        if is_audited() {
            let (of_nobody, is_recorded) = entries(&self._database);
            assert_eq!(of_nobody, [""; 0], "recorded without an actor");
            assert!(is_recorded);
        }
        let findings = self.findings.into_inner().unwrap();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }
}

#[both_engines]
async fn ledger() -> Ledger {
    let (db, wire, _database) = database().await;
    Ledger {
        db,
        wire,
        findings: Mutex::default(),
        _database,
    }
}

#[derive(QueryableByName)]
struct Names {
    #[diesel(sql_type = Text)]
    names: String,
}

/// Returns the value of an expression on the pool's connection.
#[both_engines]
async fn ask(db: &Db, question: &str) -> String {
    let question = cacheable(diesel::sql_query(question));
    db.transaction(async |tx| -> Result<Names> {
        Ok(question.get_result(tx.connection_mut()).await?)
    })
    .await
    .unwrap()
    .names
}

/// Every statement that the pool's connection has prepared, and when.
#[both_engines]
async fn prepared_statements(db: &Db) -> String {
    let names = "SELECT COALESCE(string_agg(name || ' ' || prepare_time, ', ' ORDER BY name), '') AS names \
                 FROM pg_prepared_statements";
    ask(db, names).await
}

/// Returns the prepared statements of the pool's connection, each with the number of its
/// executions.
#[both_engines]
async fn executions(db: &Db) -> HashMap<String, u64> {
    let statements = "SELECT COALESCE(jsonb_object_agg(statement, generic_plans + custom_plans), '{}')::text AS names \
                      FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared_statements%'";
    serde_json::from_str(&ask(db, statements).await).unwrap()
}

/// Calls a hundred times. After the first few, each call takes so many round trips, and nothing is
/// prepared. Each statement that it executes has a name.
#[both_engines]
async fn costs(ledger: &Ledger, round_trips: usize, name: &str, call: Call<'_>) {
    if is_audited() {
        return repeat(1, call).await;
    }
    let executed = executions(&ledger.db).await;
    repeat(FIRST_CALLS, call).await;
    let before = prepared_statements(&ledger.db).await;
    let traffic = ledger.wire.traffic();
    let counted = CALLS - FIRST_CALLS;
    repeat(counted, call).await;
    let spent = ledger.wire.traffic().since(traffic);
    let kept = before == prepared_statements(&ledger.db).await;
    if spent.round_trips != round_trips * counted || spent.parses > 0 || !kept {
        let round_trips = round_trips * counted;
        let finding = format!(
            "{name}: {counted} calls, {round_trips} round trips expected, {spent:?}, kept: {kept}"
        );
        ledger.findings.lock().unwrap().push(finding);
    }
    let mut statements = executions(&ledger.db).await;
    statements.retain(|text, times| executed.get(text).is_none_or(|before| before < times));
    let unnamed = names::check(name, statements.into_keys().collect());
    ledger.findings.lock().unwrap().extend(unnamed);
}

#[both_engines]
macro_rules! costs {
    ($ledger:ident, $round_trips:expr, $repository:ident.$method:ident($($arguments:tt)*)) => {{
        let name = names::of_method(&$repository, stringify!($method));
        costs(&$ledger, $round_trips, &name, call!($repository.$method($($arguments)*))).await
    }};
    ($ledger:ident, $round_trips:expr, $of:ident.db.$repository:ident().$method:ident($($arguments:tt)*)) => {{
        let name = concat!(stringify!($repository), ".", stringify!($method));
        costs(&$ledger, $round_trips, name, call!($of.db.$repository().$method($($arguments)*))).await
    }};
    ($ledger:ident, $round_trips:expr, $of:ident.db.$method:ident($($arguments:tt)*)) => {{
        let name = concat!("db.", stringify!($method));
        costs(&$ledger, $round_trips, name, call!($of.db.$method($($arguments)*))).await
    }};
    ($ledger:ident, $round_trips:expr, $name:literal, $call:expr) => {
        costs(&$ledger, $round_trips, $name, call!($call)).await
    };
    ($ledger:ident, $round_trips:expr, $call:expr) => {
        costs(&$ledger, $round_trips, stringify!($call), call!($call)).await
    };
}

/// Calls once. Each statement that the call executes has a name.
#[both_engines]
async fn named(ledger: &Ledger, name: &str, call: Call<'_>) {
    if is_audited() {
        return repeat(1, call).await;
    }
    let executed = executions(&ledger.db).await;
    repeat(1, call).await;
    let mut statements = executions(&ledger.db).await;
    statements.retain(|text, times| executed.get(text).is_none_or(|before| before < times));
    let unnamed = names::check(name, statements.into_keys().collect());
    ledger.findings.lock().unwrap().extend(unnamed);
}

/// A step of a row's life, which can be called once only.
#[both_engines]
macro_rules! named {
    ($ledger:ident, $repository:ident.$method:ident($($arguments:tt)*)) => {{
        let name = names::of_method(&$repository, stringify!($method));
        named(&$ledger, &name, call!($repository.$method($($arguments)*))).await
    }};
}

/// The methods of every repository; `$none` is a filter that matches nothing, `$new` a new row,
/// `$orders` the orders of its lists.
#[both_engines]
macro_rules! every_repository {
    ($ledger:ident, $rows:ident, $new:expr, $filter:ident, [$($shape:ident($value:expr)),* $(,)?], $order:ident [$($sort:ident),*]) => {{
        let rows = $ledger.db.$rows();
        let id = rows.create($new).await.unwrap().id;
        rows.create_many(&[$new, $new]).await.unwrap();
        costs!($ledger, 1, rows.create($new));
        costs!($ledger, 1, rows.create_many(&[$new, $new]));
        costs!($ledger, 1, rows.find(id));
        costs!($ledger, 1, rows.find_many(&[id]));
        costs!($ledger, 1, rows.exists(id));
        costs!($ledger, 1, rows.count(&$filter::new()));
        let all = $filter::new();
        $(
            let page = Page::new().limit(1).order($order::$sort);
            costs!($ledger, 1, rows.list(&all, &page));
            let next = rows.list(&all, &page).await.unwrap().next.unwrap();
            costs!($ledger, 1, rows.list(&all, &page.clone().after(next.clone())));
            costs!($ledger, 1, rows.list(&all, &page.clone().before(next.clone())));
            costs!($ledger, 1, rows.list(&all, &page.clone().last()));
            let page = page.clone().after(next.clone());
            costs!($ledger, 1, rows.list(&all, &page.clone().with_total()));
            let without = rows.list(&all, &page).await.unwrap();
            let counted = rows.list(&all, &page.with_total()).await.unwrap();
            assert!(counted.items == without.items && !counted.items.is_empty());
            assert_eq!(counted.total, Some(rows.count(&all).await.unwrap()));
        )*
        $(
            let filter = $filter::new().$shape($value);
            costs!($ledger, 1, rows.list(&filter, &Page::new()));
            costs!($ledger, 1, rows.count(&filter));
        )*
        let with_every_condition = $filter::new()$(.$shape($value))*;
        costs!($ledger, 1, rows.list(&with_every_condition, &Page::new()));
        id
    }};
}

/// One page for each of several parents.
#[both_engines]
macro_rules! lists_of_parents {
    ($ledger:ident, $rows:ident, $filter:ident, [$($list_of:ident($ids:expr)),* $(,)?]) => {{
        let rows = $ledger.db.$rows();
        let all = $filter::new();
        let (page, with_total) = (Page::new(), Page::new().with_total());
        $(
            let ids = $ids;
            costs!($ledger, 1, rows.$list_of(&ids, &all, &page));
            costs!($ledger, 1, rows.$list_of(&ids, &all, &with_total));
            let without = rows.$list_of(&ids, &all, &page).await.unwrap();
            let counted = rows.$list_of(&ids, &all, &with_total).await.unwrap();
            let pages = counted.iter().zip(&without);
            assert!(pages.fold(true, |same, (one, other)| same && one.items == other.items));
        )*
    }};
}

/// The methods of every repository whose rows can be changed and deleted.
#[both_engines]
macro_rules! every_writable_repository {
    ($ledger:ident, $rows:ident, $id:ident, $changes:expr, $nothing:expr, $absent:expr) => {{
        let rows = $ledger.db.$rows();
        costs!($ledger, 1, rows.update($id, $changes));
        // Asks whether a trigger or a policy has kept it.
        costs!($ledger, 2, rows.delete($absent));
        costs!($ledger, 1, rows.delete_many(&$nothing));
    }};
}

fn unique() -> String {
    UserId::new().to_string()
}

fn new_user() -> NewUser {
    NewUser::new(format!("{}@example.org", unique()), "Ada")
}

#[both_engines]
async fn analysed(db: &Db) -> (ProjectId, UserId) {
    let user = db.users().create(new_user()).await.unwrap().id;
    let project = db
        .projects()
        .create(NewProject::new("Flask", user))
        .await
        .unwrap();
    (project.id, user)
}

#[both_engines]
async fn pending(db: &Db) -> (ProjectId, AnalysisId) {
    let (project, user) = analysed(db).await;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    (project, db.analyses().create(new).await.unwrap().id)
}

mod accounts;
mod analyses;
mod logins;
mod operations;
mod projects;
mod setup;
