//! A PostgreSQL of the example's own, which keeps its data between runs.

use std::error::Error;
use std::path::PathBuf;

use wundr_db::testing::PostgresServer;

/// Starts the machine's own PostgreSQL on a data directory of the user's.
pub fn start() -> Result<PostgresServer, Box<dyn Error>> {
    let directory = data_directory();
    std::fs::create_dir_all(&directory)?;
    let data = directory.join("postgresql");
    println!("database     {}", data.display());
    // Where commits are to last, they are worth waiting for.
    Ok(PostgresServer::builder()
        .fsync(true)
        .data_dir(data)
        .start()?)
}

/// The URL of a database on the server, made if it is not there.
pub async fn database_url(server: &PostgresServer) -> Result<String, Box<dyn Error>> {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let mut connection = AsyncPgConnection::establish(&server.url("postgres")).await?;
    match connection.batch_execute("CREATE DATABASE wundr").await {
        Err(error) if !error.to_string().contains("already exists") => Err(error.into()),
        _ => Ok(server.url("wundr")),
    }
}

/// `$WUNDR_DATA_DIR`, or a folder where the user's programs keep their data. PostgreSQL refuses to run as root, and
/// the account that it then runs as cannot enter root's home.
fn data_directory() -> PathBuf {
    let from_env = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || {
        from_env("HOME")
            .filter(|home| home != "/root")
            .map(|home| home.join(".local/share"))
    };
    from_env("WUNDR_DATA_DIR").unwrap_or_else(|| {
        from_env("XDG_DATA_HOME")
            .or_else(home)
            .unwrap_or_else(|| "/var/lib".into())
            .join("wundr-db/quickstart")
    })
}
