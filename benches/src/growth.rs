//! The cost of statements in a table that grows: 0.1, 1 and 10 million issues.
//!
//!     cargo bench --manifest-path benches/Cargo.toml --bench growth -- --growth
//!
//! It loads for minutes, so that it runs only with `--growth`. Two environment variables:
//!
//! - `WUNDR_DB_GROWTH`: the numbers of issues, with commas between. Default: `100000,1000000`.
//! - `WUNDR_DB_GROWTH_DIR`: an empty directory for the data. Default: memory, as for all test
//!   servers. 10 million issues need 6 GB.
//!
//! # Method
//!
//! - Each size is a database of one server, with 200 projects of 50 analyses each. Another project,
//!   the probe, has 20 analyses of 1,000 issues in every size. Its issues lie between those of the
//!   others, as they would if all projects were analyzed at the same time.
//! - The statements of an analysis or a project are about the probe: what they read is the same,
//!   and only the table around it grows. Some are repeated for a project that grows with the table.
//! - In each round, every size runs the same statement, in a shuffled order. A ratio is the median
//!   over the rounds of a size's time divided by that of the smallest size in the same round.
//! - The issues are loaded by `create_many`, which uses COPY, on two connections, with all indexes.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use futures_util::TryStreamExt as _;
use wundr_db::testing::{PostgresServer, TestDatabase};
use wundr_db::{
    AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueId, AnalysisIssueOrder,
    AnalysisIssueRepository as _, AnalysisRepository as _, AnalysisType, Config, DashboardOptions,
    DashboardRepository as _, Db, IssueSeverity, IssueType, NewAnalysis, NewAnalysisIssue, Page,
    ProjectFilter, ProjectId, ProjectRepository as _, ProjectStatsFilter,
    ProjectStatsRepository as _, TrendRepository as _, UserId,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const PROJECTS: usize = 200;
const ANALYSES: usize = 10_000;
const ANALYSES_OF_PROBE: usize = 20;
const ISSUES_OF_PROBE: usize = 1_000;
const ROUNDS: usize = 21;

/// The users, organizations, projects and members. The last project is the probe.
const BASE: &str = "
    CREATE FUNCTION pg_temp.id(kind int, number int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
      SELECT (lpad(to_hex(kind), 8, '0') || '00007000' || '8000' || lpad(to_hex(number), 12, '0'))::uuid $$;
    INSERT INTO public.users (id, email, name)
      SELECT pg_temp.id(1, n), n || '@example.org', 'User ' || n FROM generate_series(1, 1000) AS n;
    INSERT INTO public.organizations (id, name, slug)
      SELECT pg_temp.id(2, n), 'Organization ' || n, 'org-' || n FROM generate_series(1, 20) AS n;
    INSERT INTO public.projects (id, organization_id, name, created_by)
      SELECT pg_temp.id(3, n), pg_temp.id(2, 1 + n % 20), 'Project ' || n,
        pg_temp.id(1, 1 + n % 1000) FROM generate_series(1, 201) AS n;
    INSERT INTO public.organization_members (organization_id, user_id, role)
      SELECT pg_temp.id(2, 1 + n % 20), pg_temp.id(1, n), 'member' FROM generate_series(1, 1000) AS n;
    INSERT INTO public.project_members (project_id, user_id, role)
      SELECT pg_temp.id(3, p), pg_temp.id(1, 1 + (p * 7 + m * 13) % 1000), 'contributor'
      FROM generate_series(1, 201) AS p, generate_series(1, 20) AS m ON CONFLICT DO NOTHING;";

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "--growth") {
        eprintln!("growth: loads for minutes; pass --growth to run it");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome {
    let sizes = std::env::var("WUNDR_DB_GROWTH").unwrap_or("100000,1000000".to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let mut server = PostgresServer::builder()
        .fsync(false)
        .setting("shared_buffers", "2GB")
        .setting("wal_buffers", "64MB")
        .setting("max_wal_size", "2GB")
        .setting("autovacuum", "off")
        .setting("jit", "off");
    if let Ok(directory) = std::env::var("WUNDR_DB_GROWTH_DIR") {
        server = server.data_dir(directory);
    }
    let server = server.start()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let mut targets = Vec::new();
    for size in sizes {
        let database = server.create_database()?;
        targets.push(Arc::new(runtime.block_on(Target::load(database, size))?));
    }
    println!(
        "{:<44}{}",
        "",
        targets
            .iter()
            .map(|target| format!("{:>12} least/median ms {:>6}", target.size, "ratio"))
            .collect::<String>()
    );
    for statement in STATEMENTS {
        let samples = runtime.block_on(measure(statement, &targets))?;
        print!("growth_{:<37}", statement.name);
        for of_size in &samples {
            let mut times = of_size.clone();
            times.sort_unstable();
            let mut ratios: Vec<f64> = of_size
                .iter()
                .zip(&samples[0])
                .map(|(time, floor)| time.as_secs_f64() / floor.as_secs_f64())
                .collect();
            ratios.sort_unstable_by(f64::total_cmp);
            print!(
                "{:>14.3} /{:>12.3} {:>6.2}",
                1e3 * times[0].as_secs_f64(),
                1e3 * times[times.len() / 2].as_secs_f64(),
                ratios[ratios.len() / 2]
            );
        }
        println!();
    }
    Ok(())
}

/// Returns the times of one operation, a list for each target with one time for each round.
async fn measure(statement: &Statement, targets: &[Arc<Target>]) -> Outcome<Vec<Vec<Duration>>> {
    let mut samples = vec![Vec::new(); targets.len()];
    let mut order: Vec<usize> = (0..targets.len()).collect();
    // The first rounds prepare the statement and read its pages.
    for round in 0..ROUNDS + 3 {
        fastrand::shuffle(&mut order);
        for &at in &order {
            let begin = Instant::now();
            for _ in 0..statement.times {
                (statement.call)(Arc::clone(&targets[at])).await?;
            }
            if round >= 3 {
                samples[at].push(begin.elapsed() / statement.times);
            }
        }
    }
    Ok(samples)
}

/// A database with a number of issues.
struct Target {
    size: usize,
    db: Db,
    probe: ProjectId,
    /// A project that grows with the table.
    grown: ProjectId,
    /// Two analyses of the probe, the older one first.
    base: AnalysisId,
    analysis: AnalysisId,
    issue: AnalysisIssueId,
    user: UserId,
    _kept: TestDatabase,
}

impl Target {
    async fn load(database: TestDatabase, size: usize) -> Outcome<Self> {
        let begin = Instant::now();
        let url = database.url();
        let config = Config::new(&url)?
            .statement_timeout(None)
            .max_connections(3);
        wundr_db::migrations::up(&config).await?;
        PgConnection::establish(&url)?.batch_execute(BASE)?;
        let db = Db::lazy(config)?;
        let (user, probe) = (UserId::from(id(1, 1)), ProjectId::from(id(3, PROJECTS + 1)));
        let per_analysis = (size - ANALYSES_OF_PROBE * ISSUES_OF_PROBE) / ANALYSES;
        let mut of_probe = Vec::new();
        let mut pending = Vec::new();
        let mut loading: Option<(tokio::task::JoinHandle<Outcome>, Instant, usize)> = None;
        let mut last = Duration::ZERO;
        for number in 0..ANALYSES {
            let project = ProjectId::from(id(3, 1 + number % PROJECTS));
            let id = create_analysis(&db, project, user, number).await?;
            pending.extend((0..per_analysis).map(|k| issue(id, user, number, k)));
            if number.is_multiple_of(ANALYSES / ANALYSES_OF_PROBE) {
                let id = create_analysis(&db, probe, user, number).await?;
                of_probe.push(id);
                pending.extend((0..ISSUES_OF_PROBE).map(|k| issue(id, user, number, k)));
            }
            if pending.len() >= 50_000 || number + 1 == ANALYSES {
                let (db, rows) = (db.clone(), std::mem::take(&mut pending));
                let (number, started) = (rows.len(), Instant::now());
                let task = tokio::spawn(async move {
                    db.analysis_issues().create_many(&rows).await?;
                    Ok(())
                });
                if let Some((task, started, number)) = loading.replace((task, started, number)) {
                    task.await??;
                    last = started.elapsed() * 100_000 / u32::try_from(number)?;
                }
            }
        }
        if let Some((task, _, _)) = loading {
            task.await??;
        }
        let mut connection = PgConnection::establish(&url)?;
        connection.batch_execute("VACUUM ANALYZE")?;
        connection.batch_execute("CHECKPOINT")?;
        eprintln!(
            "{size} issues: loaded in {:.0?}, the last 100,000 in {last:.1?}",
            begin.elapsed()
        );
        let [.., base, analysis] = of_probe[..] else {
            return Err("the probe has no analyses".into());
        };
        let of_analysis = AnalysisIssueFilter::new().analysis_id(analysis);
        let page = db
            .analysis_issues()
            .list(&of_analysis, &Page::new())
            .await?;
        let issue = page.items.first().ok_or("no issue")?.id;
        Ok(Self {
            size,
            db,
            probe,
            grown: ProjectId::from(id(3, 1)),
            base,
            analysis,
            issue,
            user,
            _kept: database,
        })
    }
}

/// Returns the id that [`BASE`] gives to a row of a kind.
fn id(kind: u128, number: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(kind << 96 | 7 << 76 | 8 << 60 | number as u128)
}

fn time(number: usize) -> DateTime<Utc> {
    Utc::now() - chrono::Duration::minutes(i64::try_from(ANALYSES - number).unwrap_or(0))
}

async fn create_analysis(
    db: &Db,
    project: ProjectId,
    user: UserId,
    number: usize,
) -> Outcome<AnalysisId> {
    let types = [
        AnalysisType::Quality,
        AnalysisType::Security,
        AnalysisType::Performance,
    ];
    let kind = types[number / PROJECTS % types.len()];
    let new = NewAnalysis::new(project, kind, user)
        .created_at(time(number))
        .completed(time(number), time(number));
    Ok(db.analyses().create(new).await?.id)
}

fn issue(analysis: AnalysisId, user: UserId, number: usize, k: usize) -> NewAnalysisIssue {
    let severity = match k {
        k if k % 100 == 0 => IssueSeverity::Critical,
        k if k % 10 == 0 => IssueSeverity::High,
        k if k % 3 == 0 => IssueSeverity::Medium,
        _ => IssueSeverity::Low,
    };
    let path = format!("src/{}/module_{}.rs", k % 40, k % 311);
    let mut new = NewAnalysisIssue::new(
        analysis,
        IssueType::ALL[k % IssueType::ALL.len()],
        severity,
        format!("Title of problem {k}"),
        path,
    )
    .rule_id(format!("rule-{}", k * 7 % 250))
    .description("A sentence of usual length says what is wrong here")
    .line_number(i32::try_from(k).unwrap_or(1))
    .code_snippet(format!("let x = y.unwrap(); // {k}"))
    .created_at(time(number));
    // As many of each user in every size.
    if analysis_is_reviewed(number) && k < 8 {
        new = new
            .status(wundr_db::IssueStatus::Resolved)
            .resolved_at(time(number))
            .resolved_by(user);
    }
    new
}

fn analysis_is_reviewed(number: usize) -> bool {
    number.is_multiple_of(10)
}

type Call = fn(Arc<Target>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A statement, and the number of its executions in a round.
struct Statement {
    name: &'static str,
    times: u32,
    call: Call,
}

macro_rules! statements {
    ($($name:literal $times:literal |$of:ident| $call:expr;)*) => {
        &[$(Statement {
            name: $name,
            times: $times,
            call: |$of| Box::pin(async move {
                $call.await?;
                Ok(())
            }),
        }),*]
    };
}

fn of_analysis(target: &Target) -> AnalysisIssueFilter {
    AnalysisIssueFilter::new().analysis_id(target.analysis)
}

fn of_project(target: &Target) -> AnalysisIssueFilter {
    AnalysisIssueFilter::new().project_id(target.probe)
}

fn latest(target: &Target) -> AnalysisIssueFilter {
    AnalysisIssueFilter::new().latest_of_project(target.probe)
}

fn hundred() -> Page<AnalysisIssueOrder> {
    Page::new().limit(100)
}

const STATEMENTS: &[Statement] = statements! {
    "find" 50 |of| of.db.analysis_issues().find(of.issue);
    "analysis_page" 20 |of| of.db.analysis_issues().list(&of_analysis(&of), &hundred());
    "analysis_page_newest" 10 |of| of.db.analysis_issues().list(
        &of_analysis(&of).severity(IssueSeverity::High), &hundred().order(AnalysisIssueOrder::Newest));
    "analysis_page_by_prefix" 10 |of| of.db.analysis_issues().list(
        &of_analysis(&of).file_path_prefix("src/1/"), &hundred());
    "analysis_count_by_severity" 20 |of| of.db.analysis_issues().count_by_severity(&of_analysis(&of));
    "analysis_count_by_rule" 10 |of| of.db.analysis_issues().count_by_rule(&of_analysis(&of), 10);
    "analysis_stream" 5 |of| of.db.analysis_issues().stream(&of_analysis(&of))
        .try_fold(0, |number, _| async move { Ok(number + 1) });
    "project_page" 10 |of| of.db.analysis_issues().list(&of_project(&of), &hundred());
    "project_page_newest" 2 |of| of.db.analysis_issues().list(
        &of_project(&of), &hundred().order(AnalysisIssueOrder::Newest));
    "project_page_by_prefix" 2 |of| of.db.analysis_issues().list(
        &of_project(&of).file_path_prefix("src/1/"), &hundred());
    "project_page_of_latest" 10 |of| of.db.analysis_issues().list(&latest(&of), &hundred());
    "project_count_by_severity" 5 |of| of.db.analysis_issues().count_by_severity(&of_project(&of));
    "project_count_of_latest" 10 |of| of.db.analysis_issues().count_by_severity(&latest(&of));
    "project_stream" 1 |of| of.db.analysis_issues().stream(&of_project(&of))
        .try_fold(0, |number, _| async move { Ok(number + 1) });
    "project_analyses" 20 |of| of.db.analyses().list(
        &AnalysisFilter::new().project_id(of.probe), &Page::new());
    "project_latest_completed" 20 |of| of.db.analyses().latest_completed(of.probe, AnalysisType::Quality);
    "project_dashboard" 5 |of| of.db.dashboard().of_project(of.probe, &DashboardOptions::new().metrics(["complexity"]));
    "project_trends" 20 |of| of.db.trends().of_metric(of.probe, "complexity", 90);
    "project_stats" 20 |of| of.db.project_stats().find(of.probe);
    "project_stats_page" 5 |of| of.db.project_stats().list(&ProjectStatsFilter::new(), &Page::new());
    "visible_projects" 5 |of| of.db.projects().visible_to(of.user, &ProjectFilter::new(), &Page::new());
    "resolve" 20 |of| of.db.analysis_issues().resolve(of.issue, of.user);
    "track_1000" 1 |of| of.db.analysis_issues().track(of.base, of.analysis);
    "load_and_delete_1000" 1 |of| load_and_delete(&of);
    "grown_project_page" 10 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().project_id(of.grown), &hundred());
    "grown_project_page_of_latest" 10 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().latest_of_project(of.grown), &hundred());
    "grown_project_page_newest" 1 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().project_id(of.grown), &hundred().order(AnalysisIssueOrder::Newest));
    "all_by_rare_prefix" 10 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().file_path_prefix("lib/"), &hundred());
    "all_resolved_by_newest" 10 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().resolved_by(of.user), &hundred().order(AnalysisIssueOrder::Newest));
    "all_by_rule" 1 |of| of.db.analysis_issues().list(
        &AnalysisIssueFilter::new().rule_id("none"), &hundred());
};

async fn load_and_delete(of: &Target) -> Outcome {
    let id = create_analysis(&of.db, of.probe, of.user, 0).await?;
    let rows: Vec<_> = (0..1000).map(|k| issue(id, of.user, 1, k)).collect();
    of.db.analysis_issues().create_many(&rows).await?;
    of.db.analyses().delete(id).await?;
    Ok(())
}
