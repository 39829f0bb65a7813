//! Transactions are all or nothing, also if something in them fails, panics or is dropped.

mod crash;

#[path = "transactions"]
mod asynchronous {
    use crate::observer::Observer;
    use diesel_async::{
        AnsiTransactionManager, RunQueryDsl, SimpleAsyncConnection as _, TransactionManager as _,
    };
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with a pool of so many connections and an observer.
    async fn database(connections: u32) -> (Db, Observer, TestDatabase) {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url())
            .unwrap()
            .max_connections(connections);
        let db = Db::connect(config).await.unwrap();
        (db, Observer::of(&database.url()), database)
    }

    /// Runs a transaction whose work panics.
    async fn panicking(db: Db) {
        let work = tokio::spawn(async move {
            db.transaction(async |tx| -> Result<_> {
                tx.users().create(NewUser::new("a@x", "a")).await?;
                if tx.users().count(&UserFilter::new()).await? > 0 {
                    panic!("on purpose");
                }
                Ok(())
            })
            .await
        });
        assert!(work.await.unwrap_err().is_panic());
    }

    mod concurrent;
    mod contract;
    mod dropped;
}

#[path = "transactions"]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use diesel::RunQueryDsl;
    use diesel::connection::{
        AnsiTransactionManager, SimpleConnection as _, TransactionManager as _,
    };
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{Config, NewUser, Result, UserFilter};

    /// A database of the test's own, with a pool of so many connections and an observer.
    fn database(connections: u32) -> (Db, Observer, TestDatabase) {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url())
            .unwrap()
            .max_connections(connections);
        let db = Db::connect(config).unwrap();
        (db, Observer::of(&database.url()), database)
    }

    /// Runs a transaction whose work panics.
    fn panicking(db: Db) {
        let work = std::thread::spawn(move || {
            db.transaction(|tx| -> Result<_> {
                tx.users().create(NewUser::new("a@x", "a"))?;
                if tx.users().count(&UserFilter::new())? > 0 {
                    panic!("on purpose");
                }
                Ok(())
            })
        });
        assert!(work.join().is_err());
    }

    mod contract;
    mod threads;
}
