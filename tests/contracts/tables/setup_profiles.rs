use super::*;
use serde_json::json;
use wundr_db::{
    Change, Error, NewSetupProfile, NewSetupSession, OrganizationId, Page, ProfileVisibility,
    SetupCategory, SetupProfile, SetupProfileChanges, SetupProfileFilter, SetupProfileId,
    SetupProfileOrder, UserId,
};

fn names(profiles: &[SetupProfile]) -> Vec<&str> {
    profiles.iter().map(|profile| &*profile.name).collect()
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let maker = user(&db).await;
    let new = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id);
    let web = profiles.create(new).await.unwrap();

    assert_eq!(web.configuration, json!({}));
    assert_eq!(
        [&web.tools, &web.templates, &web.prerequisites],
        [&json!([]); 3]
    );
    assert_eq!(web.visibility, ProfileVisibility::Private);
    assert!(!web.is_featured);
    assert_eq!(profiles.find(web.id).await.unwrap(), Some(web.clone()));
    assert!(profiles.exists(web.id).await.unwrap());
    let absent = SetupProfileId::new();
    assert!(!profiles.exists(absent).await.unwrap());
    let answers = profiles.find_many(&[absent, web.id]).await.unwrap();
    assert_eq!(answers, [None, Some(web)]);

    let orphan = NewSetupProfile::new("Web", SetupCategory::Frontend, UserId::new());
    assert!(matches!(
        profiles.create(orphan).await,
        Err(Error::MissingReference(_))
    ));
}

#[both_engines]
#[case]
async fn any_number_of_rows_is_created_or_none() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let maker = user(&db).await;
    let new = |n: i32| {
        NewSetupProfile::new(n.to_string(), SetupCategory::Devops, maker.id).tools(json!([n]))
    };
    let mut many: Vec<_> = (0..100).map(new).collect();

    many.push(new(100).organization_id(OrganizationId::new()));
    assert!(matches!(
        profiles.create_many(&many).await,
        Err(Error::MissingReference(_))
    ));
    many.pop();
    assert_eq!(profiles.create_many(&many).await.unwrap(), 100);
    let last = SetupProfileFilter::new().search("99");
    let listed = profiles.list(&last, &Page::new()).await.unwrap();
    assert_eq!(listed.items[0].tools, json!([99]));
    assert_eq!(listed.items[0].templates, json!([]));
}

#[both_engines]
#[case]
async fn changes_touch_what_they_name() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let maker = user(&db).await;
    let new = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id)
        .description("For the web")
        .estimated_duration(30);
    let web = profiles.create(new).await.unwrap();

    let changes = SetupProfileChanges::new()
        .description(Change::Clear)
        .tools(json!(["node"]));
    let changed = profiles.update(web.id, changes).await.unwrap();

    assert_eq!(
        (changed.description, changed.estimated_duration),
        (None, Some(30))
    );
    assert_eq!(changed.tools, json!(["node"]));
    let stale = SetupProfileChanges::new()
        .is_featured(true)
        .unchanged_since(web.updated_at);
    assert!(matches!(
        profiles.update(web.id, stale).await,
        Err(Error::StaleWrite {
            what: "SetupProfile"
        })
    ));
}

#[both_engines]
#[case]
async fn a_user_sees_its_own_its_organizations_and_public_profiles() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let (maker, colleague, stranger) = (user(&db).await, user(&db).await, user(&db).await);
    let lab = organization(&db).await.id;
    let sql = format!(
        "INSERT INTO public.organization_members (organization_id, user_id, role)
         VALUES ('{lab}', '{}', 'member')",
        colleague.id
    );
    execute(&db, &sql).await;
    let new = |name, visibility| {
        NewSetupProfile::new(name, SetupCategory::Custom, maker.id)
            .visibility(visibility)
            .organization_id(lab)
    };
    let no_organization = NewSetupProfile::new("nobody's", SetupCategory::Custom, maker.id)
        .visibility(ProfileVisibility::Organization);
    profiles
        .create_many(&[
            new("private", ProfileVisibility::Private),
            new("shared", ProfileVisibility::Organization),
            new("public", ProfileVisibility::Public),
            no_organization,
        ])
        .await
        .unwrap();
    let page = Page::new().order(SetupProfileOrder::Name).with_total();
    let every = SetupProfileFilter::new();

    let own = profiles.visible_to(maker.id, &every, &page).await.unwrap();
    assert_eq!(
        names(&own.items),
        ["nobody's", "private", "public", "shared"]
    );
    let seen = profiles
        .visible_to(colleague.id, &every, &page)
        .await
        .unwrap();
    assert_eq!(names(&seen.items), ["public", "shared"]);
    assert_eq!(seen.total, Some(2));
    let seen = profiles
        .visible_to(stranger.id, &every, &page)
        .await
        .unwrap();
    assert_eq!(names(&seen.items), ["public"]);
    let filter = SetupProfileFilter::new().search("shar");
    let seen = profiles
        .visible_to(colleague.id, &filter, &page)
        .await
        .unwrap();
    assert_eq!(names(&seen.items), ["shared"]);
}

#[both_engines]
#[case]
async fn what_is_featured_to_everybody_is_public() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let maker = user(&db).await;
    let new = |name, category| NewSetupProfile::new(name, category, maker.id).is_featured(true);
    profiles
        .create_many(&[
            new("hidden", SetupCategory::Mobile),
            new("shown", SetupCategory::Backend).visibility(ProfileVisibility::Public),
            NewSetupProfile::new("plain", SetupCategory::Backend, maker.id)
                .visibility(ProfileVisibility::Public),
        ])
        .await
        .unwrap();

    let featured = profiles.featured(&Page::new()).await.unwrap();

    assert_eq!(names(&featured.items), ["shown"]);
    let backend = SetupProfileFilter::new().category(SetupCategory::Backend);
    assert_eq!(profiles.count(&backend).await.unwrap(), 2);
    assert_eq!(profiles.delete_many(&backend).await.unwrap(), 2);
    let left = SetupProfileFilter::new().is_featured(true);
    assert_eq!(profiles.count(&left).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn a_profile_with_sessions_is_kept() {
    let (db, _database) = database().await;
    let profiles = db.setup_profiles();
    let maker = user(&db).await;
    let new = NewSetupProfile::new("Web", SetupCategory::Frontend, maker.id);
    let web = profiles.create(new).await.unwrap();
    let session = db
        .setup_sessions()
        .create(NewSetupSession::new(web.id, maker.id))
        .await
        .unwrap();

    let refusal = profiles.delete(web.id).await.unwrap_err();
    assert_eq!(refusal.constraint(), Some("setup_sessions_profile_id_fkey"));
    db.setup_sessions().delete(session.id).await.unwrap();
    assert!(profiles.delete(web.id).await.unwrap());
    assert!(!profiles.delete(web.id).await.unwrap());
}
