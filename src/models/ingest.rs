//! The rows of an analysis that is ingested as a whole, and their numbers.

use std::collections::HashMap;

use crate::mapping::{NewRow, ROWS_PER_STATEMENT};
use crate::{
    Analysis, AnalysisId, AnalysisSummary, Error, IssueSeverity, IssueStatus, NewAnalysisIssue,
    NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph, NewDuplicateGroup, Result,
};

/// The number of rows that an ingest has written to each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IngestCounts {
    /// Rows of `analysis_results`.
    pub results: u64,
    /// Rows of `analysis_issues`.
    pub issues: u64,
    /// Rows of `analysis_metrics`.
    pub metrics: u64,
    /// Rows of `duplicate_groups`.
    pub duplicate_groups: u64,
    /// Rows of `dependency_graphs`.
    pub dependency_graphs: u64,
}

impl IngestCounts {
    /// Returns the number of rows in all tables.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.results + self.issues + self.metrics + self.duplicate_groups + self.dependency_graphs
    }
}

/// An analysis that was ingested.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Ingested {
    /// The analysis, completed.
    pub analysis: Analysis,
    /// The number of rows written with it.
    pub counts: IngestCounts,
}

/// The numbers of rows that were read from an input, for the summary.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    read: IngestCounts,
    open_by_severity: HashMap<IssueSeverity, usize>,
}

impl Tally {
    /// Returns the summary for an analysis without one from the caller.
    pub(crate) fn summary(&self) -> AnalysisSummary {
        let open = IssueSeverity::ALL.iter().map(|severity| {
            let count = self.open_by_severity.get(severity).copied();
            (severity.to_string(), count.unwrap_or_default().into())
        });
        let open: serde_json::Map<_, _> = open.collect();
        let open = serde_json::Value::Object(open);
        let fields = [
            ("results", self.read.results.into()),
            ("issues", self.read.issues.into()),
            ("openIssues", open),
            ("metrics", self.read.metrics.into()),
            ("duplicateGroups", self.read.duplicate_groups.into()),
            ("dependencyGraphs", self.read.dependency_graphs.into()),
        ];
        AnalysisSummary {
            overall_score: None,
            extra: fields
                .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value.into()))
                .into_iter()
                .collect(),
        }
    }
}

/// A row that belongs to an analysis.
pub(crate) trait Part: NewRow {
    /// The table's name.
    const TABLE: &'static str;
    /// The number of rows that one statement writes. It is small enough for the rows to be held in
    /// memory twice.
    const AT_ONCE: usize;

    /// Returns the counter for rows of this kind.
    fn counted_in(counts: &mut IngestCounts) -> &mut u64;

    /// Returns the analysis that the row names. If it names none, it is set to `this`.
    fn analysis_or(&mut self, this: AnalysisId) -> AnalysisId;

    /// Checks whether the row belongs to the analysis and satisfies the checks whose column the
    /// database would not name.
    fn admit(&mut self, analysis: &Analysis) -> Result<()> {
        if self.analysis_or(analysis.id) != analysis.id {
            return Err(Error::invalid("analysis_id", "names another analysis"));
        }
        self.check()
    }

    /// Counts the row for the summary.
    fn tally(&self, tally: &mut Tally) {
        *Self::counted_in(&mut tally.read) += 1;
    }
}

impl Part for NewAnalysisResult {
    const TABLE: &'static str = "analysis_results";
    const AT_ONCE: usize = 2_000;

    fn counted_in(counts: &mut IngestCounts) -> &mut u64 {
        &mut counts.results
    }

    fn analysis_or(&mut self, _: AnalysisId) -> AnalysisId {
        self.analysis_id
    }
}

impl Part for NewAnalysisIssue {
    const TABLE: &'static str = "analysis_issues";
    const AT_ONCE: usize = ROWS_PER_STATEMENT;

    fn counted_in(counts: &mut IngestCounts) -> &mut u64 {
        &mut counts.issues
    }

    fn analysis_or(&mut self, _: AnalysisId) -> AnalysisId {
        self.analysis_id
    }

    fn tally(&self, tally: &mut Tally) {
        tally.read.issues += 1;
        if matches!(self.status, None | Some(IssueStatus::Open)) {
            *tally.open_by_severity.entry(self.severity).or_default() += 1;
        }
    }
}

impl Part for NewAnalysisMetric {
    const TABLE: &'static str = "analysis_metrics";
    const AT_ONCE: usize = ROWS_PER_STATEMENT;

    fn counted_in(counts: &mut IngestCounts) -> &mut u64 {
        &mut counts.metrics
    }

    fn analysis_or(&mut self, _: AnalysisId) -> AnalysisId {
        self.analysis_id
    }
}

impl Part for NewDuplicateGroup {
    const TABLE: &'static str = "duplicate_groups";
    const AT_ONCE: usize = 2_000;

    fn counted_in(counts: &mut IngestCounts) -> &mut u64 {
        &mut counts.duplicate_groups
    }

    fn analysis_or(&mut self, _: AnalysisId) -> AnalysisId {
        self.analysis_id
    }
}

impl Part for NewDependencyGraph {
    const TABLE: &'static str = "dependency_graphs";
    // A graph may take megabytes.
    const AT_ONCE: usize = 8;

    fn counted_in(counts: &mut IngestCounts) -> &mut u64 {
        &mut counts.dependency_graphs
    }

    fn analysis_or(&mut self, this: AnalysisId) -> AnalysisId {
        *self.analysis_id.get_or_insert(this)
    }

    fn admit(&mut self, analysis: &Analysis) -> Result<()> {
        if self.analysis_or(analysis.id) != analysis.id {
            return Err(Error::invalid("analysis_id", "names another analysis"));
        }
        if self.project_id != analysis.project_id {
            return Err(Error::invalid(
                "project_id",
                "is not the analysis's project",
            ));
        }
        self.check()
    }
}
