//! The functions that run migrations, written once for both engines.

use std::sync::Arc;
use std::time::Instant;

use super::super::*;
use super::{open, pause, repository, watching};

/// Applies the migrations that the database does not have yet, and returns their names.
///
/// Begins anew for up to 60 s if the connection is lost, or if it leads to a read-only server.
///
/// # Errors
/// - [`Error::Migration`] that names the migration. Those before it stay applied. It leaves nothing itself but
///   an index that was being built concurrently: PostgreSQL keeps it as invalid, and a later migration fails
///   with its name.
/// - [`Error::InvalidInput`] if one of the schemas `public`, `analysis`, `setup`, `audit` and `cache`, or the
///   list of migrations, belongs to another role than the migrating one, one that it is a member of, the
///   owner of the database or a superuser.
/// - [`Error::Connection`] if the server does not answer a question about the lock within 10 s.
#[repository]
pub async fn up(config: &Config) -> Result<Vec<String>> {
    let before = Arc::new(Before::default());
    let deadline = Instant::now() + FAILOVER;
    let mut connection = open(config).await?;
    loop {
        let shared = Arc::clone(&before);
        let applied = watching(connection, move |connection, watch| {
            apply(connection, watch, &shared)
        })
        .await;
        match applied {
            Err(error) if may_begin_anew(&error) && Instant::now() < deadline => {}
            outcome => return outcome,
        }
        connection = loop {
            pause(BEFORE_ANOTHER).await;
            match open(config).await {
                Err(error) if may_begin_anew(&error) && Instant::now() < deadline => {}
                outcome => break outcome?,
            }
        };
    }
}

/// Reverts everything: the data is gone, the database is as before the first migration.
///
/// # Errors
/// As [`up`], but without beginning anew.
#[repository]
pub async fn down(config: &Config) -> Result<Vec<String>> {
    let connection = open(config).await?;
    watching(connection, |connection, watch| {
        revert(connection, watch, usize::MAX)
    })
    .await
}

/// Reverts the newest migration and returns its name.
///
/// # Errors
/// As [`down`].
#[repository]
pub async fn down_by_one(config: &Config) -> Result<Option<String>> {
    let connection = open(config).await?;
    let reverted = watching(connection, |connection, watch| revert(connection, watch, 1));
    Ok(reverted.await?.pop())
}

/// Returns every migration, in order, and whether the database has it.
///
/// # Errors
/// [`Error::InvalidInput`] as [`up`]; [`Error::Migration`] if the list cannot be read.
#[repository]
pub async fn status(config: &Config) -> Result<Vec<MigrationStatus>> {
    watching(open(config).await?, list).await
}

/// Takes over a database that was built from the design's own SQL, everything in the schema `public`: moves
/// it into the five schemas and hardens it, with its data.
///
/// # Errors
/// As [`up`], and [`Error::InvalidInput`] if the migrations have been run already.
#[repository]
pub async fn adopt(config: &Config) -> Result<Vec<String>> {
    watching(open(config).await?, take_over).await
}
