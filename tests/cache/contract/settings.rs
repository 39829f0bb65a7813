//! The settings of several scopes are of one moment.

use super::*;
use serde_json::json;

const MOVES: usize = 150;

/// A setting goes from the organization to the project and back, each time in one transaction. A
/// reader never finds the global one.
#[both_engines]
#[case]
async fn the_effective_settings_are_of_one_moment() {
    for shards in [1, 8] {
        let pair = pair(shared().shards(shards)).await;
        let ada = user(&pair.one).await.id;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = pair.one.organizations().create(lab).await.unwrap().id;
        let flask = NewProject::new("Flask", ada).organization_id(lab);
        let flask = pair.one.projects().create(flask).await.unwrap().id;
        let category = ConfigCategory::ALL[0];
        let new = |scope: ConfigurationScope, value: &str| {
            NewConfiguration::new(scope, category, "color", json!(value), ada)
        };
        let configurations = pair.one.configurations();
        let global = new(ConfigurationScope::Global, "global");
        configurations.create(global).await.unwrap();
        let first = configurations
            .create(new(lab.into(), "own"))
            .await
            .unwrap()
            .id;
        let has_ended = std::sync::atomic::AtomicBool::new(false);
        let moves = async || {
            let mut at = first;
            // On a busy machine, each entry may be outdated before it is read again.
            for number in 0..50 * MOVES {
                if number >= MOVES && pair.other.metrics().hits > 0 {
                    break;
                }
                let to: ConfigurationScope = match number % 2 {
                    0 => flask.into(),
                    _ => lab.into(),
                };
                let moved: Result<_> = pair
                    .one
                    .transaction(async |tx| {
                        tx.configurations().delete(at).await?;
                        tx.configurations().create(new(to, "own")).await
                    })
                    .await;
                at = moved.unwrap().id;
                pause(Duration::from_millis(1)).await;
            }
            has_ended.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let reads = async || {
            let scope = ConfigurationScope::Project(flask);
            let others = pair.other.configurations();
            while !has_ended.load(std::sync::atomic::Ordering::Relaxed) {
                let found = others.effective(scope, category, "color").await.unwrap();
                assert_eq!(found.unwrap().value, json!("own"), "{shards} shards");
                let found = others.effective_all(scope, None).await.unwrap();
                assert_eq!(
                    found[&category]["color"].value,
                    json!("own"),
                    "{shards} shards"
                );
            }
        };
        concurrently!(moves(), reads());
        assert!(pair.other.metrics().hits > 0);
    }
}
