//! An analysis with everything that it found, by one call.

use std::fmt;

use diesel::prelude::{ExpressionMethods, QueryDsl, SelectableHelper};

use super::*;
use crate::models::{Holder, lost};
use crate::schema::analysis::{analyses, analysis_leases, dependency_graphs};
use crate::sql::{InsertMany, NewRow as _};
use crate::{
    Analysis, AnalysisId, AnalysisStatus, AnalysisSummary, Completion, Error, IngestCounts,
    Ingested, Json, Lease, NewAnalysis, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult,
    NewDependencyGraph, NewDuplicateGroup, Part, Result, Tally,
};

/// An analysis that is to be stored with everything that it found: all of it or nothing.
///
/// [`Analyses::ingest`] and its like make one, [`run`](Ingest::run) stores it. In between it is told
/// where the rows come from: iterators of any length, which are read as the rows are written, or [`Rows`]. A method
/// that is called again adds to what it was given before.
#[must_use = "nothing is stored until `run` is called"]
pub struct Ingest<'a> {
    source: Source<'a>,
    target: Target,
    replacing: bool,
    results: Rows<'a, NewAnalysisResult>,
    issues: Rows<'a, NewAnalysisIssue>,
    metrics: Rows<'a, NewAnalysisMetric>,
    duplicate_groups: Rows<'a, NewDuplicateGroup>,
    dependency_graphs: Rows<'a, NewDependencyGraph>,
    summary: Option<Json<AnalysisSummary>>,
    on_progress: Box<dyn FnMut(&IngestCounts) + Send + 'a>,
}

impl fmt::Debug for Ingest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ingest")
            .field("target", &self.target)
            .field("replacing", &self.replacing)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Target {
    New(Box<NewAnalysis>),
    Running(AnalysisId),
    Claimed(Lease),
}

impl<'a> Analyses<'a> {
    /// A new analysis, to be stored with everything that it found. It ends up completed, whatever status it was given:
    /// with its times and duration where it has them (see [`NewAnalysis::completed`]), and otherwise with those of the
    /// ingest.
    ///
    /// ```no_run
    /// # use wundr_db::{Db, Project, UserId};
    /// # async fn example(db: Db, project: Project, user: UserId, report: std::fs::File) -> wundr_db::Result<()> {
    /// use std::io::{BufRead as _, BufReader};
    /// use wundr_db::{AnalysisType, IssueSeverity, IssueType, NewAnalysis, NewAnalysisIssue, Rows};
    ///
    /// let new = NewAnalysis::new(project.id, AnalysisType::Quality, user);
    /// let id = new.id;
    /// let issue = |line: String| {
    ///     NewAnalysisIssue::new(id, IssueType::Maintainability, IssueSeverity::Low, line, "src/main.rs")
    /// };
    /// // A line that cannot be read ends the ingest, and nothing of it is stored.
    /// let lines = BufReader::new(report).lines();
    /// let ingested = db
    ///     .analyses()
    ///     .ingest(new)
    ///     .issues(Rows::fallible(lines.map(|line| line.map(issue))))
    ///     .on_progress(|counts| println!("{} rows", counts.total()))
    ///     .run()
    ///     .await?;
    /// println!("{} issues in {:?} s", ingested.counts.issues, ingested.analysis.duration_seconds);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ingest<'i>(&self, new: NewAnalysis) -> Ingest<'i>
    where
        'a: 'i,
    {
        Ingest::new(self.source(), Target::New(Box::new(new)))
    }

    /// What a running analysis has found, to be stored with it; that completes it.
    pub fn ingest_into<'i>(&self, id: AnalysisId) -> Ingest<'i>
    where
        'a: 'i,
    {
        Ingest::new(self.source(), Target::Running(id))
    }

    /// What a claimed analysis has found, to be stored with it by the worker that holds the lease, and by nobody else;
    /// that completes it.
    pub fn ingest_claimed<'i>(&self, lease: &Lease) -> Ingest<'i>
    where
        'a: 'i,
    {
        Ingest::new(self.source(), Target::Claimed(lease.clone()))
    }
}

impl<'a> Ingest<'a> {
    fn new(source: Source<'a>, target: Target) -> Self {
        Self {
            source,
            target,
            replacing: false,
            results: Rows::none(),
            issues: Rows::none(),
            metrics: Rows::none(),
            duplicate_groups: Rows::none(),
            dependency_graphs: Rows::none(),
            summary: None,
            on_progress: Box::new(|_| {}),
        }
    }

    /// What is said of each file.
    pub fn results(mut self, rows: impl Into<Rows<'a, NewAnalysisResult>>) -> Self {
        self.results = self.results.chain(rows.into());
        self
    }

    /// What is objected to.
    pub fn issues(mut self, rows: impl Into<Rows<'a, NewAnalysisIssue>>) -> Self {
        self.issues = self.issues.chain(rows.into());
        self
    }

