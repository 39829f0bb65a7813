//! Tracking and the dashboard, which are operations that drivers do not have.
//!
//! Their floor is tokio-postgres with the same statements, which are read from a connection of
//! wundr-db, without decoding of the results.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Array, Text};
use tokio_postgres::types::{ToSql, Type};
use wundr_db::{
    AnalysisId, AnalysisIssueRepository as _, AnalysisType, DashboardOptions,
    DashboardRepository as _, NewAnalysis, ProjectId, blocking,
};

use super::ingest::Django;
use super::platform::{V7, ids};
use super::reads::Keys;
use super::statistics::Stored;
use crate::Outcome;
use crate::database::World;
use crate::measure::Group;

/// A statement that a connection has prepared.
#[derive(QueryableByName)]
struct Prepared {
    #[diesel(sql_type = Text)]
    statement: String,
    #[diesel(sql_type = Array<Text>)]
    parameters: Vec<String>,
}

/// Returns the statements that `work` runs.
fn statements(
    db: &blocking::Db,
    work: impl FnOnce(&blocking::Tx) -> wundr_db::Result<()>,
) -> Outcome<Vec<Prepared>> {
    let prepared = db.transaction(|tx| -> Outcome<_> {
        work(tx)?;
        let query = diesel::sql_query(
            "SELECT statement, parameter_types::TEXT[] AS parameters FROM pg_catalog.pg_prepared_statements \
             WHERE statement NOT LIKE '%pg_type%' ORDER BY prepare_time",
        );
        Ok(query.load(tx.connection_mut())?)
    })?;
    Ok(prepared)
}

/// Measures tracking the 51,719 findings in Django against as many of a next release.
///
/// In every third file, all findings are three lines further down. One of a hundred is different,
/// and two of a hundred of the old ones are marked as accepted.
pub fn track_50k(world: &mut World) -> Outcome<Group> {
    let to = world.migrated("tracking", |connection| {
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(include_str!("../../data/platform.sql"))?)
    })?;
    let db = to.wundr_blocking()?;
    let django = Django::read(&to)?;
    let (base, next) = (django.analysis.id, AnalysisId::new());
    let analysis = NewAnalysis::new(
        django.analysis.project_id,
        AnalysisType::Quality,
        django.analysis.created_by,
    );
    django.store_blocking(&db)?;
    blocking::AnalysisRepository::create(&db.analyses(), analysis.id(next))?;
    let mut connection = to.diesel()?;
    let fill = include_str!("../../data/next_release.sql");
    connection.batch_execute(
        &fill
            .replace("BASE", &base.to_string())
            .replace("NEXT", &next.to_string()),
    )?;
    connection.batch_execute("VACUUM ANALYZE")?;

    let mut group = Group::new("track_50k", "tokio_postgres", 9, 1);
    // This connection has prepared nothing else.
    let tracking = statements(&to.wundr_blocking()?, |tx| {
        blocking::AnalysisIssueRepository::track(&tx.analysis_issues(), base, next).map(|_| ())
    })?;
    let [tracking] = <[Prepared; 1]>::try_from(tracking)
        .map_err(|all| format!("tracking is {} statements, not one", all.len()))?;
    assert_eq!(tracking.parameters, ["uuid", "boolean", "uuid", "uuid"]);
    let client = to.tokio_postgres(&world.runtime)?;
    let statement = world
        .runtime
        .block_on(client.prepare(&tracking.statement))?;
    group.task(
        "tokio_postgres",
        (client, statement),
        move |(client, statement), _| async move {
            let (base, next) = (*base.as_uuid(), *next.as_uuid());
            client
                .query_one(&statement, &[&base, &true, &base, &next])
                .await?;
            Ok(())
        },
    );
    group.task("wundr_async", to.wundr_async()?, move |db, _| async move {
        let tracking = db.analysis_issues().track(base, next).await?;
        assert!(
            tracking.unchanged.len() + tracking.moved.len() > 50_000 && tracking.carried_over > 500
        );
        Ok(())
    });
    group.call("wundr_blocking", db, move |db, _| {
        move || {
            let tracking =
                blocking::AnalysisIssueRepository::track(&db.analysis_issues(), base, next)?;
            assert!(
                tracking.unchanged.len() + tracking.moved.len() > 50_000
                    && tracking.carried_over > 500
            );
            Ok(())
        }
    });
    let connection = Rc::new(RefCell::new(connection));
    group.restoring(move || {
        let forget = format!(
            "UPDATE analysis.analysis_issues SET status = 'open', resolved_at = NULL, resolved_by = NULL \
             WHERE analysis_id = '{next}' AND status <> 'open'"
        );
        Ok(connection.borrow_mut().batch_execute(&forget)?)
    });
    Ok(group)
}

