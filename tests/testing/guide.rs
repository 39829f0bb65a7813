//! The tests that `docs/guide/testing.md` shows. A code block there is a part of this file.

use core::prelude::v1::test;

use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use wundr_db::cache::CacheConfig;
use wundr_db::testing::{
    AsyncTest, RedisServer, Scenario, StatementRecorder, TestArgument, TestContext, TestError,
};
use wundr_db::*;

async fn sign_up(db: &Db, address: &str) -> Result<User> {
    db.users().create(NewUser::new(address, "Ada")).await
}

#[wundr_db::test]
async fn an_address_is_taken_once(db: Db) -> Result<()> {
    sign_up(&db, "ada@example.org").await?;
    let again = sign_up(&db, "ADA@example.org").await;
    assert_eq!(again.unwrap_err().code(), "unique");
    Ok(())
}

async fn own_tables(config: Config) -> Result<()> {
    let db = Db::connect(config).await?;
    db.run(async |connection| -> Result<()> {
        let sql = "CREATE SCHEMA shop; CREATE TABLE shop.orders (id uuid PRIMARY KEY)";
        Ok(connection.batch_execute(sql).await?)
    })
    .await
}

#[wundr_db::test(prepare = own_tables)]
async fn the_shop_begins_without_orders(db: Db) -> Result<()> {
    let number = db
        .run(async |connection| -> Result<usize> {
            let query = diesel::sql_query("DELETE FROM shop.orders");
            Ok(query.execute(connection).await?)
        })
        .await?;
    assert_eq!(number, 0);
    Ok(())
}

struct Service {
    db: Db,
}

impl TestArgument<AsyncTest> for Service {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        let db = Db::take(context)?;
        // What has to be awaited runs on the test's runtime.
        context.block_on(db.health())??;
        Ok(Self { db })
    }
}

#[wundr_db::test]
async fn the_service_begins_without_users(service: Service) -> Result<()> {
    assert_eq!(service.db.users().count(&UserFilter::new()).await?, 0);
    Ok(())
}

#[wundr_db::test]
async fn a_dashboard_has_all_projects(db: Db) -> Result<()> {
    let acme = db
        .seed(&Scenario::new().members(3).projects(2).analyses(4))
        .await?;
    let of_acme = ProjectFilter::new().organization_id(acme.organization.id);
    assert_eq!(db.projects().count(&of_acme).await?, 2);
    Ok(())
}

#[wundr_db::test]
async fn a_login_asks_two_queries(db: Db, recorder: StatementRecorder) -> Result<()> {
    sign_up(&db, "ada@example.org").await?;
    recorder.clear();

    let ada = db.users().find_by_email("ada@example.org").await?;
    db.users()
        .set_active(ada.expect("signed up").id, true)
        .await?;

    assert_eq!(
        recorder.names(),
        ["users.find_by_email", "users.set_active"]
    );
    Ok(())
}

#[wundr_db::test]
async fn a_user_is_cached(db: Db, redis: RedisServer) -> Result<()> {
    let cached = Cached::new(db, CacheConfig::new(&redis.url())?)?;
    let ada = cached
        .users()
        .create(NewUser::new("ada@example.org", "Ada"))
        .await?;
    assert_eq!(cached.users().find(ada.id).await?, Some(ada));
    Ok(())
}

/// A text without what the formatter decides.
fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != ',')
        .collect()
}

#[test]
fn the_guide_shows_these_tests() {
    let chapters = [
        include_str!("../../docs/guide/testing.md"),
        include_str!("../../docs/guide/cache.md"),
    ];
    let this = squeezed(include_str!("guide.rs"));
    let chapters = chapters.iter();
    let blocks: Vec<_> = chapters
        .flat_map(|text| text.split("```rust,ignore\n").skip(1))
        .collect();
    assert!(blocks.len() > 4);
    for block in blocks {
        let (code, _) = block.split_once("```").unwrap();
        assert!(this.contains(&squeezed(code)), "{code}");
    }
}

/// The names of the metrics in a source file, as Prometheus has them.
fn names_of_metrics(source: &str) -> Vec<String> {
    let macros = ["counter!(", "gauge!(", "histogram!("];
    let calls = macros.iter().flat_map(|name| source.split(name).skip(1));
    let names = calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next());
    names.map(|name| name.replace('.', "_")).collect()
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let dashboard = include_str!("../../docs/grafana/wundr-db.json");
    let sources = [
        include_str!("../../src/observation/calls.rs"),
        include_str!("../../src/observation/copies.rs"),
        include_str!("../../src/observation/current.rs"),
        include_str!("../../src/observation/pool.rs"),
        include_str!("../../src/models/health.rs"),
        include_str!("../../src/models/queue_state.rs"),
        include_str!("../../src/cache/metrics.rs"),
        include_str!("../../src/cache/events.rs"),
    ];
    let metrics: Vec<_> = sources.into_iter().flat_map(names_of_metrics).collect();
    assert!(metrics.len() > 8, "{metrics:?}");
    for metric in &metrics {
        assert!(dashboard.contains(metric.as_str()), "{metric}");
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Labels begin with another word.
    let starts = ["db_client_", "wundr_db_"];
    let words = dashboard.split(|c| !is_part(c));
    for word in words.filter(|word| starts.iter().any(|start| word.starts_with(start))) {
        let name = word.trim_end_matches("_bucket");
        let counted = name.trim_end_matches("_count");
        let is_metric = metrics
            .iter()
            .any(|metric| metric == name || metric == counted);
        assert!(is_metric, "{word}");
    }
}
