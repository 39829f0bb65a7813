//! The final table, the file of ratios, and criterion's report.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::measure::{Measured, Samples};

const RATIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-ratios.json");

/// The entry of a contender in the file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Figures {
    median_ns: f64,
    ratio: f64,
    cpu_ns: f64,
}

fn figures(group: &Measured, contender: &Samples) -> Figures {
    let time = |samples: &Samples| -> Vec<f64> {
        samples
            .rounds
            .iter()
            .map(|sample| nanoseconds(sample.time))
            .collect()
    };
    let times = time(contender);
    let floor = group
        .contenders
        .iter()
        .find(|other| other.id == contender.floor);
    // If the floor is not in the group, there is nothing to compare with.
    let ratios = floor.map_or_else(Vec::new, |floor| {
        times
            .iter()
            .zip(time(floor))
            .map(|(time, floor)| time / floor)
            .collect()
    });
    let cpu = contender
        .rounds
        .iter()
        .map(|sample| nanoseconds(sample.cpu));
    Figures {
        median_ns: median(times),
        ratio: median(ratios),
        cpu_ns: median(cpu.collect()),
    }
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// Prints the ratios of all groups as one table.
pub fn print(results: &[Measured]) {
    println!("\n| group | function | median | ratio | client CPU |");
    println!("|---|---|--:|--:|--:|");
    for group in results {
        for contender in &group.contenders {
            let figures = figures(group, contender);
            let floor = if contender.floor == group.contenders[0].floor {
                String::new()
            } else {
                format!(" of {}", contender.floor)
            };
            println!(
                "| {} | {} | {} | {}{floor} | {} |",
                group.name,
                contender.id,
                duration(figures.median_ns),
                ratio(figures.ratio),
                duration(figures.cpu_ns),
            );
        }
    }
}

/// Formats a ratio with four decimals if it is less than 0.1, and with two otherwise.
fn ratio(ratio: f64) -> String {
    if ratio.is_nan() {
        "-".to_owned()
    } else if ratio < 0.1 {
        format!("{ratio:.4}")
    } else {
        format!("{ratio:.2}")
    }
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n if n < 1e9 => format!("{:.2} ms", n / 1e6),
        n => format!("{:.2} s", n / 1e9),
    }
}

/// Writes the ratios to the file, and keeps those of groups that were not measured.
pub fn write(results: &[Measured]) -> Outcome {
    let path = Path::new(RATIOS);
    let mut groups: BTreeMap<String, BTreeMap<String, Figures>> = fs::read(path)
        .ok()
        .and_then(|before| serde_json::from_slice(&before).ok())
        .unwrap_or_default();
    for group in results {
        let contenders = group.contenders.iter();
        let contenders =
            contenders.map(|contender| (contender.id.to_owned(), figures(group, contender)));
        groups.insert(group.name.to_owned(), contenders.collect());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, serde_json::to_vec_pretty(&groups)?)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

/// Passes the samples to criterion as its own.
///
/// Criterion itself would measure one contender after the other, but these were measured
/// alternately.
pub fn tell_criterion(results: &[Measured]) {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_nanos(1))
        .nresamples(10_000);
    for measured in results {
        let mut group = criterion.benchmark_group(measured.name);
        group.sampling_mode(SamplingMode::Flat);
        for contender in &measured.contenders {
            group.sample_size(contender.rounds.len().max(10));
            let mut rounds = contender.rounds.iter().cycle();
            group.bench_function(contender.id, |bencher| {
                bencher.iter_custom(|iterations| {
                    let sample = rounds.next().map_or(Duration::ZERO, |sample| sample.time);
                    sample.mul_f64(iterations as f64)
                });
            });
        }
        group.finish();
    }
}
