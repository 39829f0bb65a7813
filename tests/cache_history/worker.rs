//! A process that reads and writes until it is killed.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::event::Log;
use crate::random::Random;
use crate::settings::{Engine, Process, Workload};
use wundr_db::cache::{CacheConfig, CacheMetrics, CachedKind, Failpoint};
use wundr_db::{Config, Error};

/// The environment variable with the settings of a process.
pub const VARIABLE: &str = "WUNDR_HISTORY_PROCESS";

/// The numbers that a process reports.
pub const COUNTERS: [&str; 20] = [
    "hits",
    "shared",
    "misses",
    "bypasses",
    "fills",
    "refused fills",
    "outdated values not used",
    "early refreshes",
    "fences",
    "fences cleared",
    "generations",
    "errors of the cache",
    "reads failed",
    "reads dropped",
    "writes dropped",
    "writes refused for want of the cache",
    "writes failed otherwise",
    "calls kept without being polled",
    "times prepared statements were taken away",
    "calls without an end",
];

fn numbers(metrics: &CacheMetrics) -> [u64; 12] {
    [
        metrics.hits,
        metrics.shared,
        metrics.misses,
        metrics.bypasses,
        metrics.fills,
        metrics.fills_refused,
        metrics.stale_prevented,
        metrics.early_refreshes,
        metrics.fences,
        metrics.fences_cleared,
        metrics.generations,
        metrics.errors,
    ]
}

/// The state that the readers and writers of a process share.
struct Shared<D> {
    db: D,
    load: Workload,
    chance: Random,
    log: Log,
    failures: [AtomicU64; 8],
    /// The number of reports so far: the time for which this process has run.
    reports: AtomicU64,
    /// The number of reports when the calls began that are under way.
    calls: Mutex<Vec<Option<u64>>>,
    /// The settings of the process.
    process: Process,
}

/// No call takes longer, whatever happens to the servers: each step of it has a limit, and there
/// are few steps. Counted in reports, since the process itself is stopped again and again, which no
/// limit can prevent, and a machine under load may not run it.
const CALL: u64 = 18_000 / REPORTS.as_millis() as u64;

/// A call that is under way.
struct Call<'s>(&'s Mutex<Vec<Option<u64>>>, usize);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap()[self.1] = None;
    }
}

/// The outcome of a call that failed.
#[derive(Clone, Copy)]
enum Failure {
    Read,
    ReadDropped,
    WriteDropped,
    Refused,
    Write,
    /// Not one, but of interest too.
    Kept,
    Deallocated,
    Endless,
}

impl<D> Shared<D> {
    fn failed(&self, failure: Failure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Begins a call, which ends when this is dropped.
    fn begin(&self) -> Call<'_> {
        let mut calls = self.calls.lock().unwrap();
        let free = calls.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            calls.push(None);
            calls.len() - 1
        });
        calls[place] = Some(self.reports.load(Ordering::Relaxed));
        Call(&self.calls, place)
    }

    fn report(&self, metrics: &CacheMetrics) {
        let now = self.reports.fetch_add(1, Ordering::Relaxed) + 1;
        let calls = self.calls.lock().unwrap();
        let is_endless = |began: &&u64| now - **began > CALL;
        let endless = calls.iter().flatten().filter(is_endless).count();
        self.failures[Failure::Endless as usize].fetch_max(endless as u64, Ordering::Relaxed);
        drop(calls);
        let failures = self
            .failures
            .iter()
            .map(|number| number.load(Ordering::Relaxed));
        let all = numbers(metrics).into_iter().chain(failures);
        all.enumerate()
            .for_each(|(counter, at)| self.log.count(counter as u8, at));
    }

    /// An object to be written, and how.
    fn choose(&self) -> usize {
        self.chance.below(self.load.objects.len() as u64) as usize
    }

    /// Counts a failure, and returns the time to wait before the next call.
    fn rest(&self, error: Option<&Error>, is_write: bool) -> Duration {
        let failure = match (error, is_write) {
            (None, false) => return self.chance.within(self.load.read_pause),
            (None, true) => return self.chance.within(self.load.write_pause),
            (Some(_), false) => Failure::Read,
            (Some(Error::Cache(_)), true) => Failure::Refused,
            // Meant to fail.
            (Some(Error::StaleWrite { .. }), true) => return self.chance.within(5),
            (Some(_), true) => Failure::Write,
        };
        self.failed(failure);
        self.chance.within(20)
    }
}

