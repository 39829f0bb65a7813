use super::*;
use serde_json::json;
use wundr_db::{
    ConfigCategory, ConfigurationChanges, ConfigurationFilter, ConfigurationScope, Document,
    Integration, IntegrationChanges, IntegrationFilter, IntegrationId, IntegrationType, Keyring,
    NewConfiguration, NewIntegration, Page, Protected, Secret,
};

fn keyring() -> Keyring {
    Keyring::new(1, [1; 32])
}

fn text() -> Document {
    r#"{"token": "hunter2", "n": 1.10}"#.parse().unwrap()
}

fn new(maker: UserId, organization: OrganizationId) -> NewIntegration {
    NewIntegration::new(IntegrationType::Github, "Code", maker)
        .organization_id(organization)
        .credentials(Secret::new(text()))
        .webhook_secret("hunter2")
}

/// The secrets of a row that are open.
fn opened(row: &Integration) -> (&str, &str) {
    let credentials = row.credentials.as_ref().unwrap().expose().unwrap();
    let webhook_secret = row.webhook_secret.as_ref().unwrap().expose().unwrap();
    (credentials.text(), webhook_secret)
}

fn are_open(row: &Integration) -> bool {
    let (credentials, webhook_secret) = opened(row);
    credentials.parse::<Document>().unwrap() == text() && webhook_secret == "hunter2"
}

/// The errors of a row's sealed secrets.
fn refusals(row: &Integration) -> [String; 2] {
    let credentials = row.credentials.as_ref().unwrap().expose().map(drop);
    let webhook_secret = row.webhook_secret.as_ref().unwrap().expose().map(drop);
    [credentials, webhook_secret].map(|outcome| match outcome {
        Err(error @ Error::Sealed { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    })
}

#[both_engines]
#[case]
async fn a_secret_is_sealed_in_the_database_and_open_to_its_owner() {
    let (plain, database) = database().await;
    let db = plain.with_secrets(keyring());
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let integrations = db.integrations();
    let created = integrations.create(new(ada, lab)).await.unwrap();
    assert!(are_open(&created));
    let id = created.id;

    let mut observer = Observer::of(&database.url());
    for column in ["credentials #>> '{}'", "webhook_secret"] {
        let of_row = format!("SELECT {column} FROM setup.integrations WHERE id = '{id}'");
        let stored = observer.ask(&of_row);
        assert!(
            stored.starts_with("v1|1|") && stored.len() < 255,
            "{stored}"
        );
        assert!(!stored.contains("hunter2"), "{stored}");
    }

    // By whatever way a row is read.
    let (all, page) = (IntegrationFilter::new(), Page::new().with_total());
    let mut rows = vec![integrations.find(id).await.unwrap().unwrap()];
    rows.extend(
        integrations
            .find_many(&[id])
            .await
            .unwrap()
            .into_iter()
            .flatten(),
    );
    rows.extend(integrations.list(&all, &page).await.unwrap().items);
    for page in integrations
        .list_of_organizations(&[lab], &all, &page)
        .await
        .unwrap()
    {
        rows.extend(page.items);
    }
    rows.push(integrations.set_enabled(id, false).await.unwrap());
    rows.push(
        integrations
            .record_sync(id, wundr_db::SyncStatus::Success)
            .await
            .unwrap(),
    );
    let renamed = IntegrationChanges::new().name("Renamed");
    rows.push(integrations.update(id, renamed).await.unwrap());
    let in_transaction: Result<Option<Integration>, Error> = db
        .transaction(async |tx| tx.integrations().find(id).await)
        .await;
    rows.extend(in_transaction.unwrap());
    assert_eq!(rows.len(), 8);
    assert!(rows.iter().all(are_open));
    let json = serde_json::to_string(&rows[0]).unwrap();
    assert!(!format!("{:?} {json}", rows[0]).contains("hunter2"));

    // By whatever way it is written.
    let mut ids = vec![id];
    let many = [new(ada, lab), new(ada, lab)];
    ids.extend(many.iter().map(|new| new.id));
    assert_eq!(integrations.create_many(&many).await.unwrap(), 2);
    let clear = NewIntegration::new(IntegrationType::Github, "Code", ada).organization_id(lab);
    let cleared = plain.integrations().create(clear).await.unwrap().id;
    ids.push(cleared);
    let secrets = IntegrationChanges::new()
        .credentials(Secret::new(text()))
        .webhook_secret(Secret::from("hunter2"));
    let updated = integrations.update(cleared, secrets.clone()).await.unwrap();
    assert!(are_open(&updated));
    let in_transaction: Result<Integration, Error> = db
        .transaction(async |tx| {
            let created = tx.integrations().create(new(ada, lab)).await?;
            tx.integrations().update(created.id, secrets.clone()).await
        })
        .await;
    ids.push(in_transaction.unwrap().id);
    for row in integrations.find_many(&ids).await.unwrap() {
        assert!(are_open(&row.unwrap()));
    }
    let clear = "setup.integrations WHERE webhook_secret NOT LIKE 'v1|1|%' \
         OR credentials #>> '{}' NOT LIKE 'v1|1|%'";
    assert_eq!(observer.count(clear), 0);
    let nothing = integrations.update(IntegrationId::new(), secrets).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })));
}

