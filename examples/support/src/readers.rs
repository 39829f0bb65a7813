//! Readers of the reports of analysis tools: SARIF, lizard, grimp and jscpd.
//!
//! They do not depend on the database. [`read`] reads one SARIF log, or a directory in the form of
//! `examples/data/flask/3.1.2`, and returns a [`Report`] of plain structs. An application maps
//! these to the models of the library. Every error contains the file and the position in it.

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

/// The tools' reports about one version of a project.
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
    /// Runs of tools that crashed, whose findings are unknown.
    pub failures: Vec<Notice>,
    /// Other parts that were skipped.
    pub warnings: Vec<Notice>,
}

/// The error of reading a report. Each variant contains the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file or directory cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The directory contains none of the four files.
    #[error("{}: no findings.sarif, functions.csv, imports.json or duplicates.json (nor one with .gz) here", path.display())]
    NothingToRead {
        /// The directory.
        path: PathBuf,
    },
    /// The file has no content.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name ends in `.gz`, but the content is not gzip.
    #[error("{}: the name ends in .gz, but the content is not gzip", path.display())]
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
        /// The decompressor's error.
        reason: String,
    },
    /// The text is in another encoding than UTF-8 and UTF-16.
    #[error("{}: {reason}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The reason.
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
        /// The reason.
        reason: String,
    },
    /// A record of a CSV file is malformed.
    #[error("{}: record {record}: {reason}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Number of the record, from 1; a header counts as one.
        record: u64,
        /// The reason.
        reason: String,
    },
    /// The file is not SARIF 2.1.0.
    #[error("{}: the version must be SARIF 2.1.0, {}", path.display(), version_found(found))]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in the file, if there is one.
        found: Option<String>,
    },
    /// The file is well-formed, but it is inconsistent or lacks a required part.
    #[error("{}: {place}: {reason}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// The position, such as `runs[0].results[17]`.
        place: String,
        /// The reason.
        reason: String,
    },
}

fn version_found(found: &Option<String>) -> String {
    match found {
        Some(version) => format!("but is {version:?}"),
        None => "but is missing".to_owned(),
    }
}

/// Reads a directory of reports, or one SARIF 2.1.0 log from any tool, plain or gzipped.
///
/// A directory contains at least one of `findings.sarif`, `functions.csv`, `imports.json` and
/// `duplicates.json`, each plain or with `.gz`. If both are present, the plain one is read.
///
/// # Errors
/// [`ReadError`] for the first fault.
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
