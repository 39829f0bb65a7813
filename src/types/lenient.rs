//! Readers of columns whose type has values that this crate's rows cannot represent.

use bigdecimal::BigDecimal;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types::{Array, Nullable, Numeric};

/// A number, or `None` if the column is NULL, NaN or infinite.
#[derive(Debug, FromSqlRow)]
pub struct Finite(Option<BigDecimal>);

impl From<Finite> for Option<BigDecimal> {
    fn from(number: Finite) -> Self {
        number.0
    }
}

impl FromSql<Nullable<Numeric>, Pg> for Finite {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // The sign field marks them: 0xC000 is NaN, 0xD000 and 0xF000 are the infinities.
        if matches!(value.as_bytes(), [_, _, _, _, 0xC0 | 0xD0 | 0xF0, _, ..]) {
            return Ok(Self(None));
        }
        FromSql::<Numeric, Pg>::from_sql(value).map(|number| Self(Some(number)))
    }

    fn from_nullable_sql(value: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        value.map_or(Ok(Self(None)), Self::from_sql)
    }
}

/// The elements of an array of any dimensions, in their order, without those that are NULL.
#[derive(Debug, FromSqlRow)]
pub struct Elements<T>(Option<Vec<T>>);

impl<T> From<Elements<T>> for Vec<T> {
    fn from(elements: Elements<T>) -> Self {
        elements.0.unwrap_or_default()
    }
}

impl<T> From<Elements<T>> for Option<Vec<T>> {
    fn from(elements: Elements<T>) -> Self {
        elements.0
    }
}

impl<T: FromSql<S, Pg>, S> FromSql<Array<S>, Pg> for Elements<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let number = value.get_oid();
        let mut rest = value.as_bytes();
        let dimensions = usize::try_from(take(&mut rest)?)?;
        let _has_null = take(&mut rest)?;
        let _element_type = take(&mut rest)?;
        for _ in 0..dimensions {
            let _length = take(&mut rest)?;
            let _first_index = take(&mut rest)?;
        }
        let mut elements = Vec::new();
        while !rest.is_empty() {
            // The length of NULL is -1.
            let Ok(length) = usize::try_from(take(&mut rest)?) else {
                continue;
            };
            let (element, others) = rest.split_at_checked(length).ok_or(CUT_SHORT)?;
            elements.push(T::from_sql(PgValue::new(element, &number))?);
            rest = others;
        }
        Ok(Self(Some(elements)))
    }
}

impl<T: FromSql<S, Pg>, S: diesel::sql_types::SqlType> FromSql<Nullable<Array<S>>, Pg>
    for Elements<T>
where
    Array<S>: diesel::sql_types::SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>,
{
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Array<S>, Pg>::from_sql(value)
    }

    fn from_nullable_sql(value: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        value.map_or(Ok(Self(None)), FromSql::<Array<S>, Pg>::from_sql)
    }
}

const CUT_SHORT: &str = "an array is truncated";

fn take(bytes: &mut &[u8]) -> deserialize::Result<i32> {
    let (number, rest) = bytes.split_first_chunk().ok_or(CUT_SHORT)?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*number))
}