#[both_engines]
#[case]
async fn a_secret_that_does_not_open_is_named_and_hides_no_row() {
    let (plain, database) = database().await;
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let db = plain.with_secrets(keyring());
    let first = db.integrations().create(new(ada, lab)).await.unwrap().id;
    let later = plain.with_secrets(Keyring::new(2, [2; 32]).accept(1, [1; 32]).unwrap());
    let second = later.integrations().create(new(ada, lab)).await.unwrap().id;
    // Older rows, which were stored in the clear, are read as they are.
    let clear = plain.integrations().create(new(ada, lab)).await.unwrap().id;
    let ids = [first, second, clear];

    for row in later.integrations().find_many(&ids).await.unwrap() {
        assert!(are_open(&row.unwrap()));
    }
    let page = Page::new().order(wundr_db::IntegrationOrder::Oldest);
    let filter = IntegrationFilter::new();
    let without = plain
        .integrations()
        .list(&filter, &page)
        .await
        .unwrap()
        .items;
    let lost = db.integrations().list(&filter, &page).await.unwrap().items;
    assert_eq!((without.len(), lost.len()), (3, 3));
    for (row, key, reason) in [
        (&without[0], "key 1", "the database has no keyring"),
        (&without[1], "key 2", "the database has no keyring"),
        (&lost[1], "key 2", "the keyring does not have this key"),
    ] {
        for refusal in refusals(row) {
            for part in [key, reason, &row.id.to_string()] {
                assert!(refusal.contains(part), "{refusal}");
            }
        }
    }
    assert!(are_open(&lost[0]) && are_open(&lost[2]) && are_open(&without[2]));
    assert!(
        matches!(&without[0].webhook_secret, Some(Protected::Sealed(sealed)) if sealed.key() == 1)
    );

    // Moved to another row, to another owner, to the other column, or altered.
    let mut observer = Observer::of(&database.url());
    let other = organization(&plain).await.id;
    for change in [
        format!(
            "UPDATE setup.integrations SET credentials = o.credentials, webhook_secret = o.webhook_secret \
             FROM setup.integrations AS o WHERE integrations.id = '{clear}' AND o.id = '{first}'"
        ),
        format!("UPDATE setup.integrations SET organization_id = '{other}' WHERE id = '{first}'"),
        format!(
            "UPDATE setup.integrations SET organization_id = '{lab}', \
             credentials = to_jsonb(webhook_secret), webhook_secret = credentials #>> '{{}}' WHERE id = '{first}'"
        ),
        format!(
            "UPDATE setup.integrations SET credentials = to_jsonb(overlay(credentials #>> '{{}}' placing 'AAAA' from 45)), \
             webhook_secret = overlay(webhook_secret placing 'AAAA' from 45) WHERE id = '{second}'"
        ),
    ] {
        observer.run(&change);
        let mut found = Vec::new();
        for row in later.integrations().find_many(&ids).await.unwrap() {
            let row = row.unwrap();
            if matches!(row.webhook_secret, Some(Protected::Sealed(_))) {
                for refusal in refusals(&row) {
                    assert!(
                        refusal.contains("altered") && refusal.contains(&row.id.to_string()),
                        "{refusal}"
                    );
                }
                found.push(row.id);
            }
        }
        assert!(!found.is_empty(), "{change}");
    }
}

