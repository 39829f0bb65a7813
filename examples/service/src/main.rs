//! A web service on wundr-db.
//!
//! | variable | value |
//! |---|---|
//! | `DATABASE_URL` | the database |
//! | `LISTEN` | the address of the service; default: `127.0.0.1:8080` |
//! | `SESSION_KEYS` | the keys under which tokens are hashed: `1:` and what `openssl rand -base64 32` prints |
//! | `LOGIN_CODE` | the code that proves a user's identity; a real service asks its identity provider |
//!
//! `cargo run --manifest-path examples/service/Cargo.toml -- migrate` migrates the database and
//! begins to record changes. Without an argument the service starts. `/openapi.json` describes it.
//! With the feature `swagger-ui`, `/docs` is a page that shows and calls it.

use std::error::Error;

use example_service::{Service, router};
use metrics_exporter_prometheus::PrometheusBuilder;
use wundr_db::{Config, Db, SessionKeys, Table, audit, migrations};

/// The bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::from_env()?;
    if std::env::args().nth(1).as_deref() == Some("migrate") {
        return Ok(migrate(&config).await?);
    }
    // Without buckets the exporter makes quantiles, which cannot be summed over processes.
    let metrics = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    let metrics = metrics.install_recorder()?;
    let keys: SessionKeys = std::env::var("SESSION_KEYS")?.parse()?;
    let code = std::env::var("LOGIN_CODE")?;
    let db = Db::connect(config).await?;
    let service = Service::new(db, keys, move |_, given| given == code)?.metrics(metrics);
    let address = std::env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{address}");
    axum::serve(listener, router(service)).await?;
    Ok(())
}

/// Migrates the database and begins to record the changes that an auditor asks for.
async fn migrate(config: &Config) -> wundr_db::Result<()> {
    for migration in migrations::up(config).await? {
        println!("{migration}");
    }
    let watched: [(Table, &[&str]); 3] = [
        (Table::Organizations, &["name", "slug"]),
        (Table::OrganizationMembers, &["user_id", "role"]),
        (Table::Projects, &["name", "status", "visibility"]),
    ];
    for (table, columns) in watched {
        audit::watch(config, table, columns).await?;
    }
    Ok(())
}
