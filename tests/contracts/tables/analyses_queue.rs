//! The queue of pending analyses and the leases of those that run.

use super::*;
use crate::observer::SOMEBODY_WAITS;
use chrono::{TimeDelta, Utc};
use std::collections::HashSet;
use std::time::Duration;
use wundr_db::{AnalysisFilter, AnalysisId, AnalysisStatus, AnalysisSummary, Claim};

const ANY: &[AnalysisType] = AnalysisType::ALL;
const MINUTE: Duration = Duration::from_secs(60);
const EXPIRE: &str = "UPDATE analysis.analysis_leases SET expires_at = now() - INTERVAL '1 second'";

/// As many pending analyses of one project, the newest first in the order of their keys.
#[both_engines]
async fn pending(db: &Db, number: i64) -> Vec<AnalysisId> {
    let new = new_analysis(db, project(db).await.id).await;
    let new: Vec<_> = (0..number)
        .map(|age| {
            let created_at = Utc::now() - TimeDelta::minutes(age);
            new.clone().id(AnalysisId::new()).created_at(created_at)
        })
        .collect();
    db.analyses().create_many(&new).await.unwrap();
    new.iter().rev().map(|new| new.id).collect()
}

#[both_engines]
async fn claimed(db: &Db, worker: &str) -> Claim {
    let claim = db.analyses().claim(ANY, worker, MINUTE).await.unwrap();
    claim.unwrap()
}

/// The state and the holder in the error of a lost lease.
fn lost(error: Error) -> (String, Option<String>) {
    match error {
        Error::LeaseLost { state, holder, .. } => (state.into_owned(), holder),
        other => panic!("{other:?}"),
    }
}

fn lost_to(state: &str, holder: &str) -> (String, Option<String>) {
    (state.to_owned(), Some(holder.to_owned()))
}

#[both_engines]
#[case]
async fn the_oldest_of_the_types_comes_first() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let ids = pending(&db, 3).await;
    let security = new_analysis(&db, project(&db).await.id).await;
    let security = {
        let mut new = security;
        new.r#type = AnalysisType::Security;
        new
    };
    let security = analyses.create(security).await.unwrap().id;

    let of = |types| analyses.claim(types, "one", MINUTE);
    assert_eq!(of(&[AnalysisType::Performance]).await.unwrap(), None);
    let claim = of(&[AnalysisType::Security, AnalysisType::Performance])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claim.analysis.id, security);
    for id in &ids {
        let claim = of(ANY).await.unwrap().unwrap();
        assert_eq!((claim.analysis.id, claim.lease.analysis_id), (*id, *id));
        assert_eq!(claim.analysis.status, AnalysisStatus::Running);
        assert_eq!(analyses.find(*id).await.unwrap(), Some(claim.analysis));
        assert!(claim.lease.expires_at > Utc::now() + TimeDelta::seconds(50));
    }
    assert_eq!(of(ANY).await.unwrap(), None);
    assert_eq!(field_of(of(&[]).await.unwrap_err()), "types");
    for wrong in [
        Duration::ZERO,
        Duration::from_secs(366 * 86_400),
        Duration::MAX,
    ] {
        let refusal = analyses.claim(ANY, "one", wrong).await.unwrap_err();
        assert_eq!(field_of(refusal), "lease_for");
    }
    let refusal = analyses.claim(ANY, "a\0b", MINUTE).await.unwrap_err();
    assert_eq!(field_of(refusal), "worker");
}

#[both_engines]
#[case]
async fn of_many_workers_no_two_get_the_same() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let ids = pending(&db, 100).await;
    let (analyses, all) = (&analyses, ids.iter().copied().collect::<HashSet<_>>());

    let claims = all_concurrently!(10, async {
        let mut claims = Vec::new();
        while let Some(claim) = analyses.claim(ANY, "one of ten", MINUTE).await.unwrap() {
            claims.push(claim);
        }
        claims
    });

    let claims: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claims.len(), 100);
    assert_eq!(
        claims
            .iter()
            .map(|claim| claim.analysis.id)
            .collect::<HashSet<_>>(),
        all
    );
    assert_eq!(
        claims
            .iter()
            .map(|claim| claim.lease.fence)
            .collect::<HashSet<_>>()
            .len(),
        100
    );
}