    /// What is measured.
    pub fn metrics(mut self, rows: impl Into<Rows<'a, NewAnalysisMetric>>) -> Self {
        self.metrics = self.metrics.chain(rows.into());
        self
    }

    /// Code that stands in more than one place.
    pub fn duplicate_groups(mut self, rows: impl Into<Rows<'a, NewDuplicateGroup>>) -> Self {
        self.duplicate_groups = self.duplicate_groups.chain(rows.into());
        self
    }

    /// How the project's parts depend on each other. A graph that names no analysis gets this one.
    pub fn dependency_graphs(mut self, rows: impl Into<Rows<'a, NewDependencyGraph>>) -> Self {
        self.dependency_graphs = self.dependency_graphs.chain(rows.into());
        self
    }

    /// The summary. Unless one is given here or in the new analysis, it is the numbers of what was ingested.
    pub fn summary(mut self, summary: AnalysisSummary) -> Self {
        self.summary = Some(Json::Typed(summary));
        self
    }

    /// Takes the place of the analysis with the same id, if there is one: what that one found is deleted. Without
    /// this, such an analysis is an [`Error::Unique`]. Verdicts on its issues go with them.
    pub fn replacing(mut self) -> Self {
        self.replacing = true;
        self
    }

    /// Is told what has been written so far, each time that the server has taken some rows. Nobody else sees them
    /// before all are there.
    pub fn on_progress(mut self, tell: impl FnMut(&IngestCounts) + Send + 'a) -> Self {
        self.on_progress = Box::new(tell);
        self
    }
}

#[repository]
impl<'a> Ingest<'a> {
    /// Stores all of it, or nothing: in a transaction of its own, or as a part of the caller's, which can go on
    /// after an error. It has the caller's transaction to itself: a call of that beside it fails with [`Error::InUse`],
    /// and so does this one beside a statement. The memory it takes does not depend on the number of rows: at most 20,000 of a kind are held.
    ///
    /// Rows are written at most 10,000 by a statement, while the next are read: by binary `COPY` from 1,000 on, fewer
    /// column by column (`UNNEST`). Both work in any transaction and behind PgBouncer.
    ///
    /// A source may pause for any time between two rows: the limit of
    /// [`idle_in_transaction_timeout`](crate::Config::idle_in_transaction_timeout) does not count until the ingest
    /// ends.
    ///
    /// # Errors
    /// [`Error::Row`] with the table, the place among the rows that were given for it, and what is wrong: a
    /// constraint, a column that cannot hold the value, another analysis or project than this one, or what an
    /// input could not read.
    /// [`Error::Unique`] with `analyses_pkey` if the analysis is there already, [`Error::ForeignKey`] without project
    /// or user, and what else [`AnalysisRepository::create`] refuses. Of a running analysis: [`Error::NotFound`], and
    /// [`Error::IllegalTransition`] if it is not running. Of a claimed one: [`Error::LeaseLost`].
    pub async fn run(self) -> Result<Ingested> {
        let unit = Unit::begin_that_may_pause(&self.source).await?;
        let outcome = write(self, &unit).await;
        if let Ok(ingested) = &outcome {
            unit.source().touch(&ingested.analysis);
        }
        unit.end(outcome).await
    }
}

#[repository]
async fn write(ingest: Ingest<'_>, unit: &Unit<'_>) -> Result<Ingested> {
    let source = unit.source();
    let analysis = match ingest.target {
        Target::New(new) => create(&source, *new, ingest.replacing).await?,
        Target::Running(id) => lock_running(&source, id).await?,
        Target::Claimed(lease) => lock_claimed(&source, &lease).await?,
    };
    let mut writer = Writer {
        unit,
        analysis: &analysis,
        counts: IngestCounts::default(),
        tally: Tally::default(),
        on_progress: ingest.on_progress,
    };
    write_part(&mut writer, ingest.results).await?;
    write_part(&mut writer, ingest.issues).await?;
    write_part(&mut writer, ingest.metrics).await?;
    write_part(&mut writer, ingest.duplicate_groups).await?;
    write_part(&mut writer, ingest.dependency_graphs).await?;
    let Writer { counts, tally, .. } = writer;

    let summary = ingest.summary.or_else(|| analysis.summary.clone());
    let summary = summary.unwrap_or_else(|| Json::Typed(tally.summary()));
    crate::checks::check(&summary, "summary", None)?;
    let completion = Completion::new(analysis.id, summary);
    let analysis = source.one(completion).await?;
    unit.restore_idle_limit().await?;
    Ok(Ingested { analysis, counts })
}

