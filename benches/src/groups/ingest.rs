//! All that four tools said of Django 5.2.1, 51,719 findings and what belongs to them, as one analysis.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use chrono::DateTime;
use diesel::connection::SimpleConnection as _;
use wundr_db::{
    AnalysisIssueRepository as _, AnalysisMetricRepository as _, AnalysisRepository as _,
    AnalysisResultRepository as _, DependencyGraphRepository as _, DuplicateGroupRepository as _,
    NewAnalysis, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph,
    NewDuplicateGroup, OrganizationId, ProjectId, UserId, blocking,
};

use super::bulk::{empty, psql};
use super::platform::{V7, ids};
use crate::Outcome;
use crate::database::World;
use crate::ingestion::{self, Origin};
use crate::measure::Group;
use crate::readers;

const TABLES: [&str; 6] = [
    "analyses",
    "analysis_results",
    "analysis_issues",
    "analysis_metrics",
    "duplicate_groups",
    "dependency_graphs",
];

/// The rows.
struct Django {
    analysis: NewAnalysis,
    results: Vec<NewAnalysisResult>,
    issues: Vec<NewAnalysisIssue>,
    metrics: Vec<NewAnalysisMetric>,
    groups: Vec<NewDuplicateGroup>,
    graphs: Vec<NewDependencyGraph>,
}

impl Django {
    fn read(project: ProjectId, user: UserId, organization: OrganizationId) -> Outcome<Self> {
        let report = readers::read(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/data/django"
        )))?;
        let label = "5.2.1".to_owned();
        let at = DateTime::from_timestamp(1_746_600_000, 0).ok_or("no such time")?;
        let origin = Origin {
            organization,
            project,
            user,
            label,
            at,
        };
        let summary = report.summary();
        let analysis = ingestion::analysis(&origin, &report, &summary)?;
        Ok(Self {
            results: ingestion::results(analysis.id, &origin, &report)?,
            issues: ingestion::issues(analysis.id, &origin, &report)?,
            metrics: ingestion::metrics(analysis.id, &origin, &summary, None)?,
            groups: ingestion::duplicate_groups(analysis.id, &origin, &report)?,
            graphs: ingestion::dependency_graph(analysis.id, &origin, &report)?,
            analysis,
        })
    }
}

pub fn ingest_django(world: &mut World) -> Outcome<Group> {
    let to = world.migrated("ingest", |connection| {
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(include_str!("../../data/platform.sql"))?)
    })?;
    let mut connection = to.diesel()?;
    let mut first = |table: &str| -> Outcome<_> {
        Ok(ids(
            &mut connection,
            &format!("SELECT id FROM public.{table} ORDER BY id LIMIT 1"),
        )?[0])
    };
    let (project, user) = (
        ProjectId::from(first("projects")?),
        UserId::from(first("users")?),
    );
    let django = Arc::new(Django::read(
        project,
        user,
        OrganizationId::from(first("organizations")?),
    )?);
    assert_eq!(django.issues.len(), 51_719);

    let mut group = Group::new("ingest_django", "psql_copy", 9, 1);
    empty(&mut connection, "analysis.analyses CASCADE")?;
    store_blocking(&to.wundr_blocking()?, &django)?;
    let copy = |direction: &str| -> Vec<String> {
        let copy = |table: &&str| {
            let file = to.file(world.server(), table);
            format!("\\copy analysis.{table} {direction} '{}'", file.display())
        };
        TABLES.iter().map(copy).collect()
    };
    psql(world.server(), &to, &copy("TO"))()?;
    group.call(
        "psql_copy",
        psql(world.server(), &to, &copy("FROM")),
        |copy, _| copy,
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, django.clone()),
        |(db, django), _| async move { store(&db, &django).await },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, django),
        |(db, django), _| move || store_blocking(&db, &django),
    );
    let connection = Rc::new(RefCell::new(connection));
    group.restoring(move || empty(&mut connection.borrow_mut(), "analysis.analyses CASCADE"));
    Ok(group)
}

async fn store(db: &wundr_db::Db, django: &Django) -> Outcome {
    db.transaction(async |tx| -> wundr_db::Result<()> {
        tx.analyses().create(django.analysis.clone()).await?;
        tx.analysis_results().create_many(&django.results).await?;
        tx.analysis_issues().create_many(&django.issues).await?;
        tx.analysis_metrics().create_many(&django.metrics).await?;
        tx.duplicate_groups().create_many(&django.groups).await?;
        tx.dependency_graphs().create_many(&django.graphs).await?;
        Ok(())
    })
    .await?;
    Ok(())
}

fn store_blocking(db: &blocking::Db, django: &Django) -> Outcome {
    use blocking::{
        AnalysisIssueRepository as _, AnalysisMetricRepository as _, AnalysisRepository as _,
        AnalysisResultRepository as _, DependencyGraphRepository as _,
        DuplicateGroupRepository as _,
    };
    db.transaction(|tx| -> wundr_db::Result<()> {
        tx.analyses().create(django.analysis.clone())?;
        tx.analysis_results().create_many(&django.results)?;
        tx.analysis_issues().create_many(&django.issues)?;
        tx.analysis_metrics().create_many(&django.metrics)?;
        tx.duplicate_groups().create_many(&django.groups)?;
        tx.dependency_graphs().create_many(&django.graphs)?;
        Ok(())
    })?;
    Ok(())
}
