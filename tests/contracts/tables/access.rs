//! The access of users: the rule of `access` is that of `visible_to`, in every world and after
//! every write.

use super::*;
use wundr_db::{
    Access, AccessSource, AnalysisId, AnalysisIssueId, AnalysisType, Change, IssueSeverity,
    IssueType, NewAnalysis, NewAnalysisIssue, NewOrganizationMember, NewProjectMember,
    OrganizationRole, Page, ProjectChanges, ProjectFilter, ProjectRole, ProjectStatus,
    ProjectVisibility, UserChanges, UserRole,
};

/// A generator of small random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        // The constants of Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Users, organizations and projects with random states, roles and members.
struct World {
    users: Vec<UserId>,
    organizations: Vec<OrganizationId>,
    projects: Vec<ProjectId>,
    /// An analysis of each project, and an issue of each analysis.
    found: Vec<(AnalysisId, AnalysisIssueId)>,
    random: Random,
}

#[both_engines]
async fn world(db: &Db, seed: u64) -> World {
    let mut random = Random(seed);
    let (mut users, mut organizations, mut projects) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..5 {
        let new = NewUser::new(format!("{number}@example.org"), "Ada")
            .is_active(random.below(5) > 0)
            .role(if number == 0 {
                UserRole::Admin
            } else {
                random.one_of(UserRole::ALL)
            });
        users.push(db.users().create(new).await.unwrap().id);
    }
    for number in 0..2 {
        let new = NewOrganization::new("Lab", format!("lab-{number}"));
        organizations.push(db.organizations().create(new).await.unwrap().id);
    }
    for _ in 0..6 {
        let mut new = NewProject::new("Flask", random.one_of(&users))
            .visibility(random.one_of(ProjectVisibility::ALL))
            .status(random.one_of(ProjectStatus::ALL));
        if random.below(4) > 0 {
            new = new.organization_id(random.one_of(&organizations));
        }
        projects.push(db.projects().create(new).await.unwrap().id);
    }
    let mut found = Vec::new();
    for &project in &projects {
        found.push(analysis_with_issue(db, project, users[0]).await);
    }
    World {
        users,
        organizations,
        projects,
        found,
        random,
    }
}

#[both_engines]
async fn analysis_with_issue(
    db: &Db,
    project: ProjectId,
    by: UserId,
) -> (AnalysisId, AnalysisIssueId) {
    let new = NewAnalysis::new(project, AnalysisType::Quality, by);
    let analysis = db.analyses().create(new).await.unwrap().id;
    let (kind, low) = (IssueType::CodeQuality, IssueSeverity::Low);
    let new = NewAnalysisIssue::new(analysis, kind, low, "wrong", "src/a.rs");
    let issue = db.analysis_issues().create(new).await.unwrap().id;
    (analysis, issue)
}

/// Does one random write. A write that is refused, such as that of a last owner, changes nothing.
#[both_engines]
async fn write(db: &Db, world: &mut World) {
    let random = &mut world.random;
    let user = random.one_of(&world.users);
    let organization = random.one_of(&world.organizations);
    let project = random.one_of(&world.projects);
    match random.below(10) {
        0 => {
            let is_active = random.below(2) == 0;
            db.users().set_active(user, is_active).await.unwrap();
        }
        1 => {
            let changes = UserChanges::new().role(random.one_of(UserRole::ALL));
            db.users().update(user, changes).await.unwrap();
        }
        2 => {
            let visibility = random.one_of(ProjectVisibility::ALL);
            let changes = ProjectChanges::new().visibility(visibility);
            db.projects().update(project, changes).await.unwrap();
        }
        3 => {
            let changes = ProjectChanges::new().status(random.one_of(ProjectStatus::ALL));
            db.projects().update(project, changes).await.unwrap();
        }
        4 => {
            let to = [Change::Clear, Change::Set(organization)];
            let changes = ProjectChanges::new().organization_id(random.one_of(&to));
            db.projects().update(project, changes).await.unwrap();
        }
        5 | 6 => {
            let role = random.one_of(OrganizationRole::ALL);
            let new = NewOrganizationMember::new(organization, user, role);
            drop(db.organization_members().upsert(new).await);
        }
        7 => {
            drop(db.organization_members().remove(organization, user).await);
        }
        8 => {
            let role = random.one_of(ProjectRole::ALL);
            let new = NewProjectMember::new(project, user, role);
            drop(db.project_members().upsert(new).await);
        }
        _ => {
            drop(db.project_members().remove(project, user).await);
        }
    }
}