#[both_engines]
#[case]
async fn a_secret_that_cannot_be_sealed_or_looks_sealed_is_refused() {
    let (plain, database) = database().await;
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let db = plain.with_secrets(keyring());
    let integrations = db.integrations();
    let longest = new(ada, lab).webhook_secret("ü".repeat(71) + "x");
    let longest = integrations.create(longest).await.unwrap();
    assert_eq!(opened(&longest).1.len(), 143);
    let too_long = new(ada, lab).webhook_secret("ü".repeat(72));
    let refused = integrations.create(too_long.clone()).await.unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("144 bytes") && message.contains("143"),
        "{message}"
    );
    assert_eq!(field_of(refused), "webhook_secret");
    let refused = integrations.create_many(&[new(ada, lab), too_long]).await;
    assert_eq!(field_of(refused.unwrap_err()), "webhook_secret");

    let stored = format!(
        "SELECT webhook_secret FROM setup.integrations WHERE id = '{}'",
        longest.id
    );
    let stored = Observer::of(&database.url()).ask(&stored);
    for db in [&plain, &db] {
        let sealed = new(ada, lab).webhook_secret(stored.clone());
        let refused = db.integrations().create(sealed.clone()).await.unwrap_err();
        assert_eq!(field_of(refused), "webhook_secret");
        let refused = db.integrations().create_many(&[sealed]).await.unwrap_err();
        assert_eq!(field_of(refused), "webhook_secret");
        let sealed =
            IntegrationChanges::new().credentials(Secret::new(json!(stored.clone()).into()));
        let refused = db
            .integrations()
            .update(longest.id, sealed)
            .await
            .unwrap_err();
        assert_eq!(field_of(refused), "credentials");
    }
    assert_eq!(
        plain
            .integrations()
            .count(&IntegrationFilter::new())
            .await
            .unwrap(),
        1
    );
}

const CATEGORY: ConfigCategory = ConfigCategory::General;

fn setting(scope: ConfigurationScope, maker: UserId) -> NewConfiguration {
    NewConfiguration::new(scope, CATEGORY, "key", text(), maker).is_encrypted(true)
}

#[both_engines]
#[case]
async fn an_encrypted_setting_is_sealed_in_the_database_and_open_to_its_owner() {
    let (plain, database) = database().await;
    let db = plain.with_secrets(keyring());
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let settings = db.configurations();
    let scope = ConfigurationScope::Organization(lab);
    let created = settings.create(setting(scope, ada)).await.unwrap();
    let id = created.id;
    let mut observer = Observer::of(&database.url());
    let stored = format!("SELECT value #>> '{{}}' FROM setup.configurations WHERE id = '{id}'");
    let first = observer.ask(&stored);
    assert!(first.starts_with("v1|1|"), "{first}");

    // Another upsert seals the value for the row that is there.
    let mut rows = vec![created, settings.upsert(setting(scope, ada)).await.unwrap()];
    assert_ne!(observer.ask(&stored), first);
    let (all, page) = (ConfigurationFilter::new(), Page::new());
    rows.push(settings.find(id).await.unwrap().unwrap());
    rows.extend(
        settings
            .find_many(&[id])
            .await
            .unwrap()
            .into_iter()
            .flatten(),
    );
    rows.extend(settings.find_by_name(scope, CATEGORY, "key").await.unwrap());
    rows.extend(settings.effective(scope, CATEGORY, "key").await.unwrap());
    for of_category in settings
        .effective_all(scope, None)
        .await
        .unwrap()
        .into_values()
    {
        rows.extend(of_category.into_values());
    }
    rows.extend(settings.list(&all, &page).await.unwrap().items);
    for page in settings
        .list_of_organizations(&[lab], &all, &page)
        .await
        .unwrap()
    {
        rows.extend(page.items);
    }
    let changes = ConfigurationChanges::new().value(text()).is_encrypted(true);
    rows.push(settings.update(id, changes.clone()).await.unwrap());
    let described = ConfigurationChanges::new().description("d");
    rows.push(settings.update(id, described).await.unwrap());
    let in_transaction: Result<wundr_db::Configuration, Error> = db
        .transaction(async |tx| tx.configurations().upsert(setting(scope, ada)).await)
        .await;
    rows.push(in_transaction.unwrap());
    assert_eq!(rows.len(), 12);
    for row in &rows {
        assert_eq!((row.id, row.value.get().unwrap()), (id, &text()));
        let json = serde_json::to_string(row).unwrap();
        assert!(
            !format!("{row:?} {json}").contains("hunter2"),
            "{row:?} {json}"
        );
    }
    let stored = observer.ask(&stored);
    assert!(
        stored.starts_with("v1|1|") && !stored.contains("hunter2"),
        "{stored}"
    );

    let many = [
        setting(ConfigurationScope::Global, ada),
        NewConfiguration::new(scope, CATEGORY, "depth", 3, ada),
    ];
    assert_eq!(settings.create_many(&many).await.unwrap(), 2);
    for row in settings.list(&all, &page).await.unwrap().items {
        let expected = if row.is_encrypted { text() } else { 3.into() };
        assert_eq!(row.value, expected);
    }

    // Without the key it is said to be sealed, and is not taken for the setting.
    let row = plain.configurations().find(id).await.unwrap().unwrap();
    let error = row.value.get().unwrap_err().to_string();
    assert!(
        error.contains("no keyring") && error.contains(&id.to_string()),
        "{error}"
    );
    assert!(row.value != text() && row.value != json!(stored));
    assert_eq!(serde_json::to_value(&row).unwrap()["value"], json!(null));

    // Moved to another scope, it does not open.
    let moved = "UPDATE setup.configurations AS c SET value = o.value FROM setup.configurations AS o          WHERE c.scope = 'global' AND o.is_encrypted AND o.scope = 'organization'";
    observer.run(moved);
    let row = settings
        .find_by_name(ConfigurationScope::Global, CATEGORY, "key")
        .await;
    let error = row.unwrap().unwrap().value.get().unwrap_err().to_string();
    assert!(error.contains("altered"), "{error}");
}

