use super::*;
use serde_json::json;
use wundr_db::{
    Change, Error, Integration, IntegrationChanges, IntegrationFilter, IntegrationId,
    IntegrationOrder, IntegrationType, NewIntegration, OrganizationId, Page, Secret, SyncStatus,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let integrations = db.integrations();
    let maker = user(&db).await;
    let new = NewIntegration::new(IntegrationType::Slack, "Alerts", maker.id);
    let slack = integrations.create(new).await.unwrap();

    assert!(slack.is_enabled);
    assert_eq!(
        (slack.sync_status, slack.last_sync_at),
        (SyncStatus::Never, None)
    );
    assert_eq!(
        (&slack.configuration, &slack.credentials),
        (&json!({}).into(), &None)
    );
    let absent = IntegrationId::new();
    let answers = integrations.find_many(&[absent, slack.id]).await.unwrap();
    assert_eq!(answers, [None, Some(slack.clone())]);
    assert!(integrations.exists(slack.id).await.unwrap());
    assert!(!integrations.exists(absent).await.unwrap());
    assert_eq!(integrations.find(slack.id).await.unwrap(), Some(slack));
    let orphan = NewIntegration::new(IntegrationType::Jira, "x", maker.id)
        .organization_id(OrganizationId::new());
    assert!(matches!(
        integrations.create(orphan).await,
        Err(Error::MissingReference(_))
    ));
}

#[both_engines]
#[case]
async fn secrets_are_stored_but_neither_printed_nor_serialized() {
    let (db, _database) = database().await;
    let integrations = db.integrations();
    let maker = user(&db).await;
    let new = NewIntegration::new(IntegrationType::Github, "Code", maker.id)
        .credentials(json!({"token": "hunter2"}))
        .webhook_secret("hunter2");
    let changes = IntegrationChanges::new()
        .credentials(Secret::new(json!("hunter2").into()))
        .webhook_secret(Secret::from("hunter2"));
    let outputs = [format!("{new:?}"), format!("{changes:?}")];
    let stored = integrations.create(new).await.unwrap();
    let json = serde_json::to_value(&stored).unwrap();

    for output in outputs
        .iter()
        .chain([&format!("{stored:?}"), &json.to_string()])
    {
        assert!(!output.contains("hunter2"), "{output}");
    }
    assert_eq!(json["type"], "github");
    assert!(json.get("credentials").is_none() && json.get("webhook_secret").is_none());
    let without: Integration = serde_json::from_value(json).unwrap();
    assert_eq!((without.id, without.credentials), (stored.id, None));
    let found = integrations.find(stored.id).await.unwrap().unwrap();
    assert_eq!(
        found.credentials.unwrap().expose().unwrap(),
        &json!({"token": "hunter2"})
    );
    assert_eq!(found.webhook_secret.unwrap().expose().unwrap(), "hunter2");
    let (all, page) = (IntegrationFilter::new(), Page::new().with_total());
    let page = integrations.list(&all, &page).await.unwrap();
    let secret = page.items[0].webhook_secret.as_ref().unwrap();
    assert_eq!(secret.expose().unwrap(), "hunter2");

    let long = IntegrationChanges::new().webhook_secret(Secret::new("s".repeat(256)));
    assert!(matches!(
        integrations.update(stored.id, long).await,
        Err(Error::InvalidInput { field, .. }) if field == "webhook_secret"
    ));
    let given: IntegrationChanges =
        serde_json::from_value(json!({"webhook_secret": "new"})).unwrap();
    let changed = integrations.update(stored.id, given).await.unwrap();
    let secret = changed.webhook_secret.unwrap();
    assert_eq!(secret.expose().unwrap(), "new");
    let cleared = IntegrationChanges::new().credentials(Change::Clear);
    let cleared = integrations.update(stored.id, cleared).await.unwrap();
    assert_eq!(cleared.credentials, None);
    assert_eq!(cleared.webhook_secret.unwrap().expose().unwrap(), "new");
}

