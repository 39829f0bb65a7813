//! The access of a user to a project, and reads and writes where organizations are isolated.

use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use uuid::Uuid;
use wundr_db::cache::CacheConfig;
use wundr_db::migrations::Rights;
use wundr_db::testing::RedisServer;
use wundr_db::{
    AnalysisId, AnalysisIssueFilter, AnalysisIssueRepository as _, Cached, Config, OrganizationId,
    Page, ProjectId, ProjectRepository as _, UserId, blocking,
};

use super::ingest::Django;
use super::platform::{V7, ids, issue, new_issue, platform};
use super::reads::Keys;
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::Group;
use crate::rows::{decoded, issues, projects};

/// What an application would write: the role that decides, found by joins.
const ACCESS_BY_HAND: &str = "SELECT p.created_by = u.id AS is_creator, p.visibility::text, u.role::text, \
     o.role::text, m.role::text FROM public.projects AS p JOIN public.users AS u ON u.id = $1 AND u.is_active \
     LEFT JOIN public.organization_members AS o ON o.organization_id = p.organization_id AND o.user_id = u.id \
     LEFT JOIN public.project_members AS m ON m.project_id = p.id AND m.user_id = u.id \
     WHERE p.id = $2 AND p.status <> 'deleted' AND (p.visibility = 'public' OR p.created_by = u.id \
         OR m.role IS NOT NULL OR o.role IN ('owner', 'admin') \
         OR p.visibility = 'internal' AND o.role IS NOT NULL OR u.role = 'admin')";

/// Measures the access of a user to the projects that it has created.
pub fn access(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let connection = &mut to.diesel()?;
    let user = ids(
        connection,
        "SELECT id FROM public.users ORDER BY id LIMIT 1",
    )?[0];
    let keys = format!("SELECT id FROM public.projects WHERE created_by = '{user}' ORDER BY id");
    let keys = Keys(ids(connection, &keys)?.into());
    let mut group = Group::new("access", "tokio_postgres", 100, 200);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(ACCESS_BY_HAND))?;
    group.task(
        "tokio_postgres",
        (client, statement, keys.clone()),
        move |(client, statement, keys), turn| async move {
            for key in keys.of(turn) {
                let row = client.query_one(&statement, &[&user, &key]).await?;
                let _: (bool, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let _: [Option<String>; 2] = [row.try_get(3)?, row.try_get(4)?];
            }
            Ok(())
        },
    );
    let user = UserId::from(user);
    group.task(
        "wundr_async",
        (to.wundr_async()?, keys.clone()),
        move |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let access = db.projects().access(user, ProjectId::from(key)).await?;
                access.ok_or("no access")?;
            }
            Ok(())
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, keys.clone()),
        move |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let (projects, id) = (db.projects(), ProjectId::from(key));
                    let access = blocking::ProjectRepository::access(&projects, user, id)?;
                    access.ok_or("no access")?;
                }
                Ok(())
            }
        },
    );
    let redis = Arc::new(RedisServer::builder().start()?);
    let cached = Cached::new(to.wundr_async()?, CacheConfig::new(&redis.url())?)?;
    for &key in std::iter::once(&keys.0[0]).chain(keys.0.iter()) {
        let projects = cached.projects();
        let access = projects.access(user, ProjectId::from(key));
        let access = world.runtime.block_on(access)?;
        access.ok_or("no access")?;
    }
    group.task(
        "wundr_async_cached",
        (cached, keys, redis),
        move |(db, keys, _redis), turn| async move {
            for key in keys.of(turn) {
                let access = db.projects().access(user, ProjectId::from(key)).await?;
                access.ok_or("no access")?;
            }
            Ok(())
        },
    );
    Ok(group)
}

/// A database whose organizations are isolated, as its owner and as the application's role.
struct Isolated {
    owner: Arc<Connector>,
    application: Arc<Connector>,
    organization: Uuid,
    analysis: Uuid,
}

fn isolated(world: &mut World) -> Outcome<Isolated> {
    let owner = world.migrated("isolated", |connection| {
        connection.batch_execute(V7)?;
        connection.batch_execute(include_str!("../../data/platform.sql"))?;
        connection.batch_execute("DROP ROLE IF EXISTS isolated; CREATE ROLE isolated LOGIN")?;
        Ok(())
    })?;
    let connection = &mut owner.diesel()?;
    let analysis = ids(
        connection,
        "SELECT id FROM analysis.analyses ORDER BY id LIMIT 1",
    )?[0];
    let organization = format!(
        "SELECT organization_id AS id FROM public.projects AS p JOIN analysis.analyses AS a ON a.project_id = p.id \
         WHERE a.id = '{analysis}'"
    );
    let organization = ids(connection, &organization)?[0];
    let db = owner.wundr_blocking()?;
    let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::from(analysis));
    let repository = db.analysis_issues();
    if blocking::AnalysisIssueRepository::count(&repository, &filter)? == 0 {
        let rows: Vec<_> = (0..20_000)
            .map(|number| new_issue(&issue(analysis, number)))
            .collect();
        blocking::AnalysisIssueRepository::create_many(&repository, &rows)?;
        connection.batch_execute("VACUUM ANALYZE")?;
    }
    let config = Config::new(owner.url())?;
    blocking::migrations::grant(&config, "isolated", Rights::Application)?;
    blocking::migrations::isolate(&config)?;
    let application = owner.as_role("isolated");
    Ok(Isolated {
        owner,
        application,
        organization,
        analysis,
    })
}

/// The transaction that an application would write by hand around each statement.
fn begin(organization: Uuid) -> Arc<str> {
    format!("BEGIN; SET LOCAL wundr.organization = '{organization}'").into()
}

