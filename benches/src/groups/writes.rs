//! Writing one row by a statement that commits, and reading back the row as stored.

use std::cell::RefCell;
use std::rc::Rc;

use diesel::SelectableHelper as _;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait as _, ActiveValue, EntityTrait as _, IntoActiveModel as _, Set};
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use uuid::Uuid;
use wundr_db::schema::analysis::analysis_issues;
use wundr_db::{
    AnalysisIssue, AnalysisIssueRepository as _, NewOrganization, OrganizationRepository as _,
    ProjectChanges, ProjectId, ProjectRepository as _, blocking,
};

use super::platform::{IssueRow, ids, issue, new_issue, platform};
use super::reads::Keys;
use crate::Outcome;
use crate::database::World;
use crate::measure::{Group, Turn};
use crate::rows::{SubscriptionPlan, issues, organizations, projects};

/// Measures inserting an issue of 19 columns into a table with nine indexes.
pub fn insert_one(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let analysis = ids(
        &mut to.diesel()?,
        "SELECT id FROM analysis.analyses ORDER BY id OFFSET 2 LIMIT 1",
    )?[0];
    let new = move |turn: Turn| -> Vec<issues::Model> {
        turn.numbers()
            .map(|number| issue(analysis, number))
            .collect()
    };
    let places = (1..=19)
        .map(|place| format!("${place}"))
        .collect::<Vec<_>>()
        .join(", ");
    let columns = issues::COLUMNS;
    let sql: &str = format!(
        "INSERT INTO analysis.analysis_issues ({columns}) VALUES ({places}) RETURNING {columns}"
    )
    .leak();

    let mut group = Group::new("insert_one", "tokio_postgres", 300, 100);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(sql))?;
    group.task(
        "tokio_postgres",
        (client, statement),
        move |(client, statement), turn| {
            let rows = new(turn);
            async move {
                for row in &rows {
                    let stored = client.query_one(&statement, &parameters(row)).await?;
                    assert_eq!(issues::Model::try_from(&stored)?.id, row.id);
                }
                Ok(())
            }
        },
    );
    group.task("wundr_async", to.wundr_async()?, move |db, turn| {
        let rows: Vec<_> = new(turn).iter().map(new_issue).collect();
        async move {
            for row in rows {
                let id = row.id;
                assert_eq!(db.analysis_issues().create(row).await?.id, id);
            }
            Ok(())
        }
    });
    group.call("wundr_blocking", to.wundr_blocking()?, move |db, turn| {
        let rows: Vec<_> = new(turn).iter().map(new_issue).collect();
        move || {
            for row in rows {
                let id = row.id;
                assert_eq!(
                    blocking::AnalysisIssueRepository::create(&db.analysis_issues(), row)?.id,
                    id
                );
            }
            Ok(())
        }
    });
    group.task(
        "diesel_async",
        to.diesel_async(&world.runtime)?,
        move |connection, turn| {
            let rows = new(turn);
            async move {
                let connection = &mut *connection.lock().await;
                for row in &rows {
                    let statement =
                        diesel::insert_into(analysis_issues::table).values(IssueRow::from(row));
                    let statement = statement.returning(AnalysisIssue::as_returning());
                    let stored: AnalysisIssue =
                        diesel_async::RunQueryDsl::get_result(statement, connection).await?;
                    assert_eq!(*stored.id.as_uuid(), row.id);
                }
                Ok(())
            }
        },
    );
    group.call(
        "diesel",
        Rc::new(RefCell::new(to.diesel()?)),
        move |connection, turn| {
            let rows = new(turn);
            move || {
                let connection = &mut *connection.borrow_mut();
                for row in &rows {
                    let statement =
                        diesel::insert_into(analysis_issues::table).values(IssueRow::from(row));
                    let statement = statement.returning(AnalysisIssue::as_returning());
                    let stored: AnalysisIssue =
                        diesel::RunQueryDsl::get_result(statement, connection)?;
                    assert_eq!(*stored.id.as_uuid(), row.id);
                }
                Ok(())
            }
        },
    );
    group.task("sqlx", to.sqlx(&world.runtime)?, move |pool, turn| {
        let rows = new(turn);
        async move {
            for row in &rows {
                let stored = bound(sqlx::query_as::<_, issues::Model>(sql), row)
                    .fetch_one(&pool)
                    .await?;
                assert_eq!(stored.id, row.id);
            }
            Ok(())
        }
    });
    group.task("sea_orm", to.sea_orm(&world.runtime)?, move |db, turn| {
        let rows: Vec<_> = new(turn)
            .into_iter()
            .map(|row| (row.id, row.into_active_model().reset_all()))
            .collect();
        async move {
            for (id, row) in rows {
                assert_eq!(row.insert(&db).await?.id, id);
            }
            Ok(())
        }
    });
    Ok(group)
}

