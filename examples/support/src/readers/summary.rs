//! The numbers of a report: for each file, for the whole project, and as one score.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::grimp::Fan;
use super::{FileComplexity, Report, Severity, lizard};

/// The numbers of one file: a row of `analysis_results`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSummary {
    /// The number of findings in this file that are not suppressed.
    pub findings: u64,
    /// These findings by severity, the worst last, without severities that have none.
    pub by_severity: BTreeMap<Severity, u64>,
    /// The file's functions.
    pub complexity: FileComplexity,
    /// The number of clones with a fragment in this file.
    pub clones: u64,
    /// The file's module name, if it is a module.
    pub module: Option<String>,
    /// The modules that it imports, sorted.
    pub dependencies: Vec<String>,
    /// The numbers of modules that import it and that it imports.
    pub fan: Option<Fan>,
}

/// The numbers of the whole project: `analyses.summary`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The score from 0 (worst) to 100, see [`overall_score`]. `None` if there are no functions to
    /// relate the findings to.
    pub overall_score: Option<f64>,
    /// The number of findings that are not suppressed.
    pub findings: u64,
    /// These findings by severity, with all severities.
    pub by_severity: BTreeMap<Severity, u64>,
    /// The number of suppressed findings.
    pub suppressed: u64,
    /// The number of results that could not be read. They are not counted elsewhere.
    pub skipped: u64,
    /// The number of failed runs, whose findings are unknown. If there is one, there is no score.
    pub failed_runs: u64,
    /// The number of files that any tool named.
    pub files: u64,
    /// All functions.
    pub complexity: FileComplexity,
    /// The number of clones.
    pub clones: u64,
    /// The percentage of lines that are a copy, if jscpd was run.
    pub duplication_percentage: Option<f64>,
    /// The number of modules in the import graph.
    pub modules: u64,
    /// The number of imports in the import graph.
    pub imports: u64,
    /// The number of groups of modules that import each other in a cycle.
    pub import_cycles: u64,
    /// The number of modules in the largest such group.
    pub largest_import_cycle: u64,
}

impl Report {
    /// Returns each file that any tool named, by its path.
    pub fn files(&self) -> BTreeMap<String, FileSummary> {
        let clones = self
            .duplication
            .iter()
            .flat_map(|duplication| &duplication.clones);
        let mut files: BTreeMap<String, FileSummary> = BTreeMap::new();
        for finding in self.findings.iter().filter(|finding| !finding.ignored) {
            if let Some(path) = &finding.file_path {
                let file = files.entry(path.clone()).or_default();
                file.findings += 1;
                *file.by_severity.entry(finding.severity).or_default() += 1;
            }
        }
        for (path, complexity) in lizard::by_file(&self.functions) {
            files.entry(path.to_owned()).or_default().complexity = complexity;
        }
        for clone in clones {
            let paths: BTreeSet<&String> = clone
                .fragments
                .iter()
                .map(|fragment| &fragment.file_path)
                .collect();
            for path in paths {
                files.entry(path.clone()).or_default().clones += 1;
            }
        }
        if let Some(imports) = &self.imports {
            let paths: Vec<String> = files.keys().cloned().collect();
            let fans = imports.fans();
            let mut imported: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for (importer, module) in imports.imports() {
                imported
                    .entry(importer)
                    .or_default()
                    .push(module.to_owned());
            }
            for (module, path) in imports.files(paths.iter().map(String::as_str)) {
                let file = files.entry(path.to_owned()).or_default();
                file.module = Some(module.to_owned());
                file.fan = fans.get(module).copied();
                file.dependencies = imported.remove(module).unwrap_or_default();
            }
        }
        files
    }

