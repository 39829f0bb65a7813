//! Futures that are dropped at any await.

use super::organization::{archive_of, empty, filled, lab};
use super::*;

use std::future::poll_fn;
use std::task::Poll;

use super::admin::{ConflictPolicy, Input, Output};

/// Polls a future this often, and drops it. Returns its output if it was ready before.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

const AT_REST: &str = "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND application_name = 'wundr-db admin' AND xact_start IS NOT NULL)";

#[case]
async fn a_snapshot_or_an_export_leaves_no_transaction_open() {
    let (db, database) = filled().await;
    for polls in (1..120).step_by(7) {
        let digests = dropped_after(polls, async {
            let snapshot = admin::snapshot(&db).await.unwrap();
            snapshot.digests().await.unwrap()
        });
        drop(digests.await);
        let mut archive = Vec::new();
        let output = Output::immediate(&mut archive);
        drop(dropped_after(polls, admin::export_organization(&db, lab(), output)).await);
    }
    until(&database, AT_REST).await;
}

#[case]
async fn an_import_is_done_as_a_whole_or_not_at_all() {
    let (db, _database) = filled().await;
    let archive = archive_of(&db).await;
    let (other, other_database) = empty().await;
    let mut observer = Observer::of(&other_database.url());
    for polls in 1.. {
        let input = Input::immediate(&archive[..]);
        let import = admin::import_organization(&other, input, ConflictPolicy::Refuse);
        let outcome = dropped_after(polls * 9, import).await;
        until(&other_database, AT_REST).await;
        let issues = observer.count("analysis.analysis_issues");
        assert!(issues == 600 || issues == 0 && outcome.is_none(), "{polls}");
        if let Some(imported) = outcome {
            imported.unwrap();
            break;
        }
    }
    assert_eq!(observer.count("public.organizations"), 1);
}
