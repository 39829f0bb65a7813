use super::*;
use chrono::{DateTime, Utc};
use serde_json::json;
use std::time::Duration;
use wundr_db::{
    Change, Config, Error, NewOrganizationMember, OrganizationChanges, OrganizationFilter,
    OrganizationOrder, OrganizationRole, Page, SubscriptionPlan,
};

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let organizations = db.organizations();
    let lab = organizations
        .create(NewOrganization::new("Lab", "lab"))
        .await
        .unwrap();

    assert_eq!(lab.subscription_plan, SubscriptionPlan::Free);
    assert_eq!(
        (lab.settings.clone(), lab.description.clone()),
        (json!({}).into(), None)
    );
    assert_eq!(organizations.find(lab.id).await.unwrap(), Some(lab.clone()));
    assert_eq!(
        organizations.find_by_slug("lab").await.unwrap(),
        Some(lab.clone())
    );
    assert_eq!(organizations.find_by_slug("LAB").await.unwrap(), None);
    assert!(organizations.exists(lab.id).await.unwrap());
    let absent = OrganizationId::new();
    assert!(!organizations.exists(absent).await.unwrap());
    let answers = organizations.find_many(&[absent, lab.id]).await.unwrap();
    assert_eq!(answers, [None, Some(lab)]);

    let taken = organizations
        .create_many(&[
            NewOrganization::new("Second", "second"),
            NewOrganization::new("Impostor", "lab"),
        ])
        .await
        .unwrap_err();
    assert_eq!(taken.constraint(), Some("organizations_slug_key"));
    assert_eq!(
        organizations
            .count(&OrganizationFilter::new())
            .await
            .unwrap(),
        1
    );
    let long = NewOrganization::new("Lab", "x".repeat(101));
    assert!(matches!(
        organizations.create(long).await,
        Err(Error::InvalidInput { field, .. }) if field == "slug"
    ));
}

#[both_engines]
#[case]
async fn an_upsert_keeps_what_it_is_not_given() {
    let (db, _database) = database().await;
    let organizations = db.organizations();
    let founded: DateTime<Utc> = "2010-04-01T00:00:00Z".parse().unwrap();
    let new = NewOrganization::new("Lab", "lab")
        .subscription_plan(SubscriptionPlan::Enterprise)
        .description("first")
        .created_at(founded);
    let first = organizations.upsert(new).await.unwrap();

    let second = organizations
        .upsert(NewOrganization::new("Laboratory", "lab"))
        .await
        .unwrap();

    assert_eq!(
        (second.id, second.name.as_str(), second.created_at),
        (first.id, "Laboratory", founded)
    );
    assert_eq!(second.subscription_plan, SubscriptionPlan::Enterprise);
    assert_eq!(second.description.as_deref(), Some("first"));
}

