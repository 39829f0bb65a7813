use super::*;
use serde_json::json;
use wundr_db::{
    Change, ConfigCategory, ConfigScope, Configuration, ConfigurationChanges, ConfigurationFilter,
    ConfigurationId, ConfigurationOrder, ConfigurationScope, Document, Error, Fields, Keyring,
    NewConfiguration, Page,
};

const ANALYSIS: ConfigCategory = ConfigCategory::Analysis;
const GLOBAL: ConfigurationScope = ConfigurationScope::Global;

/// An organization's scope and that of a project in it.
#[both_engines]
async fn scopes(db: &Db) -> (ConfigurationScope, ConfigurationScope) {
    let (organization_id, project_id) = (organization(db).await.id, project(db).await.id);
    let sql = format!(
        "UPDATE public.projects SET organization_id = '{organization_id}' WHERE id = '{project_id}'"
    );
    execute(db, &sql).await;
    (organization_id.into(), project_id.into())
}

fn value_of(found: Option<Configuration>) -> Option<Document> {
    found.map(|setting| setting.value.into_value().unwrap())
}

#[both_engines]
#[case]
async fn what_is_created_is_found_in_its_scope() {
    let (db, _database) = database().await;
    let settings = db.configurations();
    let maker = user(&db).await;
    let (lab, work) = scopes(&db).await;

    for scope in [GLOBAL, lab, work] {
        let new = NewConfiguration::new(scope, ANALYSIS, "depth", 1, maker.id);
        let setting = settings.create(new.clone()).await.unwrap();
        assert_eq!(setting.scope, scope.kind());
        assert_eq!(ConfigurationScope::try_from(&setting).unwrap(), scope);
        assert!(!setting.is_encrypted);
        let found = settings.find_by_name(scope, ANALYSIS, "depth").await;
        assert_eq!(found.unwrap().as_ref(), Some(&setting));
        assert_eq!(settings.find(setting.id).await.unwrap(), Some(setting));

        let again = new.id(ConfigurationId::new());
        let refusal = settings.create(again).await.unwrap_err();
        assert_eq!(refusal.constraint(), Some("unique_config_scope"));
    }
    let absent = ConfigurationId::new();
    assert!(!settings.exists(absent).await.unwrap());
    assert_eq!(settings.find_many(&[absent]).await.unwrap(), [None]);
    let other = settings.find_by_name(GLOBAL, ConfigCategory::General, "depth");
    assert_eq!(other.await.unwrap(), None);
}

#[both_engines]
#[case]
async fn setting_a_value_again_changes_the_one_row_of_its_scope() {
    let (db, _database) = database().await;
    let settings = db.with_secrets(Keyring::new(1, [1; 32]));
    let settings = settings.configurations();
    let (maker, other) = (user(&db).await, user(&db).await);
    let (lab, work) = scopes(&db).await;

    for scope in [GLOBAL, lab, work] {
        let sealed = NewConfiguration::new(scope, ANALYSIS, "key", "sealed", maker.id)
            .description("A key")
            .is_encrypted(true);
        let first = settings.upsert(sealed).await.unwrap();
        assert!(first.is_encrypted);

        let second = settings
            .set(scope, ANALYSIS, "key", json!("open").into(), other.id)
            .await
            .unwrap();

        assert_eq!(
            (second.id, second.value),
            (first.id, Document::from("open").into())
        );
        assert!(!second.is_encrypted, "the flag goes with the value");
        assert_eq!(second.description.as_deref(), Some("A key"));
        assert_eq!(second.created_by, maker.id);
        assert!(second.updated_at > first.updated_at);
    }
    let every = ConfigurationFilter::new();
    assert_eq!(settings.count(&every).await.unwrap(), 3);
    let null = settings.set(GLOBAL, ANALYSIS, "key", Document::default(), maker.id);
    assert_eq!(null.await.unwrap().value, Document::default());
}

