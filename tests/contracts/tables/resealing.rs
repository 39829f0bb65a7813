use super::*;
use serde_json::json;
use wundr_db::{
    ConfigCategory, ConfigurationScope, Document, Integration, IntegrationChanges, IntegrationId,
    IntegrationType, Keyring, NewConfiguration, NewIntegration, Protected, ResealCursor, Resealed,
    Secret,
};

fn old() -> Keyring {
    Keyring::new(1, [1; 32])
}

fn both() -> Keyring {
    Keyring::new(2, [2; 32]).accept(1, [1; 32]).unwrap()
}

fn new() -> Keyring {
    Keyring::new(2, [2; 32])
}

fn integration(maker: UserId, organization: OrganizationId) -> NewIntegration {
    NewIntegration::new(IntegrationType::Github, "Code", maker)
        .organization_id(organization)
        .credentials(Secret::new(Document::from(json!({"token": "hunter2"}))))
        .webhook_secret("hunter2")
}

fn setting(scope: ConfigurationScope, maker: UserId, name: &str) -> NewConfiguration {
    NewConfiguration::new(scope, ConfigCategory::General, name, 42, maker).is_encrypted(true)
}

fn is_open(row: &Integration) -> bool {
    let credentials = row.credentials.as_ref().map(Protected::expose);
    let webhook_secret = row.webhook_secret.as_ref().map(Protected::expose);
    matches!(credentials, Some(Ok(_)))
        && matches!(webhook_secret, Some(Ok(text)) if text == "hunter2")
}

/// Runs all batches, and returns their outcomes.
#[both_engines]
async fn all(db: &Db, limit: u32) -> Vec<Resealed> {
    let (mut batches, mut position): (_, Option<ResealCursor>) = (Vec::new(), None);
    loop {
        let batch = db.reseal(position, limit).await.unwrap();
        position = batch.next;
        batches.push(batch);
        if position.is_none() {
            return batches;
        }
    }
}

fn resealed(batches: &[Resealed]) -> u64 {
    batches.iter().map(|batch| batch.resealed).sum()
}

#[both_engines]
async fn counts(db: &Db) -> (Vec<(u16, u64)>, u64) {
    let counts = db.sealed_by_key().await.unwrap();
    (counts.by_key.into_iter().collect(), counts.in_the_clear)
}

/// Five integrations and three settings under the old key, two integrations in the clear, and an
/// encrypted setting in the clear from before there was a trigger.
#[both_engines]
async fn filled(plain: &Db) -> (UserId, OrganizationId, Vec<IntegrationId>) {
    let (ada, lab) = (user(plain).await.id, organization(plain).await.id);
    let sealed = plain.with_secrets(old());
    let mut ids = Vec::new();
    for number in 0..7 {
        let db = if number < 5 { &sealed } else { plain };
        let new = integration(ada, lab);
        ids.push(db.integrations().create(new).await.unwrap().id);
    }
    for (scope, name) in [
        (ConfigurationScope::Global, "a"),
        (ConfigurationScope::Global, "b"),
        (ConfigurationScope::Organization(lab), "a"),
        (ConfigurationScope::Organization(lab), "clear"),
    ] {
        let new = setting(scope, ada, name);
        sealed.configurations().create(new).await.unwrap();
    }
    for statement in [
        "ALTER TABLE setup.configurations DISABLE TRIGGER trg_configurations_sealed",
        "UPDATE setup.configurations SET value = '42' WHERE name = 'clear'",
        "ALTER TABLE setup.configurations ENABLE TRIGGER trg_configurations_sealed",
    ] {
        execute(plain, statement).await;
    }
    (ada, lab, ids)
}

