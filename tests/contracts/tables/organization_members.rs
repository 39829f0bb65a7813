use super::*;
use std::time::Duration;
use wundr_db::{
    Change, Config, Error, NewOrganizationMember, OrganizationMemberChanges,
    OrganizationMemberFilter, OrganizationMemberId, OrganizationMemberOrder, OrganizationRole,
    Page,
};

/// An organization and its only member.
#[both_engines]
async fn owned(db: &Db) -> (OrganizationId, UserId) {
    let (organization, ada) = (organization(db).await, user(db).await);
    let owner = NewOrganizationMember::new(organization.id, ada.id, OrganizationRole::Owner);
    db.organization_members().create(owner).await.unwrap();
    (organization.id, ada.id)
}

/// Makes another user a member.
#[both_engines]
async fn join(db: &Db, organization: OrganizationId, role: OrganizationRole) -> UserId {
    let user = user(db).await;
    let member = NewOrganizationMember::new(organization, user.id, role);
    db.organization_members().create(member).await.unwrap();
    user.id
}

fn is_refused<T: std::fmt::Debug>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(error @ Error::Check(_)) if error.constraint() == Some("organization_keeps_an_owner"))
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (lab, other) = (organization(&db).await.id, organization(&db).await.id);
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let members = db.organization_members();
    let new = NewOrganizationMember::new(lab, ada, OrganizationRole::Admin).invited_by(bob);
    let first = members.create(new.clone()).await.unwrap();
    let new_second = NewOrganizationMember::new(lab, bob, OrganizationRole::Viewer);
    assert_eq!(members.create_many(&[new_second]).await.unwrap(), 1);

    assert_eq!(
        (first.role, first.invited_by),
        (OrganizationRole::Admin, Some(bob))
    );
    assert_eq!(members.find(first.id).await.unwrap(), Some(first.clone()));
    assert!(members.exists(first.id).await.unwrap());
    let absent = OrganizationMemberId::new();
    let answers = members.find_many(&[absent, first.id]).await.unwrap();
    assert_eq!(answers, [None, Some(first.clone())]);
    assert_eq!(
        members.role_of(lab, bob).await.unwrap(),
        Some(OrganizationRole::Viewer)
    );
    assert_eq!(members.role_of(other, bob).await.unwrap(), None);
    let groups = members.of_organizations(&[other, lab, lab]).await.unwrap();
    assert_eq!(groups[0], []);
    assert_eq!(groups[1], groups[2]);
    assert_eq!((groups[1].len(), &groups[1][0]), (2, &first));

    let twice = members.create(new).await.unwrap_err();
    assert!(matches!(twice, Error::Unique(_)), "{twice:?}");
    let stranger = NewOrganizationMember::new(lab, UserId::new(), OrganizationRole::Viewer);
    assert!(matches!(
        members.create(stranger).await,
        Err(Error::MissingReference(_))
    ));
}

#[both_engines]
#[case]
async fn the_last_owner_can_neither_leave_nor_be_demoted() {
    let (db, _database) = database().await;
    let (lab, ada) = owned(&db).await;
    let bob = join(&db, lab, OrganizationRole::Admin).await;
    let members = db.organization_members();
    let owner = members.of_organizations(&[lab]).await.unwrap()[0][0].clone();
    let demoted = NewOrganizationMember::new(lab, ada, OrganizationRole::Admin);
    let demotion = OrganizationMemberChanges::new().role(OrganizationRole::Viewer);

    assert!(is_refused(&members.delete(owner.id).await));
    assert!(is_refused(&members.remove(lab, ada).await));
    assert!(is_refused(
        &members
            .change_role(lab, ada, OrganizationRole::Member)
            .await
    ));
    assert!(is_refused(
        &members.update(owner.id, demotion.clone()).await
    ));
    assert!(is_refused(&members.upsert(demoted.clone()).await));
    let everybody = OrganizationMemberFilter::new().organization_id(lab);
    assert!(is_refused(&members.delete_many(&everybody).await));
    assert_eq!(members.count(&everybody).await.unwrap(), 2);

    // What keeps the owner is allowed.
    let remark = OrganizationMemberChanges::new().invited_by(bob);
    assert_eq!(
        members.update(owner.id, remark).await.unwrap().invited_by,
        Some(bob)
    );
    let again = NewOrganizationMember::new(lab, ada, OrganizationRole::Owner);
    assert_eq!(members.upsert(again).await.unwrap().invited_by, Some(bob));
    members
        .change_role(lab, ada, OrganizationRole::Owner)
        .await
        .unwrap();
    members
        .change_role(lab, bob, OrganizationRole::Viewer)
        .await
        .unwrap();

    // With a second owner each of them goes.
    members
        .change_role(lab, bob, OrganizationRole::Owner)
        .await
        .unwrap();
    assert_eq!(
        members.upsert(demoted).await.unwrap().role,
        OrganizationRole::Admin
    );
    assert!(is_refused(&members.remove(lab, bob).await));
    assert!(members.remove(lab, ada).await.unwrap());
    assert!(!members.remove(lab, ada).await.unwrap());

    // The organization itself takes all with it.
    assert!(db.organizations().delete(lab).await.unwrap());
    assert_eq!(members.count(&everybody).await.unwrap(), 0);
    let missing = members
        .change_role(lab, bob, OrganizationRole::Viewer)
        .await;
    assert!(matches!(
        missing,
        Err(Error::NotFound {
            what: "OrganizationMember"
        })
    ));
    let missing = members.update(owner.id, demotion).await;
    assert!(matches!(
        missing,
        Err(Error::NotFound {
            what: "OrganizationMember"
        })
    ));
}

