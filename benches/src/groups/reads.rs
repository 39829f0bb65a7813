//! Reading one row, a page, and a thousand rows.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use diesel::{
    ExpressionMethods as _, OptionalExtension as _, QueryDsl as _, SelectableHelper as _,
};
use futures_util::TryStreamExt as _;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use uuid::Uuid;
use wundr_db::schema::analysis::analysis_issues;
use wundr_db::schema::public;
use wundr_db::{
    AnalysisId, AnalysisIssue, AnalysisIssueFilter, AnalysisIssueRepository as _, Cursor, Page,
    Project, ProjectId, ProjectRepository as _, blocking,
};

use super::platform::{ids, platform};
use crate::Outcome;
use crate::database::World;
use crate::measure::{Group, Turn};
use crate::rows::{decoded, issues, projects};

pub fn point_read(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let mut keys = ids(&mut to.diesel()?, "SELECT id FROM public.projects")?;
    fastrand::Rng::with_seed(1).shuffle(&mut keys);
    let keys = Keys(keys.into());
    let sql: &str = format!(
        "SELECT {} FROM public.projects WHERE id = $1",
        projects::COLUMNS
    )
    .leak();

    let mut group = Group::new("point_read", "tokio_postgres", 300, 200);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(sql))?;
    group.task(
        "tokio_postgres",
        (client, statement, keys.clone()),
        |(client, statement, keys), turn| async move {
            for key in keys.of(turn) {
                let row = client.query_opt(&statement, &[&key]).await?;
                let project = projects::Model::try_from(&row.ok_or("no such project")?)?;
                assert_eq!(project.id, key);
            }
            Ok(())
        },
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, keys.clone()),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let project = db.projects().find(ProjectId::from(key)).await?;
                assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
            }
            Ok(())
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, keys.clone()),
        |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let project =
                        blocking::ProjectRepository::find(&db.projects(), ProjectId::from(key))?;
                    assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    group.task(
        "diesel_async",
        (to.diesel_async(&world.runtime)?, keys.clone()),
        |(connection, keys), turn| async move {
            let connection = &mut *connection.lock().await;
            for key in keys.of(turn) {
                let query = public::projects::table
                    .find(ProjectId::from(key))
                    .select(Project::as_select());
                let project = diesel_async::RunQueryDsl::first::<Project>(query, connection).await;
                assert_eq!(
                    *project.optional()?.ok_or("no such project")?.id.as_uuid(),
                    key
                );
            }
            Ok(())
        },
    );
    group.call(
        "diesel",
        (Rc::new(RefCell::new(to.diesel()?)), keys.clone()),
        |(connection, keys), turn| {
            move || {
                let connection = &mut *connection.borrow_mut();
                for key in keys.of(turn) {
                    let query = public::projects::table
                        .find(ProjectId::from(key))
                        .select(Project::as_select());
                    let project = diesel::RunQueryDsl::first::<Project>(query, connection);
                    assert_eq!(
                        *project.optional()?.ok_or("no such project")?.id.as_uuid(),
                        key
                    );
                }
                Ok(())
            }
        },
    );
    group.task(
        "sqlx",
        (to.sqlx(&world.runtime)?, keys.clone()),
        move |(pool, keys), turn| async move {
            for key in keys.of(turn) {
                let query = sqlx::query_as::<_, projects::Model>(sql).bind(key);
                let project = query.fetch_optional(&pool).await?;
                assert_eq!(project.ok_or("no such project")?.id, key);
            }
            Ok(())
        },
    );
    group.task(
        "sea_orm",
        (to.sea_orm(&world.runtime)?, keys),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let project = projects::Entity::find_by_id(key).one(&db).await?;
                assert_eq!(project.ok_or("no such project")?.id, key);
            }
            Ok(())
        },
    );
    Ok(group)
}

