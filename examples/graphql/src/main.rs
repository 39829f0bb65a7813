//! A GraphQL layer over the repositories: nested lists with cursors and totals, one SQL query for
//! each level.
//!
//!     cargo run --manifest-path examples/graphql/Cargo.toml
//!
//! It starts a private server, needs no other database and opens no port. It stores nine releases
//! of Flask, executes some queries in the process, and prints each response with the number of SQL
//! statements of each level. It fails if a level needed more than it should.

mod count;
mod loaders;
mod schema;

use std::error::Error;

use async_graphql::{EmptyMutation, EmptySubscription, Schema};
use example_support::story;
use wundr_db::Db;
use wundr_db::testing::migrated_database;

use schema::Query;

/// A title, a query, and the number of statements allowed for each table: one for each level, with
/// totals or without.
type Question = (&'static str, &'static str, &'static [(&'static str, usize)]);

/// The queries.
const QUESTIONS: &[Question] = &[
    (
        "Three levels, without totals",
        "{ projects(first: 5) { nodes { name
             analyses(first: 3) { nodes { label createdAt
               issues(first: 2) { nodes { severity filePath title } } } } } } }",
        &[
            ("public.projects", 1),
            ("analysis.analyses", 1),
            ("analysis.analysis_issues", 1),
        ],
    ),
    (
        "The same with totals and cursors",
        "{ projects(first: 5) { totalCount nodes { name
             analyses(first: 3) { totalCount pageInfo { hasNextPage endCursor } nodes { label
               issues(first: 1, severityAtLeast: \"high\") { totalCount edges { cursor node { severity title } } } } } } } }",
        &[
            ("public.projects", 1),
            ("analysis.analyses", 1),
            ("analysis.analysis_issues", 1),
        ],
    ),
    (
        "Upwards: each issue's analysis and project",
        "{ projects(first: 1) { nodes {
             analyses(first: 2) { nodes { issues(first: 3) { nodes { title analysis { label project { name } } } } } } } } }",
        &[
            // From the project to its analyses and back.
            ("public.projects", 2),
            ("analysis.analyses", 2),
            ("analysis.analysis_issues", 1),
        ],
    ),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Must be called before the first connection is opened.
    count::start()?;
    let database = migrated_database()?;
    let db = Db::connect_to(&database.url()).await?;
    let cast = story::cast(&db).await?;
    story::ingest_releases(&db, &cast).await?;

    let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
        .data(db.clone())
        .finish();
    for (title, question, allowed) in QUESTIONS {
        println!("\n{title}\n{question}\n");
        answer(&schema, &db, question, allowed).await?;
    }
    next_page(&schema, &db).await
}

type Service = Schema<Query, EmptyMutation, EmptySubscription>;

/// Executes a query with loaders of its own, and prints the response and the number of statements
/// for each table.
async fn answer(
    schema: &Service,
    db: &Db,
    question: &str,
    allowed: &[(&str, usize)],
) -> Result<serde_json::Value, Box<dyn Error>> {
    count::take();
    let request = async_graphql::Request::new(question).data(loaders::of(db));
    let response = schema.execute(request).await;
    let statements = count::take();
    if let Some(error) = response.errors.first() {
        return Err(error.to_string().into());
    }
    let answer = response.data.into_json()?;
    println!("{}\n", serde_json::to_string_pretty(&answer)?);
    for (table, number) in &statements {
        println!("  {number} statement(s) on {table}");
    }
    let expected: count::Statements = allowed
        .iter()
        .map(|&(table, number)| (table.to_owned(), number))
        .collect();
    if statements != expected {
        return Err(format!("expected {expected:?}").into());
    }
    Ok(answer)
}

/// Reads the page after a page.
async fn next_page(schema: &Service, db: &Db) -> Result<(), Box<dyn Error>> {
    println!("\nTwo pages of projects' analyses, the second after the first one's cursor\n");
    let page = |after: &str| {
        format!(
            "{{ projects(first: 1) {{ nodes {{ analyses(first: 5{after}) {{
                 pageInfo {{ hasNextPage endCursor }} nodes {{ label }} }} }} }} }}"
        )
    };
    let allowed = [("public.projects", 1), ("analysis.analyses", 1)];
    let first = answer(schema, db, &page(""), &allowed).await?;
    let cursor = first["projects"]["nodes"][0]["analyses"]["pageInfo"]["endCursor"]
        .as_str()
        .ok_or("the first page has no end")?;
    answer(
        schema,
        db,
        &page(&format!(", after: \"{cursor}\"")),
        &allowed,
    )
    .await?;
    Ok(())
}