#[both_engines]
#[case]
async fn the_narrowest_setting_applies() {
    let (db, _database) = database().await;
    let settings = db.configurations();
    let maker = user(&db).await;
    let ((lab, work), (other_lab, other_work)) = (scopes(&db).await, scopes(&db).await);
    let lonely = ConfigurationScope::from(project(&db).await.id);
    for (scope, value) in [(GLOBAL, "global"), (lab, "lab"), (work, "work")] {
        settings
            .set(scope, ANALYSIS, "depth", value.into(), maker.id)
            .await
            .unwrap();
    }
    let applies = async |scope| {
        let setting = settings.effective(scope, ANALYSIS, "depth").await;
        value_of(setting.unwrap())
    };

    assert_eq!(applies(work).await, Some("work".into()));
    assert_eq!(applies(lab).await, Some("lab".into()));
    for scope in [GLOBAL, other_lab, other_work, lonely] {
        assert_eq!(applies(scope).await, Some("global".into()), "{scope:?}");
    }
    for (scope, next) in [(work, "lab"), (lab, "global")] {
        let own = settings.find_by_name(scope, ANALYSIS, "depth").await;
        settings.delete(own.unwrap().unwrap().id).await.unwrap();
        assert_eq!(applies(work).await, Some(next.into()));
    }
    let absent = settings.effective(work, ANALYSIS, "width").await.unwrap();
    assert_eq!(absent, None);
}

#[both_engines]
#[case]
async fn all_that_applies_is_merged_name_by_name() {
    let (db, _database) = database().await;
    let settings = db.configurations();
    let maker = user(&db).await;
    let ((lab, work), (other_lab, other_work)) = (scopes(&db).await, scopes(&db).await);
    for (scope, category, name, value) in [
        (work, ANALYSIS, "a", 3),
        (lab, ANALYSIS, "a", 2),
        (GLOBAL, ANALYSIS, "a", 1),
        (lab, ANALYSIS, "b", 2),
        (GLOBAL, ANALYSIS, "b", 1),
        (GLOBAL, ANALYSIS, "c", 1),
        (GLOBAL, ConfigCategory::Setup, "a", 1),
        (other_lab, ANALYSIS, "a", 9),
        (other_work, ANALYSIS, "c", 9),
    ] {
        settings
            .set(scope, category, name, value.into(), maker.id)
            .await
            .unwrap();
    }
    let applying = async |scope, category| {
        let all = settings.effective_all(scope, Some(category)).await.unwrap();
        let rows = all.into_values().flatten();
        let values = rows.map(|(name, setting)| (name, setting.value.into_value().unwrap()));
        serde_json::to_value(values.collect::<Fields>()).unwrap()
    };

    assert_eq!(
        applying(work, ANALYSIS).await,
        json!({"a": 3, "b": 2, "c": 1})
    );
    assert_eq!(
        applying(lab, ANALYSIS).await,
        json!({"a": 2, "b": 2, "c": 1})
    );
    assert_eq!(
        applying(GLOBAL, ANALYSIS).await,
        json!({"a": 1, "b": 1, "c": 1})
    );
    assert_eq!(applying(work, ConfigCategory::Setup).await, json!({"a": 1}));
    assert_eq!(applying(work, ConfigCategory::General).await, json!({}));
    let every = settings.effective_all(work, None).await.unwrap();
    assert_eq!(every.len(), 2);
    assert_eq!(every[&ANALYSIS]["a"].value, json!(3));
    assert_eq!(every[&ConfigCategory::Setup]["a"].value, json!(1));
}

