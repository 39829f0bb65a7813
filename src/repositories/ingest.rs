//! The ingest, which stores an analysis with all its findings by one call.

use std::fmt;

use diesel::prelude::{ExpressionMethods, QueryDsl};

use super::*;
use crate::mapping::NewRow as _;
use crate::schema::analysis::{analyses, analysis_leases, dependency_graphs};
use crate::sql::analysis_leases::{Holder, lost};
use crate::sql::ingest::Completion;
use crate::sql::{InsertMany, Sql, columns_of, suppressed};
use crate::{
    Analysis, AnalysisId, AnalysisStatus, AnalysisSummary, Error, IngestCounts, Ingested, Json,
    Lease, NewAnalysis, NewAnalysisIssue, NewAnalysisMetric, NewAnalysisResult, NewDependencyGraph,
    NewDuplicateGroup, Part, Result, Tally,
};

/// An analysis to be stored with all its findings, or not at all.
///
/// [`Analyses::ingest`], `ingest_into` and `ingest_claimed` create one. [`run`](Ingest::run) stores
/// it. The methods in between take the rows: iterators of any length, which are read as the rows
/// are written, or [`Rows`]. A second call of the same method adds rows.
#[must_use = "nothing is stored until `run` is called"]
pub struct Ingest<'a> {
    executor: Executor<'a>,
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
    /// Creates an ingest of a new analysis.
    ///
    /// The analysis becomes completed, in place of the status it was given. It keeps its times and
    /// duration if it has them (see [`NewAnalysis::completed`]), and otherwise gets those of the
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
        Ingest::new(self.executor(), Target::New(Box::new(new)))
    }

    /// Creates an ingest of the findings of a running analysis, which completes the analysis.
    pub fn ingest_into<'i>(&self, id: AnalysisId) -> Ingest<'i>
    where
        'a: 'i,
    {
        Ingest::new(self.executor(), Target::Running(id))
    }

    /// Creates an ingest of the findings of a claimed analysis, which completes the analysis. Only
    /// the worker that holds the lease can run it.
    pub fn ingest_claimed<'i>(&self, lease: &Lease) -> Ingest<'i>
    where
        'a: 'i,
    {
        Ingest::new(self.executor(), Target::Claimed(lease.clone()))
    }
}

