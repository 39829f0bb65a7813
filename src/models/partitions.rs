//! The monthly partitions of the two logs.
//!
//! Each month has a partition of its own, named after the month in UTC, for example `audit.audit_logs_2024_01`. A row
//! of a month without a partition goes to the default partition. When the month's partition is created, its rows are
//! moved there from the default partition.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Date, Float4, Nullable, Text, Timestamptz};
use diesel::{Expression, QueryResult, QueryableByName};

use crate::{Error, Result};

/// A table that is partitioned by the month of `created_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogTable {
    /// `audit.audit_logs`.
    AuditLogs,
    /// `audit.system_logs`.
    SystemLogs,
}

impl LogTable {
    /// Returns the table's name with its schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuditLogs => "audit.audit_logs",
            Self::SystemLogs => "audit.system_logs",
        }
    }

    /// Returns the name, with its schema, of the partition for the month of `day`.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] unless the year is between 1 and 9999.
    pub(crate) fn partition(self, day: NaiveDate) -> Result<String> {
        if !(1..=9999).contains(&day.year()) {
            return Err(Error::invalid(
                "month",
                format_args!("{day} is out of range"),
            ));
        }
        Ok(format!(
            "{}_{:04}_{:02}",
            self.as_str(),
            day.year(),
            day.month()
        ))
    }
}

/// A partition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Partition {
    /// The partition's name with its schema, for example `audit.audit_logs_2024_01`.
    pub name: String,
    /// True for the default partition, which has the rows that no other partition covers.
    pub is_default: bool,
    /// The lower bound, inclusive. It is `None` for the default partition and for one without a lower bound.
    pub from: Option<DateTime<Utc>>,
    /// The upper bound, exclusive. It is `None` for the default partition and for one without an upper bound.
    pub before: Option<DateTime<Utc>>,
    /// The number of rows at the last `ANALYZE` or `VACUUM`. It is `None` if there was none.
    pub estimated_rows: Option<u64>,
    /// The size on disk including indexes, in bytes.
    pub bytes: u64,
}

/// The health of a log's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionHealth {
    /// The number of consecutive months after this one that have a partition.
    pub months_ahead: u32,
    /// The first days of the months without a partition, between the oldest partition and the newest one or this
    /// month.
    pub gaps: Vec<NaiveDate>,
    /// The number of rows in the default partition. Their months had no partition when they were written.
    pub rows_in_default: u64,
}

impl PartitionHealth {
    /// Computes the health from the partitions, as of the month of `today`.
    pub(crate) fn of(partitions: &[Partition], rows_in_default: i64, today: NaiveDate) -> Self {
        let this_month = today.with_day(1).unwrap_or(today);
        let bounded = || partitions.iter().filter(|partition| !partition.is_default);
        let begins = bounded().filter_map(|partition| partition.from);
        let newest = begins.map(|from| from.date_naive()).max();
        // A partition without a lower bound covers all months before its end.
        let begins = bounded().filter_map(|partition| partition.from.or(partition.before));
        let oldest = begins.map(|from| from.date_naive()).min();
        let oldest = oldest.map(|day| day.with_day(1).unwrap_or(day));
        let is_covered = |month: &NaiveDate| bounded().any(|partition| partition.covers(*month));
        let ahead = months_from(this_month).skip(1);
        let months_ahead = ahead
            .take(MOST_COUNTED_AHEAD)
            .take_while(is_covered)
            .count();
        let gaps = months_from(oldest.unwrap_or(this_month).min(this_month))
            .take_while(|&month| month <= newest.unwrap_or(this_month).max(this_month))
            .filter(|month| !is_covered(month))
            .collect();
        Self {
            months_ahead: u32::try_from(months_ahead).unwrap_or(u32::MAX),
            gaps,
            rows_in_default: unsigned(rows_in_default),
        }
    }
}

/// The greatest number of months that are counted ahead: a thousand years. A partition without an upper bound covers
/// all future months.
const MOST_COUNTED_AHEAD: usize = 12_000;

