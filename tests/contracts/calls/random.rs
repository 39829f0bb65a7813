//! Transactions of random calls, joined, dropped, kept and nested, against a model of what is
//! stored after them.
//!
//! Each run is one transaction on a connection whose server answers in pieces. The model has of
//! each call only what its caller received: what was acknowledged is there if the transaction was
//! committed, what was refused is not, and a commit that the server refuses is an error.

use super::beside::{REFUSES, poll, user};
use super::*;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tokio::time::timeout;
use wundr_db::testing::{Proxy, ProxyMode};

const RUNS: u64 = 2_000;

/// The number of concurrent runs, each on a database of its own.
const AT_ONCE: u64 = 4;

/// Longer than any run takes, unless something in it waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// A small generator of its own (SplitMix64), so that a seed gives the same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn is_one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// The expectation about the users of one call: a prefix of their addresses, and how many of them
/// are to be there.
#[derive(Default)]
struct Model {
    expected: BTreeMap<String, u64>,
    calls: u64,
}

impl Model {
    fn name(&mut self) -> String {
        self.calls += 1;
        format!("c{}", self.calls)
    }
}

#[derive(Clone, Copy)]
enum Call {
    Create,
    Taken,
    Few,
    Many,
    Ingest,
    BrokenIngest,
    Find,
    List,
    Stream,
}

struct Run<'r> {
    random: &'r mut Random,
    model: &'r mut Model,
    /// A new analysis for each ingest.
    project: (ProjectId, UserId),
}

/// The rows that an acknowledged call has written.
type Answer = Result<Option<(String, u64)>>;

fn call<'t>(
    tx: &'t Tx,
    call: Call,
    name: String,
    (project, owner): (ProjectId, UserId),
) -> BoxFuture<'t, Answer> {
    async move {
        match call {
            Call::Create => {
                tx.users().create(user(&name)).await?;
                Ok(Some((name, 1)))
            }
            Call::Taken => {
                tx.users().create(user("taken")).await?;
                panic!("the address is taken");
            }
            Call::Few | Call::Many => {
                let number = match call {
                    Call::Few => 3,
                    _ => 1_000,
                };
                let rows: Vec<_> = (0..number).map(|n| user(format!("{name}-{n}"))).collect();
                assert_eq!(tx.users().create_many(&rows).await?, number);
                Ok(Some((name, number)))
            }
            Call::Ingest | Call::BrokenIngest => {
                let mut new = NewAnalysis::new(project, AnalysisType::Quality, owner);
                new.id = AnalysisId::new();
                let id = new.id;
                let issue = |title: usize| {
                    let (kind, severity) = (IssueType::Maintainability, IssueSeverity::Low);
                    NewAnalysisIssue::new(id, kind, severity, title.to_string(), "a.rs")
                };
                let mut issues: Vec<_> = (0..3).map(issue).collect();
                if matches!(call, Call::BrokenIngest) {
                    issues[2].id = issues[0].id;
                }
                tx.analyses().ingest(new).issues(issues).run().await?;
                assert!(matches!(call, Call::Ingest));
                Ok(Some((format!("analysis {id}"), 1)))
            }
            Call::Find => {
                assert_eq!(tx.users().find(UserId::new()).await?, None);
                Ok(None)
            }
            Call::List => {
                let page = Page::new();
                tx.users().list(&UserFilter::new(), &page).await?;
                Ok(None)
            }
            Call::Stream => {
                let (users, filter) = (tx.users(), UserFilter::new());
                let mut stream = users.stream(&filter);
                while let Some(user) = stream.next().await {
                    user?;
                }
                Ok(None)
            }
        }
    }
    .boxed()
}

