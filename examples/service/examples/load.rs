//! The service with a load that fills every panel of the dashboard in `docs/grafana`.
//!
//! It starts a private PostgreSQL and a private Redis, and serves on the address `LISTEN` (default:
//! `127.0.0.1:8080`). Each second it reads, ingests and claims; each eighth it makes what a panel
//! shows only when it happens: an error, an abandoned call, a transaction that is tried again, and
//! connections that break and are refused.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use example_service::{Service, router};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::{interval, sleep, timeout};
use wundr_db::cache::CacheConfig;
use wundr_db::testing::{PostgresServer, Proxy, ProxyMode, RedisServer, Scenario, Seeded};
use wundr_db::{
    AnalysisFilter, AnalysisIssueFilter, AnalysisIssueRepository, AnalysisRepository,
    AnalysisSummary, AnalysisType, Cached, Config, Db, Isolation, IssueSeverity, IssueType,
    NewAnalysis, NewAnalysisIssue, NewUser, Page, ProjectRepository, Retry, SessionKeys,
    TransactionOptions, Tx, UserChanges, UserRepository, migrations,
};

/// The bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let metrics = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    let metrics = metrics.install_recorder()?;
    let server = PostgresServer::builder().listen_tcp().start()?;
    let database = server.create_database()?;
    let proxy = Arc::new(Proxy::start(&server)?);
    let redis = RedisServer::start()?;

    migrations::up(&Config::new(&database.url())?).await?;
    // Few connections, so that callers wait for them.
    let config = Config::new(&proxy.url_of(&database))?.max_connections(4);
    let db = Db::connect(config).await?;
    let cached = Cached::new(db.clone(), CacheConfig::new(&redis.url())?)?;
    let scenario = Scenario::new().members(3).projects(3).analyses(2);
    let acme = Arc::new(db.seed(&scenario).await?);

    let service = Service::new(db.clone(), SessionKeys::new(1, [7; 32]), |_, _| true)?;
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{address}/metrics");
    for _ in 0..12 {
        tokio::spawn(reads(cached.clone(), Arc::clone(&acme)));
    }
    tokio::spawn(ingests(db.clone(), Arc::clone(&acme)));
    tokio::spawn(events(db.clone(), proxy, acme));
    axum::serve(listener, router(service.metrics(metrics))).await?;
    Ok(())
}

/// Reads through the cache and beside it.
async fn reads(cached: Cached, acme: Arc<Seeded>) {
    loop {
        for user in [&acme.owner, &acme.members[0]] {
            drop(cached.users().find(user.id).await);
            for project in &acme.projects {
                drop(cached.projects().access(user.id, project.id).await);
                let issues = AnalysisIssueFilter::new().latest_of_project(project.id);
                drop(cached.analysis_issues().list(&issues, &Page::new()).await);
            }
        }
        cached.metrics().record_metrics("main");
        sleep(Duration::from_millis(40)).await;
    }
}

/// Ingests reports, long ones among them, and works at a queue that grows.
async fn ingests(db: Db, acme: Arc<Seeded>) {
    let mut seconds = interval(Duration::from_secs(1));
    let (by, quality) = (acme.owner.id, AnalysisType::Quality);
    for number in 0_u32.. {
        seconds.tick().await;
        let project = acme.projects[number as usize % acme.projects.len()].id;
        let new = NewAnalysis::new(project, quality, by);
        let id = new.id;
        let issue = move |line: u32| {
            let (kind, low) = (IssueType::CodeQuality, IssueSeverity::Low);
            NewAnalysisIssue::new(id, kind, low, "long line", format!("src/{line}.rs"))
        };
        let issues = (0..if number % 2 == 0 { 2_000 } else { 20 }).map(issue);
        drop(db.analyses().ingest(new).issues(issues).run().await);
        for _ in 0..2 {
            drop(
                db.analyses()
                    .create(NewAnalysis::new(project, quality, by))
                    .await,
            );
        }
        let minute = Duration::from_secs(60);
        if let Ok(Some(claim)) = db.analyses().claim(&[quality], "load", minute).await
            && number % 3 > 0
        {
            let summary = AnalysisSummary::scored(80.0);
            drop(db.analyses().complete_claimed(&claim.lease, summary).await);
        }
    }
}

/// Makes what happens seldom.
async fn events(db: Db, proxy: Arc<Proxy>, acme: Arc<Seeded>) {
    let mut seconds = interval(Duration::from_secs(8));
    let user = acme.owner.id;
    loop {
        seconds.tick().await;
        // An error: the address is taken.
        drop(
            db.users()
                .create(NewUser::new(&acme.owner.email, "Ada"))
                .await,
        );
        // An abandoned call: its client goes away.
        let (analyses, filter) = (db.analyses(), AnalysisFilter::new());
        drop(timeout(Duration::from_micros(50), analyses.count(&filter)).await);
        // A transaction that is tried again: the row was changed since its first read.
        let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
        let rename = async |tx: &mut Tx| {
            let attempts = tx
                .users()
                .find(user)
                .await?
                .map_or(0, |user| user.name.len());
            let name = "A".repeat(attempts % 9 + 1);
            if attempts % 2 == 1 {
                db.users()
                    .update(user, UserChanges::new().name("Even"))
                    .await?;
            }
            tx.users().update(user, UserChanges::new().name(name)).await
        };
        let retry = Retry::default();
        drop(db.transaction_retrying(&options, &retry, rename).await);
        // The server is away for a moment.
        if proxy.set(ProxyMode::Refuse).is_ok() {
            proxy.cut();
            sleep(Duration::from_secs(1)).await;
            drop(proxy.set(ProxyMode::Pass));
        }
    }
}
