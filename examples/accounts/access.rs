//! The access of users to projects.

use comfy_table::Table;
use wundr_db::{
    Access, Db, NewOrganization, NewOrganizationMember, NewProject, NewProjectMember, NewUser,
    OrganizationMemberRepository, OrganizationRepository, OrganizationRole, Project,
    ProjectMemberRepository, ProjectRepository, ProjectRole, ProjectVisibility, User,
    UserRepository,
};

fn shown(access: Option<Access<ProjectRole>>) -> String {
    match access {
        Some(Access { role, source, .. }) => format!("{role}, as {source:?}"),
        None => "none".to_owned(),
    }
}

async fn row(
    table: &mut Table,
    name: &str,
    user: &User,
    db: &Db,
    projects: &[Project],
) -> wundr_db::Result<()> {
    let ids: Vec<_> = projects.iter().map(|project| project.id).collect();
    let access = db.projects().access_many(user.id, &ids).await?;
    let mut cells = vec![name.to_owned()];
    cells.extend(access.into_iter().map(shown));
    table.add_row(cells);
    Ok(())
}

/// Four users and three projects of an organization; then one of the users leaves it.
pub async fn projects(db: &Db, ada: &User) -> wundr_db::Result<Table> {
    let lab = NewOrganization::new("Lab", "lab");
    let lab = db.organizations().create(lab).await?.id;
    let mut projects = Vec::new();
    for (name, visibility) in [
        ("Engine", ProjectVisibility::Private),
        ("Notes", ProjectVisibility::Internal),
        ("Site", ProjectVisibility::Public),
    ] {
        let new = NewProject::new(name, ada.id).organization_id(lab);
        let new = new.visibility(visibility);
        projects.push(db.projects().create(new).await?);
    }
    let mut users = Vec::new();
    for name in ["Grace", "Linus", "Eve"] {
        let new = NewUser::new(format!("{name}@example.org"), name);
        users.push(db.users().create(new).await?);
    }
    let members = db.organization_members();
    for (user, role) in [
        (&users[0], OrganizationRole::Admin),
        (&users[1], OrganizationRole::Member),
    ] {
        let member = NewOrganizationMember::new(lab, user.id, role);
        members.create(member).await?;
    }
    let guest = NewProjectMember::new(projects[0].id, users[2].id, ProjectRole::Contributor);
    db.project_members().create(guest).await?;

    let names = projects.iter().map(|project| project.name.as_str());
    let mut table = crate::table("access", &names.collect::<Vec<_>>());
    row(&mut table, "Ada, the creator", ada, db, &projects).await?;
    row(&mut table, "Grace, administrator", &users[0], db, &projects).await?;
    row(&mut table, "Linus, member", &users[1], db, &projects).await?;
    row(&mut table, "Eve, guest of Engine", &users[2], db, &projects).await?;
    members.remove(lab, users[1].id).await?;
    row(
        &mut table,
        "Linus, no member any more",
        &users[1],
        db,
        &projects,
    )
    .await?;
    Ok(table)
}