#[both_engines]
#[case]
async fn no_encrypted_setting_is_stored_in_the_clear() {
    let (plain, database) = database().await;
    let ada = user(&plain).await.id;
    let scope = ConfigurationScope::Global;
    let settings = plain.configurations();
    for refused in [
        settings.create(setting(scope, ada)).await.map(drop),
        settings.upsert(setting(scope, ada)).await.map(drop),
        settings.create_many(&[setting(scope, ada)]).await.map(drop),
    ] {
        assert_eq!(field_of(refused.unwrap_err()), "is_encrypted");
    }
    assert_eq!(
        settings.count(&ConfigurationFilter::new()).await.unwrap(),
        0
    );

    let keyed = plain.with_secrets(keyring());
    let id = keyed
        .configurations()
        .create(setting(scope, ada))
        .await
        .unwrap()
        .id;
    let clear = ConfigurationChanges::new().value(2);
    for db in [&plain, &keyed] {
        let settings = db.configurations();
        let refused = settings.update(id, clear.clone()).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Check(constraint) if constraint.name == "sealed_value"),
            "{refused:?}"
        );
        let flag = ConfigurationChanges::new().is_encrypted(false);
        let refused = settings.update(id, flag).await.unwrap_err();
        assert_eq!(field_of(refused), "is_encrypted");
    }
    let refused = plain
        .configurations()
        .update(id, clear.clone().is_encrypted(true))
        .await;
    assert_eq!(field_of(refused.unwrap_err()), "is_encrypted");
    let mut observer = Observer::of(&database.url());
    let by_hand = observer.refusal("UPDATE setup.configurations SET value = '\"v1|1|a|b\"'");
    assert!(by_hand.unwrap().contains("is not sealed"));
    let row = keyed.configurations().find(id).await.unwrap().unwrap();
    assert_eq!(row.value, text());

    // A sealed value is not given as a setting that is not encrypted.
    let stored = format!("SELECT value #>> '{{}}' FROM setup.configurations WHERE id = '{id}'");
    let stored = NewConfiguration::new(scope, CATEGORY, "other", observer.ask(&stored), ada);
    let refused = keyed
        .configurations()
        .create(stored.clone())
        .await
        .unwrap_err();
    assert_eq!(field_of(refused), "value");
    let refused = plain
        .configurations()
        .create_many(&[stored])
        .await
        .unwrap_err();
    assert_eq!(field_of(refused), "value");
    // Taken back, it is a setting like any other.
    let open = keyed
        .configurations()
        .update(id, clear.is_encrypted(false))
        .await
        .unwrap();
    assert_eq!(
        (open.value, open.is_encrypted),
        (Document::from(2).into(), false)
    );
}

