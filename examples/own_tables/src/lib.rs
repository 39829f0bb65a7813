//! A table of an application beside those of wundr-db.
//!
//! - [`schema`]: the table, which appears in one query with every table of wundr-db.
//! - [`MIGRATIONS`]: its migration, which runs after those of wundr-db, under the same lock.
//! - [`models`]: the row, the new row, the changes, the filter and the order.
//! - [`asynchronous`] and [`blocking`]: the repository, written once for both engines.
//! - `tests/contract.rs`: what the repository promises, on both engines.

use wundr_db::diesel_migrations::{self, EmbeddedMigrations, embed_migrations};

pub mod models;
pub mod schema;

/// The migrations of the application.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

#[path = ""]
pub mod asynchronous {
    //! The repository on the async engine.

    use wundr_db::{OwnTables, Repositories, RowStream, repository};

    #[path = "issue_notes.rs"]
    mod issue_notes;

    pub use issue_notes::*;
}

#[path = ""]
pub mod blocking {
    //! The repository on the blocking engine.

    use wundr_db::blocking::{OwnTables, Repositories, repository};

    #[path = "issue_notes.rs"]
    mod issue_notes;

    pub use issue_notes::*;
}