#[both_engines]
#[case]
async fn only_a_synchronization_that_has_ended_sets_its_time() {
    let (db, _database) = database().await;
    let integrations = db.integrations();
    let maker = user(&db).await;
    let new = NewIntegration::new(IntegrationType::Gitlab, "Code", maker.id);
    let id = integrations.create(new).await.unwrap().id;
    let record = async |status| integrations.record_sync(id, status).await.unwrap();

    let begun = record(SyncStatus::InProgress).await;
    assert_eq!(
        (begun.sync_status, begun.last_sync_at),
        (SyncStatus::InProgress, None)
    );
    let failed = record(SyncStatus::Failed).await;
    assert_eq!(failed.sync_status, SyncStatus::Failed);
    assert!(failed.last_sync_at.unwrap() >= failed.created_at);
    let again = record(SyncStatus::InProgress).await;
    assert_eq!(again.last_sync_at, failed.last_sync_at);
    let success = record(SyncStatus::Success).await;
    assert!(success.last_sync_at > failed.last_sync_at);
    let reset = record(SyncStatus::Never).await;
    assert_eq!(reset.last_sync_at, success.last_sync_at);
    let absent = IntegrationId::new();
    assert!(matches!(
        integrations.record_sync(absent, SyncStatus::Failed).await,
        Err(Error::NotFound {
            what: "Integration"
        })
    ));
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let integrations = db.integrations();
    let maker = user(&db).await;
    let new = NewIntegration::new(IntegrationType::Webhook, "Hook", maker.id)
        .webhook_url("https://example.org/hook");
    let hook = integrations.create(new).await.unwrap();

    let disabled = integrations.set_enabled(hook.id, false).await.unwrap();
    assert!(!disabled.is_enabled);
    assert_eq!(disabled.webhook_url, hook.webhook_url);
    assert!(
        integrations
            .set_enabled(hook.id, true)
            .await
            .unwrap()
            .is_enabled
    );
    let stale = IntegrationChanges::new()
        .name("Late")
        .unchanged_since(hook.updated_at);
    assert!(matches!(
        integrations.update(hook.id, stale).await,
        Err(Error::StaleWrite {
            what: "Integration"
        })
    ));
    assert!(integrations.delete(hook.id).await.unwrap());
    assert!(!integrations.delete(hook.id).await.unwrap());
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let integrations = db.integrations();
    let maker = user(&db).await;
    let (lab, work) = (organization(&db).await.id, project(&db).await.id);
    let new = |r#type, name| NewIntegration::new(r#type, name, maker.id);
    integrations
        .create_many(&[
            new(IntegrationType::Slack, "b").organization_id(lab),
            new(IntegrationType::Jira, "a").organization_id(lab),
            new(IntegrationType::Slack, "c")
                .project_id(work)
                .is_enabled(false),
            new(IntegrationType::Email, "d").sync_status(SyncStatus::Failed),
        ])
        .await
        .unwrap();
    let of_lab = IntegrationFilter::new().organization_id(lab);
    let page = Page::new().order(IntegrationOrder::Name);

    let listed = integrations.list(&of_lab, &page).await.unwrap();
    let names: Vec<_> = listed.items.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["a", "b"]);
    for (filter, count) in [
        (IntegrationFilter::new().project_id(work), 1),
        (IntegrationFilter::new().r#type(IntegrationType::Slack), 2),
        (IntegrationFilter::new().is_enabled(true), 3),
        (IntegrationFilter::new().sync_status(SyncStatus::Failed), 1),
        (IntegrationFilter::new().created_by(maker.id), 4),
    ] {
        let counted = integrations.count(&filter).await.unwrap();
        assert_eq!(counted, count, "{filter:?}");
    }
    assert_eq!(integrations.delete_many(&of_lab).await.unwrap(), 2);
    let left = integrations.count(&IntegrationFilter::new()).await.unwrap();
    assert_eq!(left, 2);
}
