//! The guarantee of the cache, on real servers: processes of both engines read and write while
//! servers and processes are stopped, killed and started with old data, and every read is held
//! against what was acknowledged before it.
//!
//! The program starts itself again for each process. `WUNDR_HISTORY_SECONDS` is how long the
//! protocol is tried, `WUNDR_HISTORY_SEED` makes the choices of another run again; what the system
//! does between them is its own. `WUNDR_HISTORY_HARMS` names the harms of [`nemesis::Harm`] that
//! are done, all without it.

mod checker;
mod ending;
mod event;
mod nemesis;
#[allow(dead_code, reason = "this program uses a part of it")]
#[path = "../support/observer.rs"]
mod observer;
mod random;
mod servers;
mod settings;
mod trial;
mod trials;
mod value;
mod worker;
mod workers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nemesis::Harm;
use servers::Database;
use wundr_db::cache::InjectedFault;

/// One server for all trials: each has rows of its own.
static DATABASE: LazyLock<Database> = LazyLock::new(Database::start);

type Case = (String, Box<dyn FnOnce()>);

fn main() -> ExitCode {
    if let Ok(settings) = std::env::var(worker::VARIABLE) {
        worker::run(&settings);
        return ExitCode::FAILURE;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let (wanted, others): (Vec<Case>, Vec<Case>) =
        cases().into_iter().partition(|(name, _)| is_wanted(name));
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", wanted.len());
    let (began, mut passed, mut failed) = (Instant::now(), 0, 0);
    for (name, case) in wanted {
        let outcome = catch_unwind(AssertUnwindSafe(case));
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("test {name} ... {word}");
        *(if outcome.is_ok() {
            &mut passed
        } else {
            &mut failed
        }) += 1;
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        others.len(),
        began.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(failed > 0))
}

fn cases() -> Vec<Case> {
    let case = |name: String, case: Box<dyn FnOnce()>| (name, case);
    let finds = Box::new(checker::finds_what_it_is_there_for);
    let mut cases = vec![
        case("the_checker_finds_what_it_is_there_for".to_owned(), finds),
        case(
            "the_protocol_holds".to_owned(),
            Box::new(the_protocol_holds),
        ),
    ];
    cases.push(case("logins_hold".to_owned(), Box::new(logins_hold)));
    for fault in FAULTS_OF_LOGINS {
        let name = format!("the_fault_{fault:?}_is_found_by_logins");
        cases.push(case(name, Box::new(move || is_found_by_logins(fault))));
    }
    for fault in InjectedFault::ALL {
        let name = format!("the_fault_{fault:?}_is_found");
        cases.push(case(name, Box::new(move || is_found(fault))));
    }
    cases
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    variable("WUNDR_HISTORY_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64 % 1_000_000_000
    })
}

fn the_protocol_holds() {
    let seconds = variable("WUNDR_HISTORY_SECONDS").unwrap_or(25);
    let mut trial = trials::protocol(seconds, seed());
    let wanted: Option<String> = variable("WUNDR_HISTORY_HARMS");
    if let Some(wanted) = &wanted {
        let is_wanted = |harm: Harm| wanted.split(',').any(|name| name == format!("{harm:?}"));
        let weights = trial.harms.weights.iter();
        let named = weights.filter(|(harm, _)| is_wanted(*harm));
        trial.harms.weights = named.map(|&(harm, weight)| (harm, weight.max(1))).collect();
    }
    let report = trial.run(&DATABASE);
    println!("{report}");
    if let Some(violation) = &report.violation {
        panic!("{violation}");
    }
    assert_eq!(report.count("calls without an end"), 0);
    if wanted.is_some() {
        return;
    }
    // Without these nothing was tried.
    assert!(report.checker.reads_ended > 2_000 && report.checker.writes_acknowledged > 500);
    for counter in ["hits", "shared", "refused fills", "fences", "generations"] {
        assert!(report.count(counter) > 0, "{counter}");
    }
    assert!(report.harms.all() >= seconds / 5);
    // By chance not each in a short run.
    if seconds >= 120 {
        for harm in [Harm::PostgresCrashed, Harm::RedisFailedOver, Harm::FlushAll] {
            assert!(report.harms.of(harm) > 0, "{harm:?}");
        }
        assert!(report.deaths > 0 && report.count("fences cleared") > 0);
    }
}

/// The faults by which a token is accepted after its end.
const FAULTS_OF_LOGINS: [InjectedFault; 2] = [
    InjectedFault::DeleteAfterCommitOnly,
    InjectedFault::UnguardedFill,
];

/// No token is accepted after its login was refreshed or ended, and of no login two pairs.
fn logins_hold() {
    let seconds = variable("WUNDR_HISTORY_SECONDS").unwrap_or(12);
    let report = trials::logins(seconds, seed(), None).run(&DATABASE);
    println!("{report}");
    if let Some(violation) = &report.violation {
        panic!("{violation}");
    }
    assert_eq!(report.count("calls without an end"), 0);
    assert!(report.checker.reads_ended > 500 && report.checker.writes_acknowledged > 100);
    assert!(report.checker.accepted > 100, "{}", report.checker.accepted);
    for counter in ["hits", "fences"] {
        assert!(report.count(counter) > 0, "{counter}");
    }
}

fn is_found_by_logins(fault: InjectedFault) {
    let report = trials::logins(20, seed(), Some(fault)).run(&DATABASE);
    let Some(violation) = &report.violation else {
        println!("{report}");
        panic!("{fault:?} was not found");
    };
    println!("    {:.1} s: {violation}", report.took.as_secs_f64());
}

fn is_found(fault: InjectedFault) {
    let mut unbroken = trials::of_fault(fault, seed());
    unbroken.load.injected_fault = None;
    unbroken.time = Duration::from_secs(2);
    let report = unbroken.run(&DATABASE);
    if let Some(violation) = report.violation {
        panic!("a violation without the fault: {violation}");
    }
    let report = trials::of_fault(fault, seed()).run(&DATABASE);
    let Some(violation) = &report.violation else {
        println!("{report}");
        panic!("{fault:?} was not found");
    };
    println!("    {:.1} s: {violation}", report.took.as_secs_f64());
}