#[both_engines]
#[case]
async fn a_user_has_access_to_what_it_can_see_and_to_nothing_else() {
    for seed in 1..4 {
        let (db, _database) = database().await;
        let mut world = world(&db, seed).await;
        for step in 0..40 {
            write(&db, &mut world).await;
            // Of one project after another: the analysis and its issue are as their project.
            let place = step % world.projects.len();
            let (analysis, issue) = world.found[place];
            for &user in &world.users {
                let filter = ProjectFilter::new();
                let (projects, page) = (db.projects(), Page::new());
                let seen = projects.visible_to(user, &filter, &page).await.unwrap();
                let mut asked = world.projects.clone();
                asked.extend([ProjectId::new(), asked[0]]);
                let access = db.projects().access_many(user, &asked).await.unwrap();
                assert_eq!(access.len(), asked.len());
                for (&id, access) in asked.iter().zip(&access) {
                    let is_seen = seen.items.iter().any(|project| project.id == id);
                    assert_eq!(access.is_some(), is_seen, "{user} {id} {access:?}");
                }
                let one = world.projects[0];
                let alone = db.projects().access(user, one).await.unwrap();
                assert_eq!(alone, access[0]);
                let by_analysis = db.analyses().access(user, analysis).await.unwrap();
                let by_issue = db.analysis_issues().access(user, issue).await.unwrap();
                assert_eq!([by_analysis, by_issue], [access[place]; 2]);
            }
        }
    }
}

#[both_engines]
#[case]
async fn the_role_that_decides_is_named_with_its_source() {
    let (db, _database) = database().await;
    let (lab, creator) = (organization(&db).await.id, user(&db).await.id);
    let mut projects = Vec::new();
    for &visibility in ProjectVisibility::ALL {
        let new = NewProject::new("Flask", creator).organization_id(lab);
        let new = new.visibility(visibility);
        projects.push(db.projects().create(new).await.unwrap().id);
    }
    let private = projects[0];
    let (analysis, issue) = analysis_with_issue(&db, private, creator).await;

    let mut readers = vec![
        (
            creator,
            [Some((ProjectRole::Owner, AccessSource::Creator)); 3],
        ),
        (
            user(&db).await.id,
            [
                None,
                None,
                Some((ProjectRole::Viewer, AccessSource::Public)),
            ],
        ),
        (UserId::new(), [None; 3]),
    ];
    let by = AccessSource::OrganizationMember;
    for (role, granted) in [
        (OrganizationRole::Owner, [Some((ProjectRole::Owner, by)); 3]),
        (
            OrganizationRole::Admin,
            [Some((ProjectRole::Maintainer, by)); 3],
        ),
        (
            OrganizationRole::Viewer,
            [
                None,
                Some((ProjectRole::Viewer, AccessSource::Internal)),
                Some((ProjectRole::Viewer, AccessSource::Public)),
            ],
        ),
    ] {
        let reader = user(&db).await.id;
        let member = NewOrganizationMember::new(lab, reader, role);
        db.organization_members().create(member).await.unwrap();
        readers.push((reader, granted));
        let access = db.organizations().access(reader, lab).await.unwrap();
        assert_eq!(access, Some(Access::new(role, by)));
    }
    let guest = user(&db).await.id;
    for &project in &projects {
        let member = NewProjectMember::new(project, guest, ProjectRole::Contributor);
        db.project_members().create(member).await.unwrap();
    }
    let as_guest = Some((ProjectRole::Contributor, AccessSource::ProjectMember));
    readers.push((guest, [as_guest; 3]));
    let admin = NewUser::new("root@example.org", "Root").role(UserRole::Admin);
    let admin = db.users().create(admin).await.unwrap().id;
    readers.push((
        admin,
        [Some((ProjectRole::Owner, AccessSource::Platform)); 3],
    ));
    let everywhere = db.organizations().access(admin, lab).await.unwrap();
    let as_owner = Access::new(OrganizationRole::Owner, AccessSource::Platform);
    assert_eq!(everywhere, Some(as_owner));
    let nowhere = OrganizationId::new();
    assert_eq!(
        db.organizations().access(admin, nowhere).await.unwrap(),
        None
    );
    assert_eq!(db.organizations().access(guest, lab).await.unwrap(), None);

    for (reader, granted) in &readers {
        let granted =
            granted.map(|granted| granted.map(|(role, source)| Access::new(role, source)));
        let access = db.projects().access_many(*reader, &projects).await.unwrap();
        assert_eq!(access, granted);
        let by_analysis = db.analyses().access(*reader, analysis).await.unwrap();
        let by_issue = db.analysis_issues().access(*reader, issue).await.unwrap();
        assert_eq!([by_analysis, by_issue], [granted[0]; 2]);
    }
    // An administrator of the platform has no access to what there is not.
    let by_analysis = db.analyses().access(admin, AnalysisId::new()).await;
    assert_eq!(by_analysis.unwrap(), None);
    let nowhere = AnalysisIssueId::new();
    let by_issue = db.analysis_issues().access(admin, nowhere).await;
    assert_eq!(by_issue.unwrap(), None);
    // Nobody, not even an administrator of the platform, has access to a deleted project, or while
    // inactive.
    db.projects().soft_delete(private).await.unwrap();
    for (reader, _) in &readers {
        assert_eq!(db.projects().access(*reader, private).await.unwrap(), None);
        if *reader != readers[2].0 {
            db.users().set_active(*reader, false).await.unwrap();
        }
        let access = db.projects().access_many(*reader, &projects).await.unwrap();
        assert_eq!(access, [None; 3]);
        assert_eq!(db.organizations().access(*reader, lab).await.unwrap(), None);
    }
    assert_eq!(db.projects().access_many(guest, &[]).await.unwrap(), []);
}
