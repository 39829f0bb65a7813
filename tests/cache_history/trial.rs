//! A run of the processes with what is done to them, and what it came to.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::checker::{Checker, Violation};
use crate::ending;
use crate::event::{Events, Key, Kind, Log, What};
use crate::nemesis::{Done, Harms, Nemesis};
use crate::observer::{ALL_AT_REST, Observer};
use crate::random::Random;
use crate::servers::{Caches, Database};
use crate::settings::{Engine, Object, Process, Workload};
use crate::value;
use crate::worker::{COUNTERS, cache_config, database_config, operations};
use crate::workers::Workers;
use chrono::{DateTime, Utc};
use serde_json::json;
use wundr_db::blocking::*;
use wundr_db::{
    AnalysisType, ConfigCategory, NewAnalysis, NewConfiguration, NewProject, NewProjectMember,
    NewUser, NewUserSession, UserId,
};

/// The settings and the duration of a trial.
#[derive(Clone)]
pub struct Trial {
    pub name: String,
    pub load: Workload,
    pub harms: Harms,
    pub engines: &'static [Engine],
    pub time: Duration,
    pub seed: u64,
}

pub struct Report {
    pub violation: Option<Violation>,
    pub checker: Checker,
    pub harms: Done,
    pub deaths: u64,
    pub took: Duration,
    seed: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checker = &self.checker;
        writeln!(
            formatter,
            "    seed {}, {:.1} s, {} operations: {} reads, {} writes acknowledged of {} intended; {} processes died",
            self.seed,
            self.took.as_secs_f64(),
            checker.reads_ended + checker.writes_acknowledged,
            checker.reads_ended,
            checker.writes_acknowledged,
            checker.writes_intended,
            self.deaths
        )?;
        let counters = COUNTERS.iter().enumerate();
        let counted = counters.map(|(which, name)| format!("{} {name}", self.counted(which)));
        writeln!(formatter, "    {}", counted.collect::<Vec<_>>().join(", "))?;
        let hits = self.counted(0) + self.counted(1);
        let rate = 100.0 * hits as f64 / (hits + self.counted(2) + self.counted(3)).max(1) as f64;
        write!(formatter, "    hit rate {rate:.0} %; {}", self.harms)
    }
}

impl Report {
    fn counted(&self, which: usize) -> u64 {
        self.checker.counted(which as u8)
    }

    /// The value of each counter, by its name.
    pub fn count(&self, name: &str) -> u64 {
        let which = COUNTERS.iter().position(|other| *other == name);
        self.counted(which.unwrap())
    }
}

const KILLED_PROCESSES_ARE_REPLACED: Duration = Duration::from_millis(20);

impl Trial {
    /// Runs until the time is over, or something was read that cannot have been.
    pub fn run(mut self, database: &Database) -> Report {
        let began = Instant::now();
        let mut caches = Caches::start();
        let history = self.history();
        let _ = std::fs::remove_file(&history);
        let tokens = history.with_extension("tokens");
        let _ = std::fs::remove_dir_all(&tokens);
        std::fs::create_dir_all(&tokens).unwrap();
        let log = Log::open(&history, 0).unwrap();
        let mut events = Events::of(&history).unwrap();
        let db = Db::connect(database_config(&database.url())).unwrap();
        self.load.objects = (0..self.load.objects.capacity())
            .map(|number| create(&db, number, &log))
            .collect();
        // Not a user whose sessions the processes delete.
        let visitor = NewUser::new(format!("visitor-{}", self.load.objects[0].email), "visitor");
        let visitor = &db.users().create(visitor).unwrap().id;
        let like = Process {
            number: 0,
            engine: Engine::Blocking,
            seed: self.seed,
            database: database.url(),
            cache: caches.url(),
            history: history.clone(),
            load: self.load.clone(),
        };
        let workers = Workers::start(like, self.engines);
        let stop = AtomicBool::new(false);
        let mut checker = Checker::default();
        let mut violation = None;
        let mut deaths = 0;
        let mut nemesis = Nemesis {
            caches: &mut caches,
            database,
            workers: &workers,
            chance: Random::of(self.seed ^ 2),
        };
        let harms = std::thread::scope(|scope| {
            let raging = scope.spawn(|| nemesis.rage(&self.harms, &stop));
            if self.load.started > 0 {
                scope.spawn(|| make_sessions_that_end(database, visitor, &stop));
            }
            while violation.is_none() && began.elapsed() < self.time {
                std::thread::sleep(KILLED_PROCESSES_ARE_REPLACED);
                deaths += workers.replace_dead();
                violation = follow(&mut checker, &mut events);
            }
            stop.store(true, Ordering::Relaxed);
            raging.join().unwrap()
        });
        workers.kill_all();
        if violation.is_none() {
            self.look_back(database, &caches, &log);
            violation = follow(&mut checker, &mut events);
        }
        if violation.is_none() {
            let _ = std::fs::remove_file(&history);
            let _ = std::fs::remove_dir_all(&tokens);
        }
        Report {
            violation,
            checker,
            harms,
            deaths,
            took: began.elapsed(),
            seed: self.seed,
        }
    }

