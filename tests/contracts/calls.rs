//! Calls that use a transaction at the same time, of which some fail or are dropped.

#[path = "calls"]
mod asynchronous {
    use crate::observer::Observer;
    use diesel_async::RunQueryDsl;
    use futures_util::StreamExt as _;
    use tokio::test as case;
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with a pool of one connection and an observer.
    async fn database() -> (Db, Observer, TestDatabase) {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap().max_connections(1);
        let db = Db::connect(config).await.unwrap();
        (db, Observer::of(&database.url()), database)
    }

    /// An ingest while whose rows are made users are created by the same transaction.
    async fn ingest_beside(
        tx: &Tx,
        new: NewAnalysis,
        rows: impl Iterator<Item = NewAnalysisIssue> + Send,
        answers: &std::sync::Mutex<Vec<Result<User>>>,
        name: &str,
    ) -> Result<Ingested> {
        let rows = futures_util::stream::iter(rows).then(async |row| {
            let new = NewUser::new(format!("{name}@example.org"), "x");
            let answer = tx.users().create(new).await;
            answers.lock().unwrap().push(answer);
            Ok::<_, Error>(row)
        });
        tx.analyses()
            .ingest(new)
            .issues(Rows::stream(rows))
            .run()
            .await
    }

    macro_rules! loaded {
        ($query:expr, $tx:expr) => {
            $query.load($tx.connection_mut()).await?
        };
    }

    mod beside;
    mod contract;
    mod own_queries;
    mod random;
    mod silence;
    mod streams;
}

#[path = "calls"]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use diesel::RunQueryDsl;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::{TestDatabase, migrated_database};
    use wundr_db::{
        AnalysisId, AnalysisType, Config, Error, Ingested, IssueSeverity, IssueType, NewAnalysis,
        NewAnalysisIssue, NewProject, NewUser, Result, User,
    };

    /// A database of the test's own, with a pool of one connection and an observer.
    fn database() -> (Db, Observer, TestDatabase) {
        let database = migrated_database().unwrap();
        let config = Config::new(&database.url()).unwrap().max_connections(1);
        let db = Db::connect(config).unwrap();
        (db, Observer::of(&database.url()), database)
    }

    /// An ingest while whose rows are made users are created by the same transaction.
    fn ingest_beside(
        tx: &Tx,
        new: NewAnalysis,
        rows: impl Iterator<Item = NewAnalysisIssue>,
        answers: &std::sync::Mutex<Vec<Result<User>>>,
        name: &str,
    ) -> Result<Ingested> {
        let rows = rows.inspect(|_| {
            let new = NewUser::new(format!("{name}@example.org"), "x");
            // Once by this thread, and once by another.
            let answer = match answers.lock().unwrap().len() % 2 {
                0 => tx.users().create(new),
                _ => std::thread::scope(|scope| {
                    scope.spawn(|| tx.users().create(new)).join().unwrap()
                }),
            };
            answers.lock().unwrap().push(answer);
        });
        tx.analyses().ingest(new).issues(rows).run()
    }

    macro_rules! loaded {
        ($query:expr, $tx:expr) => {
            $query.load($tx.connection_mut())?
        };
    }

    mod contract;
    mod own_queries;
}
