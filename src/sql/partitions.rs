//! The statements about the monthly partitions of the two logs.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool, Date, Float4, Nullable, Text, Timestamptz};
use diesel::{Expression, QueryResult, QueryableByName};

use crate::models::partitions::{LogTable, MOST_COUNTED, Partition, unsigned, window};

diesel::define_sql_function! {
    /// Truncates a time.
    #[sql_name = "pg_catalog.date_trunc"]
    fn date_trunc(to: Text, time: Timestamptz) -> Timestamptz;
}

/// Returns an expression for the time that the server evaluates at execution.
///
/// With the plain time, a custom plan for one partition would always be cheaper than the generic
/// plan. So PostgreSQL would plan the statement at each call. With the expression it keeps the
/// generic plan and excludes the other partitions at execution.
pub(crate) fn when_run(time: DateTime<Utc>) -> date_trunc<&'static str, DateTime<Utc>> {
    date_trunc("microseconds", time)
}

/// The condition that restricts a query to the one or two months of a log's row, given the time in
/// its id.
///
/// The months are literals in the text. So the server plans the query for their partitions only,
/// once for each text, and does not lock the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct InMonths<C> {
    created_at: C,
    from: NaiveDate,
    before: NaiveDate,
}

/// The greatest distance between this machine's clock and the end of an id's window, if the id was
/// created by a clock that is ahead.
const MAX_CLOCK_LEAD: Days = Days::new(2);

/// The greatest age of months that are written as literals. Each month is one more statement that a
/// connection may have to cache, and the client that creates an id chooses the time in it.
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
/// diesel calls `walk_ast` even for a statement whose text is cached. Digit by digit, no text is
/// allocated there.
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

/// The time that the creation or removal of a partition waits for a lock, outside a transaction of
/// the caller. All writers of the log queue behind that lock.
pub(crate) const LOCK_TIMEOUT: &str = "2s";

/// The query for the months without a partition, among the month of `$2` (or the current one) and
/// the `$3` months after it. `is_ahead` marks the months that begin more than a day from now. No
/// rows are written to these yet. `is_past` marks those that ended more than a day ago. Rows are
/// written to these only with a time that the writer has set.
pub(crate) const MISSING: &str = "\
    WITH months AS ( \
        SELECT pg_catalog.date_trunc('month', COALESCE($2::timestamp, pg_catalog.timezone('UTC', pg_catalog.now()))) \
            + pg_catalog.make_interval(months => ahead) AS month \
        FROM pg_catalog.generate_series(0, $3) AS ahead \
    ) \
    SELECT month::date AS month, \
        month > pg_catalog.timezone('UTC', pg_catalog.now()) + INTERVAL '1 day' AS is_ahead, \
        month + INTERVAL '1 month 1 day' < pg_catalog.timezone('UTC', pg_catalog.now()) AS is_past \
    FROM months WHERE NOT EXISTS ( \
        SELECT FROM pg_catalog.pg_inherits \
        WHERE inhparent = $1::regclass \
            AND inhrelid = pg_catalog.to_regclass($1 || pg_catalog.to_char(month, '_YYYY_MM'))) \
    ORDER BY month";

/// The statement that creates the partition of the month of `$2`. `$3` is the lock timeout; NULL
/// keeps that of the transaction.
pub(crate) const MAKE: &str = "\
    WITH limits AS MATERIALIZED ( \
        SELECT pg_catalog.set_config( \
            'lock_timeout', COALESCE($3, pg_catalog.current_setting('lock_timeout')), true) AS lock_timeout \
    ) \
    SELECT pg_catalog.count(audit.create_monthly_partition($1, $2) IS NULL) AS number \
    FROM limits WHERE lock_timeout IS NOT NULL";

/// The size in bytes from which on the default partition must not be scanned under a lock: 4 MiB.
pub(crate) const LARGE: u32 = 4 << 20;

/// Returns the query that counts the rows of a default partition, up to [`MOST_COUNTED`]. The name
/// must be quoted.
///
/// It follows the index on the time: a scan of the table would read all pages of a partition whose
/// rows were deleted.
pub(crate) fn count_default(name: &str) -> String {
    format!(
        "SELECT pg_catalog.count(*) AS number FROM ( \
            SELECT FROM ONLY {name} ORDER BY created_at LIMIT {MOST_COUNTED}) AS counted"
    )
}

/// A range of months of which the default partition has no row when their partitions are attached.
///
/// A CHECK constraint states this while their partitions are created. Without it, PostgreSQL scans
/// the whole default partition for each of them, under a lock that blocks all users of the log.
pub(crate) struct Spared {
    log: LogTable,
    /// Without one, the range has all months before its end.
    from: Option<NaiveDate>,
    before: NaiveDate,
    /// The default partition may have rows of the month, which are moved before it is attached.
    has_rows: bool,
}

impl Spared {
    /// Returns `None` if there is no month, or if a year is not between 1 and 9999.
    pub(crate) fn new(log: LogTable, months: &[NaiveDate]) -> Option<Self> {
        let (from, last) = (*months.iter().min()?, *months.iter().max()?);
        let before = last.checked_add_months(Months::new(1))?;
        Self::of_range(log, Some(from), before)
    }