fn r#type(name: &str) -> Type {
    match name {
        "uuid" => Type::UUID,
        "bigint" => Type::INT8,
        "integer" => Type::INT4,
        _ => Type::TEXT_ARRAY,
    }
}

/// Measures the dashboard of a project of 500 analyses and 40 members, with 20 members and 90 days
/// of three metrics.
pub fn dashboard(world: &mut World) -> Outcome<Group> {
    const METRICS: [&str; 3] = ["metric_1", "metric_2", "metric_3"];
    const DAYS: i32 = 90;
    let (to, _) = Stored::AsMade.databases(world)?;
    let query = "SELECT id FROM public.projects WHERE split_part(name, ' ', 2)::INT <= 20";
    let keys = Keys(ids(&mut to.diesel()?, query)?.into());
    let options = DashboardOptions::new().metrics(METRICS).days(DAYS);

    let mut group = Group::new("dashboard", "tokio_postgres", 40, 10);
    let db = to.wundr_blocking()?;
    let any = ProjectId::from(keys.0[0]);
    let prepared = statements(&db, |tx| {
        blocking::DashboardRepository::of_project(&tx.dashboard(), any, &options).map(|_| ())
    })?;
    let [prepared] = <[Prepared; 1]>::try_from(prepared)
        .map_err(|all| format!("a dashboard is {} statements, not one", all.len()))?;
    // The type of an unnested array's elements is unknown.
    let types: Vec<_> = prepared
        .parameters
        .iter()
        .map(|name| r#type(name))
        .collect();
    let client = to.tokio_postgres(&world.runtime)?;
    let preparing = client.prepare_typed(&prepared.statement, &types);
    let statement = world.runtime.block_on(preparing)?;
    let on = (
        client,
        statement,
        Arc::new(prepared.parameters),
        keys.clone(),
    );
    group.task(
        "tokio_postgres",
        on,
        |(client, statement, parameters, keys), turn| async move {
            for key in keys.of(turn) {
                let value = |parameter: &String| -> Box<dyn ToSql + Send + Sync> {
                    match parameter.as_str() {
                        "uuid" => Box::new(key),
                        "bigint" => Box::new(20_i64),
                        "integer" => Box::new(DAYS),
                        _ => Box::new(METRICS.to_vec()),
                    }
                };
                let values: Vec<_> = parameters.iter().map(value).collect();
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| &**value as _).collect();
                client.query_one(&statement, &values).await?;
            }
            Ok(())
        },
    );
    let on = (to.wundr_async()?, options.clone(), keys.clone());
    group.task("wundr_async", on, |(db, options, keys), turn| async move {
        for key in keys.of(turn) {
            let dashboard = db
                .dashboard()
                .of_project(ProjectId::from(key), &options)
                .await?;
            assert_eq!(
                dashboard.ok_or("no such project")?.trends.len(),
                METRICS.len()
            );
        }
        Ok(())
    });
    group.call(
        "wundr_blocking",
        (db, options, keys),
        |(db, options, keys), turn| {
            move || {
                for key in keys.of(turn) {
                    let project = ProjectId::from(key);
                    let dashboard = blocking::DashboardRepository::of_project(
                        &db.dashboard(),
                        project,
                        &options,
                    )?;
                    assert_eq!(
                        dashboard.ok_or("no such project")?.trends.len(),
                        METRICS.len()
                    );
                }
                Ok(())
            }
        },
    );
    Ok(group)
}
