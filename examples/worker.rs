//! A queue of analyses with three workers, of which one dies, and a client that follows the
//! progress.
//!
//! It starts a private server and needs no other database. It leaves nothing behind.

use std::collections::HashSet;
use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt;
use wundr_db::testing::migrated_database;
use wundr_db::{
    AnalysisRepository, AnalysisStatus, AnalysisType, DashboardOptions, DashboardRepository, Db,
    Follow, IssueSeverity, IssueType, LiveEvent, NewAnalysis, NewAnalysisIssue, NewProject,
    NewUser, ProjectRepository, UserRepository,
};

const ANALYSES: usize = 9;
/// The number of workers that may be lost while they run the same analysis.
const ATTEMPTS: u32 = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = migrated_database()?;
    let db = Db::connect_to(&database.url()).await?;
    let user = db
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await?;
    let project = db
        .projects()
        .create(NewProject::new("Flask", user.id))
        .await?;

    // Subscribes on a connection of its own, before the first change.
    let mut events = db.follow(Follow::Project(project.id)).await?;
    for _ in 0..ANALYSES {
        let new = NewAnalysis::new(project.id, AnalysisType::Quality, user.id);
        db.analyses().create(new).await?;
    }

    // One worker claims an analysis for 1 ms and then disappears.
    let moment = Duration::from_millis(1);
    db.analyses()
        .claim(AnalysisType::ALL, "unlucky", moment)
        .await?;
    let workers = ["first", "second"].map(|name| tokio::spawn(work(db.clone(), name)));

    // An event contains the current state, not the change. The same state may arrive twice.
    let mut completed = HashSet::new();
    while completed.len() < ANALYSES {
        match events.next().await {
            Some(LiveEvent::Changed(analysis)) => {
                println!(
                    "{}  {:<9} {:>3} %  {} findings",
                    analysis.id, analysis.status, analysis.progress, analysis.findings
                );
                if analysis.status == AnalysisStatus::Completed {
                    completed.insert(analysis.id);
                }
            }
            Some(event) => println!("{event:?}"),
            None => break,
        }
    }
    for worker in workers {
        let (name, done) = worker.await??;
        println!("{name} completed {done}");
    }
    let options = DashboardOptions::new();
    if let Some(dashboard) = db.dashboard().of_project(project.id, &options).await? {
        println!("{:?}", dashboard.statistics);
        println!("open in the latest: {:?}", dashboard.open_issues);
    }
    Ok(())
}

/// Runs analyses until none is left, including those of lost workers.
async fn work(db: Db, name: &'static str) -> wundr_db::Result<(&'static str, usize)> {
    let mut done = 0;
    loop {
        for abandoned in db.analyses().requeue_abandoned(ATTEMPTS).await? {
            println!(
                "{name}: {} has left {}",
                abandoned.lease.worker, abandoned.analysis.id
            );
        }
        let lease_for = Duration::from_secs(30);
        let Some(claim) = db
            .analyses()
            .claim(AnalysisType::ALL, name, lease_for)
            .await?
        else {
            return Ok((name, done));
        };
        let id = claim.analysis.id;
        let lease = db
            .analyses()
            .renew(&claim.lease, lease_for, Some(50))
            .await?;
        let findings = (1..=3).map(|line| {
            let severity = IssueSeverity::Low;
            NewAnalysisIssue::new(
                id,
                IssueType::Maintainability,
                severity,
                "too long",
                "app.py",
            )
            .line_number(line)
        });
        // Only the holder of the lease can write.
        db.analyses()
            .ingest_claimed(&lease)
            .issues(findings)
            .run()
            .await?;
        done += 1;
    }
}