impl Partition {
    /// Checks whether the partition's bounds include the whole month that begins on this day.
    pub(crate) fn covers(&self, month: NaiveDate) -> bool {
        let begin = month.and_time(NaiveTime::MIN).and_utc();
        !self.is_default
            && self.from.is_none_or(|from| from <= begin)
            && self.before.is_none_or(|before| {
                begin
                    .checked_add_months(Months::new(1))
                    .is_some_and(|end| end <= before)
            })
    }
}

/// Returns the first days of this month and all later ones.
fn months_from(first: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    std::iter::successors(Some(first), |month| {
        month.checked_add_months(Months::new(1))
    })
}

/// Returns the number, or 0 if it is negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The greatest distance between the `created_at` of a log's row and the time in its id at which the first query
/// still finds the row. Clocks differ, and a row may wait in a queue.
const LEEWAY: Days = Days::new(1);

diesel::define_sql_function! {
    /// Truncates a time.
    #[sql_name = "pg_catalog.date_trunc"]
    fn date_trunc(to: Text, time: Timestamptz) -> Timestamptz;
}

/// Returns an expression for the time that the server evaluates at execution.
///
/// With the plain time, a custom plan for one partition would always be cheaper than the generic plan. So PostgreSQL
/// would plan the statement at each call. With the expression it keeps the generic plan and excludes the other
/// partitions at execution.
pub(crate) fn when_run(time: DateTime<Utc>) -> date_trunc<&'static str, DateTime<Utc>> {
    date_trunc("microseconds", time)
}

/// Returns the range of `created_at` that is searched first for rows whose ids have these times.
pub(crate) fn window(
    times: impl IntoIterator<Item = DateTime<Utc>>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let times: Vec<_> = times.into_iter().collect();
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    Some((
        first.checked_sub_days(LEEWAY)?,
        last.checked_add_days(LEEWAY)?,
    ))
}

/// The condition that restricts a query to the one or two months of a log's row, given the time in its id.
///
/// The months are literals in the text. So the server plans the query for their partitions only, once for each text,
/// and does not lock the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InMonths<C> {
    created_at: C,
    from: NaiveDate,
    before: NaiveDate,
}

/// The greatest distance between this machine's clock and the end of an id's window, if the id was created by a clock
/// that is ahead.
const MAX_CLOCK_LEAD: Days = Days::new(2);

/// The greatest age of months that are written as literals. Each month is one more statement that a connection may
/// have to cache, and the client that creates an id chooses the time in it.
const MAX_AGE_OF_LITERALS: Months = Months::new(5 * 12);

impl<C> InMonths<C> {
    /// Returns `None` for a time that ids cannot have, or that is too old to be queried often.
    pub(crate) fn of(
        created_at: C,
        made_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let (from, before) = window(made_at)?;
        if from < now.checked_sub_months(MAX_AGE_OF_LITERALS)?
            || before > now.checked_add_days(MAX_CLOCK_LEAD)?
        {
            return None;
        }
        Some(Self {
            created_at,
            from: from.date_naive().with_day(1)?,
            before: before
                .date_naive()
                .with_day(1)?
                .checked_add_months(Months::new(1))?,
        })
    }
}

impl<C> InMonths<C> {
    /// Returns a number that identifies the months, and so the text.
    pub(crate) fn shape(&self) -> u64 {
        let days = |month: NaiveDate| u64::from(month.num_days_from_ce().unsigned_abs());
        days(self.from) << 32 | days(self.before)
    }
}

/// Writes the begin of a month as a literal.
///
/// diesel calls `walk_ast` even for a statement whose text is cached. Digit by digit, no text is allocated there.
fn push_month(first: NaiveDate, out: &mut AstPass<'_, '_, Pg>) {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let (year, month) = (first.year().unsigned_abs(), first.month());
    out.push_sql("TIMESTAMP WITH TIME ZONE '");
    for number in [year / 1000, year / 100, year / 10, year] {
        out.push_sql(DIGITS[number as usize % 10]);
    }
    out.push_sql("-");
    for number in [month / 10, month] {
        out.push_sql(DIGITS[number as usize % 10]);
    }
    out.push_sql("-01 00:00:00+00'");
}