/// Measures a project by id for one organization, relative to the same without isolation.
pub fn isolated_read(world: &mut World) -> Outcome<Group> {
    let of = isolated(world)?;
    let keys = format!(
        "SELECT id FROM public.projects WHERE organization_id = '{}' ORDER BY id",
        of.organization
    );
    let keys = Keys(ids(&mut of.owner.diesel()?, &keys)?.into());
    let sql = format!(
        "SELECT {} FROM public.projects WHERE id = $1",
        projects::COLUMNS
    );
    let mut group = Group::new("isolated_read", "wundr_async_alone", 200, 200);
    let lab = OrganizationId::from(of.organization);
    for (id, db) in [
        ("wundr_async_alone", of.owner.wundr_async()?),
        (
            "wundr_async",
            of.application.wundr_async()?.for_organization(lab),
        ),
    ] {
        group.task(id, (db, keys.clone()), |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let project = db.projects().find(ProjectId::from(key)).await?;
                project.ok_or("no such project")?;
            }
            Ok(())
        });
    }
    for (id, db) in [
        ("wundr_blocking_alone", of.owner.wundr_blocking()?),
        (
            "wundr_blocking",
            of.application.wundr_blocking()?.for_organization(lab),
        ),
    ] {
        group.call(id, (db, keys.clone()), |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let (projects, id) = (db.projects(), ProjectId::from(key));
                    let project = blocking::ProjectRepository::find(&projects, id)?;
                    project.ok_or("no such project")?;
                }
                Ok(())
            }
        });
        if id == "wundr_blocking" {
            group.against("wundr_blocking_alone");
        }
    }
    let client = of.application.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(&sql))?;
    group.task(
        "by_hand",
        (client, statement, begin(of.organization), keys),
        |(client, statement, begin, keys), turn| async move {
            for key in keys.of(turn) {
                client.batch_execute(&begin).await?;
                let row = client.query_opt(&statement, &[&key]).await?;
                projects::Model::try_from(&row.ok_or("no such project")?)?;
                client.batch_execute("COMMIT").await?;
            }
            Ok(())
        },
    );
    Ok(group)
}

/// Measures a page of 100 issues for one organization, relative to the same without isolation.
pub fn isolated_page(world: &mut World) -> Outcome<Group> {
    let of = isolated(world)?;
    let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::from(of.analysis));
    let page = Page::new().limit(100);
    let sql = format!(
        "SELECT {} FROM analysis.analysis_issues WHERE analysis_id = $1 ORDER BY severity, id LIMIT 100",
        issues::COLUMNS
    );
    let mut group = Group::new("isolated_page", "wundr_async_alone", 100, 30);
    let lab = OrganizationId::from(of.organization);
    for (id, db) in [
        ("wundr_async_alone", of.owner.wundr_async()?),
        (
            "wundr_async",
            of.application.wundr_async()?.for_organization(lab),
        ),
    ] {
        let on = (db, filter.clone(), page.clone());
        group.task(id, on, |(db, filter, page), turn| async move {
            for _ in turn.numbers() {
                let issues = db.analysis_issues().list(&filter, &page).await?;
                assert_eq!(issues.items.len(), 100);
            }
            Ok(())
        });
    }
    for (id, db) in [
        ("wundr_blocking_alone", of.owner.wundr_blocking()?),
        (
            "wundr_blocking",
            of.application.wundr_blocking()?.for_organization(lab),
        ),
    ] {
        let on = (db, filter.clone(), page.clone());
        group.call(id, on, |(db, filter, page), turn| {
            move || {
                for _ in turn.numbers() {
                    let issues = db.analysis_issues();
                    let issues = blocking::AnalysisIssueRepository::list(&issues, &filter, &page)?;
                    assert_eq!(issues.items.len(), 100);
                }
                Ok(())
            }
        });
        if id == "wundr_blocking" {
            group.against("wundr_blocking_alone");
        }
    }
    let client = of.application.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(&sql))?;
    let analysis = of.analysis;
    group.task(
        "by_hand",
        (client, statement, begin(of.organization)),
        move |(client, statement, begin), turn| async move {
            for _ in turn.numbers() {
                client.batch_execute(&begin).await?;
                let rows = client.query(&statement, &[&analysis]).await?;
                assert_eq!(decoded::<issues::Model>(&rows)?.len(), 100);
                client.batch_execute("COMMIT").await?;
            }
            Ok(())
        },
    );
    Ok(group)
}

/// Measures the ingest of `ingest_django` for one organization, relative to the same without
/// isolation.
pub fn isolated_ingest(world: &mut World) -> Outcome<Group> {
    let of = isolated(world)?;
    let django = Arc::new(Django::read(&of.owner)?);
    let project = *django.analysis.project_id.as_uuid();
    let organization =
        format!("SELECT organization_id AS id FROM public.projects WHERE id = '{project}'");
    let lab = OrganizationId::from(ids(&mut of.owner.diesel()?, &organization)?[0]);
    let mut group = Group::new("isolated_ingest", "wundr_async_alone", 5, 1);
    for (id, db) in [
        ("wundr_async_alone", of.owner.wundr_async()?),
        (
            "wundr_async",
            of.application.wundr_async()?.for_organization(lab),
        ),
    ] {
        group.task(id, (db, Arc::clone(&django)), |(db, django), _| {
            let django = Django::clone(&django);
            async move { django.store(&db).await }
        });
    }
    let analysis = *django.analysis.id.as_uuid();
    let owner = of.owner;
    group.restoring(move || {
        let delete = format!(
            "DELETE FROM analysis.dependency_graphs; \
             DELETE FROM analysis.analyses WHERE id = '{analysis}'"
        );
        Ok(owner.diesel()?.batch_execute(&delete)?)
    });
    Ok(group)
}