    /// Returns the range of a partition of several months. Returns `None` if a year is not between
    /// 1 and 9999.
    pub(crate) fn of_range(
        log: LogTable,
        from: Option<NaiveDate>,
        before: NaiveDate,
    ) -> Option<Self> {
        let is_valid = |day| log.partition(day).is_ok();
        (from.is_none_or(is_valid) && is_valid(before)).then_some(Self {
            log,
            from,
            before,
            has_rows: false,
        })
    }

    /// Returns `None` if the year is not between 1 and 9999. The default partition may have rows of
    /// this month.
    pub(crate) fn of_past(log: LogTable, month: NaiveDate) -> Option<Self> {
        Some(Self {
            has_rows: true,
            ..Self::new(log, &[month])?
        })
    }

    /// Returns the name of the CHECK.
    fn name(&self) -> String {
        let before = self.before.format("%Y_%m");
        match self.from {
            Some(from) => format!("wundr_without_{}_to_{before}", from.format("%Y_%m")),
            None => format!("wundr_without_until_{before}"),
        }
    }

    /// Returns a block that runs `statements` with the default partition in `rest`, if there is
    /// one.
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

    /// Returns the statement that adds the CHECK, NOT VALID, to a large default partition.
    ///
    /// From then on new rows must satisfy it. The statement also drops the constraints that
    /// interrupted calls left behind. It does not add the CHECK if the partition has rows of these
    /// months that nothing moves.
    pub(crate) fn begin(&self) -> String {
        let name = self.name();
        let (before, has_rows) = (self.before, self.has_rows);
        let from = match self.from {
            Some(from) => format!("{from} 00:00:00+00"),
            None => "-infinity".to_owned(),
        };
        self.block(&format!(
            "FOR other IN SELECT conname FROM pg_catalog.pg_constraint \
                WHERE conrelid = rest AND conname LIKE 'wundr\\_without\\_%' AND conname <> '{name}' \
            LOOP EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', rest, other); END LOOP; \
            IF pg_catalog.pg_relation_size(rest) < {LARGE} THEN RETURN; END IF; \
            EXECUTE pg_catalog.format('SELECT NOT {has_rows} AND EXISTS (SELECT FROM %s \
                WHERE created_at >= %L AND created_at < %L)', rest, '{from}', '{before} 00:00:00+00') \
                INTO found; \
            IF found OR EXISTS (SELECT FROM pg_catalog.pg_constraint \
                WHERE conrelid = rest AND conname = '{name}') THEN RETURN; END IF; \
            EXECUTE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT {name} \
                CHECK (created_at IS NULL OR created_at < %L OR created_at >= %L) NOT VALID', \
                rest, '{from}', '{before} 00:00:00+00');"
        ))
    }

    /// Returns the statement that validates the CHECK with one scan of the default partition, while
    /// others read and write it.
    ///
    /// If a row that violates it was inserted before, the CHECK stays not valid, and PostgreSQL
    /// scans the partition again.
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

/// The query for the partitions of `$1`, the default partition last. The bounds are parsed in the
/// session's time zone, in which they were printed. A lower bound of `-infinity` is NULL, and so is
/// an upper bound beyond the range of dates. Other bounds beyond that range are at its end. A
/// partition that another session drops meanwhile has no bound and no size.
pub(crate) const LIST: &str = "\
    SELECT name, is_default, \
        CASE WHEN bound_from > '-infinity' THEN LEAST(bound_from, '200000-01-01') END AS bound_from, \
        CASE WHEN bound_before < '200000-01-01' THEN GREATEST(bound_before, '4713-01-01 BC') END \
            AS bound_before, \
        estimated_rows, bytes \
    FROM ( \
        SELECT pg_catalog.format('%I.%I', namespace.nspname, class.relname) AS name, \
            bound = 'DEFAULT' AS is_default, \
            (pg_catalog.regexp_match(bound, 'FROM \\(''([^'']+)''\\)'))[1]::timestamptz AS bound_from, \
            (pg_catalog.regexp_match(bound, 'TO \\(''([^'']+)''\\)'))[1]::timestamptz AS bound_before, \
            class.reltuples AS estimated_rows, \
            COALESCE(pg_catalog.pg_total_relation_size(class.oid), 0) AS bytes \
        FROM pg_catalog.pg_inherits \
        JOIN pg_catalog.pg_class AS class ON class.oid = inhrelid \
        JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace \
        CROSS JOIN LATERAL pg_catalog.pg_get_expr(class.relpartbound, class.oid) AS bound \
        WHERE inhparent = $1::regclass AND bound IS NOT NULL \
    ) AS partitions \
    ORDER BY is_default, bound_from NULLS FIRST, name";

/// The query that checks whether the table `$2` exists and, if `$3` is true, is a partition of
/// `$1`.
pub(crate) const IS_THERE: &str = "\
    SELECT pg_catalog.to_regclass($2) IS NOT NULL AND (NOT $3 OR EXISTS ( \
        SELECT FROM pg_catalog.pg_inherits \
        WHERE inhparent = $1::regclass AND inhrelid = pg_catalog.to_regclass($2))) AS yes";

/// Returns a block that runs a statement, with a lock timeout if one is given. The statement must
/// not contain user input.
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

/// The row of [`IS_THERE`].
#[derive(QueryableByName)]
pub(crate) struct Exists {
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
    #[diesel(sql_type = Bool)]
    pub(crate) is_past: bool,
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
}
