//! The example's own PostgreSQL server, which keeps its data between runs.

use std::error::Error;
use std::path::PathBuf;

use wundr_db::testing::PostgresServer;

/// Starts the installed PostgreSQL on a data directory of the user's.
pub fn start() -> Result<PostgresServer, Box<dyn Error>> {
    let directory = data_directory();
    std::fs::create_dir_all(&directory)?;
    let data = directory.join("postgresql");
    println!("database     {}", data.display());
    // The data is kept, so commits wait for the disk.
    Ok(PostgresServer::builder()
        .fsync(true)
        .data_dir(data)
        .start()?)
}

/// Returns the URL of a database on the server, which is created if it does not exist.
pub async fn database_url(server: &PostgresServer) -> Result<String, Box<dyn Error>> {
    use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
    let mut connection = AsyncPgConnection::establish(&server.url("postgres")).await?;
    match connection.batch_execute("CREATE DATABASE wundr").await {
        Err(error) if !error.to_string().contains("already exists") => Err(error.into()),
        _ => Ok(server.url("wundr")),
    }
}

/// Returns `$WUNDR_DATA_DIR`, or a directory in the usual place for the user's data.
///
/// PostgreSQL refuses to run as root. The account that it then runs as cannot enter root's home
/// directory.
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
