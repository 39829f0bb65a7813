use super::*;
use serde_json::json;

#[both_engines]
#[case]
async fn of_projects() {
    for mode in MODES {
        let ids: Vec<_> = (0..3).map(|_| ProjectId::new()).collect();
        let subjects = Subjects {
            projects: ids.clone(),
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        let one = &scene.pair.one;
        let ada = user(one).await.id;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = one.organizations().create(lab).await.unwrap().id;
        let setting = NewConfiguration::new(lab, ConfigCategory::ALL[0], "a", 1, ada);
        one.configurations().create(setting).await.unwrap();
        scene.subjects.users.push(ada);
        let new = |n: usize| NewProject::new(format!("Project {n}"), ada).id(ids[n]);
        wrote!(scene, projects.create(new(0)));
        wrote!(scene, projects.create_many(&[new(1), new(2)]));
        let flask = ids[0];
        // Its effective settings are others in another organization.
        wrote!(
            scene,
            projects.update(flask, ProjectChanges::new().organization_id(lab))
        );
        let settings = scene.pair.other.configurations();
        assert!(
            settings
                .effective(flask.into(), ConfigCategory::ALL[0], "a")
                .await
                .unwrap()
                .is_some()
        );
        wrote!(scene, projects.archive(flask));
        wrote!(scene, projects.restore(flask));
        wrote!(scene, projects.soft_delete(flask));
        wrote!(scene, projects.restore(flask));
        wrote!(scene, projects.touch_last_analyzed(flask));
        wrote!(
            scene,
            projects.merge_configuration(flask, json!({ "a": 1 }).into())
        );

        let one = &scene.pair.one;
        let member = NewProjectMember::new(flask, ada, ProjectRole::Owner);
        one.project_members().create(member).await.unwrap();
        let setting = NewConfiguration::new(flask, ConfigCategory::ALL[0], "b", 1, ada);
        one.configurations().create(setting).await.unwrap();
        let analysis = NewAnalysis::new(flask, AnalysisType::Security, ada);
        one.analyses().create(analysis).await.unwrap();
        wrote!(scene, projects.delete(flask));
        wrote!(
            scene,
            projects.delete_many(&ProjectFilter::new().search("Project"))
        );
    }
}

#[both_engines]
#[case]
async fn of_members_of_projects() {
    for mode in MODES {
        let mut scene = scene(mode, Subjects::default()).await;
        let one = &scene.pair.one;
        let mut users = Vec::new();
        for _ in 0..4 {
            users.push(user(one).await.id);
        }
        let flask = one
            .projects()
            .create(NewProject::new("Flask", users[3]))
            .await
            .unwrap()
            .id;
        let owner = NewProjectMember::new(flask, users[3], ProjectRole::Owner);
        one.project_members().create(owner).await.unwrap();
        scene.subjects.users = users.clone();
        scene.subjects.projects.push(flask);
        let ids: Vec<_> = (0..3).map(|_| ProjectMemberId::new()).collect();
        let (viewer, maintainer) = (ProjectRole::Viewer, ProjectRole::Maintainer);
        let new = |n: usize| NewProjectMember::new(flask, users[n], viewer).id(ids[n]);
        wrote!(scene, project_members.create(new(0)));
        wrote!(scene, project_members.create_many(&[new(1), new(2)]));
        let upserted = NewProjectMember::new(flask, users[0], maintainer);
        wrote!(scene, project_members.upsert(upserted.clone()));
        let changes = ProjectMemberChanges::new().role(maintainer);
        wrote!(scene, project_members.update(ids[1], changes.clone()));
        wrote!(
            scene,
            project_members.change_role(flask, users[2], maintainer)
        );
        wrote!(scene, project_members.remove(flask, users[2]));
        wrote!(scene, project_members.delete(ids[1]));
        let filter = ProjectMemberFilter::new().user_id(users[0]);
        wrote!(scene, project_members.delete_many(&filter));
    }
}