#[repository]
async fn create(source: &Source<'_>, mut new: NewAnalysis, replacing: bool) -> Result<Analysis> {
    if new.completed_at.is_some() {
        new.status = Some(AnalysisStatus::Completed);
        new.progress = Some(100);
    } else {
        new.status = Some(AnalysisStatus::Running);
        new.progress = None;
    }
    new.check()?;
    if replacing {
        // Kept when their analysis is deleted, but these are about to come again.
        let graphs = dependency_graphs::table.filter(dependency_graphs::analysis_id.eq(new.id));
        source.execute(diesel::delete(graphs)).await?;
        let replaced = diesel::delete(analyses::table.find(new.id));
        let replaced = replaced.returning(Analysis::as_returning());
        let replaced: Option<Analysis> = source.first(replaced).await?;
        source.touch(&replaced);
    }
    source.insert(&new).await
}

#[repository]
async fn lock(source: &Source<'_>, id: AnalysisId) -> Result<Analysis> {
    let query = analyses::table
        .find(id)
        .for_no_key_update()
        .select(Analysis::as_select());
    let analysis = source.first(query).await?;
    analysis.ok_or(Error::NotFound { what: "Analysis" })
}

/// Locks an analysis that runs, whoever runs it.
#[repository]
async fn lock_running(source: &Source<'_>, id: AnalysisId) -> Result<Analysis> {
    let analysis = lock(source, id).await?;
    match analysis.status {
        AnalysisStatus::Running => Ok(analysis),
        status => Err(Error::illegal_transition(
            "Analysis",
            status.as_str(),
            AnalysisStatus::Completed.as_str(),
            "ingest",
        )),
    }
}

/// Locks an analysis that the holder of this lease runs. Nobody takes the lease away while the analysis is locked.
#[repository]
async fn lock_claimed(source: &Source<'_>, lease: &Lease) -> Result<Analysis> {
    let analysis = lock(source, lease.analysis_id).await?;
    let fence = analysis_leases::table
        .find(lease.analysis_id)
        .select(analysis_leases::fence);
    if source.first(fence).await? == Some(lease.fence) {
        return Ok(analysis);
    }
    Err(lost(source.first(Holder(lease.analysis_id)).await?))
}

/// Writes the rows of one analysis, table by table.
struct Writer<'u, 'a> {
    unit: &'u Unit<'u>,
    analysis: &'u Analysis,
    counts: IngestCounts,
    tally: Tally,
    on_progress: Box<dyn FnMut(&IngestCounts) + Send + 'a>,
}

#[repository]
async fn write_part<N>(writer: &mut Writer<'_, '_>, mut rows: Rows<'_, N>) -> Result<()>
where
    N: Part + Send + Sync,
    for<'r> InsertMany<'r, N>: Send,
{
    let (mut first, mut written) = (0, Vec::new());
    let mut chunk = read(&mut rows, first, writer, Vec::new()).await?;
    while !chunk.is_empty() {
        let next = first + chunk.len();
        // The server is busy with one chunk while the next is read.
        let (outcome, read) = at_once(
            insert_chunk(writer.unit, first, &chunk),
            read(&mut rows, next, writer, written),
        )
        .await;
        outcome?;
        *N::counted_in(&mut writer.counts) += chunk.len();
        (writer.on_progress)(&writer.counts);
        first = next;
        (chunk, written) = (read?, chunk);
    }
    Ok(())
}

/// The next rows of an input, each looked at; none at its end. They take the places of rows that are `written`, which
/// go one by one with that, not all at once while the server waits.
#[repository]
async fn read<N>(
    rows: &mut Rows<'_, N>,
    first: usize,
    writer: &mut Writer<'_, '_>,
    written: Vec<N>,
) -> Result<Vec<N>>
where
    N: Part + Send,
{
    let (mut chunk, mut count) = (written, 0);
    while count < N::AT_ONCE {
        let Some(row) = rows.next().await else { break };
        let admitted = row.and_then(|mut row| row.admit(writer.analysis).map(|()| row));
        let row = admitted.map_err(|error| error.in_row(N::TABLE, first + count))?;
        row.tally(&mut writer.tally);
        match chunk.get_mut(count) {
            Some(place) => *place = row,
            None => chunk.push(row),
        }
        count += 1;
    }
    chunk.truncate(count);
    Ok(chunk)
}

/// Writes a chunk. If the server refuses it, halves are tried until the row that is to blame is found.
#[repository]
async fn insert_chunk<N>(unit: &Unit<'_>, first: usize, chunk: &[N]) -> Result<()>
where
    N: Part + Send + Sync,
    for<'r> InsertMany<'r, N>: Send,
{
    let mut refusal = match unit.attempt(chunk).await {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let (mut low, mut high) = (0, chunk.len());
    while refusal.is_about_a_row() && high - low > 1 {
        let middle = low.midpoint(high);
        match unit.attempt(&chunk[low..middle]).await {
            Ok(_) => low = middle,
            Err(error) => (high, refusal) = (middle, error),
        }
    }
    Err(if refusal.is_about_a_row() {
        refusal.in_row(N::TABLE, first + low)
    } else {
        refusal
    })
}