/// Compares an application's own query, which `Db::run` runs, with a repository's read of the same
/// row.
pub fn own_query(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let mut keys = ids(&mut to.diesel()?, "SELECT id FROM public.projects")?;
    fastrand::Rng::with_seed(1).shuffle(&mut keys);
    let keys = Keys(keys.into());

    let mut group = Group::new("own_query", "find_async", 300, 200);
    group.task(
        "find_async",
        (to.wundr_async()?, keys.clone()),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let project = db.projects().find(ProjectId::from(key)).await?;
                assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
            }
            Ok(())
        },
    );
    group.task(
        "run_async",
        (to.wundr_async()?, keys.clone()),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let query = public::projects::table
                    .find(ProjectId::from(key))
                    .select(Project::as_select());
                let project = db
                    .run(async |connection| -> wundr_db::Result<_> {
                        let row = diesel_async::RunQueryDsl::first::<Project>(query, connection);
                        Ok(row.await.optional()?)
                    })
                    .await?;
                assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
            }
            Ok(())
        },
    );
    group.call(
        "find_blocking",
        (to.wundr_blocking()?, keys.clone()),
        |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let project =
                        blocking::ProjectRepository::find(&db.projects(), ProjectId::from(key))?;
                    assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    group.call(
        "run_blocking",
        (to.wundr_blocking()?, keys),
        |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let query = public::projects::table
                        .find(ProjectId::from(key))
                        .select(Project::as_select());
                    let project = db.run(|connection| -> wundr_db::Result<_> {
                        let row = diesel::RunQueryDsl::first::<Project>(query, connection);
                        Ok(row.optional()?)
                    })?;
                    assert_eq!(*project.ok_or("no such project")?.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    Ok(group)
}

/// Keys that are used in order, and from the first again after the last.
#[derive(Clone)]
pub struct Keys(pub Arc<[Uuid]>);

impl Keys {
    pub fn of(&self, turn: Turn) -> impl Iterator<Item = Uuid> + use<'_> {
        turn.numbers().map(|number| self.0[number % self.0.len()])
    }
}

/// Measures the first page and the page after row 100,000 of an analysis's issues in the crate's
/// default order, worst first.
pub fn page_of_100(world: &mut World) -> Outcome<Group> {
    const DEPTH: usize = 100_000;
    let to = platform(world)?;
    let analysis = ids(
        &mut to.diesel()?,
        "SELECT id FROM analysis.analyses ORDER BY id LIMIT 1",
    )?[0];
    let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::from(analysis));
    let blocking = to.wundr_blocking()?;
    let (cursor, last) = far_away(&blocking, &filter, DEPTH)?;
    let first_sql: &str = format!(
        "SELECT {} FROM analysis.analysis_issues WHERE analysis_id = $1 ORDER BY severity, id LIMIT 100",
        issues::COLUMNS
    )
    .leak();
    let deep_sql: &str = format!(
        "SELECT {} FROM analysis.analysis_issues WHERE analysis_id = $1 AND (severity, id) > ($2, $3) \
         ORDER BY severity, id LIMIT 100",
        issues::COLUMNS
    )
    .leak();

    let mut group = Group::new("page_of_100", "tokio_postgres", 40, 20);
    let client = to.tokio_postgres(&world.runtime)?;
    let first = world.runtime.block_on(client.prepare(first_sql))?;
    group.task(
        "tokio_postgres",
        (client.clone(), first),
        move |(client, statement), turn| async move {
            for _ in turn.numbers() {
                let rows = client.query(&statement, &[&analysis]).await?;
                assert_eq!(decoded::<issues::Model>(&rows)?.len(), 100);
            }
            Ok(())
        },
    );
    let deep = world.runtime.block_on(client.prepare(deep_sql))?;
    let (severity, key) = (severity_of(&last), *last.id.as_uuid());
    group.task(
        "tokio_postgres_deep",
        (client, deep),
        move |(client, statement), turn| async move {
            for _ in turn.numbers() {
                let rows = client
                    .query(&statement, &[&analysis, &severity, &key])
                    .await?;
                assert_eq!(decoded::<issues::Model>(&rows)?.len(), 100);
            }
            Ok(())
        },
    );
    let first_page = Page::new().limit(100);
    let deep_page = first_page.clone().after(cursor);
    for (id, page) in [
        ("wundr_async", &first_page),
        ("wundr_async_deep", &deep_page),
    ] {
        let on = (to.wundr_async()?, filter.clone(), page.clone());
        group.task(id, on, |(db, filter, page), turn| async move {
            for _ in turn.numbers() {
                let issues = db.analysis_issues().list(&filter, &page).await?;
                assert_eq!(issues.items.len(), 100);
            }
            Ok(())
        });
    }
    for (id, page) in [
        ("wundr_blocking", &first_page),
        ("wundr_blocking_deep", &deep_page),
    ] {
        let on = (blocking.clone(), filter.clone(), page.clone());
        group.call(id, on, |(db, filter, page), turn| {
            move || {
                for _ in turn.numbers() {
                    let issues = blocking::AnalysisIssueRepository::list(
                        &db.analysis_issues(),
                        &filter,
                        &page,
                    )?;
                    assert_eq!(issues.items.len(), 100);
                }
                Ok(())
            }
        });
    }
    let pool = to.sqlx(&world.runtime)?;
    group.task("sqlx", pool.clone(), move |pool, turn| async move {
        for _ in turn.numbers() {
            let query = sqlx::query_as::<_, issues::Model>(first_sql).bind(analysis);
            assert_eq!(query.fetch_all(&pool).await?.len(), 100);
        }
        Ok(())
    });
    group.task("sqlx_deep", pool, move |pool, turn| async move {
        for _ in turn.numbers() {
            let query = sqlx::query_as::<_, issues::Model>(deep_sql);
            let query = query.bind(analysis).bind(severity).bind(key);
            assert_eq!(query.fetch_all(&pool).await?.len(), 100);
        }
        Ok(())
    });
    let db = to.sea_orm(&world.runtime)?;
    for (id, is_deep) in [("sea_orm", false), ("sea_orm_deep", true)] {
        group.task(id, db.clone(), move |db, turn| async move {
            use issues::Column::{AnalysisId, Id, Severity};
            for _ in turn.numbers() {
                let mut query = issues::Entity::find().filter(AnalysisId.eq(analysis));
                if is_deep {
                    // Its cursor_by does not support enums.
                    let same = Condition::all().add(Severity.eq(severity)).add(Id.gt(key));
                    query = query.filter(Condition::any().add(Severity.gt(severity)).add(same));
                }
                let query = query.order_by_asc(Severity).order_by_asc(Id).limit(100);
                assert_eq!(query.all(&db).await?.len(), 100);
            }
            Ok(())
        });
    }
    Ok(group)
}

