//! The conversion of a summary to metrics, which form trends.

use super::{Severity, Summary};

/// One number: a row of `analysis_metrics`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// The metric's name, the same in each release.
    pub name: &'static str,
    /// The value, finite and less than 10^8.
    pub value: f64,
    /// The unit of the value.
    pub unit: &'static str,
    /// The design's `metric_category`.
    pub category: &'static str,
    /// The description.
    pub description: &'static str,
    /// True if higher is better, false if lower is, `None` if neither is, as for lines of code.
    pub higher_is_better: Option<bool>,
}

impl Metric {
    /// Returns the design's `trend_direction` since `before`, or `None` if neither direction is
    /// better.
    ///
    /// A change of at most one percent is `stable`.
    pub fn trend_since(&self, before: f64) -> Option<&'static str> {
        let change = self.value - before;
        let higher_is_better = self.higher_is_better?;
        Some(if change.abs() <= before.abs() / 100.0 {
            "stable"
        } else if (change > 0.0) == higher_is_better {
            "improving"
        } else {
            "declining"
        })
    }
}

impl Summary {
    /// Returns the summary as metrics, without those that no tool measured.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let mut add = |name, value: f64, unit, category, description| {
            let higher_is_better = match name {
                "overall_score" => Some(true),
                "lines_of_code" | "functions" | "modules" | "imports" => None,
                _ => Some(false),
            };
            metrics.push(Metric {
                name,
                value,
                unit,
                category,
                description,
                higher_is_better,
            });
        };
        if let Some(score) = self.overall_score {
            add(
                "overall_score",
                score,
                "points",
                "quality",
                "Score of the whole project, 0 to 100",
            );
        }
        add(
            "findings",
            self.findings as f64,
            "findings",
            "quality",
            "Findings that are not suppressed",
        );
        for (severity, name) in [
            (Severity::Critical, "critical_findings"),
            (Severity::High, "high_findings"),
            (Severity::Medium, "medium_findings"),
            (Severity::Low, "low_findings"),
            (Severity::Info, "info_findings"),
        ] {
            let count = self.by_severity.get(&severity).copied().unwrap_or(0);
            add(
                name,
                count as f64,
                "findings",
                "quality",
                "Findings of one severity that are not suppressed",
            );
        }
        let complexity = &self.complexity;
        if complexity.functions > 0 {
            let density = self.findings as f64 * 1000.0 / complexity.nloc.max(1) as f64;
            add(
                "findings_per_1000_lines",
                density,
                "findings",
                "quality",
                "Findings per 1,000 lines of code",
            );
            let nloc = complexity.nloc as f64;
            add(
                "lines_of_code",
                nloc,
                "lines",
                "maintainability",
                "Lines of code inside functions",
            );
            add(
                "functions",
                complexity.functions as f64,
                "functions",
                "maintainability",
                "Functions",
            );
            let (average, max) = (
                complexity.average_complexity,
                f64::from(complexity.max_complexity),
            );
            add(
                "average_complexity",
                average,
                "paths",
                "complexity",
                "Mean cyclomatic complexity of a function",
            );
            add(
                "max_complexity",
                max,
                "paths",
                "complexity",
                "Greatest cyclomatic complexity of a function",
            );
            let longest = f64::from(complexity.longest_function_length);
            add(
                "longest_function",
                longest,
                "lines",
                "maintainability",
                "Lines of the longest function",
            );
        }
        if let Some(percentage) = self.duplication_percentage {
            add(
                "duplication",
                percentage,
                "percent",
                "maintainability",
                "Share of lines that are a copy",
            );
            add(
                "clones",
                self.clones as f64,
                "clones",
                "maintainability",
                "Pairs of places with the same code",
            );
        }
        if self.modules > 0 {
            add(
                "modules",
                self.modules as f64,
                "modules",
                "maintainability",
                "Modules in the import graph",
            );
            add(
                "imports",
                self.imports as f64,
                "imports",
                "maintainability",
                "Imports between modules",
            );
            let cycles = self.import_cycles as f64;
            add(
                "import_cycles",
                cycles,
                "cycles",
                "maintainability",
                "Groups of modules that import each other",
            );
            let largest = self.largest_import_cycle as f64;
            add(
                "largest_import_cycle",
                largest,
                "modules",
                "maintainability",
                "Modules in the largest such group",
            );
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_is_improving_in_the_better_direction() {
        let trend = |before, value, higher_is_better| {
            let (name, unit, category, description) = ("m", "u", "quality", "");
            Metric {
                name,
                value,
                unit,
                category,
                description,
                higher_is_better,
            }
            .trend_since(before)
        };
        assert_eq!(trend(70.0, 80.0, Some(true)), Some("improving"));
        assert_eq!(trend(70.0, 80.0, Some(false)), Some("declining"));
        assert_eq!(trend(70.0, 70.5, Some(false)), Some("stable"));
        assert_eq!(trend(0.0, 0.0, Some(false)), Some("stable"));
        assert_eq!(trend(0.0, 1.0, Some(false)), Some("declining"));
        assert_eq!(trend(70.0, 80.0, None), None);
    }
}
