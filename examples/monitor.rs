//! The reports for an operator, on a private server under load: settings, statements by name,
//! sessions, locks, tables and indexes, and what exceeds the thresholds.
//!
//! It needs no database and leaves nothing behind. A server of one's own is shown by
//!
//!     DATABASE_URL=postgres://... cargo run --example monitor

use std::error::Error;

use comfy_table::{Table, presets};
use wundr_db::admin::{self, Thresholds};
use wundr_db::testing::PostgresServer;
use wundr_db::{
    AnalysisRepository, AnalysisType, Config, Db, NewAnalysis, NewProject, NewUser, Page,
    ProjectFilter, ProjectRepository, UserFilter, UserRepository, migrations,
};

/// The number of tasks that work at the same time, and the rounds of each.
const TASKS: usize = 4;
const ROUNDS: usize = 50;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    if std::env::var_os("DATABASE_URL").is_some() {
        let config = Config::from_env()?.application_name("monitor");
        return show(&Db::connect(config).await?).await;
    }
    let server = PostgresServer::builder()
        .setting("shared_preload_libraries", "pg_stat_statements")
        .setting("track_io_timing", "on")
        .start()?;
    let database = server.create_database()?;
    let config = Config::new(&database.url())?.application_name("worker");
    migrations::up(&config).await?;
    let db = Db::connect(config.max_connections(8)).await?;
    db.transaction(async |tx| -> wundr_db::Result<()> {
        use wundr_db::diesel_async::SimpleAsyncConnection as _;
        let create = "CREATE EXTENSION pg_stat_statements SCHEMA public";
        Ok(tx.connection_mut().batch_execute(create).await?)
    })
    .await?;

    let tasks = (0..TASKS).map(|task| tokio::spawn(work(db.clone(), task)));
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    // A transaction that keeps its row locked, and an update that waits for it.
    let ada = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await?;
    let monitor = Config::new(&database.url())?.application_name("monitor");
    let monitor = Db::connect(monitor).await?;
    let waiting = db.clone();
    db.transaction(async |tx| -> Outcome {
        tx.users().set_active(ada.id, false).await?;
        let update = tokio::spawn(async move { waiting.users().set_active(ada.id, true).await });
        while admin::locks(&monitor).await?.sessions.is_empty() {
            tokio::task::yield_now().await;
        }
        show(&monitor).await?;
        // It waits until this transaction ends.
        drop(update);
        Ok(())
    })
    .await
}

/// Does what an application does.
async fn work(db: Db, task: usize) -> wundr_db::Result<()> {
    let address = format!("{task}@example.org");
    let user = db.users().create(NewUser::new(&address, "Ada")).await?;
    let project = NewProject::new(format!("Project {task}"), user.id);
    let project = db.projects().create(project).await?;
    for _ in 0..ROUNDS {
        let new = NewAnalysis::new(project.id, AnalysisType::Quality, user.id);
        db.analyses().create(new).await?;
        db.users().find_by_email(&address).await?;
        db.projects()
            .list(&ProjectFilter::new(), &Page::new())
            .await?;
        db.users().count(&UserFilter::new().is_active(true)).await?;
    }
    Ok(())
}

/// Prints all reports.
async fn show(db: &Db) -> Outcome {
    let readiness = admin::readiness(db).await?;
    let ready = readiness.checks.len() - readiness.open().count();
    print(
        &format!(
            "Settings: {ready} of {} as recommended",
            readiness.checks.len()
        ),
        ["check", "verdict", "value", "to set"],
        readiness.open().map(|check| {
            let verdict = format!("{:?}", check.verdict);
            [
                check.name.to_owned(),
                verdict,
                check.value.clone(),
                check.advice.to_owned(),
            ]
        }),
    );
    match admin::statements(db, 10).await {
        Ok(report) => print(
            "Statements by total time",
            [
                "statement",
                "calls",
                "total ms",
                "mean ms",
                "blocks in memory",
            ],
            report.statements.iter().map(|one| {
                let text = || {
                    one.query
                        .as_deref()
                        .unwrap_or("hidden")
                        .chars()
                        .take(40)
                        .collect()
                };
                let hits = one
                    .hit_ratio()
                    .map_or(String::new(), |hit| format!("{:.0} %", hit * 100.0));
                [
                    one.name.map_or_else(text, str::to_owned),
                    one.calls.to_string(),
                    format!("{:.1}", one.total_ms),
                    format!("{:.3}", one.mean_ms),
                    hits,
                ]
            }),
        ),
        Err(error) => println!("\nStatements: {error}"),
    }
    let activity = admin::activity(db).await?;
    print(
        &format!(
            "Sessions: {} of {} connections",
            activity.connections, activity.max_connections
        ),
        ["process", "application", "state", "waits for", "statement"],
        activity.sessions.iter().map(|one| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let name = one.name.unwrap_or_default().to_owned();
            [
                one.pid.to_string(),
                one.application.clone(),
                text(&one.state),
                text(&one.wait),
                name,
            ]
        }),
    );
    print(
        "Locks: the head of each queue, and what waits behind it",
        ["process", "application", "blocks", "waits for", "statement"],
        admin::locks(db).await?.sessions.iter().map(|one| {
            let indent = "  ".repeat(one.depth.unwrap_or(0) as usize);
            [
                format!("{indent}{}", one.pid),
                one.application.clone().unwrap_or_default(),
                one.blocks.to_string(),
                one.waits_for.clone().unwrap_or_default(),
                one.name.unwrap_or_default().to_owned(),
            ]
        }),
    );
    print(
        "Tables by size",
        ["table", "KiB", "rows", "dead", "vacuum at"],
        admin::tables(db).await?.tables.iter().take(5).map(|one| {
            [
                one.name.clone(),
                (one.bytes / 1_024).to_string(),
                one.live_rows.to_string(),
                one.dead_rows.to_string(),
                format!("{:.0}", one.vacuum_threshold),
            ]
        }),
    );
    print(
        "Indexes that repeat another one",
        ["index", "table", "KiB", "scans", "repeats"],
        admin::indexes(db).await?.indexes.iter().filter_map(|one| {
            let other = one.duplicate_of.as_ref().or(one.prefix_of.as_ref())?;
            let size = (one.bytes / 1_024).to_string();
            Some([
                one.name.clone(),
                one.table.clone(),
                size,
                one.scans.to_string(),
                other.clone(),
            ])
        }),
    );
    let archiver = admin::archiver(db).await?;
    let replication = admin::replication(db).await?;
    println!(
        "\nArchive: {} files, {} failed tries, {} waiting. Standbys: {}. Slots: {}.",
        archiver.archived,
        archiver.failed,
        archiver
            .waiting
            .map_or("?".to_owned(), |waiting| waiting.to_string()),
        replication.standbys.len(),
        replication.slots.len(),
    );
    let mut thresholds = Thresholds::default();
    // Low, so that there is something to see.
    thresholds.lock_wait = std::time::Duration::ZERO;
    println!("\nWarnings:");
    for warning in admin::warnings(db, &thresholds).await? {
        println!("  {warning}");
    }
    Ok(())
}

fn print<const N: usize>(title: &str, header: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_header(header);
    table.add_rows(rows);
    println!("\n{title}\n{table}");
}