#[both_engines]
#[case]
async fn an_upsert_does_not_hold_up_who_refers_to_the_row() {
    let (db, database) = database().await;
    let config = Config::new(&database.url()).unwrap();
    let impatient = config.statement_timeout(Duration::from_secs(5));
    let impatient = Db::connect(impatient).await.unwrap();
    let ada = user(&db).await;
    let lab = NewOrganization::new("Lab", "lab");
    let lab = db.organizations().create(lab).await.unwrap();

    db.transaction(async |tx| {
        let renamed = NewOrganization::new("Laboratory", "lab");
        tx.organizations().upsert(renamed).await?;
        let project = NewProject::new("Flask", ada.id).organization_id(lab.id);
        impatient.projects().create(project).await?;
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

#[both_engines]
#[case]
async fn a_users_organizations_come_with_the_role_in_each() {
    let (db, _database) = database().await;
    let ada = user(&db).await;
    let organizations = db.organizations();
    let mut expected = Vec::new();
    for (name, role) in [
        ("a", OrganizationRole::Viewer),
        ("b", OrganizationRole::Owner),
        ("c", OrganizationRole::Admin),
    ] {
        let new = NewOrganization::new(name, OrganizationId::new().to_string());
        let organization = organizations.create(new).await.unwrap();
        expected.push((organization, role));
    }
    organization(&db).await;
    for (organization, role) in expected.iter().rev() {
        let member = NewOrganizationMember::new(organization.id, ada.id, *role);
        db.organization_members().create(member).await.unwrap();
    }

    assert_eq!(organizations.of_user(ada.id).await.unwrap(), expected);
    assert_eq!(organizations.of_user(UserId::new()).await.unwrap(), []);
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let organizations = db.organizations();
    let new = NewOrganization::new("Lab", "lab").settings(json!({"a": 1, "b": 1}));
    let lab = organizations.create(new).await.unwrap();

    let plan = organizations
        .change_plan(lab.id, SubscriptionPlan::Professional)
        .await
        .unwrap();
    assert_eq!(plan.subscription_plan, SubscriptionPlan::Professional);
    assert!(plan.updated_at > lab.updated_at);
    let merged = organizations
        .merge_settings(lab.id, json!({"b": 2}).into())
        .await;
    assert_eq!(merged.unwrap().settings, json!({"a": 1, "b": 2}));
    let changes = OrganizationChanges::new()
        .description("x")
        .name("Laboratory");
    organizations.update(lab.id, changes).await.unwrap();
    let changes = OrganizationChanges::new().description(Change::Clear);
    let cleared = organizations.update(lab.id, changes).await.unwrap();
    assert_eq!(
        (
            cleared.name.as_str(),
            cleared.slug.as_str(),
            cleared.description
        ),
        ("Laboratory", "lab", None)
    );

    let stale = OrganizationChanges::new()
        .name("Late")
        .unchanged_since(lab.updated_at);
    assert!(matches!(
        organizations.update(lab.id, stale).await,
        Err(Error::StaleWrite {
            what: "Organization"
        })
    ));
    for settings in [json!([]), json!({"a": "\0"})] {
        assert!(matches!(
            organizations.merge_settings(lab.id, settings.into()).await,
            Err(Error::InvalidInput { field, .. }) if field == "settings"
        ));
    }
    let absent = OrganizationId::new();
    for refusal in [
        organizations.merge_settings(absent, json!({}).into()).await,
        organizations
            .change_plan(absent, SubscriptionPlan::Free)
            .await,
    ] {
        assert!(matches!(
            refusal,
            Err(Error::NotFound {
                what: "Organization"
            })
        ));
    }
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let organizations = db.organizations();
    for n in 0..5 {
        let plan = if n < 2 {
            SubscriptionPlan::Enterprise
        } else {
            SubscriptionPlan::Free
        };
        let new =
            NewOrganization::new(format!("{}", 9 - n), format!("lab_{n}")).subscription_plan(plan);
        organizations.create(new).await.unwrap();
    }
    let enterprise = OrganizationFilter::new().subscription_plan(SubscriptionPlan::Enterprise);
    let page = Page::new().order(OrganizationOrder::Name).with_total();

    let listed = organizations.list(&enterprise, &page).await.unwrap();
    let slugs: Vec<_> = listed.items.iter().map(|row| row.slug.as_str()).collect();
    assert_eq!((slugs, listed.total), (vec!["lab_1", "lab_0"], Some(2)));
    let found = OrganizationFilter::new().search("B_3");
    assert_eq!(organizations.count(&found).await.unwrap(), 1);
    assert_eq!(organizations.delete_many(&enterprise).await.unwrap(), 2);
    let rest = organizations
        .list(&OrganizationFilter::new(), &Page::new().limit(1))
        .await
        .unwrap();
    assert_eq!(rest.items[0].slug, "lab_4");
    assert!(organizations.delete(rest.items[0].id).await.unwrap());
    assert!(!organizations.delete(rest.items[0].id).await.unwrap());
}
