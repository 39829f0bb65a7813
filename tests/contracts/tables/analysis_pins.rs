use super::*;
use wundr_db::{Actor, AnalysisId, Isolation, QualityGate, TransactionOptions};

#[both_engines]
#[case]
async fn an_analysis_is_pinned_once_for_each_reason() {
    let (db, _database) = database().await;
    let analysis = analysis(&db).await;
    let pin = db.analyses().pin(analysis.id, "release 1").await.unwrap();
    assert_eq!(pin.analysis_id, analysis.id);
    assert_eq!((pin.reason.as_str(), pin.pinned_by), ("release 1", None));
    let grace = user(&db).await.id;
    let acting = db.acting_as(Actor {
        user: Some(grace),
        ..Actor::default()
    });
    // The first pin stays.
    let again = acting.analyses().pin(analysis.id, "release 1").await;
    assert_eq!(again.unwrap(), pin);
    let audited = acting.analyses().pin(analysis.id, "audit").await.unwrap();
    assert_eq!(audited.pinned_by, Some(grace));
    let pins = db.analyses().pins(analysis.id).await.unwrap();
    assert_eq!(pins, [audited.clone(), pin.clone()]);
    let of_project = db
        .analyses()
        .pins_of_project(analysis.project_id, 100)
        .await;
    assert_eq!(of_project.unwrap(), [audited.clone(), pin]);
    let newest = db.analyses().pins_of_project(analysis.project_id, 1).await;
    assert_eq!(newest.unwrap(), std::slice::from_ref(&audited));

    assert!(db.analyses().unpin(analysis.id, "release 1").await.unwrap());
    assert!(!db.analyses().unpin(analysis.id, "release 1").await.unwrap());
    let pins = db.analyses().pins(analysis.id).await.unwrap();
    assert_eq!(pins, [audited]);
}

#[both_engines]
#[case]
async fn a_pin_goes_with_its_analysis_and_outlives_its_user() {
    let (db, _database) = database().await;
    let analysis = analysis(&db).await;
    let grace = user(&db).await.id;
    let acting = db.acting_as(Actor {
        user: Some(grace),
        ..Actor::default()
    });
    acting.analyses().pin(analysis.id, "audit").await.unwrap();
    assert!(db.users().delete(grace).await.unwrap());
    let pins = db.analyses().pins(analysis.id).await.unwrap();
    assert_eq!((pins.len(), pins[0].pinned_by), (1, None));
    assert!(db.analyses().delete(analysis.id).await.unwrap());
    assert_eq!(db.analyses().pins(analysis.id).await.unwrap(), []);
    let pinned = db.analyses().pin(analysis.id, "audit").await;
    assert!(matches!(pinned, Err(Error::NotFound { what: "Analysis" })));
}

#[both_engines]
#[case]
async fn a_reason_has_one_to_255_characters() {
    let (db, _database) = database().await;
    let id = analysis(&db).await.id;
    for reason in [String::new(), "x".repeat(256), "a\0b".to_owned()] {
        let pinned = db.analyses().pin(id, &reason).await;
        assert!(
            matches!(pinned, Err(Error::InvalidInput { .. })),
            "{reason}"
        );
    }
    let longest = "é".repeat(255);
    let pin = db.analyses().pin(id, &longest).await.unwrap();
    assert_eq!(pin.reason, longest);
    for limit in [0, 101] {
        let pins = db.analyses().pins_of_project(ProjectId::new(), limit).await;
        assert!(matches!(pins, Err(Error::InvalidInput { .. })));
    }
}

#[both_engines]
#[case]
async fn an_analysis_whose_removal_has_begun_is_neither_pinned_nor_compared_with() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let new = new_analysis(&db, project).await;
    let base = db.analyses().create(new.clone()).await.unwrap().id;
    let later = {
        let mut new = new;
        new.id = AnalysisId::new();
        new
    };
    let later = db.analyses().create(later).await.unwrap().id;
    let begin = format!("INSERT INTO analysis.analysis_removals (analysis_id) VALUES ('{base}')");
    execute(&db, &begin).await;
    let pinned = db.analyses().pin(base, "late").await;
    assert!(matches!(pinned, Err(Error::NotFound { what: "Analysis" })));
    let tracked = db.analysis_issues().track(base, later).await;
    assert!(matches!(tracked, Err(Error::NotFound { what: "Analysis" })));
    let gate = QualityGate::default();
    let judged = db.quality_gates().evaluate(&gate, Some(base), later).await;
    assert!(matches!(judged, Err(Error::NotFound { what: "Analysis" })));
    db.analysis_issues().track(later, later).await.unwrap_err();
}