#[both_engines]
#[case]
async fn an_organization_that_never_had_an_owner_may_lose_every_member() {
    let (db, _database) = database().await;
    let lab = organization(&db).await.id;
    let ada = join(&db, lab, OrganizationRole::Member).await;
    join(&db, lab, OrganizationRole::Viewer).await;
    let members = db.organization_members();

    let upsert = NewOrganizationMember::new(lab, ada, OrganizationRole::Viewer);
    assert_eq!(
        members.upsert(upsert).await.unwrap().role,
        OrganizationRole::Viewer
    );
    assert!(members.remove(lab, ada).await.unwrap());
    let everybody = OrganizationMemberFilter::new().organization_id(lab);
    assert_eq!(members.delete_many(&everybody).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn an_owner_who_leaves_waits_until_it_is_known_who_stays() {
    let (db, database) = database().await;
    let config = Config::new(&database.url()).unwrap();
    let impatient = config.statement_timeout(Duration::from_millis(100));
    let impatient = Db::connect(impatient).await.unwrap();
    let (lab, ada) = owned(&db).await;
    let bob = join(&db, lab, OrganizationRole::Owner).await;
    let of_bob = OrganizationMemberFilter::new().user_id(bob);
    let lesser = NewOrganizationMember::new(lab, bob, OrganizationRole::Member);

    db.transaction(async |tx| {
        tx.organization_members().remove(lab, ada).await?;
        let members = impatient.organization_members();
        let changed = members
            .change_role(lab, bob, OrganizationRole::Member)
            .await;
        assert!(matches!(changed, Err(Error::Timeout(_))), "{changed:?}");
        let upserted = members.upsert(lesser.clone()).await;
        assert!(matches!(upserted, Err(Error::Timeout(_))), "{upserted:?}");
        let removed = members.delete_many(&of_bob).await;
        assert!(matches!(removed, Err(Error::Timeout(_))), "{removed:?}");
        Ok::<_, Error>(())
    })
    .await
    .unwrap();

    assert!(is_refused(&db.organization_members().upsert(lesser).await));
}

#[both_engines]
#[case]
async fn one_of_two_owners_that_leave_concurrently_stays() {
    let (db, _database) = database().await;
    let members = db.organization_members();
    for round in 0..40 {
        let (lab, ada) = owned(&db).await;
        let bob = join(&db, lab, OrganizationRole::Owner).await;
        let lesser = NewOrganizationMember::new(lab, bob, OrganizationRole::Member);

        let (first, second) = if round % 2 == 0 {
            concurrently!(members.remove(lab, ada), members.remove(lab, bob))
        } else {
            let (first, second) = concurrently!(
                members.change_role(lab, ada, OrganizationRole::Member),
                members.upsert(lesser)
            );
            (first.map(|_| true), second.map(|_| true))
        };

        let refusals = [&first, &second].into_iter().filter(|one| is_refused(one));
        assert_eq!(refusals.count(), 1, "round {round}: {first:?} {second:?}");
        let owners = OrganizationMemberFilter::new()
            .organization_id(lab)
            .role(OrganizationRole::Owner);
        assert_eq!(members.count(&owners).await.unwrap(), 1, "round {round}");
    }
}

#[both_engines]
#[case]
async fn owners_that_leave_concurrently_do_not_block_each_other_while_a_third_stays() {
    let (db, _database) = database().await;
    let members = db.organization_members();
    for round in 0..60 {
        let (lab, ada) = owned(&db).await;
        let bob = join(&db, lab, OrganizationRole::Owner).await;
        join(&db, lab, OrganizationRole::Owner).await;
        let lesser = |user| NewOrganizationMember::new(lab, user, OrganizationRole::Member);

        let (first, second) =
            concurrently!(members.upsert(lesser(bob)), members.upsert(lesser(ada)));

        for changed in [first, second] {
            assert_eq!(
                changed.unwrap().role,
                OrganizationRole::Member,
                "round {round}"
            );
        }
    }
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let members = db.organization_members();
    let (lab, ada) = owned(&db).await;
    let bob = join(&db, lab, OrganizationRole::Viewer).await;
    let eve = join(&db, lab, OrganizationRole::Viewer).await;
    let (other, _) = owned(&db).await;
    members
        .upsert(NewOrganizationMember::new(other, bob, OrganizationRole::Viewer).invited_by(ada))
        .await
        .unwrap();
    let viewers = OrganizationMemberFilter::new()
        .organization_id(lab)
        .role(OrganizationRole::Viewer);
    let page = Page::new()
        .order(OrganizationMemberOrder::Oldest)
        .with_total();

    let listed = members.list(&viewers, &page).await.unwrap();
    let users: Vec<_> = listed.items.iter().map(|row| row.user_id).collect();
    assert_eq!((users, listed.total), (vec![bob, eve], Some(2)));
    let of_bob = OrganizationMemberFilter::new().user_id(bob);
    assert_eq!(members.count(&of_bob).await.unwrap(), 2);
    let invited = OrganizationMemberFilter::new().invited_by(ada);
    let kept = members
        .list(&invited, &Page::new())
        .await
        .unwrap()
        .items
        .remove(0);
    let cleared = OrganizationMemberChanges::new().invited_by(Change::Clear);
    assert_eq!(
        members.update(kept.id, cleared).await.unwrap().invited_by,
        None
    );
    assert_eq!(members.delete_many(&viewers).await.unwrap(), 2);
    // Ada owns one of them alone: nothing is deleted.
    let all = OrganizationMemberFilter::new();
    assert!(is_refused(&members.delete_many(&all).await));
    assert_eq!(members.count(&all).await.unwrap(), 3);
    assert!(members.delete(kept.id).await.unwrap());
    assert!(!members.delete(kept.id).await.unwrap());
}