    fn history(&self) -> PathBuf {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        directory.join(format!("cache_history-{}", self.name))
    }

    /// When all is quiet, the cache has what the database has.
    fn look_back(&self, database: &Database, caches: &Caches, log: &Log) {
        Observer::of(&database.direct_url()).until(ALL_AT_REST);
        let db = Db::connect(database_config(&database.url())).unwrap();
        let cached = Cached::new(db, cache_config(&caches.url(), &self.load)).unwrap();
        for (number, object) in self.load.objects.iter().enumerate() {
            for &kind in Kind::OF_OBJECTS {
                let key = Key {
                    object: number as u32,
                    kind,
                };
                for by_other_way in [false, true, false] {
                    let operation = log.operation();
                    log.note(key, operation, What::ReadBegan);
                    let seen = operations::seen(&cached, object, kind, by_other_way).unwrap();
                    log.note(key, operation, What::ReadEnded(seen));
                }
            }
        }
    }
}

/// Sessions are made ahead of their end, one for each time that a reader may choose.
fn make_sessions_that_end(database: &Database, user: &UserId, stop: &AtomicBool) {
    let now = || DateTime::<Utc>::from(SystemTime::now()).timestamp_millis() as u64;
    let mut ends = now() / ending::EVERY * ending::EVERY;
    let connect = || Db::lazy(database_config(&database.direct_url())).unwrap();
    let mut db = connect();
    while !stop.load(Ordering::Relaxed) {
        while ends < now() + ending::AHEAD {
            ends += ending::EVERY;
            let expires_at = DateTime::from_timestamp_millis(ends as i64).unwrap();
            // One that cannot be made is never found.
            let new = NewUserSession::new(*user, ending::token(ends), expires_at);
            if db.user_sessions().create(new).is_err() {
                db = connect();
            }
        }
        std::thread::sleep(Duration::from_millis(ending::EVERY / 4));
    }
}

fn follow(checker: &mut Checker, events: &mut Events) -> Option<Violation> {
    let events = events.next().unwrap();
    events
        .into_iter()
        .find_map(|event| checker.follow(event).err())
}

/// Everything in version 0, which the parent has written.
fn create(db: &Db, number: usize, log: &Log) -> Object {
    let text = value::text(0, 0);
    let email = format!("{number}-{}@example.org", std::process::id());
    let mut new = NewUser::new(&email, &text);
    new.id = wundr_db::UserId::new();
    new.email = format!("{}-{email}", new.id);
    let user = db.users().create(new).unwrap();
    let owner = db
        .users()
        .create(NewUser::new(format!("owner-{}", user.email), "owner"));
    let new = NewProject::new("project", owner.as_ref().unwrap().id).description(&text);
    let project = db.projects().create(new).unwrap().id;
    let owns = NewProjectMember::new(project, owner.unwrap().id, wundr_db::ProjectRole::Owner);
    db.project_members().create(owns).unwrap();
    let member = NewProjectMember::new(project, user.id, value::role(0));
    db.project_members().create(member).unwrap();
    let then = chrono::DateTime::UNIX_EPOCH;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user.id).completed(then, then);
    let new = new.created_at(then).configuration(json!({ "text": text }));
    db.analyses().create(new).unwrap();
    let value = json!({ "text": text });
    let new = NewConfiguration::new(project, ConfigCategory::Analysis, "depth", value, user.id);
    db.configurations().upsert(new).unwrap();
    for &kind in Kind::OF_OBJECTS {
        let key = Key {
            object: number as u32,
            kind,
        };
        let class = match kind {
            Kind::Session => value::ABSENT,
            _ => 0,
        };
        let what = What::Intended {
            version: 0,
            writer: 0,
            class,
        };
        log.note(key, 0, what);
    }
    Object {
        project,
        user: user.id,
        token: format!("token of {}", user.email),
        email: user.email,
    }
}