/// The snapshot of the transaction is older than the removal.
#[both_engines]
#[case]
async fn a_transaction_that_does_not_see_the_removal_does_not_pin() {
    let (db, _database) = database().await;
    let id = analysis(&db).await.id;
    let options = TransactionOptions::new().isolation(Isolation::RepeatableRead);
    let pinned: Result<(), Error> = db
        .transaction_with(&options, async |tx| {
            assert!(tx.analyses().exists(id).await?);
            let begin =
                format!("INSERT INTO analysis.analysis_removals (analysis_id) VALUES ('{id}')");
            execute(&db, &begin).await;
            tx.analyses().pin(id, "late").await?;
            Ok(())
        })
        .await;
    assert!(matches!(pinned, Err(Error::NotFound { what: "Analysis" })));
}

#[both_engines]
#[case]
async fn the_base_of_a_gate_is_pinned_until_another_takes_its_place() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let new = new_analysis(&db, project).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let new = {
            let mut new = new.clone();
            new.id = AnalysisId::new();
            new
        };
        ids.push(db.analyses().create(new).await.unwrap().id);
    }
    let elsewhere = analysis(&db).await.id;
    let gates = db.quality_gates();
    assert_eq!(gates.base(project, "main").await.unwrap(), None);
    let pin = gates.set_base("main", ids[0]).await.unwrap();
    assert_eq!(pin.reason, "gate: main");
    gates.set_base("strict", ids[0]).await.unwrap();
    gates.set_base("main", elsewhere).await.unwrap();
    assert_eq!(gates.base(project, "main").await.unwrap(), Some(ids[0]));
    gates.set_base("main", ids[1]).await.unwrap();
    gates.set_base("main", ids[1]).await.unwrap();
    assert_eq!(gates.base(project, "main").await.unwrap(), Some(ids[1]));
    let left = db.analyses().pins(ids[0]).await.unwrap();
    let left: Vec<_> = left.iter().map(|pin| pin.reason.as_str()).collect();
    assert_eq!(left, ["gate: strict"]);
    assert_eq!(db.analyses().pins(elsewhere).await.unwrap().len(), 1);

    let nowhere = gates.set_base("main", AnalysisId::new()).await;
    assert!(matches!(nowhere, Err(Error::NotFound { what: "Analysis" })));
    assert_eq!(gates.base(project, "main").await.unwrap(), Some(ids[1]));
    for name in ["", &"x".repeat(250)] {
        let refused = gates.set_base(name, ids[0]).await;
        assert!(matches!(refused, Err(Error::InvalidInput { .. })));
    }
}

#[both_engines]
#[case]
async fn of_concurrent_bases_of_a_gate_one_is_left() {
    let (db, _database) = database().await;
    let project = project(&db).await.id;
    let new = new_analysis(&db, project).await;
    let analyses: Vec<_> = (0..8)
        .map(|_| {
            let mut new = new.clone();
            new.id = AnalysisId::new();
            new
        })
        .collect();
    db.analyses().create_many(&analyses).await.unwrap();
    let gates = db.quality_gates();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let (gates, next, analyses) = (&gates, &next, &analyses);
    all_concurrently!(8, {
        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        set_base(gates, analyses[index].id)
    });
    let pins = db.analyses().pins_of_project(project, 100).await.unwrap();
    assert_eq!(pins.len(), 1, "{pins:?}");
    let base = gates.base(project, "main").await.unwrap();
    assert_eq!(base, Some(pins[0].analysis_id));
}

#[both_engines]
async fn set_base(gates: &QualityGates<'_>, base: AnalysisId) {
    gates.set_base("main", base).await.unwrap();
}
