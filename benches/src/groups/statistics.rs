//! The statistics and the trends, compared with the design's own view and function in a database of
//! its own SQL with the same rows: 200 projects of 500 analyses and 40 members.
//!
//! The analyses are stored in the order of their creation, with those of all projects interleaved,
//! as in a platform in use. In `by_project`, one project's analyses are stored after the other's,
//! which makes reading those of one project cheaper for all contenders.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::PgConnection;
use diesel::connection::SimpleConnection as _;
use sqlx::types::BigDecimal;
use uuid::Uuid;
use wundr_db::{ProjectId, ProjectStatsRepository as _, TrendRepository as _, blocking};

use super::platform::{V7, ids};
use super::reads::Keys;
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::Group;

const PROJECTS: usize = 200;

/// The order of the analyses in the table.
#[derive(Clone, Copy)]
pub enum Stored {
    AsMade,
    ByProject,
}

impl Stored {
    fn fill(self, connection: &mut PgConnection) -> Outcome {
        let order = match self {
            Self::AsMade => "started_at",
            Self::ByProject => "project, run",
        };
        connection.batch_execute(V7)?;
        connection
            .batch_execute(&include_str!("../../data/history.sql").replace("ORDERED", order))?;
        Ok(())
    }

    /// Creates the crate's database and the design's.
    pub fn databases(self, world: &mut World) -> Outcome<(Arc<Connector>, Arc<Connector>)> {
        let (ours, designs) = match self {
            Self::AsMade => ("history", "design's history"),
            Self::ByProject => ("history by project", "design's history by project"),
        };
        let to = world.migrated(ours, |connection| self.fill(connection))?;
        let design = world.designed(designs, |connection| {
            self.fill(connection)?;
            Ok(connection.batch_execute(include_str!("../../data/working_trends.sql"))?)
        })?;
        Ok((to, design))
    }

    fn id(self, id: &'static str, by_project: &'static str) -> &'static str {
        match self {
            Self::AsMade => id,
            Self::ByProject => by_project,
        }
    }
}

/// A row of the view.
type Stats = (
    Uuid,
    String,
    i64,
    i64,
    Option<DateTime<Utc>>,
    Option<BigDecimal>,
    i64,
);

const VIEW: &str = "SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, \
    member_count FROM project_stats";

pub fn project_stats_all(world: &mut World) -> Outcome<Group> {
    let mut group = Group::new("project_stats_all", "design_sql", 7, 1);
    for stored in [Stored::AsMade, Stored::ByProject] {
        let (to, design) = stored.databases(world)?;
        let keys: Vec<ProjectId> = ids(&mut to.diesel()?, "SELECT id FROM public.projects")?
            .into_iter()
            .map(ProjectId::from)
            .collect();
        let floor = stored.id("design_sql", "design_sql_by_project");
        group.task(floor, design.sqlx(&world.runtime)?, |pool, _| async move {
            let rows: Vec<Stats> = sqlx::query_as(VIEW).fetch_all(&pool).await?;
            assert_eq!(rows.len(), PROJECTS);
            Ok(())
        });
        group.against(floor);
        let id = stored.id("wundr_async", "wundr_async_by_project");
        group.task(
            id,
            (to.wundr_async()?, keys.clone()),
            |(db, keys), turn| async move {
                for _ in turn.numbers() {
                    let stats = db.project_stats().find_many(&keys).await?;
                    assert_eq!(stats.into_iter().flatten().count(), PROJECTS);
                }
                Ok(())
            },
        );
        group.against(floor).operations(10);
        let id = stored.id("wundr_blocking", "wundr_blocking_by_project");
        group.call(id, (to.wundr_blocking()?, keys), |(db, keys), turn| {
            move || {
                for _ in turn.numbers() {
                    let stats =
                        blocking::ProjectStatsRepository::find_many(&db.project_stats(), &keys)?;
                    assert_eq!(stats.into_iter().flatten().count(), PROJECTS);
                }
                Ok(())
            }
        });
        group.against(floor).operations(10);
    }
    Ok(group)
}

pub fn project_stats_one(world: &mut World) -> Outcome<Group> {
    const ONE: &str = "SELECT id, name, total_analyses, completed_analyses, last_analysis_at, avg_quality_score, \
        member_count FROM project_stats WHERE id = $1";
    let mut group = Group::new("project_stats_one", "design_sql", 20, 5);
    for stored in [Stored::AsMade, Stored::ByProject] {
        let (to, design) = stored.databases(world)?;
        let keys = Keys(ids(&mut to.diesel()?, "SELECT id FROM public.projects")?.into());
        let floor = stored.id("design_sql", "design_sql_by_project");
        group.task(
            floor,
            (design.sqlx(&world.runtime)?, keys.clone()),
            |(pool, keys), turn| async move {
                for key in keys.of(turn) {
                    let row: Stats = sqlx::query_as(ONE).bind(key).fetch_one(&pool).await?;
                    assert_eq!(row.2, 500);
                }
                Ok(())
            },
        );
        group.against(floor);
        let id = stored.id("wundr_async", "wundr_async_by_project");
        group.task(
            id,
            (to.wundr_async()?, keys.clone()),
            |(db, keys), turn| async move {
                for key in keys.of(turn) {
                    let stats = db.project_stats().find(ProjectId::from(key)).await?;
                    assert_eq!(stats.ok_or("no such project")?.total_analyses, 500);
                }
                Ok(())
            },
        );
        group.against(floor).operations(20);
        let id = stored.id("wundr_blocking", "wundr_blocking_by_project");
        group.call(id, (to.wundr_blocking()?, keys), |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let stats = blocking::ProjectStatsRepository::find(
                        &db.project_stats(),
                        ProjectId::from(key),
                    )?;
                    assert_eq!(stats.ok_or("no such project")?.total_analyses, 500);
                }
                Ok(())
            }
        });
        group.against(floor).operations(20);
    }
    Ok(group)
}

/// Measures 90 days of one metric. The design's function has the minimal changes that it needs to
/// run.
pub fn trends(world: &mut World) -> Outcome<Group> {
    const METRIC: &str = "metric_3";
    const DAYS: i32 = 90;
    let (to, design) = Stored::AsMade.databases(world)?;
    let keys = Keys(
        ids(
            &mut to.diesel()?,
            "SELECT id FROM public.projects WHERE split_part(name, ' ', 2)::INT <= 20",
        )?
        .into(),
    );

    let mut group = Group::new("trends", "design_sql", 40, 10);
    group.task(
        "design_sql",
        (design.sqlx(&world.runtime)?, keys.clone()),
        |(pool, keys), turn| async move {
            for key in keys.of(turn) {
                let query = sqlx::query_as(
                    "SELECT date, avg_value, trend FROM get_analysis_trends($1, $2, $3)",
                );
                let query = query.bind(key).bind(METRIC).bind(DAYS);
                let rows: Vec<(NaiveDate, BigDecimal, String)> = query.fetch_all(&pool).await?;
                assert!(rows.len() > 60);
            }
            Ok(())
        },
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, keys.clone()),
        |(db, keys), turn| async move {
            for key in keys.of(turn) {
                let trend = db
                    .trends()
                    .of_metric(ProjectId::from(key), METRIC, DAYS)
                    .await?;
                assert!(trend.len() > 60);
            }
            Ok(())
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, keys),
        |(db, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let trends = db.trends();
                    let trend = blocking::TrendRepository::of_metric(
                        &trends,
                        ProjectId::from(key),
                        METRIC,
                        DAYS,
                    )?;
                    assert!(trend.len() > 60);
                }
                Ok(())
            }
        },
    );
    Ok(group)
}
