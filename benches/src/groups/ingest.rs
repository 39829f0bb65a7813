//! Storing the reports of four tools about Django 5.2.1, 51,719 findings and their other rows, as
//! one analysis.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use chrono::DateTime;
use diesel::connection::SimpleConnection as _;
use wundr_db::{
    NewAnalysis, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph,
    NewDuplicateGroup, OrganizationId, ProjectId, UserId, blocking,
};

use super::bulk::{empty, psql};
use super::platform::{V7, ids};
use crate::Outcome;
use crate::database::{Connector, World};
use crate::measure::Group;
use example_support::ingestion::{self, Origin};
use example_support::readers;

const TABLES: [&str; 6] = [
    "analyses",
    "analysis_results",
    "analysis_issues",
    "analysis_metrics",
    "duplicate_groups",
    "dependency_graphs",
];

/// The rows.
#[derive(Clone)]
pub struct Django {
    pub analysis: NewAnalysis,
    results: Vec<NewAnalysisResult>,
    issues: Vec<NewAnalysisIssue>,
    metrics: Vec<NewAnalysisMetric>,
    groups: Vec<NewDuplicateGroup>,
    graphs: Vec<NewDependencyGraph>,
}

impl Django {
    /// Reads the rows in `benches/data/django`, for the first project of a platform.
    pub fn read(to: &Connector) -> Outcome<Self> {
        let mut connection = to.diesel()?;
        let mut first = |table: &str| -> Outcome<_> {
            Ok(ids(
                &mut connection,
                &format!("SELECT id FROM public.{table} ORDER BY id LIMIT 1"),
            )?[0])
        };
        let report = readers::read(Path::new(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/data/django"
        )))?;
        let origin = Origin {
            organization: OrganizationId::from(first("organizations")?),
            project: ProjectId::from(first("projects")?),
            user: UserId::from(first("users")?),
            label: "5.2.1".to_owned(),
            at: DateTime::from_timestamp(1_746_600_000, 0).ok_or("no such time")?,
        };
        let summary = report.summary();
        let analysis = ingestion::analysis(&origin, &report, &summary)?;
        let id = analysis.id;
        let django = Self {
            analysis,
            results: ingestion::results(id, &origin, &report).collect::<Result<_, _>>()?,
            issues: ingestion::issues(id, &origin, &report).collect::<Result<_, _>>()?,
            metrics: ingestion::metrics(id, &origin, &summary, None)?,
            groups: ingestion::duplicate_groups(id, &origin, &report).collect::<Result<_, _>>()?,
            graphs: ingestion::dependency_graphs(id, &origin, &report).collect::<Result<_, _>>()?,
        };
        assert_eq!(django.issues.len(), 51_719);
        Ok(django)
    }

    pub fn store_blocking(self, db: &blocking::Db) -> Outcome {
        let ingest = db
            .analyses()
            .ingest(self.analysis)
            .results(self.results)
            .issues(self.issues);
        let ingest = ingest.metrics(self.metrics).duplicate_groups(self.groups);
        ingest.dependency_graphs(self.graphs).run()?;
        Ok(())
    }

    pub async fn store(self, db: &wundr_db::Db) -> Outcome {
        let ingest = db
            .analyses()
            .ingest(self.analysis)
            .results(self.results)
            .issues(self.issues);
        let ingest = ingest.metrics(self.metrics).duplicate_groups(self.groups);
        ingest.dependency_graphs(self.graphs).run().await?;
        Ok(())
    }
}

pub fn ingest_django(world: &mut World) -> Outcome<Group> {
    let to = world.migrated("ingest", |connection| {
        connection.batch_execute(V7)?;
        Ok(connection.batch_execute(include_str!("../../data/platform.sql"))?)
    })?;
    let django = Arc::new(Django::read(&to)?);
    let mut connection = to.diesel()?;
    empty(&mut connection, "analysis.analyses CASCADE")?;
    Django::clone(&django).store_blocking(&to.wundr_blocking()?)?;
    let copy = |direction: &str| -> Vec<String> {
        let copy = |table: &&str| {
            let file = to.file(world.server(), table);
            format!("\\copy analysis.{table} {direction} '{}'", file.display())
        };
        TABLES.iter().map(copy).collect()
    };
    psql(world.server(), &to, &copy("TO"))()?;

    let mut group = Group::new("ingest_django", "psql_copy", 9, 1);
    group.call(
        "psql_copy",
        psql(world.server(), &to, &copy("FROM")),
        |copy, _| copy,
    );
    group.task(
        "wundr_async",
        (to.wundr_async()?, django.clone()),
        |(db, django), _| {
            let django = Django::clone(&django);
            async move { django.store(&db).await }
        },
    );
    group.call(
        "wundr_blocking",
        (to.wundr_blocking()?, django),
        |(db, django), _| {
            let django = Django::clone(&django);
            move || django.store_blocking(&db)
        },
    );
    let connection = Rc::new(RefCell::new(connection));
    group.restoring(move || empty(&mut connection.borrow_mut(), "analysis.analyses CASCADE"));
    Ok(group)
}
