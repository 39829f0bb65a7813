//! The statement that reads the values for all conditions of a gate.

use bigdecimal::BigDecimal;
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Numeric, Text, Uuid};

use super::finding_matching::{Compared, push_matching};
use super::finding_texts::{VERDICTS, holds_for};
use super::{Sql, Statement};
use crate::models::quality_gates::Measurements;
use crate::models::tracking::check_projects;
use crate::{
    AnalysisId, Error, GateCondition, GateVerdict, ProjectId, QualityGate, Reference, Result,
};

/// The statement that matches the findings, if a condition needs them, and reads the metrics and
/// the score.
pub(crate) struct Measure<'a> {
    compared: Compared,
    /// For each condition, the name of its metric.
    names: Vec<Option<&'a str>>,
    /// For each condition, the days of the period that its metric is compared with; `None` if it is
    /// compared with the base.
    days: Vec<Option<i32>>,
}

impl<'a> Measure<'a> {
    /// Creates the statement.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if `base` and `new` are the same, or a condition cannot be
    ///   measured.
    pub(crate) fn new(
        gate: &'a QualityGate,
        base: Option<AnalysisId>,
        new: AnalysisId,
    ) -> Result<Sql<Self>> {
        if base == Some(new) {
            return Err(Error::invalid("new", "is the same analysis as the base"));
        }
        let mut measure = Self {
            compared: Compared {
                base,
                new,
                findings: false,
                locked: false,
            },
            names: Vec::with_capacity(gate.conditions.len()),
            days: Vec::with_capacity(gate.conditions.len()),
        };
        for condition in &gate.conditions {
            condition.check()?;
            let (name, days) = match condition {
                GateCondition::NewIssues { .. } | GateCondition::OpenIssues { .. } => {
                    measure.compared.findings = true;
                    (None, None)
                }
                GateCondition::Metric { name, .. } => (Some(name.as_str()), None),
                GateCondition::Score { .. } => (None, None),
                GateCondition::Drift { name, since, .. } => match since {
                    Reference::Base => (Some(name.as_str()), None),
                    Reference::Days(days) => (Some(name.as_str()), Some(*days)),
                },
            };
            measure.names.push(name);
            measure.days.push(days);
        }
        Ok(Sql(measure))
    }

    /// Returns the verdict on the measured values.
    ///
    /// # Errors
    /// The same as [`check_projects`].
    pub(crate) fn verdict(
        gate: &QualityGate,
        base: Option<AnalysisId>,
        measured: Measured,
    ) -> Result<GateVerdict> {
        let (base_project, new_project, score, new_issues, open_issues, values, references) =
            measured;
        // Without a base, only the project of the analysis has to exist.
        let base_project = base.map_or(new_project, |_| base_project);
        check_projects(base_project, new_project)?;
        let found = Measurements {
            new_issues,
            open_issues,
            score: score.as_deref().and_then(number),
            values: values.unwrap_or_default(),
            references: references.unwrap_or_default(),
        };
        let conditions = gate.conditions.iter().enumerate();
        let conditions: Vec<_> = conditions
            .map(|(index, condition)| condition.judge(index, &found))
            .collect();
        Ok(GateVerdict {
            passed: conditions.iter().all(|condition| condition.passed),
            conditions,
        })
    }
}

/// Parses a score. Other clients may have stored it as text.
fn number(text: &str) -> Option<BigDecimal> {
    crate::types::decimal::parse(text.trim())
}

/// Writes the number of `source`'s findings by severity.
fn push_counts(source: &str, out: &mut AstPass<'_, '_, Pg>) {
    out.push_sql("(SELECT ARRAY[");
    for (index, severity) in crate::IssueSeverity::ALL.iter().enumerate() {
        if index > 0 {
            out.push_sql(", ");
        }
        out.push_sql("COALESCE(pg_catalog.sum(number) FILTER (WHERE severity = '");
        out.push_sql(severity.as_str());
        out.push_sql("'), 0)::pg_catalog.int8");
    }
    out.push_sql("] FROM ");
    out.push_sql(source);
    out.push_sql("), ");
}

/// The SQL of a metric's mean in an analysis, whose id the caller writes after it.
const MEAN: &str = "SELECT pg_catalog.avg(metric_value) FROM analysis.analysis_metrics \
                    WHERE metric_name = metric.name AND metric_value <> 'NaN' AND analysis_id = ";