#[both_engines]
#[case]
async fn secrets_are_moved_to_the_active_key_in_batches() {
    let (plain, _database) = database().await;
    let (ada, lab, ids) = filled(&plain).await;
    // Neither an integration without secrets nor a setting that is not encrypted is visited.
    let bare = NewIntegration::new(IntegrationType::Github, "Bare", ada).organization_id(lab);
    let bare = plain.integrations().create(bare).await.unwrap();
    let open = NewConfiguration::new(
        ConfigurationScope::Global,
        ConfigCategory::General,
        "o",
        1,
        ada,
    );
    let open = plain.configurations().create(open).await.unwrap();
    assert_eq!(counts(&plain).await, (vec![(1, 13)], 5));

    let db = plain.with_secrets(both());
    let first = db.reseal(None, 3).await.unwrap();
    assert_eq!(
        (first.resealed, first.skipped, first.failures.len()),
        (6, 0, 0)
    );
    assert_eq!(counts(&plain).await, (vec![(1, 7), (2, 6)], 5));
    // The process has ended, and another one starts again.
    let batches = all(&db, 3).await;
    assert_eq!(batches.len(), 3);
    assert_eq!(resealed(&batches), 12);
    assert!(
        batches
            .iter()
            .all(|batch| batch.failures.is_empty() && batch.skipped == 0)
    );
    assert_eq!(counts(&plain).await, (vec![(2, 18)], 0));
    let again = all(&db, 1_000).await;
    assert_eq!((again.len(), resealed(&again)), (1, 0));

    // The old key is not needed any more.
    let db = plain.with_secrets(new());
    for row in db.integrations().find_many(&ids).await.unwrap() {
        assert!(is_open(&row.unwrap()));
    }
    for name in ["a", "clear"] {
        let scope = ConfigurationScope::Organization(lab);
        let found = db
            .configurations()
            .find_by_name(scope, ConfigCategory::General, name)
            .await;
        assert_eq!(
            found.unwrap().unwrap().value.get().unwrap(),
            &Document::from(42)
        );
    }
    let found = plain.integrations().find(bare.id).await.unwrap();
    assert_eq!(found, Some(bare));
    let found = plain.configurations().find(open.id).await.unwrap();
    assert_eq!(found, Some(open));

    let refused = plain.reseal(None, 10).await.unwrap_err();
    assert_eq!(field_of(refused), "secrets");
    for limit in [0, 1_001] {
        let refused = db.reseal(None, limit).await.unwrap_err();
        assert_eq!(field_of(refused), "limit");
    }
}

#[both_engines]
#[case]
async fn a_secret_that_does_not_open_is_named_and_stops_no_other() {
    let (plain, database) = database().await;
    let (ada, lab, ids) = filled(&plain).await;
    let lost = plain.with_secrets(Keyring::new(7, [7; 32]));
    let lost = lost
        .integrations()
        .create(integration(ada, lab))
        .await
        .unwrap()
        .id;
    let mut observer = Observer::of(&database.url());
    // Moved to another row, and too long to be sealed.
    observer.run(&format!(
        "UPDATE setup.integrations SET webhook_secret = o.webhook_secret FROM setup.integrations AS o \
         WHERE integrations.id = '{}' AND o.id = '{}'",
        ids[0], ids[1]
    ));
    let long = "x".repeat(200);
    let changes = IntegrationChanges::new().webhook_secret(Secret::from(long.as_str()));
    plain.integrations().update(ids[5], changes).await.unwrap();

    let db = plain.with_secrets(both());
    for limit in [1, 2, 100] {
        let batches = all(&db, limit).await;
        let failures = batches.iter().flat_map(|batch| &batch.failures);
        let mut found: Vec<_> = failures
            .map(|failure| {
                let column = failure.column.rsplit('.').next().unwrap();
                let reason = match &failure.error {
                    Error::Sealed { key, row, .. } => {
                        assert_eq!(row, &Some(failure.row));
                        key.to_string()
                    }
                    Error::InvalidInput { field, .. } => field.to_string(),
                    other => panic!("{other:?}"),
                };
                (IntegrationId::from(failure.row), column, reason)
            })
            .collect();
        found.sort();
        let mut expected = [
            (ids[0], "webhook_secret", "1".to_owned()),
            (ids[5], "webhook_secret", "webhook_secret".to_owned()),
            (lost, "credentials", "7".to_owned()),
            (lost, "webhook_secret", "7".to_owned()),
        ];
        expected.sort();
        assert_eq!(found, expected, "{limit}");
    }
    assert_eq!(counts(&plain).await, (vec![(1, 1), (2, 16), (7, 2)], 1));
    let row = plain.integrations().find(ids[5]).await.unwrap().unwrap();
    assert_eq!(row.webhook_secret.unwrap().expose().unwrap(), &long);
}