impl<C: QueryFragment<Pg>> QueryFragment<Pg> for InMonths<C> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.created_at.walk_ast(out.reborrow())?;
        out.push_sql(" >= ");
        push_month(self.from, &mut out);
        out.push_sql(" AND ");
        self.created_at.walk_ast(out.reborrow())?;
        out.push_sql(" < ");
        push_month(self.before, &mut out);
        Ok(())
    }
}

impl<C> QueryId for InMonths<C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C: Expression> Expression for InMonths<C> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<T>, T> AppearsOnTable<T> for InMonths<C> {}
impl<C: SelectableExpression<T>, T> SelectableExpression<T> for InMonths<C> {}
impl<C: ValidGrouping<G>, G> ValidGrouping<G> for InMonths<C> {
    type IsAggregate = C::IsAggregate;
}

/// The greatest number of months that one call creates ahead: ten years.
pub(crate) const MOST_MONTHS_AHEAD: i32 = 120;

/// The time that the creation or removal of a partition waits for a lock, outside a transaction of the caller. All
/// writers of the log queue behind that lock.
pub(crate) const LOCK_TIMEOUT: &str = "2s";

/// The query for the months without a partition, among the month of `$2` (or the current one) and the `$3` months
/// after it. `is_ahead` marks the months that begin more than a day from now. No rows are written to these yet.
pub(crate) const MISSING: &str = "\
    WITH months AS ( \
        SELECT pg_catalog.date_trunc('month', COALESCE($2::timestamp, pg_catalog.timezone('UTC', pg_catalog.now()))) \
            + pg_catalog.make_interval(months => ahead) AS month \
        FROM pg_catalog.generate_series(0, $3) AS ahead \
    ) \
    SELECT month::date AS month, \
        month > pg_catalog.timezone('UTC', pg_catalog.now()) + INTERVAL '1 day' AS is_ahead \
    FROM months WHERE NOT EXISTS ( \
        SELECT FROM pg_catalog.pg_inherits \
        WHERE inhparent = $1::regclass \
            AND inhrelid = pg_catalog.to_regclass($1 || pg_catalog.to_char(month, '_YYYY_MM'))) \
    ORDER BY month";

/// The statement that creates the partition of the month of `$2`. `$3` is the lock timeout; NULL keeps that of the
/// transaction.
pub(crate) const MAKE: &str = "\
    WITH limits AS MATERIALIZED ( \
        SELECT pg_catalog.set_config( \
            'lock_timeout', COALESCE($3, pg_catalog.current_setting('lock_timeout')), true) AS lock_timeout \
    ) \
    SELECT pg_catalog.count(audit.create_monthly_partition($1, $2) IS NULL) AS number \
    FROM limits WHERE lock_timeout IS NOT NULL";

/// The size in bytes from which on the default partition must not be scanned under a lock: 4 MiB.
const LARGE: u32 = 4 << 20;

/// A range of months of which the default partition has no row.
///
/// A CHECK constraint states this while their partitions are created. Without it, PostgreSQL scans the whole default
/// partition for each of them, under a lock that blocks all users of the log.
pub(crate) struct Spared {
    log: LogTable,
    from: NaiveDate,
    before: NaiveDate,
}

impl Spared {
    /// Returns `None` if there is no month, or if a year is not between 1 and 9999.
    pub(crate) fn new(log: LogTable, months: &[NaiveDate]) -> Option<Self> {
        let (from, last) = (*months.iter().min()?, *months.iter().max()?);
        let before = last.checked_add_months(Months::new(1))?;
        (log.partition(from).is_ok() && log.partition(before).is_ok()).then_some(Self {
            log,
            from,
            before,
        })
    }