#[both_engines]
#[case]
async fn what_somebody_else_is_about_to_claim_is_passed_by() {
    let (db, _database) = database().await;
    let ids = pending(&db, 2).await;

    let undone = db
        .transaction(async |tx| -> wundr_db::Result<()> {
            let mine = tx.analyses().claim(ANY, "slow", MINUTE).await?.unwrap();
            assert_eq!(mine.analysis.id, ids[0]);
            assert_eq!(claimed(&db, "fast").await.analysis.id, ids[1]);
            assert_eq!(db.analyses().claim(ANY, "late", MINUTE).await?, None);
            Err(Error::StaleWrite { what: "x" })
        })
        .await;
    assert!(undone.is_err());
    assert_eq!(claimed(&db, "late").await.analysis.id, ids[0]);
}

#[both_engines]
#[case]
async fn an_abandoned_run_is_requeued_and_its_worker_shut_out() {
    let (db, _database) = database().await;
    let analyses = db.analyses();
    let id = pending(&db, 1).await[0];
    let old = claimed(&db, "old").await.lease;
    let renewed = analyses.renew(&old, 2 * MINUTE, Some(40)).await.unwrap();
    assert_eq!(
        (renewed.fence, renewed.expires_at > old.expires_at),
        (old.fence, true)
    );
    let later = analyses.renew(&renewed, MINUTE, Some(30)).await.unwrap();
    assert_eq!(analyses.find(id).await.unwrap().unwrap().progress, 40);
    assert_eq!(analyses.requeue_abandoned(9).await.unwrap(), []);
    assert_eq!(
        field_of(analyses.renew(&later, MINUTE, Some(101)).await.unwrap_err()),
        "progress"
    );

    execute(&db, EXPIRE).await;
    analyses.renew(&old, MINUTE, None).await.unwrap();
    execute(&db, EXPIRE).await;
    let requeued = analyses.requeue_abandoned(9).await.unwrap();
    let [requeued] = &requeued[..] else {
        panic!("{requeued:?}")
    };
    assert_eq!(
        (requeued.lease.worker.as_str(), requeued.lease.fence),
        ("old", old.fence)
    );
    let row = analyses.find(id).await.unwrap().unwrap();
    assert_eq!(requeued.analysis, row);
    assert_eq!(
        (row.status, row.progress, row.started_at),
        (AnalysisStatus::Pending, 0, None)
    );
    let refusal = analyses.renew(&old, MINUTE, None).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the lease of Analysis is lost: it is pending"
    );

    let new = claimed(&db, "new").await.lease;
    assert!(new.fence > old.fence);
    let summary = AnalysisSummary::default();
    let refusals = [
        analyses.renew(&old, MINUTE, Some(99)).await.map(|_| ()),
        analyses
            .complete_claimed(&old, summary.clone())
            .await
            .map(|_| ()),
        analyses.fail_claimed(&old, "x").await.map(|_| ()),
        analyses.release(&old).await.map(|_| ()),
    ];
    for refusal in refusals {
        assert_eq!(lost(refusal.unwrap_err()), lost_to("running", "new"));
    }
    let row = analyses.find(id).await.unwrap().unwrap();
    assert_eq!((row.status, row.progress), (AnalysisStatus::Running, 0));
    let released = analyses.release(&new).await.unwrap();
    assert_eq!(
        (released.status, released.started_at),
        (AnalysisStatus::Pending, None)
    );
    let last = claimed(&db, "last").await.lease;
    let ended = analyses.complete_claimed(&last, summary).await.unwrap();
    assert_eq!(
        (ended.status, ended.progress),
        (AnalysisStatus::Completed, 100)
    );
    analyses.delete(id).await.unwrap();
    assert!(matches!(
        analyses.release(&last).await,
        Err(Error::NotFound { .. })
    ));
}