/// Returns an issue's values in the order of the columns.
pub fn parameters(issue: &issues::Model) -> [&(dyn ToSql + Sync); 19] {
    [
        &issue.id,
        &issue.analysis_id,
        &issue.kind,
        &issue.severity,
        &issue.rule_id,
        &issue.title,
        &issue.description,
        &issue.file_path,
        &issue.line_number,
        &issue.column_number,
        &issue.end_line_number,
        &issue.end_column_number,
        &issue.code_snippet,
        &issue.fix_suggestion,
        &issue.estimated_fix_time,
        &issue.status,
        &issue.resolved_at,
        &issue.resolved_by,
        &issue.created_at,
    ]
}

type Inserting<'q> =
    sqlx::query::QueryAs<'q, sqlx::Postgres, issues::Model, sqlx::postgres::PgArguments>;

fn bound<'q>(query: Inserting<'q>, issue: &'q issues::Model) -> Inserting<'q> {
    query
        .bind(issue.id)
        .bind(issue.analysis_id)
        .bind(issue.kind)
        .bind(issue.severity)
        .bind(&issue.rule_id)
        .bind(&issue.title)
        .bind(&issue.description)
        .bind(&issue.file_path)
        .bind(issue.line_number)
        .bind(issue.column_number)
        .bind(issue.end_line_number)
        .bind(issue.end_column_number)
        .bind(&issue.code_snippet)
        .bind(&issue.fix_suggestion)
        .bind(issue.estimated_fix_time)
        .bind(issue.status)
        .bind(issue.resolved_at)
        .bind(issue.resolved_by)
        .bind(issue.created_at)
}

/// Measures updating the description of a project.
pub fn update_one(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let keys = Keys(
        ids(
            &mut to.diesel()?,
            "SELECT id FROM public.projects ORDER BY id",
        )?
        .into(),
    );
    let sql: &str = format!(
        "UPDATE public.projects SET description = $2 WHERE id = $1 RETURNING {}",
        projects::COLUMNS
    )
    .leak();
    let description = |turn: Turn| -> Vec<String> {
        turn.numbers()
            .map(|number| format!("Described for the {number}th time"))
            .collect()
    };

    let mut group = Group::new("update_one", "tokio_postgres", 300, 100);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(sql))?;
    group.task(
        "tokio_postgres",
        (client, statement, keys.clone()),
        move |(client, statement, keys), turn| {
            let descriptions = description(turn);
            async move {
                for (key, description) in keys.of(turn).zip(&descriptions) {
                    let row = client.query_one(&statement, &[&key, description]).await?;
                    assert_eq!(projects::Model::try_from(&row)?.id, key);
                }
                Ok(())
            }
        },
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, keys.clone()),
        move |(db, keys), turn| {
            let descriptions = description(turn);
            async move {
                for (key, description) in keys.of(turn).zip(descriptions) {
                    let changes = ProjectChanges::new().description(description);
                    let project = db.projects().update(ProjectId::from(key), changes).await?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, keys.clone()),
        move |(db, keys), turn| {
            let descriptions = description(turn);
            move || {
                for (key, description) in keys.of(turn).zip(descriptions) {
                    let changes = ProjectChanges::new().description(description);
                    let project = blocking::ProjectRepository::update(
                        &db.projects(),
                        ProjectId::from(key),
                        changes,
                    )?;
                    assert_eq!(*project.id.as_uuid(), key);
                }
                Ok(())
            }
        },
    );
    group.task(
        "sqlx",
        (to.sqlx(&world.runtime)?, keys.clone()),
        move |(pool, keys), turn| {
            let descriptions = description(turn);
            async move {
                for (key, description) in keys.of(turn).zip(&descriptions) {
                    let query = sqlx::query_as::<_, projects::Model>(sql)
                        .bind(key)
                        .bind(description);
                    assert_eq!(query.fetch_one(&pool).await?.id, key);
                }
                Ok(())
            }
        },
    );
    group.task(
        "sea_orm",
        (to.sea_orm(&world.runtime)?, keys),
        move |(db, keys), turn| {
            let descriptions = description(turn);
            async move {
                for (key, description) in keys.of(turn).zip(descriptions) {
                    let project = projects::ActiveModel {
                        id: ActiveValue::Unchanged(key),
                        description: Set(Some(description)),
                        ..Default::default()
                    };
                    assert_eq!(project.update(&db).await?.id, key);
                }
                Ok(())
            }
        },
    );
    Ok(group)
}

