//! Accounts: logins that are refreshed, stolen and ended, changes with their trail, secrets that
//! open in their own place alone, and the access of users to projects.
//!
//!     cargo run --example accounts
//!
//! It starts a private server and needs no other database. It leaves nothing behind.

mod access;
mod audit;
mod logins;
mod secrets;

use std::error::Error;

use comfy_table::{Table, presets};
use wundr_db::testing::migrated_database;
use wundr_db::{Config, Db, NewUser, UserRepository};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = migrated_database()?;
    let config = Config::new(&database.url())?;
    let db = Db::connect(config.clone()).await?;
    let ada = NewUser::new("ada@example.org", "Ada");
    let ada = db.users().create(ada).await?;

    println!("{}", logins::tokens(&db, &ada).await?);
    println!("{}", logins::devices(&db, &ada).await?);
    println!("{}", audit::trail(&config, &db, &ada).await?);
    println!("{}", secrets::integrations(&db, &ada).await?);
    println!("{}", secrets::settings(&db, &ada).await?);
    println!("{}", secrets::keys(&db).await?);
    println!("{}", access::projects(&db, &ada).await?);
    db.close().await;
    Ok(())
}

/// A table whose first column is a step or a name.
fn table(title: &str, columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([title].iter().chain(columns));
    table
}