    /// Returns the name of the CHECK.
    fn name(&self) -> String {
        let (from, before) = (self.from.format("%Y_%m"), self.before.format("%Y_%m"));
        format!("wundr_without_{from}_to_{before}")
    }

    /// Returns a block that runs `statements` with the default partition in `rest`, if there is one.
    fn block(&self, statements: &str) -> String {
        format!(
            "DO $$ DECLARE rest REGCLASS; found BOOLEAN; other NAME; BEGIN \
                SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; \
                SELECT partdefid INTO rest FROM pg_catalog.pg_partitioned_table \
                WHERE partrelid = '{}'::REGCLASS AND partdefid <> 0; \
                IF rest IS NULL THEN RETURN; END IF; \
                {statements} \
            END $$",
            self.log.as_str()
        )
    }

    /// Returns the statement that adds the CHECK, NOT VALID, to a large default partition without a row of these
    /// months.
    ///
    /// From then on new rows must satisfy it. The statement also drops the constraints that interrupted calls left
    /// behind.
    pub(crate) fn begin(&self) -> String {
        let name = self.name();
        let (from, before) = (self.from, self.before);
        self.block(&format!(
            "IF pg_catalog.pg_relation_size(rest) < {LARGE} THEN RETURN; END IF; \
            FOR other IN SELECT conname FROM pg_catalog.pg_constraint \
                WHERE conrelid = rest AND conname LIKE 'wundr\\_without\\_%' AND conname <> '{name}' \
            LOOP EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', rest, other); END LOOP; \
            EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %s \
                WHERE created_at >= %L AND created_at < %L)', rest, '{from} 00:00:00+00', '{before} 00:00:00+00') \
                INTO found; \
            IF found OR EXISTS (SELECT FROM pg_catalog.pg_constraint \
                WHERE conrelid = rest AND conname = '{name}') THEN RETURN; END IF; \
            EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT {name} \
                CHECK (created_at IS NULL OR created_at < %L OR created_at >= %L) NOT VALID', \
                rest, '{from} 00:00:00+00', '{before} 00:00:00+00');"
        ))
    }

    /// Returns the statement that validates the CHECK with one scan of the default partition, while others read and
    /// write it.
    ///
    /// If a row that violates it was inserted before, the CHECK stays not valid, and PostgreSQL scans the partition
    /// again.
    pub(crate) fn validate(&self) -> String {
        let name = self.name();
        self.block(&format!(
            "IF EXISTS (SELECT FROM pg_catalog.pg_constraint \
                WHERE conrelid = rest AND conname = '{name}' AND NOT convalidated) THEN \
                EXECUTE pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT {name}', rest); \
            END IF; \
            EXCEPTION WHEN check_violation OR undefined_object THEN NULL;"
        ))
    }

    /// Returns the statement that drops the CHECK, if it is there.
    pub(crate) fn end(&self) -> String {
        let name = self.name();
        self.block(&format!(
            "IF EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = rest AND conname = '{name}') THEN \
                EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS {name}', rest); \
            END IF;"
        ))
    }
}

/// The query for the partitions of `$1`, the default partition last. The bounds are parsed in the session's time
/// zone, in which they were printed. A bound that is out of the range of dates is NULL.
pub(crate) const LIST: &str = "\
    SELECT name, is_default, \
        CASE WHEN pg_catalog.isfinite(bound_from) THEN bound_from END AS bound_from, \
        CASE WHEN pg_catalog.isfinite(bound_before) AND bound_before < '200000-01-01' THEN bound_before END \
            AS bound_before, \
        estimated_rows, bytes \
    FROM ( \
        SELECT pg_catalog.format('%I.%I', namespace.nspname, class.relname) AS name, \
            bound = 'DEFAULT' AS is_default, \
            (pg_catalog.regexp_match(bound, 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz AS bound_from, \
            (pg_catalog.regexp_match(bound, 'TO \\(''([^'']+)''\\)'))[1]::timestamptz AS bound_before, \
            class.reltuples AS estimated_rows, \
            pg_catalog.pg_total_relation_size(class.oid) AS bytes \
        FROM pg_catalog.pg_inherits \
        JOIN pg_catalog.pg_class AS class ON class.oid = inhrelid \
        JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace \
        CROSS JOIN LATERAL pg_catalog.pg_get_expr(class.relpartbound, class.oid) AS bound \
        WHERE inhparent = $1::regclass \
    ) AS partitions \
    ORDER BY is_default, bound_from NULLS FIRST, name";

