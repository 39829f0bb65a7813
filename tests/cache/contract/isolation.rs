//! A cache in front of a database whose organizations are isolated.

use super::*;
use wundr_db::migrations::Rights;

#[both_engines]
#[case]
async fn what_is_read_for_one_organization_is_neither_taken_from_the_cache_nor_stored_in_it() {
    let pair = pair(shared()).await;
    let ada = user(&pair.one).await.id;
    let lab = NewOrganization::new("Lab", "lab");
    let lab = pair.one.organizations().create(lab).await.unwrap().id;
    let flask = NewProject::new("Flask", ada).organization_id(lab);
    let flask = pair.one.projects().create(flask).await.unwrap().id;
    for _ in 0..2 {
        pair.other.projects().find(flask).await.unwrap();
    }
    let of_lab = pair.one.for_organization(lab);
    let before = pair.one.metrics();
    let found = of_lab.projects().find(flask).await.unwrap();
    assert_eq!(found.unwrap().name, "Flask");
    let after = pair.one.metrics();
    assert_eq!((after.hits, after.fills), (before.hits, before.fills));
    // Its writes are fenced.
    let renamed = ProjectChanges::new().name("Django");
    of_lab.projects().update(flask, renamed).await.unwrap();
    let found = pair.other.projects().find(flask).await.unwrap();
    assert_eq!(found.unwrap().name, "Django");

    let refused = Cached::new(of_lab, shared()).map(drop);
    assert!(matches!(refused, Err(Error::InvalidInput { .. })));
}

/// The cascade reaches rows that the transaction does not see, and whose keys it cannot record.
#[both_engines]
#[case]
async fn a_user_that_is_deleted_for_one_organization_has_no_cached_role_in_another() {
    let pair = pair(shared()).await;
    let eve = user(&pair.one).await.id;
    let mut labs = Vec::new();
    for name in ["one", "other"] {
        let lab = NewOrganization::new(name, name);
        let lab = pair.one.organizations().create(lab).await.unwrap().id;
        let member = NewOrganizationMember::new(lab, eve, OrganizationRole::Member);
        pair.one
            .organization_members()
            .create(member)
            .await
            .unwrap();
        labs.push(lab);
    }
    let config = Config::new(&pair.database.url()).unwrap();
    let role = format!("isolated_{}", pair.database.name());
    execute(&pair.plain, &format!("CREATE ROLE \"{role}\" LOGIN")).await;
    let rights = Rights::Application;
    migrations::grant(&config, &role, rights).await.unwrap();
    migrations::isolate(&config).await.unwrap();
    let url = pair
        .database
        .url()
        .replace("//postgres@", &format!("//{role}@"));
    let isolated = cached(&url, shared()).await;
    for _ in 0..2 {
        let role = pair
            .other
            .organization_members()
            .role_of(labs[1], eve)
            .await;
        assert_eq!(role.unwrap(), Some(OrganizationRole::Member));
        let access = pair.other.organizations().access(eve, labs[1]).await;
        assert!(access.unwrap().is_some());
    }
    let of_lab = isolated.for_organization(labs[0]);
    let unseen = of_lab.organization_members().role_of(labs[1], eve).await;
    assert_eq!(unseen.unwrap(), None);
    assert!(of_lab.users().delete(eve).await.unwrap());
    let role = pair
        .other
        .organization_members()
        .role_of(labs[1], eve)
        .await;
    assert_eq!(role.unwrap(), None);
    let access = pair.other.organizations().access(eve, labs[1]).await;
    assert_eq!(access.unwrap(), None);
}