/// Measures upserting an organization whose slug already exists.
pub fn upsert_one(world: &mut World) -> Outcome<Group> {
    const ORGANIZATIONS: usize = 1000;
    let to = platform(world)?;
    let sql: &str = format!(
        "INSERT INTO public.organizations (id, name, slug, description, settings, subscription_plan) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (slug) DO UPDATE SET name = EXCLUDED.name, \
         description = EXCLUDED.description, settings = EXCLUDED.settings, \
         subscription_plan = EXCLUDED.subscription_plan RETURNING {}",
        organizations::COLUMNS
    )
    .leak();
    let given = |turn: Turn| -> Vec<Given> {
        let organization = |number| Given {
            id: Uuid::now_v7(),
            name: format!("Organization {number}"),
            slug: format!("organization-{}", 1 + number % ORGANIZATIONS),
            description: format!("Described for the {number}th time"),
            settings: json!({"theme": "light", "notifications": {"email": false}}),
        };
        turn.numbers().map(organization).collect()
    };

    let mut group = Group::new("upsert_one", "tokio_postgres", 300, 100);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world.runtime.block_on(client.prepare(sql))?;
    group.task(
        "tokio_postgres",
        (client, statement),
        move |(client, statement), turn| {
            let given = given(turn);
            async move {
                for Given {
                    id,
                    name,
                    slug,
                    description,
                    settings,
                } in &given
                {
                    let plan = SubscriptionPlan::Professional;
                    let row = client
                        .query_one(&statement, &[id, name, slug, description, settings, &plan])
                        .await?;
                    assert_eq!(organizations::Model::try_from(&row)?.slug, *slug);
                }
                Ok(())
            }
        },
    );
    group.task("wundr_async", to.wundr_async()?, move |db, turn| {
        let given: Vec<_> = given(turn).into_iter().map(Given::into_new).collect();
        async move {
            for new in given {
                assert!(
                    db.organizations()
                        .upsert(new)
                        .await?
                        .slug
                        .starts_with("organization-")
                );
            }
            Ok(())
        }
    });
    group.call("wundr_blocking", to.wundr_blocking()?, move |db, turn| {
        let given: Vec<_> = given(turn).into_iter().map(Given::into_new).collect();
        move || {
            for new in given {
                let stored = blocking::OrganizationRepository::upsert(&db.organizations(), new)?;
                assert!(stored.slug.starts_with("organization-"));
            }
            Ok(())
        }
    });
    group.task("sqlx", to.sqlx(&world.runtime)?, move |pool, turn| {
        let given = given(turn);
        async move {
            for Given {
                id,
                name,
                slug,
                description,
                settings,
            } in &given
            {
                let query = sqlx::query_as::<_, organizations::Model>(sql)
                    .bind(id)
                    .bind(name)
                    .bind(slug);
                let query = query
                    .bind(description)
                    .bind(settings)
                    .bind(SubscriptionPlan::Professional);
                assert_eq!(query.fetch_one(&pool).await?.slug, *slug);
            }
            Ok(())
        }
    });
    group.task("sea_orm", to.sea_orm(&world.runtime)?, move |db, turn| {
        let given: Vec<_> = given(turn).into_iter().map(Given::active).collect();
        async move {
            use organizations::Column;
            for new in given {
                let replaced = [
                    Column::Name,
                    Column::Description,
                    Column::Settings,
                    Column::SubscriptionPlan,
                ];
                let on_conflict = OnConflict::column(Column::Slug)
                    .update_columns(replaced)
                    .to_owned();
                let statement = organizations::Entity::insert(new).on_conflict(on_conflict);
                let stored = statement.exec_with_returning(&db).await?;
                assert!(stored.slug.starts_with("organization-"));
            }
            Ok(())
        }
    });
    Ok(group)
}

/// The values of an organization.
struct Given {
    id: Uuid,
    name: String,
    slug: String,
    description: String,
    settings: Value,
}

impl Given {
    fn into_new(self) -> NewOrganization {
        NewOrganization::new(self.name, self.slug)
            .id(self.id)
            .description(self.description)
            .settings(self.settings)
            .subscription_plan(wundr_db::SubscriptionPlan::Professional)
    }

    fn active(self) -> organizations::ActiveModel {
        organizations::ActiveModel {
            id: Set(self.id),
            name: Set(self.name),
            slug: Set(self.slug),
            description: Set(Some(self.description)),
            settings: Set(self.settings),
            subscription_plan: Set(SubscriptionPlan::Professional),
            ..Default::default()
        }
    }
}