/// The query that checks whether the table `$2` exists and, if `$3` is true, is a partition of `$1`.
pub(crate) const IS_THERE: &str = "\
    SELECT pg_catalog.to_regclass($2) IS NOT NULL AND (NOT $3 OR EXISTS ( \
        SELECT FROM pg_catalog.pg_inherits \
        WHERE inhparent = $1::regclass AND inhrelid = pg_catalog.to_regclass($2))) AS yes";

/// Returns a block that runs a statement, with a lock timeout if one is given. The statement must not contain user
/// input.
pub(crate) fn with_lock_timeout(statement: &str, lock_timeout: Option<&str>) -> String {
    let limit = lock_timeout.map(|timeout| format!("SET LOCAL lock_timeout = '{timeout}'; "));
    format!(
        "DO $$ BEGIN {}{statement}; END $$",
        limit.unwrap_or_default()
    )
}

/// A row with one number.
#[derive(QueryableByName)]
pub(crate) struct Number {
    #[diesel(sql_type = BigInt)]
    pub(crate) number: i64,
}

/// A row with one boolean.
#[derive(QueryableByName)]
pub(crate) struct Answer {
    #[diesel(sql_type = Bool)]
    pub(crate) yes: bool,
}

/// A row of [`MISSING`].
#[derive(QueryableByName)]
pub(crate) struct MissingMonth {
    #[diesel(sql_type = Date)]
    pub(crate) month: NaiveDate,
    #[diesel(sql_type = Bool)]
    pub(crate) is_ahead: bool,
}

