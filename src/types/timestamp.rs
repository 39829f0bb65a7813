//! Timestamps, in the forms of PostgreSQL and the cache.
//!
//! Serialized, they are RFC 3339 in human-readable formats and microseconds since 1970 in others.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Nullable, SqlType, Timestamptz};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// PostgreSQL's epoch, 2000-01-01, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;

/// The earliest time that PostgreSQL stores besides `-infinity`, 4713 BC, in microseconds since
/// 1970. It stores all later times of `chrono`.
const FIRST: i64 = EPOCH - 211_813_488_000_000_000;

/// Checks whether PostgreSQL cannot store a time because it is too early.
pub(crate) fn is_too_early(time: &DateTime<Utc>) -> bool {
    time.timestamp_micros() < FIRST && *time != DateTime::<Utc>::MIN_UTC
}

/// A `timestamptz` of any value.
///
/// `infinity` and times later than those of `chrono` are [`DateTime::<Utc>::MAX_UTC`]. `-infinity`
/// and earlier ones are [`DateTime::<Utc>::MIN_UTC`].
#[derive(Debug, Clone, Copy, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamptz)]
pub struct AnyTime(pub(crate) DateTime<Utc>);

impl AnyTime {
    /// Returns the bound of a filter. One that is too early for PostgreSQL is `-infinity`: no row
    /// has a time between the two.
    pub(crate) fn of_filter(bound: DateTime<Utc>) -> Self {
        Self(match is_too_early(&bound) {
            true => DateTime::<Utc>::MIN_UTC,
            false => bound,
        })
    }
}

impl From<AnyTime> for DateTime<Utc> {
    fn from(time: AnyTime) -> Self {
        time.0
    }
}

impl FromSql<Timestamptz, Pg> for AnyTime {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let since: i64 = FromSql::<BigInt, Pg>::from_sql(value)?;
        let time = since.checked_add(EPOCH);
        let time = time.and_then(DateTime::from_timestamp_micros);
        Ok(Self(match time {
            Some(time) => time,
            None if since < 0 => DateTime::<Utc>::MIN_UTC,
            None => DateTime::<Utc>::MAX_UTC,
        }))
    }
}

impl ToSql<Timestamptz, Pg> for AnyTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write(self.0, out)
    }
}

/// An [`AnyTime`] in a column that may be NULL.
#[derive(Debug, FromSqlRow)]
pub struct MaybeTime(Option<AnyTime>);

impl From<MaybeTime> for Option<DateTime<Utc>> {
    fn from(time: MaybeTime) -> Self {
        time.0.map(Into::into)
    }
}

impl FromSql<Nullable<Timestamptz>, Pg> for MaybeTime {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        AnyTime::from_sql(value).map(|time| Self(Some(time)))
    }

    fn from_nullable_sql(value: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        value.map_or(Ok(Self(None)), Self::from_sql)
    }
}

/// The SQL type of a bound time that may have been read from the database.
///
/// The two bounds of `chrono` are bound as the infinities that they stand for.
#[derive(Debug, Clone, Copy, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185))]
pub struct Moment;

impl ToSql<Moment, Pg> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write(*self, out)
    }
}

/// The SQL type of a bound time that rows are compared with. One that is too early for PostgreSQL
/// is `-infinity`, which matches no row that has a time.
#[derive(Debug, Clone, Copy, QueryId, SqlType)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185))]
pub struct ComparedTime;

impl ToSql<ComparedTime, Pg> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write(AnyTime::of_filter(*self).0, out)
    }
}

fn write(time: DateTime<Utc>, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
    let since = if time == DateTime::<Utc>::MAX_UTC {
        i64::MAX
    } else if time == DateTime::<Utc>::MIN_UTC {
        i64::MIN
    } else {
        time.timestamp_micros() - EPOCH
    };
    out.write_all(&since.to_be_bytes())?;
    Ok(IsNull::No)
}

/// Returns the time at this number of microseconds since 1970.
///
/// The microsecond of `MAX_UTC`, which also has nanoseconds, is read as `MAX_UTC`.
pub(crate) fn from_micros(microseconds: i64) -> Option<DateTime<Utc>> {
    if microseconds == DateTime::<Utc>::MAX_UTC.timestamp_micros() {
        return Some(DateTime::<Utc>::MAX_UTC);
    }
    DateTime::from_timestamp_micros(microseconds)
}

fn read<E: serde::de::Error>(microseconds: i64) -> Result<DateTime<Utc>, E> {
    from_micros(microseconds).ok_or_else(|| E::custom("a time out of range"))
}

pub(crate) fn serialize<S: Serializer>(
    time: &DateTime<Utc>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        time.serialize(serializer)
    } else {
        serializer.serialize_i64(time.timestamp_micros())
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<DateTime<Utc>, D::Error> {
    if deserializer.is_human_readable() {
        DateTime::deserialize(deserializer)
    } else {
        i64::deserialize(deserializer).and_then(read)
    }
}

/// The same for columns that may be NULL.
pub(crate) mod optional {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<DateTime<Utc>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            time.serialize(serializer)
        } else {
            time.map(|time| time.timestamp_micros())
                .serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        if deserializer.is_human_readable() {
            Option::deserialize(deserializer)
        } else {
            let microseconds: Option<i64> = Option::deserialize(deserializer)?;
            microseconds.map(super::read).transpose()
        }
    }
}