/// The workload and the source of chance that the failpoint hook uses.
static HOOK_INPUT: OnceLock<(Workload, Random)> = OnceLock::new();

fn delay_at(point: Failpoint) -> Duration {
    let (load, chance) = HOOK_INPUT.get().expect("set before the first call");
    if point == Failpoint::BeforeEnd && chance.in_a_thousand(load.deaths) {
        std::process::abort();
    }
    let stalls = load.stalls.iter().filter(|stall| stall.point == point);
    stalls
        .filter(|stall| chance.in_a_thousand(stall.chance))
        .map(|stall| {
            Duration::from_millis(stall.at_least) + chance.within(stall.at_most - stall.at_least)
        })
        .sum()
}

pub fn cache_config(url: &str, load: &Workload) -> CacheConfig {
    let config = CacheConfig::new(url).unwrap();
    let config = config.lease(Duration::from_millis(load.lease));
    let config = config
        .shards(load.shards)
        .lease_wait(Duration::from_millis(50));
    let config = config.retry_after(Duration::from_millis(100));
    let lifetime = Duration::from_millis(load.lifetime);
    let kinds = CachedKind::ALL.into_iter();
    kinds.fold(config, |config, kind| config.lifetime(kind, lifetime))
}

pub fn database_config(url: &str) -> Config {
    let config = Config::new(url).unwrap();
    let config = config.statement_timeout(Duration::from_secs(4));
    config
        .max_connections(8)
        .acquire_timeout(Duration::from_secs(2))
}

/// Runs by the settings of the environment, until it is killed or its input is closed.
pub fn run(settings: &str) {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let process: Process = serde_json::from_str(settings).unwrap();
    let input = (process.load.clone(), Random::of(process.seed ^ 1));
    let _ = HOOK_INPUT.set(input);
    match process.engine {
        Engine::Asynchronous => asynchronous::run(process),
        Engine::Blocking => blocking::run(process),
    }
}

impl Process {
    fn share<D>(self, db: D) -> Arc<Shared<D>> {
        Arc::new(Shared {
            db,
            log: Log::open(&self.history, self.number).unwrap(),
            chance: Random::of(self.seed),
            load: self.load.clone(),
            failures: Default::default(),
            reports: AtomicU64::new(0),
            calls: Mutex::default(),
            process: self,
        })
    }

    fn cache(&self) -> CacheConfig {
        let config = cache_config(&self.cache, &self.load);
        config
            .injected_fault(self.load.injected_fault())
            .failpoint_hook(delay_at)
    }
}

const REPORTS: Duration = Duration::from_millis(100);

#[path = ""]
mod asynchronous {
    use super::{Arc, Duration, Failure, Instant, Process, REPORTS, Shared, database_config};
    use diesel_async::SimpleAsyncConnection as _;
    use std::pin::Pin;
    use wundr_db::{repository as both_engines, *};

    mod logins;
    mod operations;
    use logins::{Keeper, Place, authenticate, keep, sessions_of};
    use operations::{Plan, read, write};

    /// Waits for a call, or drops it by chance. Returns `None` unless it has succeeded.
    async fn patiently<T>(
        place: &Place<'_>,
        call: impl Future<Output = Result<T>> + Send,
    ) -> Option<T> {
        let patience = match place.chance.in_a_thousand(place.cancelled) {
            true => place.chance.within(25),
            false => Duration::from_secs(3600),
        };
        tokio::time::timeout(patience, call).await.ok()?.ok()
    }

    /// Keeps a login, or authenticates with all, for ever.
    async fn log_in(shared: Arc<Shared<Cached>>, sessions: Sessions, keeper: Option<u32>) {
        let folder = shared.process.tokens();
        let place = Place {
            db: &shared.db,
            sessions: &sessions,
            cancelled: shared.load.cancelled,
            chance: &shared.chance,
            log: &shared.log,
            folder: &folder,
        };
        let register = |login| shared.process.register(login);
        let mut keeper = keeper.map(|login| Keeper::new(register(login), &folder));
        loop {
            let pause = match &mut keeper {
                Some(keeper) => {
                    keep(&place, keeper).await;
                    shared.chance.within(shared.load.write_pause)
                }
                None => {
                    let under_way = shared.begin();
                    let reading = authenticate(&place);
                    let outcome = tokio::time::timeout(patience(&shared), reading).await;
                    drop(under_way);
                    let error = outcome.ok().and_then(Result::err);
                    shared.rest(error.as_ref(), false)
                }
            };
            stay(pause).await;
        }
    }

