//! What is tried: the protocol under everything, and each mutant under what it cannot bear.

use std::time::Duration;

use crate::ending;
use crate::nemesis::{Harm, Harms};
use crate::settings::{Engine, Stall, Workload};
use crate::trial::Trial;
use wundr_db::cache::{Mutant, Point};

use Engine::{Asynchronous, Blocking};

fn workload(objects: usize) -> Workload {
    Workload {
        objects: Vec::with_capacity(objects),
        readers: 6,
        writers: 2,
        read_pause: 4,
        write_pause: 60,
        cancelled: 0,
        kept: 0,
        kept_for: 0,
        deallocated: 0,
        poisoned: 0,
        everything: 0,
        deaths: 0,
        stalls: Vec::new(),
        mutant: String::new(),
        lifetime: 60_000,
        lease: 5_000,
        shards: 1,
        started: 0,
    }
}

fn stall(point: Point, chance: u64, at_least: u64, at_most: u64) -> Stall {
    Stall {
        point,
        chance,
        at_least,
        at_most,
    }
}

/// The protocol as it is, under everything that is known to go wrong.
pub fn protocol(seconds: u64, seed: u64) -> Trial {
    let mut load = workload(6);
    load.cancelled = 80;
    load.kept = 15;
    // Longer than a call may take: a kept future stops no other reader.
    load.kept_for = 40_000;
    load.deallocated = 300;
    load.poisoned = 100;
    load.everything = 10;
    load.deaths = 8;
    load.lifetime = 2_000;
    load.started = ending::started().unwrap_or(0);
    load.shards = 1 + (seed % 3) as u16;
    load.lease = 400;
    load.stalls = vec![
        stall(Point::Read, 60, 0, 60),
        stall(Point::BeforeFill, 60, 0, 60),
        stall(Point::BeforeFill, 4, 300, 600),
        stall(Point::AfterFill, 30, 0, 60),
        stall(Point::BeforeFence, 60, 0, 60),
        stall(Point::BeforeCommit, 100, 0, 100),
        stall(Point::BeforeCommit, 4, 2_000, 3_500),
        stall(Point::BeforeEnd, 60, 0, 100),
        stall(Point::BeforeBarrier, 200, 0, 60),
    ];
    Trial {
        name: "the_protocol".to_owned(),
        load,
        harms: Harms {
            weights: vec![
                (Harm::FlushAll, 6),
                (Harm::KillClients, 6),
                (Harm::ForgetScripts, 3),
                (Harm::RedisStandsStill, 4),
                (Harm::RedisStartedEmpty, 4),
                (Harm::RedisRemembered, 6),
                (Harm::RedisStartedFromOldSnapshot, 5),
                (Harm::RedisFailedOver, 5),
                (Harm::RedisStarved, 4),
                (Harm::SessionsTerminated, 5),
                (Harm::PostgresCrashed, 2),
                (Harm::ProcessKilled, 4),
                (Harm::ProcessStandsStill, 2),
                (Harm::PostgresVanished, 2),
                (Harm::PostgresFailedOver, 1),
                (Harm::TypeWidened, 2),
                (Harm::ColumnChanged, 4),
                (Harm::ClockStepped, 3),
            ],
            pause: 600,
            calm: true,
        },
        engines: &[Asynchronous, Blocking, Asynchronous, Blocking],
        time: Duration::from_secs(seconds),
        seed,
    }
}

/// What a mutant cannot bear.
pub fn of_mutant(mutant: Mutant, seed: u64) -> Trial {
    let mut load = workload(2);
    load.mutant = format!("{mutant:?}");
    let mut weights = Vec::new();
    let mut pause = 100;
    let mut engines: &'static [Engine] = &[Asynchronous, Blocking];
    match mutant {
        Mutant::DeleteAfterCommitOnly | Mutant::UnguardedFill => {
            load.stalls = vec![stall(Point::BeforeFill, 300, 0, 80)];
        }
        Mutant::SharedFlight => {
            load.stalls = vec![stall(Point::Read, 500, 0, 80)];
        }
        Mutant::LateClose => {
            load.stalls = vec![stall(Point::AfterFill, 500, 0, 80)];
        }
        Mutant::ExpiringFence => {
            load.stalls = vec![stall(Point::BeforeCommit, 300, 2_500, 3_500)];
        }
        Mutant::NoBarrier => {
            load.stalls = vec![stall(Point::BeforeCommit, 500, 50, 300)];
            weights = vec![(Harm::FlushAll, 1)];
        }
        Mutant::AnyRun => {
            weights = vec![
                (Harm::RedisRemembered, 1),
                (Harm::RedisStartedFromOldSnapshot, 1),
            ];
            pause = 600;
        }
        Mutant::AnyGeneration => {
            load.everything = 300;
        }
        other => panic!("{other:?} is no mutant"),
    }
    if matches!(mutant, Mutant::SharedFlight | Mutant::LateClose) {
        engines = &[Asynchronous];
        load.readers = 16;
        load.writers = 4;
    }
    Trial {
        name: format!("mutant_{mutant:?}"),
        load,
        harms: Harms {
            weights,
            pause,
            calm: false,
        },
        engines,
        time: Duration::from_secs(20),
        seed,
    }
}
