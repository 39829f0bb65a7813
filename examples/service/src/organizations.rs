//! Organizations, their members, projects and audit log.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use wundr_db::web::{Linked, Links};
use wundr_db::{
    AuditLog, AuditLogFilter, AuditLogOrder, AuditLogRepository, Error, ListQuery, NewOrganization,
    NewOrganizationMember, NewProject, Organization, OrganizationId, OrganizationMember,
    OrganizationMemberRepository, OrganizationRepository, OrganizationRole, Page, Paged, Project,
    ProjectFilter, ProjectOrder, ProjectRepository, UserId,
};

use crate::failure::{Body, Failure, Path, Result};
use crate::login::Login;
use crate::openapi::{Anonymous, Conflict, Invalid, Refused, Unavailable, Unreadable};

/// Refuses a user that has less than this role. To a user without any role the organization does
/// not exist.
async fn require(login: &Login, id: OrganizationId, least: OrganizationRole) -> Result<()> {
    let access = login.db.organizations().access(login.user.id, id).await?;
    match access {
        None => Err(Error::NotFound {
            what: "Organization",
        }
        .into()),
        Some(access) if access.role < least => Err(Failure::Forbidden {
            needs: least.to_string(),
        }),
        Some(_) => Ok(()),
    }
}

/// A new organization.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganizationBody {
    name: String,
    slug: String,
}

/// Creates an organization, of which the user becomes the owner.
#[utoipa::path(
    post,
    path = "/organizations",
    tag = "organizations",
    security(("token" = [])),
    responses(
        (status = 201, description = "The organization, which the user owns", body = Organization),
        Anonymous,
        Conflict,
        Unreadable,
        Unavailable,
    ),
)]
pub async fn create(
    login: Login,
    Body(body): Body<OrganizationBody>,
) -> Result<(StatusCode, Json<Organization>)> {
    let owner = login.user.id;
    let created = login.db.transaction(async |tx| {
        let new = NewOrganization::new(body.name.clone(), body.slug.clone());
        let organization = tx.organizations().create(new).await?;
        let member = NewOrganizationMember::new(organization.id, owner, OrganizationRole::Owner);
        tx.organization_members().create(member).await?;
        Ok::<_, Error>(organization)
    });
    Ok((StatusCode::CREATED, Json(created.await?)))
}

/// A member of an organization, and its role.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    user_id: UserId,
    role: OrganizationRole,
}

/// Adds a member, or changes its role. The last owner stays one.
#[utoipa::path(
    put,
    path = "/organizations/{id}/members",
    tag = "organizations",
    params(("id" = OrganizationId, Path)),
    security(("token" = [])),
    responses(
        (status = 200, description = "The member", body = OrganizationMember),
        Refused,
        Conflict,
        Unreadable,
        Unavailable,
    ),
)]
pub async fn set_member(
    login: Login,
    Path(id): Path<OrganizationId>,
    Body(body): Body<MemberBody>,
) -> Result<Json<OrganizationMember>> {
    require(&login, id, OrganizationRole::Admin.max(body.role)).await?;
    let new = NewOrganizationMember::new(id, body.user_id, body.role).invited_by(login.user.id);
    Ok(Json(
        login.within(id).organization_members().upsert(new).await?,
    ))
}

/// Lists the projects of an organization that the user may see.
#[utoipa::path(
    get,
    path = "/organizations/{id}/projects",
    tag = "organizations",
    params(("id" = OrganizationId, Path), ListQuery<ProjectFilter, ProjectOrder>),
    security(("token" = [])),
    responses((status = 200, description = "A page of the projects that the user may see", body = Paged<Project>), Refused, Invalid, Unavailable),
)]
pub async fn projects(
    login: Login,
    Path(id): Path<OrganizationId>,
    links: Links,
    query: ListQuery<ProjectFilter, ProjectOrder>,
) -> Result<Linked<Project>> {
    require(&login, id, OrganizationRole::Viewer).await?;
    let filter = query.filter.organization_id(id);
    let projects = login.db.projects();
    let page = projects
        .visible_to(login.user.id, &filter, &query.page)
        .await?;
    Ok(links.of(page))
}

/// A new project.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectBody {
    name: String,
    repository_url: Option<String>,
}

/// Creates a project, of which the user becomes the owner.
#[utoipa::path(
    post,
    path = "/organizations/{id}/projects",
    tag = "organizations",
    params(("id" = OrganizationId, Path)),
    security(("token" = [])),
    responses(
        (status = 201, description = "The project", body = Project),
        Refused,
        Conflict,
        Unreadable,
        Unavailable,
    ),
)]
pub async fn create_project(
    login: Login,
    Path(id): Path<OrganizationId>,
    Body(body): Body<ProjectBody>,
) -> Result<(StatusCode, Json<Project>)> {
    require(&login, id, OrganizationRole::Member).await?;
    let mut new = NewProject::new(body.name, login.user.id).organization_id(id);
    new.repository_url = body.repository_url;
    Ok((
        StatusCode::CREATED,
        Json(login.within(id).projects().create(new).await?),
    ))
}

/// Lists what administrators and members have changed.
#[utoipa::path(
    get,
    path = "/organizations/{id}/audit",
    tag = "organizations",
    params(("id" = OrganizationId, Path), ListQuery<AuditLogFilter, AuditLogOrder>),
    security(("token" = [])),
    responses((status = 200, description = "A page of the audit log", body = Paged<AuditLog>), Refused, Invalid, Unavailable),
)]
pub async fn audit(
    login: Login,
    Path(id): Path<OrganizationId>,
    links: Links,
    query: ListQuery<AuditLogFilter, AuditLogOrder>,
) -> Result<Linked<AuditLog>> {
    require(&login, id, OrganizationRole::Admin).await?;
    let filter = query.filter.organization_id(id);
    let page: Page<_> = query.page;
    Ok(links.of(login.db.audit_logs().list(&filter, &page).await?))
}
