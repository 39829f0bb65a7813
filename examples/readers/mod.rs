//! Readers of what analysis tools write: SARIF, lizard, grimp and jscpd.
//!
//! They know nothing of the database. [`read`] takes one SARIF log, or a folder of the form of
//! `examples/data/flask/3.1.2`, and gives a [`Report`] of plain structs that an application maps onto the
//! models of the library. Every error names the file and the place in it.

// Several examples include this module and each uses its own part of it.
#![allow(dead_code, unused_imports)]

mod classification;
pub mod grimp;
pub mod jscpd;
pub mod lizard;
pub mod metric;
pub mod release;
pub mod sarif;
mod source;
pub mod summary;

use std::path::{Path, PathBuf};

pub use classification::{IssueType, Severity};
pub use grimp::ImportGraph;
pub use jscpd::{Clone, Duplication, Fragment};
pub use lizard::{FileComplexity, Function};
pub use metric::Metric;
pub use release::Release;
pub use sarif::{Finding, Kind, Notice, Tool};
pub use summary::{FileSummary, Summary};

/// What the tools said of one version of one project.
#[derive(Debug, Default)]
pub struct Report {
    /// The tools that wrote the SARIF log, one for each run.
    pub tools: Vec<Tool>,
    /// The results of the SARIF log, in its order.
    pub findings: Vec<Finding>,
    /// The functions that lizard measured, in its order.
    pub functions: Vec<Function>,
    /// The import graph, if grimp was run.
    pub imports: Option<ImportGraph>,
    /// The clones, if jscpd was run.
    pub duplication: Option<Duplication>,
    /// Results that cannot be read.
    pub skipped: Vec<Notice>,
    /// Runs of tools that crashed: what they would have found is not known.
    pub failures: Vec<Notice>,
    /// What else was passed over.
    pub warnings: Vec<Notice>,
}

/// Why a report could not be read. Each variant names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file or folder cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The folder holds none of the four files.
    #[error("{}: no findings.sarif, functions.csv, imports.json or duplicates.json (nor one with .gz) here", path.display())]
    NothingToRead {
        /// The folder.
        path: PathBuf,
    },
    /// The file has no content.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name ends in `.gz`, the content is something else.
    #[error("{}: the name says gzip, the content is not gzip", path.display())]
    NotGzip {
        /// The file.
        path: PathBuf,
    },
    /// The gzip stream ends before its end mark.
    #[error("{}: the gzip stream is cut off", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The gzip stream is damaged: a bad block, a wrong checksum or something after its end.
    #[error("{}: the gzip stream is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        reason: String,
    },
    /// The text is in another encoding than UTF-8 and UTF-16.
    #[error("{}: {reason}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The JSON is malformed, or a value has another type than the format gives it.
    #[error("{}:{line}:{column}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line in the uncompressed text, from 1.
        line: usize,
        /// Column in bytes, from 1, of the last byte that was read.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A record of a CSV file is malformed.
    #[error("{}: record {record}: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Number of the record, from 1; a header counts as one.
        record: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file is not SARIF 2.1.0.
    #[error("{}: SARIF 2.1.0 is needed, {}", path.display(), version_found(found))]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it gives, if any.
        found: Option<String>,
    },
    /// Well-formed, but it contradicts itself or leaves out what it must say.
    #[error("{}: {place}: {reason}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// Where, such as `runs[0].results[17]`.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

fn version_found(found: &Option<String>) -> String {
    match found {
        Some(version) => format!("this says version {version:?}"),
        None => "this names no version".to_owned(),
    }
}

/// Reads a folder of reports, or one SARIF 2.1.0 log from any tool, plain or gzipped.
///
/// A folder holds at least one of `findings.sarif`, `functions.csv`, `imports.json` and `duplicates.json`,
/// each plain or with `.gz`; where both are present, the plain one is read.
///
/// # Errors
/// [`ReadError`], for the first fault found.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let is_folder = source::is_folder(path)?;
    let file_of = |name: &str| -> Option<PathBuf> {
        [name.to_owned(), format!("{name}.gz")]
            .iter()
            .map(|name| path.join(name))
            .find(|file| file.exists())
    };
    let (findings, functions, imports, duplicates) = if is_folder {
        (
            file_of("findings.sarif"),
            file_of("functions.csv"),
            file_of("imports.json"),
            file_of("duplicates.json"),
        )
    } else {
        (Some(path.to_owned()), None, None, None)
    };
    if [&findings, &functions, &imports, &duplicates]
        .iter()
        .all(|file| file.is_none())
    {
        return Err(ReadError::NothingToRead {
            path: path.to_owned(),
        });
    }

    let mut report = Report::default();
    if let Some(file) = findings {
        let log = sarif::read(&file)?;
        (report.tools, report.findings) = (log.tools, log.findings);
        (report.skipped, report.failures, report.warnings) =
            (log.skipped, log.failures, log.warnings);
    }
    if let Some(file) = functions {
        report.functions = lizard::read(&file)?;
    }
    report.imports = imports.map(|file| grimp::read(&file)).transpose()?;
    report.duplication = duplicates.map(|file| jscpd::read(&file)).transpose()?;
    Ok(report)
}