/// A writer that has changed a secret is not overwritten, and one that has locked a row is not
/// waited for.
#[both_engines]
#[case]
async fn a_newer_secret_is_not_overwritten() {
    let (plain, _database) = database().await;
    let (.., ids) = filled(&plain).await;
    let (writer, db) = (plain.with_secrets(both()), plain.with_secrets(both()));
    let locked: Result<(), Error> = writer
        .transaction(async |tx| {
            let newer = IntegrationChanges::new().webhook_secret(Secret::from("newer"));
            tx.integrations().update(ids[0], newer).await?;
            // With rows of the writer's that are not committed.
            let outcome = db.reseal(None, 1_000).await?;
            assert_eq!((outcome.resealed, outcome.skipped), (16, 1));
            Ok(())
        })
        .await;
    locked.unwrap();
    let row = db.integrations().find(ids[0]).await.unwrap().unwrap();
    assert_eq!(row.webhook_secret.unwrap().expose().unwrap(), "newer");
    // Its credentials are left, and follow.
    assert_eq!(counts(&plain).await, (vec![(1, 1), (2, 17)], 0));
    assert_eq!(db.reseal(None, 1_000).await.unwrap().resealed, 1);
    let row = db.integrations().find(ids[0]).await.unwrap().unwrap();
    assert_eq!(row.webhook_secret.unwrap().expose().unwrap(), "newer");
    assert!(row.credentials.unwrap().expose().is_ok());
}

/// Keys that let another client write between the read of a batch and its write.
struct Interfering<F>(Keyring, std::sync::Mutex<Option<F>>);

impl<F: FnOnce() + Send> wundr_db::KeyProvider for Interfering<F> {
    fn active(&self) -> Result<(u16, Secret<[u8; 32]>), Error> {
        self.0.active()
    }

    fn key(&self, id: u16) -> Result<Option<Secret<[u8; 32]>>, Error> {
        if let Some(interfere) = self.1.lock().unwrap().take() {
            interfere();
        }
        self.0.key(id)
    }
}

#[both_engines]
#[case]
async fn a_secret_that_is_replaced_after_it_was_read_is_not_overwritten() {
    let (plain, database) = database().await;
    let (.., ids) = filled(&plain).await;
    let url = database.url();
    let [cleared, moved] = [ids[0], ids[1]];
    let interfere = move || {
        let mut observer = Observer::of(&url);
        observer.run(&format!(
            "UPDATE setup.integrations SET credentials = NULL, webhook_secret = 'newer' WHERE id = '{cleared}'; \
             UPDATE setup.integrations SET organization_id = NULL, name = 'Moved' WHERE id = '{moved}'"
        ));
    };
    let keys = Interfering(both(), std::sync::Mutex::new(Some(interfere)));
    let outcome = plain.with_secrets(keys).reseal(None, 7).await.unwrap();
    assert_eq!((outcome.resealed, outcome.skipped), (10, 2));
    let row = plain.integrations().find(cleared).await.unwrap().unwrap();
    assert_eq!(row.credentials, None);
    assert_eq!(row.webhook_secret.unwrap().expose().unwrap(), "newer");
    let row = plain.integrations().find(moved).await.unwrap().unwrap();
    assert!(matches!(row.webhook_secret, Some(Protected::Sealed(sealed)) if sealed.key() == 1));
}