#[both_engines]
#[case]
async fn an_analysis_that_no_worker_survives_is_given_up() {
    let (db, database) = database().await;
    let analyses = db.analyses();
    let id = pending(&db, 1).await[0];
    for worker in ["one", "two"] {
        claimed(&db, worker).await;
        execute(&db, EXPIRE).await;
        let left = analyses.requeue_abandoned(3).await.unwrap();
        let state = left.iter().map(|claim| claim.analysis.status);
        assert_eq!(state.collect::<Vec<_>>(), [AnalysisStatus::Pending]);
    }
    let released = claimed(&db, "careful").await.lease;
    analyses.release(&released).await.unwrap();

    let last = claimed(&db, "three").await.lease;
    analyses.renew(&last, MINUTE, Some(30)).await.unwrap();
    execute(&db, EXPIRE).await;
    let left = analyses.requeue_abandoned(3).await.unwrap();
    let row = analyses.find(id).await.unwrap().unwrap();
    assert_eq!((left.len(), &left[0].analysis), (1, &row));
    assert_eq!(left[0].lease.fence, last.fence);
    assert_eq!((row.status, row.progress), (AnalysisStatus::Failed, 30));
    assert_eq!(
        row.error_message.as_deref(),
        Some("left by 3 workers, the last of them three")
    );
    assert!(row.completed_at >= row.started_at && row.duration_seconds >= Some(1));
    assert_eq!(analyses.requeue_abandoned(3).await.unwrap(), []);
    let nothing_is_kept = "NOT EXISTS (SELECT FROM analysis.analysis_abandonments)";
    until(&database, nothing_is_kept).await;

    pending(&db, 2).await;
    let survived = claimed(&db, "one").await.lease;
    claimed(&db, "two").await;
    execute(&db, EXPIRE).await;
    analyses.requeue_abandoned(2).await.unwrap();
    let again = claimed(&db, "three").await.lease;
    assert_eq!(again.analysis_id, survived.analysis_id);
    let summary = AnalysisSummary::default();
    analyses.complete_claimed(&again, summary).await.unwrap();
    claimed(&db, "three").await;
    execute(&db, EXPIRE).await;
    let left = analyses.requeue_abandoned(1).await.unwrap();
    let message = left[0].analysis.error_message.as_deref();
    assert_eq!(message, Some("left by 2 workers, the last of them three"));
    until(&database, nothing_is_kept).await;

    let refused = analyses.requeue_abandoned(0).await.unwrap_err();
    assert_eq!(field_of(refused), "attempts");
}

/// A worker that ends its run while the run is being given to another: it began before that was
/// committed, and waits.
#[both_engines]
#[case]
async fn a_worker_that_waits_for_the_next_one_is_shut_out_too() {
    let (db, database) = database().await;
    let id = pending(&db, 1).await[0];
    let old = claimed(&db, "old").await.lease;
    execute(&db, EXPIRE).await;
    let in_transaction = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
                          AND state = 'idle in transaction' AND backend_xid IS NOT NULL AND query LIKE '%next%')";

    let (given, ended) = concurrently!(
        async {
            db.transaction(async |tx| -> wundr_db::Result<Claim> {
                assert_eq!(tx.analyses().requeue_abandoned(9).await?.len(), 1);
                let claim = tx.analyses().claim(ANY, "new", MINUTE).await?;
                until(&database, SOMEBODY_WAITS).await;
                Ok(claim.unwrap())
            })
            .await
        },
        async {
            until(&database, in_transaction).await;
            let summary = AnalysisSummary::default();
            db.analyses().complete_claimed(&old, summary).await
        }
    );

    assert_eq!(given.unwrap().analysis.id, id);
    assert_eq!(lost(ended.unwrap_err()), lost_to("running", "new"));
    let row = db.analyses().find(id).await.unwrap().unwrap();
    assert_eq!(row.status, AnalysisStatus::Running);
}

#[both_engines]
#[case]
async fn a_lease_that_is_being_renewed_is_not_taken() {
    let (db, _database) = database().await;
    pending(&db, 1).await;
    let lease = claimed(&db, "one").await.lease;
    execute(&db, EXPIRE).await;
    db.transaction(async |tx| -> wundr_db::Result<()> {
        tx.analyses().renew(&lease, MINUTE, None).await?;
        assert_eq!(db.analyses().requeue_abandoned(9).await?, []);
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(db.analyses().requeue_abandoned(9).await.unwrap(), []);
}

#[both_engines]
#[case]
async fn an_end_ends_the_lease_whoever_brings_it() {
    let (db, database) = database().await;
    let analyses = db.analyses();
    pending(&db, 5).await;
    let summary = AnalysisSummary::default();
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(claimed(&db, "one").await.lease);
    }
    analyses.cancel(leases[0].analysis_id).await.unwrap();
    analyses
        .complete(leases[1].analysis_id, summary)
        .await
        .unwrap();
    analyses.fail(leases[2].analysis_id, "no").await.unwrap();
    analyses.fail_claimed(&leases[3], "no").await.unwrap();
    execute(
        &db,
        "UPDATE analysis.analyses SET status = 'cancelled' WHERE status = 'running'",
    )
    .await;

    until(
        &database,
        "NOT EXISTS (SELECT FROM analysis.analysis_leases)",
    )
    .await;
    let states = ["cancelled", "completed", "failed", "failed", "cancelled"];
    for (lease, state) in leases.iter().zip(states) {
        let refusal = analyses.renew(lease, MINUTE, None).await.unwrap_err();
        assert_eq!(lost(refusal), (state.to_owned(), None));
    }
    assert_eq!(analyses.requeue_abandoned(9).await.unwrap(), []);
    assert_eq!(analyses.count(&AnalysisFilter::new()).await.unwrap(), 5);
}
