//! The guarantees of the cache itself, beside those of every repository behind it
//! (`tests/contracts/cached.rs`): it answers without the database, no process reads a value that is
//! older than an acknowledged write, and no fault of Redis makes a read wrong.

#[path = "../support/mod.rs"]
mod support;

mod installations;
mod servers;

use support::{observer, pgbouncer, subscriber, wire};

#[path = ""]
mod asynchronous {
    use std::time::Duration;

    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    include!("../engines/asynchronous.rs");

    async fn pause(time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// The rows of the caller's own query in a transaction.
    macro_rules! rows {
        ($tx:ident, $query:expr) => {{
            use diesel_async::RunQueryDsl as _;
            $query.load($tx.connection_mut()).await?
        }};
    }

    /// What loads a row of the application.
    macro_rules! loads {
        ($db:expr, $id:expr) => {
            || load($db, $id)
        };
    }

    /// What loads a row of the application while another process changes it.
    macro_rules! loads_and_writes {
        ($pair:ident, $id:expr) => {
            || async {
                let loaded = load(&$pair.other, $id).await;
                let sql = "UPDATE app.notes SET text = 'second'";
                write(&$pair.one, &[$id], sql).await;
                loaded
            }
        };
    }

    mod contract;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    mod kept;
    mod own_queries;
    mod recovery;
    #[allow(dead_code, reason = "it uses a part of the pair")]
    mod together;
    mod writes;
}

#[path = ""]
mod blocking {
    use std::time::Duration;

    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    include!("../engines/blocking.rs");

    fn pause(time: Duration) {
        std::thread::sleep(time);
    }

    macro_rules! rows {
        ($tx:ident, $query:expr) => {{
            use diesel::RunQueryDsl as _;
            $query.load($tx.connection_mut())?
        }};
    }

    macro_rules! loads {
        ($db:expr, $id:expr) => {
            || load($db, $id)
        };
    }

    macro_rules! loads_and_writes {
        ($pair:ident, $id:expr) => {
            || {
                let loaded = load(&$pair.other, $id);
                write(&$pair.one, &[$id], "UPDATE app.notes SET text = 'second'");
                loaded
            }
        };
    }

    mod contract;
    mod recovery;
    mod writes;
}
