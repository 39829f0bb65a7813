use super::*;
use serde_json::json;
use wundr_db::{GateCondition, QualityGate};

#[both_engines]
#[case]
async fn of_configurations() {
    for mode in MODES {
        let mut scene = scene(mode, Subjects::default()).await;
        let one = &scene.pair.one;
        let ada = user(one).await.id;
        let lab = NewOrganization::new("Lab", "lab");
        let lab = one.organizations().create(lab).await.unwrap().id;
        let flask = NewProject::new("Flask", ada).organization_id(lab);
        let flask = one.projects().create(flask).await.unwrap().id;
        scene.subjects.organizations.push(lab);
        scene.subjects.projects.push(flask);
        let category = ConfigCategory::ALL[0];
        let ids: Vec<_> = (0..3).map(|_| ConfigurationId::new()).collect();
        let new = |n: usize, scope: ConfigurationScope| {
            NewConfiguration::new(scope, category, "a", n, ada).id(ids[n])
        };
        let (of_lab, of_flask) = (lab.into(), ConfigurationScope::Project(flask));
        wrote!(
            scene,
            configurations.create(new(0, ConfigurationScope::Global))
        );
        wrote!(
            scene,
            configurations.create_many(&[new(1, of_lab), new(2, of_flask)])
        );
        let upserted = NewConfiguration::new(of_flask, category, "a", 7, ada);
        wrote!(scene, configurations.upsert(upserted.clone()));
        let changes = ConfigurationChanges::new().name("b");
        wrote!(scene, configurations.update(ids[2], changes.clone()));
        let gate = QualityGate::new([]);
        wrote!(scene, quality_gates.save(of_flask, "main", &gate, ada));
        let gate = QualityGate::new([GateCondition::OpenIssues {
            severity: None,
            at_most: 0,
        }]);
        wrote!(scene, quality_gates.save(of_flask, "main", &gate, ada));
        wrote!(
            scene,
            configurations.set(of_flask, category, "a", json!(8).into(), ada)
        );
        wrote!(
            scene,
            configurations.set(of_lab, category, "a", json!(9).into(), ada)
        );
        wrote!(scene, configurations.delete(ids[2]));
        let filter = ConfigurationFilter::new().project_id(flask);
        wrote!(scene, configurations.delete_many(&filter));
        let filter = ConfigurationFilter::new().scope(ConfigScope::Global);
        // Hidden behind the organization's, but not once that is gone.
        wrote!(scene, configurations.delete(ids[1]));
        wrote!(scene, configurations.delete_many(&filter));
    }
}

#[both_engines]
#[case]
async fn of_setup_profiles() {
    for mode in MODES {
        let ids: Vec<_> = (0..3).map(|_| SetupProfileId::new()).collect();
        let subjects = Subjects {
            profiles: ids.clone(),
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        let ada = user(&scene.pair.one).await.id;
        let new = |n: usize| NewSetupProfile::new("Web", SetupCategory::Frontend, ada).id(ids[n]);
        wrote!(scene, setup_profiles.create(new(0)));
        wrote!(scene, setup_profiles.create_many(&[new(1), new(2)]));
        let changes = SetupProfileChanges::new().tools(json!(["git"]));
        wrote!(scene, setup_profiles.update(ids[0], changes.clone()));
        wrote!(scene, setup_profiles.delete(ids[0]));
        let filter = SetupProfileFilter::new().created_by(ada);
        wrote!(scene, setup_profiles.delete_many(&filter));
    }
}

#[both_engines]
#[case]
async fn of_tools() {
    for mode in MODES {
        let ids: Vec<_> = (0..3).map(|_| ToolId::new()).collect();
        let subjects = Subjects {
            tools: ids.clone(),
            ..Subjects::default()
        };
        let mut scene = scene(mode, subjects).await;
        let new = |n: usize| NewTool::new(format!("tool {n}"), ToolCategory::ALL[0]).id(ids[n]);
        wrote!(scene, tools.create(new(0)));
        wrote!(scene, tools.create_many(&[new(1), new(2)]));
        wrote!(scene, tools.update(ids[0], ToolChanges::new().version("2")));
        wrote!(scene, tools.delete(ids[0]));
        wrote!(scene, tools.delete_many(&ToolFilter::new().search("tool")));
    }
}