impl<'a> Ingest<'a> {
    fn new(executor: Executor<'a>, target: Target) -> Self {
        Self {
            executor,
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

    /// Adds the results for single files.
    pub fn results(mut self, rows: impl Into<Rows<'a, NewAnalysisResult>>) -> Self {
        self.results = self.results.chain(rows.into());
        self
    }

    /// Adds the issues.
    pub fn issues(mut self, rows: impl Into<Rows<'a, NewAnalysisIssue>>) -> Self {
        self.issues = self.issues.chain(rows.into());
        self
    }

    /// Adds the metrics.
    pub fn metrics(mut self, rows: impl Into<Rows<'a, NewAnalysisMetric>>) -> Self {
        self.metrics = self.metrics.chain(rows.into());
        self
    }

    /// Adds the groups of duplicated code.
    pub fn duplicate_groups(mut self, rows: impl Into<Rows<'a, NewDuplicateGroup>>) -> Self {
        self.duplicate_groups = self.duplicate_groups.chain(rows.into());
        self
    }

    /// Adds the dependency graphs of the project. A graph without an analysis gets this one.
    pub fn dependency_graphs(mut self, rows: impl Into<Rows<'a, NewDependencyGraph>>) -> Self {
        self.dependency_graphs = self.dependency_graphs.chain(rows.into());
        self
    }

    /// Sets the summary. Default: that of the new analysis, or else the counts of the ingested
    /// rows.
    pub fn summary(mut self, summary: AnalysisSummary) -> Self {
        self.summary = Some(Json::Typed(summary));
        self
    }

    /// Replaces the analysis with the same id, if there is one. Its findings are deleted, and with
    /// them the verdicts on its issues. Without this, such an analysis is an [`Error::Unique`].
    pub fn replacing(mut self) -> Self {
        self.replacing = true;
        self
    }

    /// Sets a callback that receives the counts of the rows written so far, each time that the
    /// server has stored some. The rows are visible to others only when all are stored.
    pub fn on_progress(mut self, report: impl FnMut(&IngestCounts) + Send + 'a) -> Self {
        self.on_progress = Box::new(report);
        self
    }
}

#[repository]
impl<'a> Ingest<'a> {
    /// Stores the analysis with all of its rows, or nothing.
    ///
    /// It runs in its own transaction, or in a savepoint of the caller's, which can continue after
    /// an error. It needs the caller's transaction exclusively: a concurrent call of that
    /// transaction fails with [`Error::InUse`], and so does this one beside a running statement. At
    /// most 20,000 rows of a kind are held in memory.
    ///
    /// A statement writes at most 10,000 rows while the next are read. From 1,000 rows on it is a
    /// binary `COPY`, below that an `INSERT` from arrays (`UNNEST`). Both work in any transaction
    /// and behind PgBouncer.
    ///
    /// An input may pause for any time between two rows. The limit of
    /// [`idle_in_transaction_timeout`](crate::Config::idle_in_transaction_timeout) is suspended
    /// until the ingest ends.
    ///
    /// # Errors
    /// - [`Error::Row`] with the table, the position among its rows, and the cause: a constraint, a
    ///   value that its column cannot hold, another analysis or project than this one, or an error
    ///   of the input
    /// - [`Error::Unique`] with `analyses_pkey` if the analysis exists
    /// - [`Error::MissingReference`] if there is no such project or user
    /// - The other errors of [`AnalysisRepository::create`]
    /// - [`Error::NotFound`] if there is no such running analysis
    /// - [`Error::IllegalTransition`] if it is not running
    /// - [`Error::LeaseLost`] if the analysis is claimed and the lease is lost
    /// - [`Error::Suppressed`] if a trigger keeps a row from being stored
    pub async fn run(self) -> Result<Ingested> {
        Running(self.executor.clone(), self).ingest().await
    }
}

/// An ingest, and the executor by which it is observed.
struct Running<'a>(Executor<'a>, Ingest<'a>);

#[repository(observed = "analyses")]
impl<'a> Running<'a> {
    async fn ingest(self) -> Result<Ingested> {
        let unit = UnitOfWork::begin_that_may_pause(&self.0).await?;
        let outcome = write(self.1, &unit).await;
        if let Ok(ingested) = &outcome {
            unit.executor().record_write(&ingested.analysis);
        }
        unit.end(outcome).await
    }
}

#[repository]
async fn write(ingest: Ingest<'_>, unit: &UnitOfWork<'_>) -> Result<Ingested> {
    let executor = unit.executor();
    let analysis = match ingest.target {
        Target::New(new) => create(&executor, *new, ingest.replacing).await?,
        Target::Running(id) => lock_running(&executor, id).await?,
        Target::Claimed(lease) => lock_claimed(&executor, &lease).await?,
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
    crate::validation::check(&summary, "summary", None)?;
    let completion = Completion::new(analysis.id, summary);
    let analysis = executor.one(completion).await?;
    unit.restore_idle_limit().await?;
    Ok(Ingested { analysis, counts })
}

#[repository]
async fn create(
    executor: &Executor<'_>,
    mut new: NewAnalysis,
    replacing: bool,
) -> Result<Analysis> {
    if new.completed_at.is_some() {
        new.status = Some(AnalysisStatus::Completed);
        new.progress = Some(100);
    } else {
        new.status = Some(AnalysisStatus::Running);
        new.progress = None;
    }
    new.check()?;
    if replacing {
        // The deletion of an analysis keeps its graphs, but this ingest writes them again.
        let graphs = dependency_graphs::table.filter(dependency_graphs::analysis_id.eq(new.id));
        executor.execute(diesel::delete(graphs)).await?;
        let replaced = diesel::delete(analyses::table.find(new.id));
        let replaced = replaced.returning(columns_of::<Analysis>());
        let replaced: Option<Analysis> = executor.first(replaced).await?;
        executor.record_write(&replaced);
    }
    executor.insert(&new).await
}

#[repository]
async fn lock(executor: &Executor<'_>, id: AnalysisId) -> Result<Analysis> {
    let query = analyses::table
        .find(id)
        .for_no_key_update()
        .select(columns_of::<Analysis>());
    let analysis = executor.first(query).await?;
    analysis.ok_or(Error::NotFound { what: "Analysis" })
}

/// Locks a running analysis, with or without a lease.
#[repository]
async fn lock_running(executor: &Executor<'_>, id: AnalysisId) -> Result<Analysis> {
    let analysis = lock(executor, id).await?;
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

/// Locks an analysis that the holder of this lease runs. While the analysis is locked, the lease
/// cannot change.
#[repository]
async fn lock_claimed(executor: &Executor<'_>, lease: &Lease) -> Result<Analysis> {
    let analysis = lock(executor, lease.analysis_id).await?;
    let fence = analysis_leases::table
        .find(lease.analysis_id)
        .select(analysis_leases::fence);
    if executor.first(fence).await? == Some(lease.fence) {
        return Ok(analysis);
    }
    Err(lost(executor.first(Sql(Holder(lease.analysis_id))).await?))
}

/// Writes the rows of one analysis, table by table.
struct Writer<'u, 'a> {
    unit: &'u UnitOfWork<'u>,
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
        // The server writes one chunk while the next is read.
        let (outcome, read) = join(
            insert_chunk(writer.unit, first, &chunk),
            read(&mut rows, next, writer, written),
        )
        .await;
        outcome?;
        *N::counted_in(&mut writer.counts) += chunk.len() as u64;
        (writer.on_progress)(&writer.counts);
        first = next;
        (chunk, written) = (read?, chunk);
    }
    Ok(())
}

/// Returns the next rows of an input, each checked, and none at its end. They overwrite the rows in
/// `written` one by one. Dropping those together would keep the server waiting.
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

/// Writes a chunk. If the server refuses it, a binary search finds the row that is the cause.
#[repository]
async fn insert_chunk<N>(unit: &UnitOfWork<'_>, first: usize, chunk: &[N]) -> Result<()>
where
    N: Part + Send + Sync,
    for<'r> InsertMany<'r, N>: Send,
{
    let mut refusal = match unit.attempt(chunk).await {
        Ok(written) if written == chunk.len() as u64 => return Ok(()),
        Ok(_) => return Err(suppressed::<N>()),
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