/// Returns the cursor after a number of rows, and the row before it.
fn far_away(
    db: &blocking::Db,
    filter: &AnalysisIssueFilter,
    depth: usize,
) -> Outcome<(Cursor, AnalysisIssue)> {
    let mut page = Page::new().limit(100);
    let mut seen = 0;
    loop {
        let mut answer =
            blocking::AnalysisIssueRepository::list(&db.analysis_issues(), filter, &page)?;
        seen += answer.items.len();
        let next = answer.next.ok_or("too few rows")?;
        if seen >= depth {
            return Ok((next, answer.items.pop().ok_or("an empty page")?));
        }
        page = page.after(next);
    }
}

fn severity_of(issue: &AnalysisIssue) -> crate::rows::IssueSeverity {
    use crate::rows::IssueSeverity as Severity;
    match issue.severity {
        wundr_db::IssueSeverity::Critical => Severity::Critical,
        wundr_db::IssueSeverity::High => Severity::High,
        wundr_db::IssueSeverity::Medium => Severity::Medium,
        wundr_db::IssueSeverity::Low => Severity::Low,
        _ => Severity::Info,
    }
}

/// Measures reading all issues of an analysis that has a thousand.
pub fn rows_1000(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let analysis = ids(
        &mut to.diesel()?,
        "SELECT id FROM analysis.analyses ORDER BY id OFFSET 1 LIMIT 1",
    )?[0];
    let sql: &str = format!(
        "SELECT {} FROM analysis.analysis_issues WHERE analysis_id = $1",
        issues::COLUMNS
    )
    .leak();

    let mut group = Group::new("rows_1000", "tokio_postgres", 120, 10);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(sql))?;
    group.task(
        "tokio_postgres",
        (client, statement),
        move |(client, statement), turn| async move {
            for _ in turn.numbers() {
                let rows = client.query(&statement, &[&analysis]).await?;
                assert_eq!(decoded::<issues::Model>(&rows)?.len(), 1000);
            }
            Ok(())
        },
    );
    group.task(
        "wundr_async",
        to.wundr_async()?,
        move |db, turn| async move {
            let filter = AnalysisIssueFilter::new().analysis_id(AnalysisId::from(analysis));
            for _ in turn.numbers() {
                let issues = db.analysis_issues();
                let rows: Vec<AnalysisIssue> = issues.stream(&filter).try_collect().await?;
                assert_eq!(rows.len(), 1000);
            }
            Ok(())
        },
    );
    group.task(
        "diesel_async",
        to.diesel_async(&world.runtime)?,
        move |connection, turn| async move {
            let connection = &mut *connection.lock().await;
            for _ in turn.numbers() {
                let query = analysis_issues::table
                    .filter(analysis_issues::analysis_id.eq(AnalysisId::from(analysis)));
                let query = query.select(AnalysisIssue::as_select());
                let rows: Vec<AnalysisIssue> =
                    diesel_async::RunQueryDsl::load(query, connection).await?;
                assert_eq!(rows.len(), 1000);
            }
            Ok(())
        },
    );
    group.call(
        "diesel",
        Rc::new(RefCell::new(to.diesel()?)),
        move |connection, turn| {
            move || {
                let connection = &mut *connection.borrow_mut();
                for _ in turn.numbers() {
                    let query = analysis_issues::table
                        .filter(analysis_issues::analysis_id.eq(AnalysisId::from(analysis)));
                    let query = query.select(AnalysisIssue::as_select());
                    let rows: Vec<AnalysisIssue> = diesel::RunQueryDsl::load(query, connection)?;
                    assert_eq!(rows.len(), 1000);
                }
                Ok(())
            }
        },
    );
    group.task(
        "sqlx",
        to.sqlx(&world.runtime)?,
        move |pool, turn| async move {
            for _ in turn.numbers() {
                let query = sqlx::query_as::<_, issues::Model>(sql).bind(analysis);
                assert_eq!(query.fetch_all(&pool).await?.len(), 1000);
            }
            Ok(())
        },
    );
    group.task(
        "sea_orm",
        to.sea_orm(&world.runtime)?,
        move |db, turn| async move {
            for _ in turn.numbers() {
                let query = issues::Entity::find().filter(issues::Column::AnalysisId.eq(analysis));
                assert_eq!(query.all(&db).await?.len(), 1000);
            }
            Ok(())
        },
    );
    Ok(group)
}