impl Run<'_> {
    fn pick(&mut self) -> Call {
        match self.random.below(40) {
            0..12 => Call::Create,
            12..14 => Call::Taken,
            14..18 => Call::Few,
            18 => Call::Many,
            19..23 => Call::Ingest,
            23..26 => Call::BrokenIngest,
            26..32 => Call::Find,
            32..37 => Call::List,
            _ => Call::Stream,
        }
    }

    /// Some concurrent calls, of which some may be dropped.
    async fn step(&mut self, tx: &Tx) -> Result<()> {
        let number = 1 + self.random.below(3);
        let mut calls = Vec::new();
        for _ in 0..number {
            let (picked, name) = (self.pick(), self.model.name());
            calls.push((picked, name));
        }
        let project = self.project;
        // Told as soon as it is known: the others may be dropped.
        let (acknowledged, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
        let made = calls.into_iter().map(|(picked, name)| {
            let (acknowledged, failure) = (&acknowledged, &failure);
            call(tx, picked, name, project).map(move |answer| match answer {
                Ok(written) => acknowledged.lock().unwrap().extend(written),
                // Nothing was sent, or the unit was undone.
                Err(Error::InUse { .. } | Error::Row { .. }) => {}
                Err(error) => *failure.lock().unwrap() = Some(error),
            })
        });
        let made: Vec<_> = made.collect();
        let (filter, users) = (UserFilter::new(), tx.users());
        let mut kept = users.stream(&filter);
        let mut next = pin!(kept.next());
        if self.random.is_one_in(6) {
            let _ = poll(next.as_mut());
        }
        let is_dropped = if self.random.is_one_in(4) {
            let moment = Duration::from_micros(self.random.below(4_000));
            timeout(moment, join_all(made)).await.is_err()
        } else {
            join_all(made).await;
            false
        };
        self.model
            .expected
            .extend(acknowledged.into_inner().unwrap());
        match failure.into_inner().unwrap() {
            Some(error) => Err(error),
            None if is_dropped => Err(Error::StaleWrite { what: "Moment" }),
            None => Ok(()),
        }
    }

    /// Steps and savepoints. An error may be swallowed, as a caller would that does not know
    /// better.
    fn work<'w>(&'w mut self, tx: &'w mut Tx, depth: u32) -> BoxFuture<'w, Result<()>> {
        async move {
            for _ in 0..1 + self.random.below(3) {
                let outcome = if depth < 2 && self.random.is_one_in(3) {
                    let before = self.model.expected.clone();
                    let gives_up = self.random.is_one_in(4);
                    let outcome = tx
                        .savepoint(async |tx| -> Result<()> {
                            self.work(tx, depth + 1).await?;
                            match gives_up {
                                true => Err(Error::StaleWrite { what: "Mind" }),
                                false => Ok(()),
                            }
                        })
                        .await;
                    if outcome.is_err() {
                        self.model.expected = before;
                    }
                    // A savepoint that failed has been undone: going on is right.
                    Ok(())
                } else {
                    self.step(tx).await
                };
                if outcome.is_err() && !self.random.is_one_in(2) {
                    return outcome;
                }
            }
            Ok(())
        }
        .boxed()
    }
}

async fn check(observer: &mut Observer, seed: u64, outcome: &Result<()>, model: &Model) {
    let users = observer.count("public.users WHERE email LIKE 'c%'");
    let analyses = observer.count("analysis.analyses");
    let Ok(()) = outcome else {
        assert_eq!((users, analyses), (0, 0), "seed {seed}: {outcome:?}");
        return;
    };
    let is_analysis = |name: &str| name.starts_with("analysis ");
    let mut expected = (0, 0);
    for (name, number) in &model.expected {
        let place = match is_analysis(name) {
            true => &mut expected.1,
            false => &mut expected.0,
        };
        *place += number;
    }
    assert_eq!((users as u64, analyses as u64), expected, "seed {seed}");
}

/// Runs every fourth seed. Returns how many transactions were committed.
async fn committed(first: u64) -> u64 {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let config = Config::new(&proxy.url_of(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(REFUSES);
    let owner = db.users().create(user("taken")).await.unwrap().id;
    let project = db.projects().create(NewProject::new("p", owner)).await;
    let project = (project.unwrap().id, owner);
    let many: Vec<_> = (0..100).map(|n| user(format!("other-{n}"))).collect();
    db.users().create_many(&many).await.unwrap();

    let mut committed = 0;
    for seed in (first..RUNS).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let mut random = Random(seed);
        // Every now and then each piece comes after a pause.
        let pause = match seed % 100 {
            0 => Duration::from_millis(3),
            _ => Duration::ZERO,
        };
        proxy.set(ProxyMode::Split { pause, seed }).unwrap();
        let mut model = Model::default();
        let is_refused = random.is_one_in(4);
        let mut run = Run {
            random: &mut random,
            model: &mut model,
            project,
        };
        let work = db.transaction(async |tx| -> Result<()> {
            if is_refused {
                let new = NewOrganization::new("refused", format!("o{seed}"));
                tx.organizations().create(new).await?;
            }
            run.work(tx, 0).await
        });
        let outcome = timeout(PATIENCE, work).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed} waits"));
        assert!(!is_refused || outcome.is_err(), "seed {seed}");
        // Whatever was given up has ended in the server by now, or does before it is looked at.
        observer.eventually(crate::observer::ALL_AT_REST).await;
        check(&mut observer, seed, &outcome, &model).await;
        if outcome.is_ok() {
            committed += 1;
            observer.run(
                "DELETE FROM analysis.analyses; DELETE FROM public.users WHERE email LIKE 'c%'",
            );
        }
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_is_there_and_what_is_refused_is_not_whatever_is_joined_or_dropped() {
    let parts = (0..AT_ONCE).map(|first| tokio::spawn(committed(first)));
    let parts = join_all(parts).await;
    let committed: u64 = parts.into_iter().map(|part| part.unwrap()).sum();
    // Both are tried often.
    let few = RUNS / 5;
    assert!((few..RUNS - few).contains(&committed), "{committed}");
}
