//! Rounds in which the contenders of a group alternate.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

use crate::Outcome;

/// The number of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// The number that the group needs for steady medians.
    Full,
    /// One round with a tenth of the operations, without a warm-up.
    Quick,
}

/// Contenders that do the same work.
pub struct Group {
    name: &'static str,
    floor: &'static str,
    rounds: usize,
    operations: usize,
    contenders: Vec<Contender>,
}

struct Contender {
    id: &'static str,
    floor: &'static str,
    operations: usize,
    prepare: Box<dyn FnMut(Turn) -> Outcome<Work>>,
}

/// The operations of one contender in one round.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    round: usize,
    operations: usize,
}

impl Turn {
    /// The numbers of the operations, counted over all rounds.
    pub fn numbers(self) -> Range<usize> {
        self.round * self.operations..(self.round + 1) * self.operations
    }
}

/// The measured part of a sample.
enum Work {
    Task(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Call(Box<dyn FnOnce() -> Outcome>),
}

/// The times of one contender in one round, for each operation.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub time: Duration,
    pub cpu: Duration,
}

/// The samples of a group, one for each round.
pub struct Measured {
    pub name: &'static str,
    pub contenders: Vec<Samples>,
}

pub struct Samples {
    pub id: &'static str,
    pub floor: &'static str,
    pub rounds: Vec<Sample>,
}

impl Group {
    /// Creates a group whose ratios are relative to the contender `floor`, with the given rounds
    /// and operations for each round.
    pub fn new(name: &'static str, floor: &'static str, rounds: usize, operations: usize) -> Self {
        Self {
            name,
            floor,
            rounds,
            operations,
            contenders: Vec::new(),
        }
    }

    /// Adds an async contender. The time of `prepare` is not measured; that of the future that it
    /// returns is.
    pub fn task<S, W>(
        &mut self,
        id: &'static str,
        on: S,
        prepare: impl Fn(S, Turn) -> W + 'static,
    ) -> &mut Self
    where
        S: Clone + 'static,
        W: Future<Output = Outcome> + Send + 'static,
    {
        self.add(id, move |turn| {
            Ok(Work::Task(Box::pin(prepare(on.clone(), turn))))
        })
    }

    /// Adds a blocking contender. The time of `prepare` is not measured; that of the closure that
    /// it returns is.
    pub fn call<S, W>(
        &mut self,
        id: &'static str,
        on: S,
        prepare: impl Fn(S, Turn) -> W + 'static,
    ) -> &mut Self
    where
        S: Clone + 'static,
        W: FnOnce() -> Outcome + 'static,
    {
        self.add(id, move |turn| {
            Ok(Work::Call(Box::new(prepare(on.clone(), turn))))
        })
    }

    fn add(
        &mut self,
        id: &'static str,
        prepare: impl FnMut(Turn) -> Outcome<Work> + 'static,
    ) -> &mut Self {
        self.contenders.push(Contender {
            id,
            floor: self.floor,
            operations: self.operations,
            prepare: Box::new(prepare),
        });
        self
    }

    /// Restores the same state by `restore` before each sample of every contender so far.
    pub fn restoring(&mut self, restore: impl Fn() -> Outcome + Clone + 'static) -> &mut Self {
        for contender in &mut self.contenders {
            let restore = restore.clone();
            let mut prepare = std::mem::replace(
                &mut contender.prepare,
                Box::new(|_| Err("replaced immediately".into())),
            );
            contender.prepare = Box::new(move |turn| {
                restore()?;
                prepare(turn)
            });
        }
        self
    }

    /// Gives the contender added last a floor of its own.
    pub fn against(&mut self, floor: &'static str) -> &mut Self {
        if let Some(contender) = self.contenders.last_mut() {
            contender.floor = floor;
        }
        self
    }

    /// Sets the number of operations in each round of the contender added last.
    pub fn operations(&mut self, operations: usize) -> &mut Self {
        if let Some(contender) = self.contenders.last_mut() {
            contender.operations = operations;
        }
        self
    }

    /// Reduces the group to one contender if one is named, with enough operations for a profiler.
    #[must_use]
    pub fn only(mut self, id: Option<&str>) -> Self {
        if let Some(id) = id {
            self.contenders.retain(|contender| id == contender.id);
            self.rounds *= 20;
        }
        self
    }

    /// Runs the rounds, after one that is not measured, which warms caches and prepares statements.
    pub fn measure(mut self, runtime: &Runtime, effort: Effort) -> Outcome<Measured> {
        let (rounds, warm_up) = match effort {
            Effort::Full => (self.rounds, 1),
            Effort::Quick => (1, 0),
        };
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.contenders.len()];
        let mut order: Vec<usize> = (0..self.contenders.len()).collect();
        // The order is the same in every run.
        let mut random = fastrand::Rng::with_seed(0);
        for round in 0..warm_up + rounds {
            random.shuffle(&mut order);
            for &index in &order {
                let contender = &mut self.contenders[index];
                let operations = match effort {
                    Effort::Full => contender.operations,
                    Effort::Quick => contender.operations.div_ceil(10),
                };
                let work = (contender.prepare)(Turn { round, operations });
                let sample = work.and_then(|work| time(runtime, work, operations));
                let sample =
                    sample.map_err(|error| format!("{}/{}: {error}", self.name, contender.id))?;
                if round >= warm_up {
                    samples[index].push(sample);
                }
            }
        }
        let contenders = self.contenders.iter().zip(samples);
        Ok(Measured {
            name: self.name,
            contenders: contenders
                .map(|(contender, rounds)| Samples {
                    id: contender.id,
                    floor: contender.floor,
                    rounds,
                })
                .collect(),
        })
    }
}

fn time(runtime: &Runtime, work: Work, operations: usize) -> Outcome<Sample> {
    let operations = u32::try_from(operations)?;
    let sample = match work {
        Work::Task(task) => runtime.block_on(runtime.spawn(async move {
            let started = Started::now()?;
            task.await?;
            started.elapsed()
        }))??,
        Work::Call(call) => {
            let started = Started::now()?;
            call()?;
            started.elapsed()?
        }
    };
    Ok(Sample {
        time: sample.time / operations,
        cpu: sample.cpu / operations,
    })
}

struct Started {
    at: Instant,
    cpu: Duration,
}

impl Started {
    fn now() -> Outcome<Self> {
        let cpu = cpu()?;
        Ok(Self {
            at: Instant::now(),
            cpu,
        })
    }

    fn elapsed(self) -> Outcome<Sample> {
        let time = self.at.elapsed();
        Ok(Sample {
            time,
            cpu: cpu()?.saturating_sub(self.cpu),
        })
    }
}

/// Returns the CPU time of the threads of this process, and of the processes that it has waited
/// for, so far.
fn cpu() -> Outcome<Duration> {
    let own = Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?);
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = [children.user_time(), children.system_time()]
        .iter()
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec())
        .sum::<i64>();
    Ok(own + Duration::from_micros(u64::try_from(microseconds)?))
}
