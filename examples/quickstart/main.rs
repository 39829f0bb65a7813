//! The whole crate in one run: a private PostgreSQL, the migrations, an organization with its users
//! and a project, nine releases of Flask with the reports of four analysis tools, and queries on
//! these data.
//!
//!     cargo run --example quickstart
//!
//! If `DATABASE_URL` is set, that database is used instead. A second run finds the data of the
//! first.

mod report;

use std::error::Error;
use std::time::Instant;

use example_support::{server, story};
use wundr_db::{Config, Db, migrations};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
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
    let config = config.application_name("quickstart");
    let applied = migrations::up(&config).await?;
    match applied.len() {
        0 => println!("migrations   nothing to do"),
        number => println!("migrations   {number} applied"),
    }

    let db = Db::connect(config).await?;
    let cast = story::cast(&db).await?;
    story::ingest_releases(&db, &cast).await?;
    report::print(&db, &cast).await?;

    println!("\ndone in {:.1} s", started.elapsed().as_secs_f64());
    db.close().await;
    Ok(())
}
