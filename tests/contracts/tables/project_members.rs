use super::*;
use std::time::Duration;
use wundr_db::{
    Change, Config, Error, NewProjectMember, Page, ProjectId, ProjectMemberChanges,
    ProjectMemberFilter, ProjectMemberId, ProjectMemberOrder, ProjectRole,
};

/// A project and its only member.
#[both_engines]
async fn owned(db: &Db) -> (ProjectId, UserId) {
    let (project, ada) = (project(db).await, user(db).await);
    let owner = NewProjectMember::new(project.id, ada.id, ProjectRole::Owner);
    db.project_members().create(owner).await.unwrap();
    (project.id, ada.id)
}

/// Makes another user a member.
#[both_engines]
async fn join(db: &Db, project: ProjectId, role: ProjectRole) -> UserId {
    let user = user(db).await;
    let member = NewProjectMember::new(project, user.id, role);
    db.project_members().create(member).await.unwrap();
    user.id
}

fn is_refused<T: std::fmt::Debug>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(error @ Error::Check(_)) if error.constraint() == Some("project_keeps_an_owner"))
}

#[both_engines]
#[case]
async fn what_is_created_is_found() {
    let (db, _database) = database().await;
    let (flask, other) = (project(&db).await.id, project(&db).await.id);
    let (ada, bob) = (user(&db).await.id, user(&db).await.id);
    let members = db.project_members();
    let new = NewProjectMember::new(flask, ada, ProjectRole::Maintainer).added_by(bob);
    let first = members.create(new.clone()).await.unwrap();
    let new_second = NewProjectMember::new(flask, bob, ProjectRole::Viewer);
    assert_eq!(members.create_many(&[new_second]).await.unwrap(), 1);

    assert_eq!(
        (first.role, first.added_by),
        (ProjectRole::Maintainer, Some(bob))
    );
    assert_eq!(members.find(first.id).await.unwrap(), Some(first.clone()));
    assert!(members.exists(first.id).await.unwrap());
    let absent = ProjectMemberId::new();
    let answers = members.find_many(&[absent, first.id]).await.unwrap();
    assert_eq!(answers, [None, Some(first.clone())]);
    assert_eq!(
        members.role_of(flask, bob).await.unwrap(),
        Some(ProjectRole::Viewer)
    );
    assert_eq!(members.role_of(other, bob).await.unwrap(), None);
    let groups = members.of_projects(&[other, flask, flask]).await.unwrap();
    assert_eq!(groups[0], []);
    assert_eq!(groups[1], groups[2]);
    assert_eq!((groups[1].len(), &groups[1][0]), (2, &first));

    let twice = members.create(new).await.unwrap_err();
    assert!(matches!(twice, Error::Unique(_)), "{twice:?}");
    let stranger = NewProjectMember::new(flask, UserId::new(), ProjectRole::Viewer);
    assert!(matches!(
        members.create(stranger).await,
        Err(Error::MissingReference(_))
    ));
}

#[both_engines]
#[case]
async fn the_last_owner_can_neither_leave_nor_be_demoted() {
    let (db, _database) = database().await;
    let (flask, ada) = owned(&db).await;
    let bob = join(&db, flask, ProjectRole::Maintainer).await;
    let members = db.project_members();
    let owner = members.of_projects(&[flask]).await.unwrap()[0][0].clone();
    let demoted = NewProjectMember::new(flask, ada, ProjectRole::Maintainer);
    let demotion = ProjectMemberChanges::new().role(ProjectRole::Viewer);

    assert!(is_refused(&members.delete(owner.id).await));
    assert!(is_refused(&members.remove(flask, ada).await));
    assert!(is_refused(
        &members
            .change_role(flask, ada, ProjectRole::Contributor)
            .await
    ));
    assert!(is_refused(
        &members.update(owner.id, demotion.clone()).await
    ));
    assert!(is_refused(&members.upsert(demoted.clone()).await));
    let everybody = ProjectMemberFilter::new().project_id(flask);
    assert!(is_refused(&members.delete_many(&everybody).await));
    assert_eq!(members.count(&everybody).await.unwrap(), 2);

    // What keeps the owner is allowed.
    let remark = ProjectMemberChanges::new().added_by(bob);
    assert_eq!(
        members.update(owner.id, remark).await.unwrap().added_by,
        Some(bob)
    );
    let again = NewProjectMember::new(flask, ada, ProjectRole::Owner);
    assert_eq!(members.upsert(again).await.unwrap().added_by, Some(bob));
    members
        .change_role(flask, ada, ProjectRole::Owner)
        .await
        .unwrap();
    members
        .change_role(flask, bob, ProjectRole::Viewer)
        .await
        .unwrap();

    // With a second owner each of them goes.
    members
        .change_role(flask, bob, ProjectRole::Owner)
        .await
        .unwrap();
    assert_eq!(
        members.upsert(demoted).await.unwrap().role,
        ProjectRole::Maintainer
    );
    assert!(is_refused(&members.remove(flask, bob).await));
    assert!(members.remove(flask, ada).await.unwrap());
    assert!(!members.remove(flask, ada).await.unwrap());

    // The project itself takes all with it.
    assert!(db.projects().delete(flask).await.unwrap());
    assert_eq!(members.count(&everybody).await.unwrap(), 0);
    let missing = members.change_role(flask, bob, ProjectRole::Viewer).await;
    assert!(matches!(
        missing,
        Err(Error::NotFound {
            what: "ProjectMember"
        })
    ));
    let missing = members.update(owner.id, demotion).await;
    assert!(matches!(
        missing,
        Err(Error::NotFound {
            what: "ProjectMember"
        })
    ));
}

