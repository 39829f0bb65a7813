//! The trials: the protocol under all faults of the servers, and each injected fault under those
//! that reveal it.

use std::time::Duration;

use crate::ending;
use crate::nemesis::{Harm, Harms};
use crate::settings::{Engine, Stall, Workload};
use crate::trial::Trial;
use wundr_db::cache::{Failpoint, InjectedFault};

use Engine::{Asynchronous, Blocking};

fn workload(objects: usize) -> Workload {
    Workload {
        objects: Vec::with_capacity(objects),
        logins: 0,
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
        injected_fault: None,
        lifetime: 60_000,
        lease: 5_000,
        shards: 1,
        started: 0,
    }
}

fn stall(point: Failpoint, chance: u64, at_least: u64, at_most: u64) -> Stall {
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
        stall(Failpoint::AfterRead, 60, 0, 60),
        stall(Failpoint::BeforeFill, 60, 0, 60),
        stall(Failpoint::BeforeFill, 4, 300, 600),
        stall(Failpoint::AfterFill, 30, 0, 60),
        stall(Failpoint::BeforeFence, 60, 0, 60),
        stall(Failpoint::BeforeCommit, 100, 0, 100),
        stall(Failpoint::BeforeCommit, 4, 2_000, 3_500),
        stall(Failpoint::BeforeEnd, 60, 0, 100),
        stall(Failpoint::BeforeBarrier, 200, 0, 60),
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

/// Logins that are rotated and ended, under everything that goes wrong with servers and processes.
pub fn logins(seconds: u64, seed: u64, fault: Option<InjectedFault>) -> Trial {
    let mut trial = protocol(seconds, seed);
    trial.name = format!("logins_{fault:?}");
    let load = &mut trial.load;
    load.objects = Vec::with_capacity(1);
    load.logins = 3;
    load.write_pause = 30;
    load.started = 0;
    load.lifetime = 60_000;
    load.injected_fault = fault.map(|fault| format!("{fault:?}"));
    // The clock of a process sets the end of its tokens, and nothing else writes the columns.
    let is_for_logins = |(harm, _): &(Harm, u32)| {
        !matches!(
            harm,
            Harm::ClockStepped | Harm::ColumnChanged | Harm::TypeWidened
        )
    };
    trial.harms.weights.retain(is_for_logins);
    if fault.is_some() {
        load.cancelled = 0;
        load.deaths = 0;
        load.shards = 1;
        load.stalls = vec![stall(Failpoint::BeforeFill, 300, 0, 80)];
        trial.harms.weights.clear();
        trial.engines = &[Asynchronous, Blocking];
    }
    trial
}

/// Returns the trial that reveals an injected fault.
pub fn of_fault(fault: InjectedFault, seed: u64) -> Trial {
    let mut load = workload(2);
    load.injected_fault = Some(format!("{fault:?}"));
    let mut weights = Vec::new();
    let mut pause = 100;
    let mut engines: &'static [Engine] = &[Asynchronous, Blocking];
    match fault {
        InjectedFault::DeleteAfterCommitOnly | InjectedFault::UnguardedFill => {
            load.stalls = vec![stall(Failpoint::BeforeFill, 300, 0, 80)];
        }
        InjectedFault::RefusedFillIsShared => {
            load.stalls = vec![stall(Failpoint::AfterRead, 500, 0, 80)];
        }
        InjectedFault::LateWaiter => {
            load.stalls = vec![stall(Failpoint::AfterFill, 500, 0, 80)];
        }
        InjectedFault::FenceExpires => {
            load.stalls = vec![stall(Failpoint::BeforeCommit, 300, 2_500, 3_500)];
        }
        InjectedFault::NoBarrier => {
            load.stalls = vec![stall(Failpoint::BeforeCommit, 500, 50, 300)];
            weights = vec![(Harm::FlushAll, 1)];
        }
        InjectedFault::RestoredSnapshotAccepted => {
            weights = vec![
                (Harm::RedisRemembered, 1),
                (Harm::RedisStartedFromOldSnapshot, 1),
            ];
            pause = 600;
        }
        InjectedFault::HitIgnoresGeneration => {
            load.everything = 300;
        }
    }
    if matches!(
        fault,
        InjectedFault::RefusedFillIsShared | InjectedFault::LateWaiter
    ) {
        engines = &[Asynchronous];
        load.readers = 16;
        load.writers = 4;
    }
    Trial {
        name: format!("fault_{fault:?}"),
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