impl Statement for Measure<'_> {
    type SqlType = (
        Nullable<Uuid>,
        Nullable<Uuid>,
        Nullable<Text>,
        Array<BigInt>,
        Array<BigInt>,
        Nullable<Array<Nullable<Numeric>>>,
        Nullable<Array<Nullable<Numeric>>>,
    );
    type Id = Measure<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        push_matching(&self.compared, &mut out)?;
        // The texts of the rows are compared only if there is a verdict.
        for part in [
            ", paired_issue AS MATERIALIZED (SELECT now.severity, now.severity < base.severity AS is_worse, \
             base_status IN ",
            VERDICTS,
            " AS is_judged, CASE WHEN base_status IN ",
            VERDICTS,
            " THEN ",
            &holds_for("now", "base"),
            " END AS is_excused FROM pair CROSS JOIN LATERAL (\
             SELECT * FROM analysis.analysis_issues WHERE id = pair.id OFFSET 0) AS now CROSS JOIN LATERAL (\
             SELECT * FROM analysis.analysis_issues WHERE id = pair.base_id OFFSET 0) AS base \
             WHERE pair.status = 'open')",
        ] {
            out.push_sql(part);
        }
        out.push_sql(
            ", new_issue AS (SELECT 1 AS number, \
             (SELECT severity FROM analysis.analysis_issues WHERE id = unpaired.id) AS severity \
             FROM unpaired WHERE is_new AND status = 'open' \
             UNION ALL SELECT 1, severity FROM paired_issue WHERE is_worse OR is_judged AND NOT is_excused)\
             , open_issue AS (\
             SELECT pg_catalog.count(*) AS number, severity FROM analysis.analysis_issues \
             WHERE analysis_id = (SELECT new FROM comparison WHERE findings) AND status = 'open' GROUP BY severity \
             UNION ALL SELECT -1, severity FROM paired_issue WHERE is_judged AND is_excused)\
             , measure AS (SELECT metric.place, (",
        );
        out.push_sql(MEAN);
        out.push_sql("comparison.new) AS value, CASE WHEN metric.days IS NULL THEN (");
        out.push_sql(MEAN);
        out.push_sql(
            "comparison.base) ELSE (SELECT pg_catalog.avg(metric_value) FROM analysis.analyses \
             JOIN analysis.analysis_metrics ON analysis_id = analyses.id \
             WHERE project_id = comparison.new_project AND analyses.id <> comparison.new AND status = 'completed' \
             AND analyses.completed_at <= ended AND analyses.completed_at >= \
             (ended AT TIME ZONE 'UTC' - pg_catalog.make_interval(days => LEAST(metric.days, 700000))) AT TIME ZONE 'UTC' \
             AND metric_name = metric.name AND metric_value <> 'NaN') END AS reference \
             FROM (SELECT *, COALESCE(completed_at, pg_catalog.now()) AS ended FROM comparison) AS comparison \
             CROSS JOIN ROWS FROM (pg_catalog.unnest(",
        );
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.names)?;
        out.push_sql("), pg_catalog.unnest(");
        out.push_bind_param::<Array<Nullable<Integer>>, _>(&self.days)?;
        out.push_sql(
            ")) WITH ORDINALITY AS metric (name, days, place)) \
             SELECT base_project, new_project, summary ->> 'overallScore', ",
        );
        push_counts("new_issue", &mut out);
        push_counts("open_issue", &mut out);
        out.push_sql(
            "(SELECT pg_catalog.array_agg(value ORDER BY place) FROM measure), \
             (SELECT pg_catalog.array_agg(reference ORDER BY place) FROM measure) FROM comparison",
        );
        Ok(())
    }
}

/// The row that [`Measure`] returns.
///
/// It has the projects of the base and of the analysis, the score, and the numbers of new and of
/// open issues by severity. For each condition it has the metric's value and the value that it is
/// compared with.
pub(crate) type Measured = (
    Option<ProjectId>,
    Option<ProjectId>,
    Option<String>,
    Vec<i64>,
    Vec<i64>,
    Option<Vec<Option<BigDecimal>>>,
    Option<Vec<Option<BigDecimal>>>,
);