#[both_engines]
#[case]
async fn an_event_is_verified_with_the_secret_of_its_integration() {
    use chrono::Utc;
    use wundr_db::{WebhookError, WebhookRequest, WebhookScheme};

    let (plain, _database) = database().await;
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let db = plain.with_secrets(keyring());
    // The example of GitHub's documentation.
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let request = WebhookRequest::new(b"Hello, World!", signature);
    let secret = new(ada, lab).webhook_secret("It's a Secret to Everybody");
    let right = db.integrations().create(secret).await.unwrap();
    let other = db.integrations().create(new(ada, lab)).await.unwrap();
    let bare = NewIntegration::new(IntegrationType::Github, "Bare", ada).organization_id(lab);
    let bare = db.integrations().create(bare).await.unwrap();
    let sealed = plain.integrations().find(right.id).await.unwrap().unwrap();
    let verify = |row: &Integration| {
        let scheme = WebhookScheme::Github;
        row.verify_webhook(scheme, &request, Utc::now())
    };
    assert!(verify(&right).is_ok());
    assert!(matches!(verify(&other), Err(WebhookError::Mismatch)));
    assert!(matches!(verify(&bare), Err(WebhookError::NoSecret)));
    let refused = verify(&sealed);
    assert!(
        matches!(
            &refused,
            Err(WebhookError::Secret(Error::Sealed { key: 1, .. }))
        ),
        "{refused:?}"
    );
}

/// JSON has several texts for one string. PostgreSQL stores the string.
#[both_engines]
#[case]
async fn the_form_of_a_sealed_value_is_refused_in_any_notation() {
    let (plain, _database) = database().await;
    let ada = user(&plain).await.id;
    let sealed = format!("v1|1|{}|{}", "A".repeat(32), "A".repeat(22));
    let forms = [
        format!("\"{sealed}\""),
        format!(" \"\\u0076{}\"\n", &sealed[1..]),
        format!("\"{}\"", sealed.replace('|', "\\u007c")),
    ];
    for form in forms {
        let document: Document = form.parse().unwrap();
        let scope = ConfigurationScope::Global;
        let new =
            || NewConfiguration::new(scope, ConfigCategory::General, "a", document.clone(), ada);
        let integration = || {
            let new = NewIntegration::new(IntegrationType::Github, "Code", ada);
            new.credentials(Secret::new(document.clone()))
        };
        macro_rules! is_refused {
            ($db:expr) => {{
                let settings = $db.configurations();
                for refused in [
                    settings.create(new()).await.map(drop),
                    settings.create_many(&[new()]).await.map(drop),
                    settings.upsert(new()).await.map(drop),
                    settings.create(new().is_encrypted(true)).await.map(drop),
                ] {
                    let field = field_of(refused.unwrap_err());
                    assert!(
                        matches!(&*field, "value" | "is_encrypted"),
                        "{form}: {field}"
                    );
                }
                let integrations = $db.integrations();
                for refused in [
                    integrations.create(integration()).await.map(drop),
                    integrations.create_many(&[integration()]).await.map(drop),
                ] {
                    assert_eq!(field_of(refused.unwrap_err()), "credentials", "{form}");
                }
            }};
        }
        is_refused!(plain);
        is_refused!(plain.with_secrets(keyring()));
    }
}

/// The tables of an application include those of this crate.
#[both_engines]
#[case]
async fn no_secret_is_stored_in_the_clear_by_another_way_than_its_repository() {
    let (plain, _database) = database().await;
    let db = plain.with_secrets(keyring());
    let (ada, lab) = (user(&plain).await.id, organization(&plain).await.id);
    let stored = db.integrations().create(new(ada, lab)).await.unwrap();
    let own = db.own_tables();
    let changes = IntegrationChanges::new().webhook_secret(Secret::new("hunter3".to_owned()));
    for refused in [
        own.create(new(ada, lab)).await.map(drop),
        own.create_many(&[new(ada, lab)]).await.map(drop),
        own.update(stored.id, changes).await.map(drop),
    ] {
        assert_eq!(field_of(refused.unwrap_err()), "table");
    }
    let all = IntegrationFilter::new();
    assert_eq!(db.integrations().count(&all).await.unwrap(), 1);
    let found = db.integrations().find(stored.id).await.unwrap().unwrap();
    assert!(are_open(&found));
}