    /// Returns the numbers of the whole project.
    pub fn summary(&self) -> Summary {
        let mut by_severity: BTreeMap<Severity, u64> =
            Severity::ALL.map(|severity| (severity, 0)).into();
        for finding in self.findings.iter().filter(|finding| !finding.ignored) {
            *by_severity.entry(finding.severity).or_default() += 1;
        }
        let findings = by_severity.values().sum();
        let complexity = FileComplexity::of(&self.functions);
        let duplication_percentage = self
            .duplication
            .as_ref()
            .map(|duplication| duplication.percentage);
        let cycles = self
            .imports
            .as_ref()
            .map(|imports| imports.cycles())
            .unwrap_or_default();
        Summary {
            overall_score: overall_score(
                &by_severity,
                &complexity,
                duplication_percentage.unwrap_or(0.0),
            )
            .filter(|_| self.failures.is_empty()),
            skipped: self.skipped.len() as u64,
            failed_runs: self.failures.len() as u64,
            findings,
            suppressed: self.findings.len() as u64 - findings,
            by_severity,
            files: self.files().len() as u64,
            complexity,
            clones: self
                .duplication
                .as_ref()
                .map_or(0, |duplication| duplication.clones.len() as u64),
            duplication_percentage,
            modules: self
                .imports
                .as_ref()
                .map_or(0, |imports| imports.modules().len() as u64),
            imports: self
                .imports
                .as_ref()
                .map_or(0, |imports| imports.imports().len() as u64),
            import_cycles: cycles.len() as u64,
            largest_import_cycle: cycles.first().map_or(0, |cycle| cycle.len() as u64),
        }
    }
}

/// Returns the weight of one finding in the score.
fn weight(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => 20.0,
        Severity::High => 10.0,
        Severity::Medium => 4.0,
        Severity::Low => 1.0,
        Severity::Info => 0.2,
    }
}

/// Returns the score of the code's quality, from 0 to 100, with two decimals.
///
/// It is `100 * (0.7 * halving(d, 600) + 0.15 * halving(p, 10) + 0.15 * halving(c - 1, 4))`, where
/// `halving(x, h) = h / (h + x)`, which is 1 at zero and a half at `h`:
///
/// - `d` is the weight of the findings per 1,000 lines of code in functions: critical 20, high 10,
///   medium 4, low 1, info 0.2
/// - `p` is the percentage of lines that are a copy
/// - `c` is the mean cyclomatic complexity of a function
///
/// `None` if there is no line of code to relate the findings to.
pub fn overall_score(
    by_severity: &BTreeMap<Severity, u64>,
    complexity: &FileComplexity,
    duplication_percentage: f64,
) -> Option<f64> {
    if complexity.nloc == 0 {
        return None;
    }
    let halving = |value: f64, half: f64| half / (half + value.max(0.0));
    let weight: f64 = by_severity
        .iter()
        .map(|(severity, count)| weight(*severity) * *count as f64)
        .sum();
    let density = weight * 1000.0 / complexity.nloc as f64;
    let score = 0.7 * halving(density, 600.0)
        + 0.15 * halving(duplication_percentage, 10.0)
        + 0.15 * halving(complexity.average_complexity - 1.0, 4.0);
    Some((score * 10_000.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complexity(nloc: u64, average_complexity: f64) -> FileComplexity {
        FileComplexity {
            functions: 1,
            nloc,
            average_complexity,
            ..FileComplexity::default()
        }
    }

    #[test]
    fn the_score_is_100_at_best_and_falls_with_each_fault() {
        let none = BTreeMap::new();
        let score = |findings: &BTreeMap<_, _>, average, duplication| {
            overall_score(findings, &complexity(1000, average), duplication).unwrap()
        };
        assert_eq!(score(&none, 1.0, 0.0), 100.0);
        assert_eq!(score(&none, 5.0, 0.0), 92.5);
        assert_eq!(score(&none, 1.0, 10.0), 92.5);
        assert_eq!(
            score(&BTreeMap::from([(Severity::High, 60)]), 1.0, 0.0),
            65.0
        );
        assert_eq!(
            score(&BTreeMap::from([(Severity::Low, 600)]), 1.0, 0.0),
            65.0
        );
        let worst = score(
            &BTreeMap::from([(Severity::Critical, u64::MAX)]),
            1e9,
            100.0,
        );
        assert!((0.0..5.0).contains(&worst), "{worst}");
        assert_eq!(overall_score(&none, &complexity(0, 0.0), 0.0), None);
    }
}