    async fn stay(time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn own_statement(tx: &mut Tx, sql: &str) -> Result<()> {
        Ok(tx.connection_mut().batch_execute(sql).await?)
    }

    /// A call that is not polled until a time comes, when it goes on or is dropped.
    struct Kept<'s>(
        Instant,
        Pin<Box<dyn Future<Output = Result<()>> + Send + 's>>,
    );

    impl<'s> Kept<'s> {
        /// Polls a call for a moment, at least once. What does not end is kept.
        async fn of(
            call: impl Future<Output = Result<()>> + Send + 's,
            shared: &Shared<Cached>,
            at_most: u64,
        ) -> Option<Self> {
            let mut call: Pin<Box<dyn Future<Output = Result<()>> + Send + 's>> = Box::pin(call);
            let moment = match shared.chance.in_a_thousand(500) {
                true => Duration::ZERO,
                false => shared.chance.within(10),
            };
            tokio::time::timeout(moment, &mut call).await.err()?;
            shared.failed(Failure::Kept);
            Some(Self(Instant::now() + shared.chance.within(at_most), call))
        }

        /// Lets a call go on, or drops it, whose time has come.
        async fn let_go(kept: &mut Option<Self>, shared: &Shared<Cached>) {
            if kept.as_ref().is_some_and(|kept| kept.0 <= Instant::now())
                && let Some(Self(_, call)) = kept.take()
                && shared.chance.in_a_thousand(500)
            {
                let _under_way = shared.begin();
                let _ = call.await;
            }
        }
    }

    pub fn run(process: Process) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let db = Db::lazy(database_config(&process.database)).unwrap();
            let db = Cached::new(db, process.cache()).unwrap();
            let shared = process.share(db);
            if shared.load.logins > 0 {
                let sessions = sessions_of(&shared.db);
                let logins = (0..shared.load.logins).map(Some);
                for keeper in logins.chain((0..shared.load.readers).map(|_| None)) {
                    tokio::spawn(log_in(Arc::clone(&shared), sessions.clone(), keeper));
                }
                loop {
                    stay(REPORTS).await;
                    shared.report(&shared.db.metrics());
                }
            }
            for reader in 0..shared.load.readers {
                // A kept future may hold a connection: most are left to the others.
                tokio::spawn(go_on_reading(Arc::clone(&shared), reader < 2));
            }
            for _ in 0..shared.load.writers {
                tokio::spawn(go_on_writing(Arc::clone(&shared)));
            }
            loop {
                stay(REPORTS).await;
                shared.report(&shared.db.metrics());
            }
        });
    }

    /// A future is dropped after a time, by chance.
    fn patience(shared: &Shared<Cached>) -> Duration {
        if shared.chance.in_a_thousand(shared.load.cancelled) {
            shared.chance.within(25)
        } else {
            Duration::from_secs(3600)
        }
    }

    async fn go_on_reading(shared: Arc<Shared<Cached>>, keeps: bool) {
        let Shared {
            db,
            load,
            chance,
            log,
            ..
        } = &*shared;
        let mut kept = None;
        loop {
            Kept::let_go(&mut kept, &shared).await;
            let reading = read(db, load, chance, log);
            if keeps && kept.is_none() && chance.in_a_thousand(load.kept) {
                kept = Kept::of(reading, &shared, load.kept_for).await;
                continue;
            }
            let under_way = shared.begin();
            let pause = match tokio::time::timeout(patience(&shared), reading).await {
                Ok(outcome) => shared.rest(outcome.err().as_ref(), false),
                Err(_) => {
                    shared.failed(Failure::ReadDropped);
                    Duration::ZERO
                }
            };
            drop(under_way);
            stay(pause).await;
        }
    }

    async fn go_on_writing(shared: Arc<Shared<Cached>>) {
        let Shared {
            db,
            load,
            chance,
            log,
            ..
        } = &*shared;
        let mut kept = None;
        loop {
            Kept::let_go(&mut kept, &shared).await;
            let plan = Plan::by(chance, load);
            if plan.deallocates {
                shared.failed(Failure::Deallocated);
            }
            if kept.is_none() && chance.in_a_thousand(load.kept) {
                let number = shared.choose();
                let writing = async move { write(db, load, number, &plan, log).await };
                kept = Kept::of(writing, &shared, 1_000).await;
                continue;
            }
            let under_way = shared.begin();
            let writing = write(db, load, shared.choose(), &plan, log);
            let pause = match tokio::time::timeout(patience(&shared), writing).await {
                Ok(outcome) => shared.rest(outcome.err().as_ref(), true),
                Err(_) => {
                    shared.failed(Failure::WriteDropped);
                    Duration::ZERO
                }
            };
            drop(under_way);
            stay(pause).await;
        }
    }
}

