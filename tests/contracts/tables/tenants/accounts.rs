//! Organizations and projects, and their members.

use super::*;

#[both_engines]
pub(super) async fn accounts(db: &Db, out: &mut Outcomes, mine: &Tenant, theirs: &Tenant) {
    let (of_lab, user) = (theirs.organization, theirs.user);
    common!(
        out,
        db,
        organizations,
        OrganizationFilter,
        mine.organization,
        of_lab,
        OrganizationChanges::new().name("x"),
        NewOrganization::new("x", "new").id(of_lab)
    );
    outcome!(
        out,
        db.organizations()
            .upsert(NewOrganization::new("x", "other"))
    );
    outcome!(out, db.organizations().find_by_slug("other"));
    outcome!(out, db.organizations().of_user(user));
    outcome!(out, db.organizations().access(user, of_lab));
    outcome!(
        out,
        db.organizations()
            .change_plan(of_lab, SubscriptionPlan::Enterprise)
    );
    outcome!(
        out,
        db.organizations()
            .merge_settings(of_lab, json!({"a": 1}).into())
    );

    let role = OrganizationRole::Viewer;
    let new = || NewOrganizationMember::new(of_lab, mine.user, role);
    common!(
        out,
        db,
        organization_members,
        OrganizationMemberFilter,
        mine.organization_member,
        theirs.organization_member,
        OrganizationMemberChanges::new().role(role),
        new()
    );
    let (filter, ids) = (OrganizationMemberFilter::new(), [of_lab]);
    outcome!(out, db.organization_members().upsert(new()));
    outcome!(out, db.organization_members().role_of(of_lab, user));
    outcome!(out, db.organization_members().of_organizations(&ids));
    outcome!(
        out,
        db.organization_members()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.organization_members()
            .list_of_users(&[user], &filter, &Page::new())
    );
    outcome!(
        out,
        db.organization_members().change_role(of_lab, user, role)
    );
    outcome!(out, db.organization_members().remove(of_lab, user));

    let (invitation, invited) = (theirs.invitation.id, theirs.invitation.user_id);
    let new = NewInvitation::new(of_lab, mine.user, role);
    outcome!(out, db.invitations().find(invitation));
    outcome!(out, db.invitations().of_user(invited));
    outcome!(out, db.invitations().of_organization(of_lab));
    outcome!(out, db.invitations().invite(new));
    outcome!(out, db.invitations().accept(invitation, invited));
    outcome!(out, db.invitations().reject(invitation, invited));
    outcome!(out, db.invitations().withdraw(invitation));
    outcome!(out, db.invitations().delete_expired(10));

    let project = theirs.project;
    let new = || NewProject::new("x", mine.user).organization_id(of_lab);
    common!(
        out,
        db,
        projects,
        ProjectFilter,
        mine.project,
        project,
        ProjectChanges::new().name("x"),
        new()
    );
    let filter = ProjectFilter::new();
    outcome!(
        out,
        db.projects()
            .find_by_repository_url("https://example.org/other")
    );
    outcome!(out, db.projects().of_organizations(&ids));
    outcome!(
        out,
        db.projects()
            .list_of_organizations(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.projects().list_of_users(&[user], &filter, &Page::new())
    );
    outcome!(out, db.projects().visible_to(user, &filter, &Page::new()));
    outcome!(out, db.projects().access(user, project));
    outcome!(
        out,
        db.projects().access_many(user, &[project, mine.project])
    );
    outcome!(out, db.projects().archive(project));
    outcome!(out, db.projects().soft_delete(project));
    outcome!(out, db.projects().restore(project));
    outcome!(out, db.projects().touch_last_analyzed(project));
    outcome!(
        out,
        db.projects()
            .merge_configuration(project, json!({"a": 1}).into())
    );

    let role = ProjectRole::Viewer;
    let new = || NewProjectMember::new(project, mine.user, role);
    common!(
        out,
        db,
        project_members,
        ProjectMemberFilter,
        mine.project_member,
        theirs.project_member,
        ProjectMemberChanges::new().role(role),
        new()
    );
    let (filter, ids) = (ProjectMemberFilter::new(), [project]);
    outcome!(out, db.project_members().upsert(new()));
    outcome!(out, db.project_members().role_of(project, user));
    outcome!(out, db.project_members().of_projects(&ids));
    outcome!(
        out,
        db.project_members()
            .list_of_projects(&ids, &filter, &Page::new())
    );
    outcome!(
        out,
        db.project_members()
            .list_of_users(&[user], &filter, &Page::new())
    );
    outcome!(out, db.project_members().change_role(project, user, role));
    outcome!(out, db.project_members().remove(project, user));
}