/// A row of [`LIST`].
#[derive(QueryableByName)]
pub(crate) struct PartitionRow {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    is_default: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    bound_from: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    bound_before: Option<DateTime<Utc>>,
    #[diesel(sql_type = Float4)]
    estimated_rows: f32,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl From<PartitionRow> for Partition {
    fn from(row: PartitionRow) -> Self {
        Self {
            name: row.name,
            is_default: row.is_default,
            from: row.bound_from,
            before: row.bound_before,
            // The server stores -1 if it has not counted yet.
            estimated_rows: (row.estimated_rows >= 0.0).then_some(row.estimated_rows as u64),
            bytes: unsigned(row.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn partition(first: Option<&str>) -> Partition {
        let from = first.map(|first| day(first).and_hms_opt(0, 0, 0).unwrap().and_utc());
        Partition {
            name: String::new(),
            is_default: from.is_none(),
            from,
            before: from.and_then(|from| from.checked_add_months(Months::new(1))),
            estimated_rows: None,
            bytes: 0,
        }
    }

    #[test]
    fn months_ahead_end_at_the_first_gap() {
        let partitions = [
            Some("2024-01-01"),
            Some("2024-03-01"),
            Some("2024-04-01"),
            Some("2024-06-01"),
            None,
        ]
        .map(partition);

        let health = PartitionHealth::of(&partitions, 7, day("2024-03-31"));
        assert_eq!(health.months_ahead, 1);
        assert_eq!(health.gaps, [day("2024-02-01"), day("2024-05-01")]);
        assert_eq!(health.rows_in_default, 7);
        let later = PartitionHealth::of(&partitions[..2], 0, day("2024-05-01"));
        assert_eq!(later.months_ahead, 0);
        assert_eq!(
            later.gaps,
            [day("2024-02-01"), day("2024-04-01"), day("2024-05-01")]
        );
        let none = PartitionHealth::of(&[], 0, day("2024-05-31"));
        assert_eq!(none.gaps, [day("2024-05-01")]);
    }

    #[test]
    fn a_partition_covers_all_months_within_its_bounds() {
        let early = Partition {
            is_default: false,
            from: None,
            ..partition(Some("2023-12-01"))
        };
        let quarter = Partition {
            before: partition(Some("2024-04-01")).from,
            ..partition(Some("2024-01-01"))
        };
        let partitions = [
            early,
            quarter,
            partition(Some("2024-05-01")),
            partition(None),
        ];

        let health = PartitionHealth::of(&partitions, 0, day("2024-01-15"));
        assert_eq!(health.months_ahead, 2);
        assert_eq!(health.gaps, [day("2024-04-01")]);
        let endless = Partition {
            before: None,
            ..partition(Some("2024-01-01"))
        };
        let health = PartitionHealth::of(&[endless], 0, day("2024-01-15"));
        assert_eq!((health.gaps.len(), health.months_ahead), (0, 12_000));
    }

    #[test]
    fn a_window_spans_all_times_and_a_day_to_each_side() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(window([]), None);
        assert_eq!(
            window([time("2024-03-31T12:00:00Z"), time("2024-01-01T00:00:00Z")]),
            Some((time("2023-12-31T00:00:00Z"), time("2024-04-01T12:00:00Z")))
        );
        assert_eq!(window([DateTime::<Utc>::MAX_UTC]), None);
    }

    #[test]
    fn months_are_written_out() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let months = InMonths {
            created_at: crate::schema::audit::audit_logs::created_at,
            from: day("2019-12-01"),
            before: day("2020-01-01"),
        };
        let mut sql = diesel::pg::PgQueryBuilder::default();
        QueryFragment::<Pg>::to_sql(&months, &mut sql, &Pg).unwrap();
        assert_eq!(
            diesel::query_builder::QueryBuilder::finish(sql),
            "\"audit\".\"audit_logs\".\"created_at\" >= TIMESTAMP WITH TIME ZONE '2019-12-01 00:00:00+00' \
             AND \"audit\".\"audit_logs\".\"created_at\" < TIMESTAMP WITH TIME ZONE '2020-01-01 00:00:00+00'"
        );
    }

    #[test]
    fn months_are_written_out_of_times_that_come_up() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = time("2024-03-10T12:00:00Z");
        let months = |made_at: DateTime<Utc>| {
            let months = InMonths::of((), Some(made_at), now)?;
            Some((months.from.to_string(), months.before.to_string()))
        };
        let from_to = |from: &str, before: &str| Some((from.to_owned(), before.to_owned()));
        assert_eq!(months(now), from_to("2024-03-01", "2024-04-01"));
        let new_year = time("2023-12-31T00:00:00Z");
        assert_eq!(months(new_year), from_to("2023-12-01", "2024-02-01"));
        let second = time("2024-03-01T23:59:59Z");
        assert_eq!(months(second), from_to("2024-02-01", "2024-04-01"));
        assert!(months(time("2019-03-12T00:00:00Z")).is_some());
        assert!(months(time("2024-03-11T11:00:00Z")).is_some());
        for odd in [
            time("2019-03-10T00:00:00Z"),
            time("2024-03-12T00:00:00Z"),
            DateTime::<Utc>::MAX_UTC,
            DateTime::<Utc>::MIN_UTC,
        ] {
            assert_eq!(months(odd), None, "{odd}");
        }
        assert_eq!(InMonths::of((), None, now), None);
    }

    #[test]
    fn a_month_of_no_common_year_has_no_partition() {
        let name =
            |year| LogTable::SystemLogs.partition(NaiveDate::from_ymd_opt(year, 2, 29).unwrap());
        assert_eq!(name(2024).unwrap(), "audit.system_logs_2024_02");
        assert!(matches!(name(10_000), Err(Error::InvalidInput { .. })));
        assert!(matches!(name(0), Err(Error::InvalidInput { .. })));
    }
}
