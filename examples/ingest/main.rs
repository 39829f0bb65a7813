//! Reads reports of analysis tools and stores each as one analysis.
//!
//!     DATABASE_URL=postgres://... cargo run --example ingest -- PATH...
//!
//! A path is a directory with findings.sarif, functions.csv, imports.json and duplicates.json, each
//! of which may be missing or gzipped, or a SARIF 2.1.0 file of any tool.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::Utc;
use example_support::ingestion::{Origin, store};
use example_support::readers;
use wundr_db::{
    Config, Db, NewOrganization, NewProject, NewUser, Organization, OrganizationRepository, Page,
    Project, ProjectFilter, ProjectRepository, User, UserRepository, migrations,
};

#[tokio::main]
async fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("usage: ingest PATH...");
        return ExitCode::from(2);
    }
    match ingest(&paths).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn ingest(paths: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    // Reads all files first: if one is malformed, no row is written, not even for those before it.
    let reports = paths
        .iter()
        .map(|path| Ok((path, readers::read(path)?)))
        .collect::<Result<Vec<_>, readers::ReadError>>()?;
    let config = Config::from_env()?.application_name("ingest");
    migrations::up(&config).await?;
    let db = Db::connect(config).await?;
    let (user, organization, project) = owner(&db).await?;
    for (path, report) in reports {
        let origin = Origin {
            organization: organization.id,
            project: project.id,
            user: user.id,
            label: label(path),
            at: Utc::now(),
        };
        for notice in report.skipped.iter().chain(&report.warnings) {
            eprintln!("warning: {notice}");
        }
        for failure in &report.failures {
            eprintln!("failed: {failure}");
        }
        let written = store(&db, &origin, &report, None).await?;
        println!("{}: analysis {}", path.display(), written.analysis);
        println!("  results skipped             {}", report.skipped.len());
        println!("  runs failed                 {}", report.failures.len());
        println!("  analysis.analyses           1");
        println!("  analysis.analysis_results   {}", written.counts.results);
        println!("  analysis.analysis_issues    {}", written.counts.issues);
        println!("  analysis.analysis_metrics   {}", written.counts.metrics);
        println!(
            "  analysis.duplicate_groups   {}",
            written.counts.duplicate_groups
        );
        println!(
            "  analysis.dependency_graphs  {}",
            written.counts.dependency_graphs
        );
    }
    Ok(())
}

/// Returns the project for reports without a project of their own.
async fn owner(db: &Db) -> wundr_db::Result<(User, Organization, Project)> {
    let user = db
        .users()
        .upsert(NewUser::new("ingest@example.org", "Ingest"))
        .await?;
    let organization = db
        .organizations()
        .upsert(NewOrganization::new("Ingested", "ingested"))
        .await?;
    let filter = ProjectFilter::new().organization_id(organization.id);
    let found = db.projects().list(&filter, &Page::new().limit(1)).await?;
    let project = match found.items.into_iter().next() {
        Some(project) => project,
        None => {
            let new = NewProject::new("Ingested reports", user.id).organization_id(organization.id);
            db.projects().create(new).await?
        }
    };
    Ok((user, organization, project))
}

fn label(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}
