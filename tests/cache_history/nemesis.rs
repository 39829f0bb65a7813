//! Does harm to the servers and processes of a trial.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::servers::{Caches, Database};
use crate::workers::Workers;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    FlushAll,
    KillClients,
    ForgetScripts,
    RedisStandsStill,
    RedisStartedEmpty,
    RedisRemembered,
    RedisStartedFromOldSnapshot,
    RedisFailedOver,
    RedisStarved,
    SessionsTerminated,
    PostgresCrashed,
    ProcessKilled,
    ProcessStandsStill,
    PostgresVanished,
    PostgresFailedOver,
    TypeWidened,
    ColumnChanged,
    ClockStepped,
}

/// The number of each action, and the most milliseconds between two.
#[derive(Clone)]
pub struct Harms {
    pub weights: Vec<(Harm, u32)>,
    pub pause: u64,
    /// Every other while only what leaves the generation as it is: fences that were left behind
    /// grow old only then.
    pub calm: bool,
}

/// Columns of rows that are read, whose type is changed without rewriting the rows: a transaction
/// that is older than a table's new rows finds the table empty, which is PostgreSQL's doing.
const COLUMNS: [(&str, &str); 3] = [
    ("public.projects", "description"),
    ("public.user_sessions", "user_agent"),
    ("public.user_sessions", "token_hash"),
];

/// The seconds of a while.
const PHASE: u64 = 5;

impl Harm {
    fn leaves_the_generation(self) -> bool {
        matches!(
            self,
            Self::KillClients
                | Self::ForgetScripts
                | Self::SessionsTerminated
                | Self::ProcessKilled
                | Self::ProcessStandsStill
                | Self::TypeWidened
                | Self::ColumnChanged
                | Self::ClockStepped
        )
    }
}

/// The number of times that each action was done.
#[derive(Default)]
pub struct Done(BTreeMap<Harm, u64>);

impl Done {
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn of(&self, harm: Harm) -> u64 {
        self.0.get(&harm).copied().unwrap_or(0)
    }
}

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self
            .0
            .iter()
            .map(|(harm, times)| format!("{harm:?} {times}"));
        formatter.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}

pub struct Nemesis<'t> {
    pub caches: &'t mut Caches,
    pub database: &'t Database,
    pub workers: &'t Workers,
    pub chance: Random,
}

impl Nemesis<'_> {
    /// Runs until it is stopped. Then all servers run.
    pub fn rage(&mut self, harms: &Harms, stop: &AtomicBool) -> Done {
        let mut done = Done::default();
        let bag = |is_calm: bool| -> Vec<Harm> {
            let weights = harms.weights.iter();
            let weights = weights.filter(|(harm, _)| !is_calm || harm.leaves_the_generation());
            weights
                .flat_map(|(harm, weight)| std::iter::repeat_n(*harm, *weight as usize))
                .collect()
        };
        let (all, few) = (bag(false), bag(true));
        let began = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(self.chance.within(harms.pause));
            let is_calm = harms.calm && began.elapsed().as_secs() / PHASE % 2 == 1;
            let bag = if is_calm { &few } else { &all };
            if bag.is_empty() {
                continue;
            }
            let harm = *self.chance.pick(bag);
            if self.inflict(harm) {
                *done.0.entry(harm).or_default() += 1;
            }
        }
        done
    }

    /// Tells whether it could be done.
    fn inflict(&mut self, harm: Harm) -> bool {
        let Self {
            caches,
            database,
            workers,
            chance,
        } = self;
        match harm {
            Harm::FlushAll => caches.ask(&["FLUSHALL"]),
            Harm::KillClients => caches.ask(&["CLIENT", "KILL", "TYPE", "normal"]),
            Harm::ForgetScripts => caches.ask(&["SCRIPT", "FLUSH"]),
            Harm::RedisStandsStill => {
                caches.stand_still(chance.within(600));
                true
            }
            Harm::RedisStartedEmpty => {
                caches.restart_empty(chance.within(200));
                true
            }
            Harm::RedisRemembered => caches.remember(),
            Harm::RedisStartedFromOldSnapshot => caches.restart_old(chance.within(200)),
            Harm::RedisFailedOver => caches.fail_over(chance),
            Harm::RedisStarved => {
                caches.starve(chance, chance.within(800));
                true
            }
            Harm::SessionsTerminated => {
                database.terminate(1 + chance.below(8));
                true
            }
            Harm::PostgresCrashed => {
                database.crash(Duration::from_millis(10) + chance.within(100));
                true
            }
            Harm::ProcessKilled => {
                workers.kill_one(chance);
                true
            }
            Harm::ProcessStandsStill => {
                workers.stop_one(chance, Duration::from_millis(100) + chance.within(3_500));
                true
            }
            Harm::PostgresVanished => {
                database.vanish();
                true
            }
            Harm::PostgresFailedOver => {
                database.fail_over();
                true
            }
            Harm::TypeWidened => {
                let which = *chance.pick(&["public.project_role", "setup.config_category"]);
                let word = format!("word_{}", chance.below(1_000_000));
                database.migrate(&format!(
                    "ALTER TYPE {which} ADD VALUE IF NOT EXISTS '{word}'"
                ))
            }
            Harm::ColumnChanged => {
                let which = *chance.pick(&COLUMNS);
                let into = *chance.pick(&["text", "varchar"]);
                let (table, column) = which;
                database.migrate(&format!(
                    "ALTER TABLE {table} ALTER COLUMN {column} TYPE {into}"
                ))
            }
            Harm::ClockStepped => workers.step_clock(chance),
        }
    }
}
