//! The quickstart's database behind the cache: readers and a writer continue while Redis is killed
//! and restarted.
//!
//!     cargo run --example cached
//!
//! Before each read, a reader notes the newest version that was acknowledged to the writer. No
//! reader may see an older one, whatever happens to Redis.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use example_support::server;
use example_support::story::{self, Cast};
use serde_json::json;
use wundr_db::cache::{CacheConfig, CacheMetrics};
use wundr_db::testing::RedisServer;
use wundr_db::{
    AnalysisRepository, AnalysisType, Cached, Config, Db, ProjectChanges, ProjectMemberRepository,
    ProjectRepository, ProjectStatsRepository, UserRepository, migrations,
};

const READERS: usize = 8;
const PHASE: Duration = Duration::from_millis(1_500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (config, _server) = match Config::from_env() {
        Ok(config) => (config, None),
        Err(_) => {
            let server = server::start()?;
            (
                Config::new(&server::database_url(&server).await?)?,
                Some(server),
            )
        }
    };
    migrations::up(&config).await?;
    let redis = RedisServer::start()?;

    // The only change: a `Cached` is used like the `Db` in it.
    let db = Cached::new(Db::connect(config).await?, CacheConfig::new(&redis.url())?)?;

    let cast = Arc::new(story::cast(&db).await?);
    story::ingest_releases(&db, &cast).await?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "",
        "reads",
        "hit rate",
        "median",
        "99 of 100",
        "writes",
        "rejected",
        "older than acknowledged",
    ]);
    let mut phase = async |name: &str| -> Result<(), Box<dyn Error>> {
        table.add_row(run(name, &db, &cast).await?);
        Ok(())
    };
    phase("Redis running").await?;
    redis.kill();
    phase("Redis killed").await?;
    redis.restart()?;
    phase("Redis restarted, empty").await?;
    redis.pause()?;
    phase("Redis stopped").await?;
    redis.resume()?;
    phase("Redis continued").await?;
    println!("{table}");
    println!("{:#?}", db.metrics());
    db.close().await;
    Ok(())
}

/// The observations of the readers in one phase.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    stale: u64,
}

/// Runs the readers and the writer for one phase. Returns a row of the table.
async fn run(name: &str, db: &Cached, cast: &Arc<Cast>) -> Result<Vec<String>, Box<dyn Error>> {
    let before = db.metrics();
    let acknowledged = Arc::new(AtomicU64::new(version_of(db, cast).await?));
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let work = read(
                db.clone(),
                Arc::clone(cast),
                Arc::clone(&acknowledged),
                Arc::clone(&is_over),
            );
            tokio::spawn(work)
        })
        .collect();
    let writer = tokio::spawn(write(
        db.clone(),
        Arc::clone(cast),
        acknowledged,
        Arc::clone(&is_over),
    ));
    tokio::time::sleep(PHASE).await;
    is_over.store(true, Ordering::Relaxed);

    let (written, rejected) = writer.await??;
    let mut seen = Seen::default();
    for reader in readers {
        let one = reader.await??;
        seen.times.extend(one.times);
        seen.stale += one.stale;
    }
    seen.times.sort_unstable();
    let at = |part: f64| seen.times[(seen.times.len() as f64 * part) as usize];
    Ok(vec![
        name.to_owned(),
        seen.times.len().to_string(),
        format!("{:.1} %", 100.0 * hit_rate(before, db.metrics())),
        format!("{:.0?}", at(0.5)),
        format!("{:.0?}", at(0.99)),
        written.to_string(),
        rejected.to_string(),
        seen.stale.to_string(),
    ])
}

fn hit_rate(before: CacheMetrics, after: CacheMetrics) -> f64 {
    let hits = (after.hits + after.shared) - (before.hits + before.shared);
    let others = (after.misses + after.bypasses) - (before.misses + before.bypasses);
    hits as f64 / (hits + others).max(1) as f64
}

/// Repeatedly reads the data of a page of the platform.
async fn read(
    db: Cached,
    cast: Arc<Cast>,
    acknowledged: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> wundr_db::Result<Seen> {
    let mut seen = Seen::default();
    while !is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let newest = acknowledged.load(Ordering::SeqCst);
        let version = version_of(&db, &cast).await?;
        seen.times.push(began.elapsed());
        seen.stale += u64::from(version < newest);

        let others = Instant::now();
        db.users().find(cast.owner.id).await?;
        db.project_members()
            .role_of(cast.project.id, cast.owner.id)
            .await?;
        db.analyses()
            .latest(cast.project.id, AnalysisType::Quality)
            .await?;
        db.project_stats().find(cast.project.id).await?;
        seen.times.push(others.elapsed() / 4);
    }
    Ok(seen)
}

/// Writes one version of the project after the other. A write that cannot be fenced is rejected,
/// and nothing is written.
async fn write(
    db: Cached,
    cast: Arc<Cast>,
    acknowledged: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> wundr_db::Result<(u64, u64)> {
    let (mut written, mut rejected) = (0, 0);
    let mut version = acknowledged.load(Ordering::SeqCst);
    while !is_over.load(Ordering::Relaxed) {
        let changes = ProjectChanges::new().configuration(json!({ "version": version + 1 }));
        match db.projects().update(cast.project.id, changes).await {
            Ok(_) => {
                version += 1;
                acknowledged.store(version, Ordering::SeqCst);
                written += 1;
            }
            Err(wundr_db::Error::Cache(_)) => rejected += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((written, rejected))
}

async fn version_of(db: &Cached, cast: &Cast) -> wundr_db::Result<u64> {
    let project = db.projects().find(cast.project.id).await?;
    let version = project.map(|project| project.configuration.field("version"));
    Ok(version.transpose()?.flatten().unwrap_or_default())
}
