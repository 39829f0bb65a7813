//! Secrets of integrations and settings.

use comfy_table::Table;
use diesel_async::RunQueryDsl;
use serde_json::json;
use wundr_db::{
    ConfigCategory, ConfigurationRepository, ConfigurationScope, Db, Document, Error, Integration,
    IntegrationId, IntegrationRepository, IntegrationType, Keyring, NewConfiguration,
    NewIntegration, Secret, User, WebhookRequest, WebhookScheme,
};

/// Real keys come from the environment or a secret store.
fn keyring() -> Keyring {
    Keyring::new(1, [1; 32])
}

fn new(name: &str, ada: &User) -> NewIntegration {
    let credentials = Document::from(json!({ "token": "hunter2" }));
    NewIntegration::new(IntegrationType::Github, name, ada.id)
        .credentials(Secret::new(credentials))
        .webhook_secret("It's a Secret to Everybody")
}

fn credentials(row: &Integration) -> String {
    match row.credentials.as_ref().map(|secret| secret.expose()) {
        Some(Ok(document)) => document.text().to_owned(),
        Some(Err(error)) => sealed(error),
        None => "none".to_owned(),
    }
}

/// The reason for which a secret is sealed. The error itself names the column and the row, too.
fn sealed(error: Error) -> String {
    match error {
        Error::Sealed { key, reason, .. } => format!("sealed under key {key}: {reason}"),
        other => other.to_string(),
    }
}

async fn find(db: &Db, id: IntegrationId) -> Result<Integration, Box<dyn std::error::Error>> {
    let row = db.integrations().find(id).await?;
    row.ok_or_else(|| "the integration is gone".into())
}

/// Sealed credentials, which do not open in another row, and a webhook.
pub async fn integrations(db: &Db, ada: &User) -> Result<Table, Box<dyn std::error::Error>> {
    let keyed = db.with_secrets(keyring());
    let code = keyed.integrations().create(new("Code", ada)).await?;
    let copy = keyed.integrations().create(new("Copy", ada)).await?;
    let mut table = crate::table("integrations", &["credentials"]);
    table.add_row(["with the key", &credentials(&find(&keyed, code.id).await?)]);
    table.add_row(["without keys", &credentials(&find(db, code.id).await?)]);

    // With write access to the database, but without the key.
    let moved = format!(
        "UPDATE setup.integrations SET credentials = o.credentials FROM setup.integrations AS o \
         WHERE integrations.id = '{}' AND o.id = '{}'",
        copy.id, code.id
    );
    db.transaction(async |tx| -> wundr_db::Result<usize> {
        let statement = diesel::sql_query(moved.as_str());
        Ok(statement.execute(tx.connection_mut()).await?)
    })
    .await?;
    table.add_row([
        "moved to another row",
        &credentials(&find(&keyed, copy.id).await?),
    ]);

    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    for (name, body) in [
        ("an event of GitHub", "Hello, World!"),
        ("an altered event", "Hello, Eve!"),
    ] {
        let request = WebhookRequest::new(body.as_bytes(), signature);
        let row = find(&keyed, code.id).await?;
        let verdict = row.verify_webhook(WebhookScheme::Github, &request, chrono::Utc::now());
        let verdict = match verdict {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        table.add_row([name, &verdict]);
    }
    Ok(table)
}

/// An encrypted setting, written and read with the key and without it.
pub async fn settings(db: &Db, ada: &User) -> Result<Table, Box<dyn std::error::Error>> {
    let (scope, category) = (ConfigurationScope::Global, ConfigCategory::General);
    let new = NewConfiguration::new(scope, category, "licence", "hunter2", ada.id);
    let new = new.is_encrypted(true);
    let mut table = crate::table("an encrypted setting", &["outcome"]);
    let refused = db.configurations().upsert(new.clone()).await;
    let refused = refused.map_or_else(|error| error.to_string(), |_| "written".to_owned());
    table.add_row(["written without keys", &refused]);
    let keyed = db.with_secrets(keyring());
    keyed.configurations().upsert(new).await?;
    for (name, db) in [("read with the key", &keyed), ("read without keys", db)] {
        let settings = db.configurations();
        let found = settings.find_by_name(scope, category, "licence").await?;
        let found = found.ok_or("the setting is gone")?;
        let value = match found.value.get() {
            Ok(value) => value.text().to_owned(),
            Err(error) => sealed(error),
        };
        table.add_row([name, &value]);
    }
    Ok(table)
}

/// The secrets are moved to a new key, batch by batch.
pub async fn keys(db: &Db) -> Result<Table, Box<dyn std::error::Error>> {
    let mut table = crate::table("secrets by key", &["key 1", "key 2", "failures"]);
    let db = db.with_secrets(Keyring::new(2, [2; 32]).accept(1, [1; 32])?);
    let (mut position, mut failures) = (None, 0);
    loop {
        let counts = db.sealed_by_key().await?.by_key;
        let count = |key| counts.get(&key).copied().unwrap_or(0).to_string();
        let step = if position.is_none() {
            "before"
        } else {
            "after a batch"
        };
        table.add_row([step, &count(1), &count(2), &failures.to_string()]);
        let batch = db.reseal(position, 1).await?;
        // The one that was moved to another row.
        failures += batch.failures.len();
        position = batch.next;
        if position.is_none() {
            break;
        }
    }
    Ok(table)
}