#[path = ""]
mod blocking {
    use super::{Arc, Duration, Failure, Process, REPORTS, Shared, database_config};
    use diesel::connection::SimpleConnection as _;
    use wundr_db::Result;
    use wundr_db::blocking::{repository as both_engines, *};

    mod logins;
    pub mod operations;
    use logins::{Keeper, Place, authenticate, keep, sessions_of};
    use operations::{Plan, read, write};

    fn patiently<T>(_: &Place<'_>, outcome: Result<T>) -> Option<T> {
        outcome.ok()
    }

    fn log_in(shared: &Shared<Cached>, sessions: &Sessions, keeper: Option<u32>) {
        let folder = shared.process.tokens();
        let place = Place {
            db: &shared.db,
            sessions,
            cancelled: shared.load.cancelled,
            chance: &shared.chance,
            log: &shared.log,
            folder: &folder,
        };
        let register = |login| shared.process.register(login);
        let mut keeper = keeper.map(|login| Keeper::new(register(login), &folder));
        loop {
            let pause = match &mut keeper {
                Some(keeper) => {
                    keep(&place, keeper);
                    shared.chance.within(shared.load.write_pause)
                }
                None => {
                    let under_way = shared.begin();
                    let outcome = authenticate(&place);
                    drop(under_way);
                    shared.rest(outcome.err().as_ref(), false)
                }
            };
            stay(pause);
        }
    }

    fn stay(time: Duration) {
        std::thread::sleep(time);
    }

    fn own_statement(tx: &mut Tx, sql: &str) -> Result<()> {
        Ok(tx.connection_mut().batch_execute(sql)?)
    }

    pub fn run(process: Process) {
        let db = Db::lazy(database_config(&process.database)).unwrap();
        let db = Cached::new(db, process.cache()).unwrap();
        let shared = process.share(db);
        if shared.load.logins > 0 {
            let logins = (0..shared.load.logins).map(Some);
            for keeper in logins.chain((0..shared.load.readers).map(|_| None)) {
                let (shared, sessions) = (Arc::clone(&shared), sessions_of(&shared.db));
                std::thread::spawn(move || log_in(&shared, &sessions, keeper));
            }
            loop {
                stay(REPORTS);
                shared.report(&shared.db.metrics());
            }
        }
        for _ in 0..shared.load.readers {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || go_on_reading(&shared));
        }
        for _ in 0..shared.load.writers {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || go_on_writing(&shared));
        }
        loop {
            stay(REPORTS);
            shared.report(&shared.db.metrics());
        }
    }

    fn go_on_reading(shared: &Shared<Cached>) {
        loop {
            let under_way = shared.begin();
            let outcome = read(&shared.db, &shared.load, &shared.chance, &shared.log);
            drop(under_way);
            stay(shared.rest(outcome.err().as_ref(), false));
        }
    }

    fn go_on_writing(shared: &Shared<Cached>) {
        loop {
            let plan = Plan::by(&shared.chance, &shared.load);
            if plan.deallocates {
                shared.failed(Failure::Deallocated);
            }
            let number = shared.choose();
            let under_way = shared.begin();
            let outcome = write(&shared.db, &shared.load, number, &plan, &shared.log);
            drop(under_way);
            stay(shared.rest(outcome.err().as_ref(), true));
        }
    }
}

pub use blocking::operations;
