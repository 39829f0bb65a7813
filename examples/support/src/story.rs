//! The users, the organization, the project and the releases of the example.

use std::collections::HashSet;
use std::error::Error;

use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use wundr_db::{
    AnalysisFilter, AnalysisOrder, AnalysisRepository, AuditAction, AuditLogRepository, Db,
    NewAuditLog, NewOrganization, NewOrganizationMember, NewProject, NewProjectMember, NewUser,
    Organization, OrganizationMemberRepository, OrganizationRepository, OrganizationRole, Page,
    Project, ProjectFilter, ProjectMemberRepository, ProjectRepository, ProjectRole,
    ProjectVisibility, RepositoryProvider, SubscriptionPlan, User, UserRepository, UserRole,
};

use crate::ingestion::{Origin, store};
use crate::readers::release;

const REPOSITORY: &str = "https://github.com/pallets/flask";

pub struct Cast {
    pub owner: User,
    pub organization: Organization,
    pub project: Project,
}

/// Creates the organization, its users and the project in the first run, and finds them in later
/// runs.
pub async fn cast(db: &Db) -> wundr_db::Result<Cast> {
    db.transaction(async |tx| {
        let new = NewUser::new("armin@example.org", "Armin")
            .role(UserRole::Admin)
            .email_verified(true);
        let owner = tx.users().upsert(new).await?;
        let new = NewUser::new("grace@example.org", "Grace").role(UserRole::Developer);
        let developer = tx.users().upsert(new).await?;
        let new = NewUser::new("vera@example.org", "Vera").role(UserRole::Viewer);
        let viewer = tx.users().upsert(new).await?;

        let new = NewOrganization::new("Pallets", "pallets")
            .subscription_plan(SubscriptionPlan::Professional);
        let organization = tx.organizations().upsert(new).await?;
        for (user, role) in [
            (&owner, OrganizationRole::Owner),
            (&developer, OrganizationRole::Member),
            (&viewer, OrganizationRole::Viewer),
        ] {
            let member = NewOrganizationMember::new(organization.id, user.id, role);
            tx.organization_members().upsert(member).await?;
        }

        let filter = ProjectFilter::new()
            .organization_id(organization.id)
            .repository_url(REPOSITORY);
        let found = tx
            .projects()
            .list(&filter, &Page::new().limit(1))
            .await?
            .items
            .into_iter()
            .next();
        let project = match found {
            Some(project) => project,
            None => {
                let new = NewProject::new("Flask", owner.id)
                    .organization_id(organization.id)
                    .repository_url(REPOSITORY)
                    .repository_provider(RepositoryProvider::Github)
                    .visibility(ProjectVisibility::Public);
                let project = tx.projects().create(new).await?;
                let audit = NewAuditLog::new(AuditAction::Create, "project")
                    .user_id(owner.id)
                    .organization_id(organization.id)
                    .resource_id(*project.id.as_uuid())
                    .new_values(json!({"name": project.name}));
                tx.audit_logs().create(audit).await?;
                project
            }
        };
        for (user, role) in [
            (&owner, ProjectRole::Owner),
            (&developer, ProjectRole::Contributor),
        ] {
            tx.project_members()
                .upsert(NewProjectMember::new(project.id, user.id, role))
                .await?;
        }
        Ok(Cast {
            owner,
            organization,
            project,
        })
    })
    .await
}

/// Stores the releases that are not stored yet, in order of date.
pub async fn ingest_releases(db: &Db, cast: &Cast) -> Result<(), Box<dyn Error>> {
    let filter = AnalysisFilter::new().project_id(cast.project.id);
    let page = Page::new().limit(100).order(AnalysisOrder::Oldest);
    let stored = db.analyses().list(&filter, &page).await?;
    let stored: HashSet<String> = stored
        .items
        .iter()
        .filter_map(|analysis| analysis.configuration.field("label").transpose())
        .collect::<Result<_, _>>()?;

    let releases = release::history(&release::flask())?;
    let style = ProgressStyle::with_template("releases     {bar:40} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(releases.len() as u64).with_style(style);
    let mut before = None;
    for release in releases {
        progress.set_message(format!("Flask {}", release.version));
        if !stored.contains(&release.version) {
            let report = release.read()?;
            let day: NaiveDate = release.released.parse()?;
            let at = day.and_time(chrono::NaiveTime::MIN).and_utc();
            let origin = Origin {
                organization: cast.organization.id,
                project: cast.project.id,
                user: cast.owner.id,
                label: release.version,
                at,
            };
            before = Some(store(db, &origin, &report, before.as_ref()).await?.summary);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    println!(
        "releases     {} stored before, {} new",
        stored.len(),
        progress.length().unwrap_or(0) - stored.len() as u64
    );
    Ok(())
}