#[both_engines]
#[case]
async fn another_clients_row_that_names_the_organization_too_is_the_projects() {
    let (db, _database) = database().await;
    let settings = db.configurations();
    let maker = user(&db).await;
    let (lab, work) = scopes(&db).await;
    let (organization_id, project_id) =
        (lab.organization_id().unwrap(), work.project_id().unwrap());
    let sql = format!(
        "INSERT INTO setup.configurations
           (organization_id, project_id, scope, category, name, value, created_by)
         VALUES ('{organization_id}', '{project_id}', 'project', 'analysis', 'depth', '1', '{}')",
        maker.id
    );
    execute(&db, &sql).await;
    let applies = async |scope| {
        let setting = settings.effective(scope, ANALYSIS, "depth").await;
        value_of(setting.unwrap())
    };

    assert_eq!(
        (applies(work).await, applies(lab).await),
        (Some(1.into()), None)
    );
    let found = settings
        .find_by_name(work, ANALYSIS, "depth")
        .await
        .unwrap();
    assert_eq!(ConfigurationScope::try_from(&found.unwrap()).unwrap(), work);
    settings
        .set(work, ANALYSIS, "depth", json!(2).into(), maker.id)
        .await
        .unwrap();
    assert_eq!(applies(work).await, Some(2.into()));
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let settings = db.with_secrets(Keyring::new(1, [1; 32]));
    let settings = settings.configurations();
    let maker = user(&db).await;
    let new = |name| NewConfiguration::new(GLOBAL, ANALYSIS, name, 1, maker.id).description("d");
    assert_eq!(
        settings.create_many(&[new("a"), new("b")]).await.unwrap(),
        2
    );
    let a = settings.find_by_name(GLOBAL, ANALYSIS, "a").await;
    let a = a.unwrap().unwrap();

    let sealed = ConfigurationChanges::new()
        .value("sealed")
        .is_encrypted(true);
    let changed = settings.update(a.id, sealed).await.unwrap();
    assert_eq!(changed.value, Document::from("sealed"));
    assert!(changed.is_encrypted);
    assert_eq!(changed.description.as_deref(), Some("d"));
    let cleared = ConfigurationChanges::new().description(Change::Clear);
    let cleared = settings.update(a.id, cleared).await.unwrap();
    assert_eq!(cleared.description, None);
    let taken = settings
        .update(a.id, ConfigurationChanges::new().name("b"))
        .await;
    assert!(matches!(taken, Err(Error::Unique(_))));
    let stale = ConfigurationChanges::new()
        .value(2)
        .unchanged_since(a.updated_at);
    assert!(matches!(
        settings.update(a.id, stale).await,
        Err(Error::StaleWrite {
            what: "Configuration"
        })
    ));
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let settings = db.with_secrets(Keyring::new(1, [1; 32]));
    let settings = settings.configurations();
    let maker = user(&db).await;
    let (lab, work) = scopes(&db).await;
    let new = |scope, name| NewConfiguration::new(scope, ANALYSIS, name, 1, maker.id);
    settings
        .create_many(&[
            new(work, "a").is_encrypted(true),
            new(lab, "c"),
            new(lab, "b"),
            new(GLOBAL, "a"),
        ])
        .await
        .unwrap();
    let of_lab = ConfigurationFilter::new().organization_id(lab.organization_id().unwrap());
    let page = Page::new().order(ConfigurationOrder::Name);

    let listed = settings.list(&of_lab, &page).await.unwrap();
    let names: Vec<_> = listed.items.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["b", "c"]);
    for (filter, count) in [
        (
            ConfigurationFilter::new().project_id(work.project_id().unwrap()),
            1,
        ),
        (ConfigurationFilter::new().scope(ConfigScope::Global), 1),
        (ConfigurationFilter::new().category(ANALYSIS), 4),
        (ConfigurationFilter::new().name("a"), 2),
        (ConfigurationFilter::new().is_encrypted(true), 1),
        (ConfigurationFilter::new().created_by(maker.id), 4),
    ] {
        assert_eq!(settings.count(&filter).await.unwrap(), count, "{filter:?}");
    }
    assert_eq!(settings.delete_many(&of_lab).await.unwrap(), 2);
    assert_eq!(
        settings.count(&ConfigurationFilter::new()).await.unwrap(),
        2
    );
}