#[both_engines]
#[case]
async fn a_project_that_never_had_an_owner_may_lose_every_member() {
    let (db, _database) = database().await;
    let flask = project(&db).await.id;
    let ada = join(&db, flask, ProjectRole::Contributor).await;
    join(&db, flask, ProjectRole::Viewer).await;
    let members = db.project_members();

    let upsert = NewProjectMember::new(flask, ada, ProjectRole::Viewer);
    assert_eq!(
        members.upsert(upsert).await.unwrap().role,
        ProjectRole::Viewer
    );
    assert!(members.remove(flask, ada).await.unwrap());
    let everybody = ProjectMemberFilter::new().project_id(flask);
    assert_eq!(members.delete_many(&everybody).await.unwrap(), 1);
}

#[both_engines]
#[case]
async fn an_owner_who_leaves_waits_until_it_is_known_who_stays() {
    let (db, database) = database().await;
    let config = Config::new(&database.url()).unwrap();
    let impatient = config.statement_timeout(Duration::from_millis(100));
    let impatient = Db::connect(impatient).await.unwrap();
    let (flask, ada) = owned(&db).await;
    let bob = join(&db, flask, ProjectRole::Owner).await;
    let of_bob = ProjectMemberFilter::new().user_id(bob);
    let lesser = NewProjectMember::new(flask, bob, ProjectRole::Contributor);

    db.transaction(async |tx| {
        tx.project_members().remove(flask, ada).await?;
        let members = impatient.project_members();
        let changed = members
            .change_role(flask, bob, ProjectRole::Contributor)
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

    assert!(is_refused(&db.project_members().upsert(lesser).await));
}

#[both_engines]
#[case]
async fn one_of_two_owners_that_leave_concurrently_stays() {
    let (db, _database) = database().await;
    let members = db.project_members();
    for round in 0..40 {
        let (flask, ada) = owned(&db).await;
        let bob = join(&db, flask, ProjectRole::Owner).await;
        let lesser = NewProjectMember::new(flask, bob, ProjectRole::Contributor);

        let (first, second) = if round % 2 == 0 {
            concurrently!(members.remove(flask, ada), members.remove(flask, bob))
        } else {
            let (first, second) = concurrently!(
                members.change_role(flask, ada, ProjectRole::Contributor),
                members.upsert(lesser)
            );
            (first.map(|_| true), second.map(|_| true))
        };

        let refusals = [&first, &second].into_iter().filter(|one| is_refused(one));
        assert_eq!(refusals.count(), 1, "round {round}: {first:?} {second:?}");
        let owners = ProjectMemberFilter::new()
            .project_id(flask)
            .role(ProjectRole::Owner);
        assert_eq!(members.count(&owners).await.unwrap(), 1, "round {round}");
    }
}

#[both_engines]
#[case]
async fn owners_that_leave_concurrently_do_not_block_each_other_while_a_third_stays() {
    let (db, _database) = database().await;
    let members = db.project_members();
    for round in 0..60 {
        let (flask, ada) = owned(&db).await;
        let bob = join(&db, flask, ProjectRole::Owner).await;
        join(&db, flask, ProjectRole::Owner).await;
        let lesser = |user| NewProjectMember::new(flask, user, ProjectRole::Contributor);

        let (first, second) =
            concurrently!(members.upsert(lesser(bob)), members.upsert(lesser(ada)));

        for changed in [first, second] {
            assert_eq!(
                changed.unwrap().role,
                ProjectRole::Contributor,
                "round {round}"
            );
        }
    }
}

#[both_engines]
#[case]
async fn filters_are_shared_by_list_count_and_delete() {
    let (db, _database) = database().await;
    let members = db.project_members();
    let (flask, ada) = owned(&db).await;
    let bob = join(&db, flask, ProjectRole::Viewer).await;
    let eve = join(&db, flask, ProjectRole::Viewer).await;
    let (other, _) = owned(&db).await;
    members
        .upsert(NewProjectMember::new(other, bob, ProjectRole::Viewer).added_by(ada))
        .await
        .unwrap();
    let viewers = ProjectMemberFilter::new()
        .project_id(flask)
        .role(ProjectRole::Viewer);
    let page = Page::new().order(ProjectMemberOrder::Oldest).with_total();

    let listed = members.list(&viewers, &page).await.unwrap();
    let users: Vec<_> = listed.items.iter().map(|row| row.user_id).collect();
    assert_eq!((users, listed.total), (vec![bob, eve], Some(2)));
    let of_bob = ProjectMemberFilter::new().user_id(bob);
    assert_eq!(members.count(&of_bob).await.unwrap(), 2);
    let invited = ProjectMemberFilter::new().added_by(ada);
    let kept = members
        .list(&invited, &Page::new())
        .await
        .unwrap()
        .items
        .remove(0);
    let cleared = ProjectMemberChanges::new().added_by(Change::Clear);
    assert_eq!(
        members.update(kept.id, cleared).await.unwrap().added_by,
        None
    );
    assert_eq!(members.delete_many(&viewers).await.unwrap(), 2);
    // Ada owns one of them alone: nothing is deleted.
    let all = ProjectMemberFilter::new();
    assert!(is_refused(&members.delete_many(&all).await));
    assert_eq!(members.count(&all).await.unwrap(), 3);
    assert!(members.delete(kept.id).await.unwrap());
    assert!(!members.delete(kept.id).await.unwrap());
}
