use super::*;
use chrono::{TimeDelta, Utc};
use serde_json::json;

#[both_engines]
#[case]
async fn of_users() {
    for mode in MODES {
        let ids: Vec<_> = (0..4).map(|_| UserId::new()).collect();
        let emails = ["ada@x.org", "bob@x.org", "eve@x.org", "bob@y.org"].map(str::to_owned);
        let subjects = Subjects {
            users: ids.clone(),
            emails: emails.to_vec(),
            token_hashes: vec!["of eve"],
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        // The access of the users to it follows what they are.
        let maker = user(&scene.pair.one).await.id;
        let public = NewProject::new("Public", maker).visibility(ProjectVisibility::Public);
        let public = scene.pair.one.projects().create(public).await.unwrap().id;
        scene.subjects.projects.push(public);
        let new = |n: usize| NewUser::new(emails[n].clone(), "Somebody").id(ids[n]);
        wrote!(scene, users.create(new(0)));
        wrote!(scene, users.create_many(&[new(1), new(2)]));
        let (ada, bob, eve) = (ids[0], ids[1], ids[2]);
        wrote!(scene, users.upsert(NewUser::new("ADA@x.org", "Ada")));
        wrote!(
            scene,
            users.update(bob, UserChanges::new().email("bob@y.org"))
        );
        wrote!(
            scene,
            users.update(bob, UserChanges::new().email("bob@x.org"))
        );
        wrote!(scene, users.set_active(ada, false));
        wrote!(scene, users.touch_last_login(ada));
        wrote!(
            scene,
            users.merge_preferences(ada, json!({ "theme": "dark" }).into())
        );

        let one = &scene.pair.one;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = one.organizations().create(lab).await.unwrap().id;
        let flask = one
            .projects()
            .create(NewProject::new("Flask", ada))
            .await
            .unwrap()
            .id;
        let members = one.organization_members();
        let member = NewOrganizationMember::new(lab, eve, OrganizationRole::Member);
        members.create(member).await.unwrap();
        let member = NewProjectMember::new(flask, eve, ProjectRole::Viewer);
        one.project_members().create(member).await.unwrap();
        let session = NewUserSession::new(eve, "of eve", Utc::now() + TimeDelta::hours(1));
        one.user_sessions().create(session).await.unwrap();
        scene.subjects.organizations.push(lab);
        scene.subjects.projects.push(flask);
        wrote!(scene, users.delete(eve));
        assert_eq!(
            scene
                .pair
                .other
                .organization_members()
                .role_of(lab, eve)
                .await
                .unwrap(),
            None
        );
        wrote!(scene, users.delete_many(&UserFilter::new().search("bob@")));
    }
}

#[both_engines]
#[case]
async fn of_sessions() {
    for mode in MODES {
        let hashes = vec!["a", "b", "c", "d", "new", "old"];
        let subjects = Subjects {
            token_hashes: hashes,
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        let ada = user(&scene.pair.one).await.id;
        let bob = user(&scene.pair.one).await.id;
        let end = Utc::now() + TimeDelta::hours(1);
        let ids: Vec<_> = (0..4).map(|_| UserSessionId::new()).collect();
        let new = |n: usize, hash: &str| NewUserSession::new(ada, hash, end).id(ids[n]);
        // Something to be found by the first look.
        let first = NewUserSession::new(bob, "old", end);
        scene.pair.one.user_sessions().create(first).await.unwrap();
        wrote!(
            scene,
            user_sessions.create(new(0, "a").refresh_token_hash("r"))
        );
        wrote!(
            scene,
            user_sessions.create_many(&[new(1, "b"), new(2, "c"), new(3, "d")])
        );
        wrote!(
            scene,
            user_sessions.update(ids[0], UserSessionChanges::new().user_agent("x"))
        );
        // The hash that it had is not good any more.
        wrote!(
            scene,
            user_sessions.update(ids[0], UserSessionChanges::new().token_hash("new"))
        );
        wrote!(scene, user_sessions.touch(ids[0]));
        // One that is newer takes the place of one with the same hash, and gives it back.
        let same = UserSessionId::new();
        wrote!(
            scene,
            user_sessions.create(NewUserSession::new(bob, "b", end).id(same))
        );
        wrote!(scene, user_sessions.delete(same));
        wrote!(scene, user_sessions.delete(ids[1]));
        let past = UserSessionChanges::new().expires_at(Utc::now() - TimeDelta::hours(1));
        wrote!(scene, user_sessions.update(ids[2], past.clone()));
        wrote!(scene, user_sessions.delete_expired(10));
        let others = UserSessionFilter::new().user_id(ada).other_than(ids[0]);
        let renamed = UserSessionChanges::new().user_agent("y");
        wrote!(scene, user_sessions.update_many(&others, renamed.clone()));
        wrote!(scene, user_sessions.delete_many(&others));
        wrote!(scene, user_sessions.delete_for_user(ada));
    }
}

#[both_engines]
#[case]
async fn of_organizations() {
    for mode in MODES {
        let ids: Vec<_> = (0..3).map(|_| OrganizationId::new()).collect();
        let slugs = vec!["lab", "works", "firm", "works-2"];
        let subjects = Subjects {
            organizations: ids.clone(),
            slugs: slugs.clone(),
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        let new = |n: usize| NewOrganization::new("Name", slugs[n]).id(ids[n]);
        wrote!(scene, organizations.create(new(0)));
        wrote!(scene, organizations.create_many(&[new(1), new(2)]));
        let (lab, works) = (ids[0], ids[1]);
        wrote!(
            scene,
            organizations.upsert(NewOrganization::new("Laboratory", "lab"))
        );
        wrote!(
            scene,
            organizations.update(works, OrganizationChanges::new().slug("works-2"))
        );
        wrote!(
            scene,
            organizations.change_plan(lab, SubscriptionPlan::Enterprise)
        );
        wrote!(
            scene,
            organizations.merge_settings(lab, json!({ "a": 1 }).into())
        );

        // All that goes with it.
        let one = &scene.pair.one;
        let ada = user(one).await.id;
        let member = NewOrganizationMember::new(lab, ada, OrganizationRole::Owner);
        one.organization_members().create(member).await.unwrap();
        let flask = NewProject::new("Flask", ada).organization_id(lab);
        let flask = one.projects().create(flask).await.unwrap().id;
        let member = NewProjectMember::new(flask, ada, ProjectRole::Owner);
        one.project_members().create(member).await.unwrap();
        let category = ConfigCategory::ALL[0];
        for scope in [lab.into(), ConfigurationScope::Project(flask)] {
            let new = NewConfiguration::new(scope, category, "a", 1, ada);
            one.configurations().create(new).await.unwrap();
        }
        let analysis = NewAnalysis::new(flask, AnalysisType::Quality, ada);
        one.analyses().create(analysis).await.unwrap();
        scene.subjects.users.push(ada);
        scene.subjects.projects.push(flask);
        wrote!(scene, organizations.delete(lab));
        let analyses = scene.pair.other.analyses();
        assert_eq!(
            analyses.latest(flask, AnalysisType::Quality).await.unwrap(),
            None
        );
        let filter = OrganizationFilter::new().search("works");
        wrote!(scene, organizations.delete_many(&filter));
    }
}

#[both_engines]
#[case]
async fn of_members_of_organizations() {
    for mode in MODES {
        let mut scene = scene(mode, Subjects::default()).await;
        let one = &scene.pair.one;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = one.organizations().create(lab).await.unwrap().id;
        let mut users = Vec::new();
        for _ in 0..4 {
            users.push(user(one).await.id);
        }
        let owner = NewOrganizationMember::new(lab, users[3], OrganizationRole::Owner);
        one.organization_members().create(owner).await.unwrap();
        scene.subjects.users = users.clone();
        scene.subjects.organizations.push(lab);
        let ids: Vec<_> = (0..3).map(|_| OrganizationMemberId::new()).collect();
        let (member, admin) = (OrganizationRole::Member, OrganizationRole::Admin);
        let new = |n: usize| NewOrganizationMember::new(lab, users[n], member).id(ids[n]);
        wrote!(scene, organization_members.create(new(0)));
        wrote!(scene, organization_members.create_many(&[new(1), new(2)]));
        let upserted = NewOrganizationMember::new(lab, users[0], admin);
        wrote!(scene, organization_members.upsert(upserted.clone()));
        let changes = OrganizationMemberChanges::new().role(admin);
        wrote!(scene, organization_members.update(ids[1], changes.clone()));
        wrote!(
            scene,
            organization_members.change_role(lab, users[2], admin)
        );
        wrote!(scene, organization_members.remove(lab, users[2]));
        wrote!(scene, organization_members.delete(ids[1]));
        let invitation = NewInvitation::new(lab, users[2], admin);
        let invited = scene.pair.one.invitations().invite(invitation).await;
        let invited = invited.unwrap().unwrap().id;
        wrote!(scene, invitations.accept(invited, users[2]));
        let filter = OrganizationMemberFilter::new().user_id(users[0]);
        wrote!(scene, organization_members.delete_many(&filter));
    }
}

/// An erasure writes what a deletion of the user does, and rows of others.
#[both_engines]
#[case]
async fn of_erasures() {
    use wundr_db::admin::UserErasure;
    for is_deleted in [true, false] {
        let subjects = Subjects {
            emails: vec!["ada@x.org".to_owned()],
            token_hashes: vec!["of ada"],
            slugs: vec!["lab"],
            ..Subjects::default()
        };
        let mut scene = scene(Mode::Pooled, subjects).await;
        let one = &scene.pair.one;
        let ada = NewUser::new("ada@x.org", "Ada");
        let ada = one.users().create(ada).await.unwrap().id;
        let grace = user(one).await.id;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = one.organizations().create(lab).await.unwrap().id;
        let engine = NewProject::new("Engine", ada).organization_id(lab);
        let engine = one.projects().create(engine).await.unwrap().id;
        let members = one.organization_members();
        let member = NewOrganizationMember::new(lab, ada, OrganizationRole::Owner);
        members.create(member).await.unwrap();
        let member = NewProjectMember::new(engine, ada, ProjectRole::Owner);
        one.project_members().create(member).await.unwrap();
        let session = NewUserSession::new(ada, "of ada", Utc::now() + TimeDelta::hours(1));
        one.user_sessions().create(session).await.unwrap();
        scene.subjects.users = vec![ada, grace];
        scene.subjects.organizations.push(lab);
        scene.subjects.projects.push(engine);
        warm(&mut scene).await;
        let erasure = match is_deleted {
            true => UserErasure::reassigning_to(grace),
            false => UserErasure::keeping(),
        };
        admin::erase_user(&scene.pair.one, ada, &erasure)
            .await
            .unwrap();
        is_seen(&scene, "erase_user").await;
        warm(&mut scene).await;
        admin::erase_organization(&scene.pair.one, lab)
            .await
            .unwrap();
        is_seen(&scene, "erase_organization").await;
    }
}
