//! What can be refused before it is sent, so that the error names the column.
//!
//! PostgreSQL says of a text that is too long for its column which type it has, not which column it is, and has by
//! then failed the transaction. The bounds themselves stand in `schema.rs` alone.

use std::marker::PhantomData;

use bigdecimal::{BigDecimal, RoundingMode, Zero};
use chrono::{DateTime, Utc};
use diesel::query_source::SizeRestrictedColumn;
use ipnetwork::IpNetwork;
use uuid::Uuid;

use crate::{Change, Document, Error, Json, Result, Secret};

/// The largest number of characters in a column, if it has a bound.
#[derive(Debug, Clone, Copy)]
pub struct Limit<C>(PhantomData<C>);

impl<C> Limit<C> {
    /// For the column `C`.
    pub const NEW: Self = Self(PhantomData);
}

/// A column with a bound. Found before [`Unlimited`] by method resolution.
pub trait Limited {
    /// Returns the bound.
    fn characters(&self) -> Option<usize>;
}

impl<C: SizeRestrictedColumn> Limited for Limit<C> {
    fn characters(&self) -> Option<usize> {
        Some(C::MAX_LENGTH)
    }
}

/// A column without a bound.
pub trait Unlimited {
    /// Returns `None`.
    fn characters(&self) -> Option<usize> {
        None
    }
}

impl<C> Unlimited for &Limit<C> {}

/// A value that a column may refuse.
pub trait Storable {
    /// Returns the problem of the value, if any.
    fn objection(&self, characters: Option<usize>) -> Option<String>;
}

/// Refuses a value that the column cannot hold.
///
/// # Errors
/// [`Error::InvalidInput`] with the column's name.
pub fn check(value: &impl Storable, column: &'static str, characters: Option<usize>) -> Result<()> {
    match value.objection(characters) {
        Some(objection) => Err(Error::invalid(column, objection)),
        None => Ok(()),
    }
}

impl Storable for String {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        if self.contains('\0') {
            return Some("holds the character U+0000, which PostgreSQL cannot store".to_owned());
        }
        let limit = characters.filter(|&limit| self.len() > limit)?;
        let length = self.chars().count();
        (length > limit).then(|| format!("has {length} characters, at most {limit} can be stored"))
    }
}

impl Storable for Document {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        self.objection()
    }
}

impl<T: serde::Serialize> Storable for Json<T> {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        self.objection()
    }
}

impl<T: Storable> Storable for Secret<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.expose().objection(characters)
    }
}

impl<T: Storable> Storable for Option<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.as_ref()?.objection(characters)
    }
}

impl<T: Storable> Storable for Vec<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.iter().find_map(|value| value.objection(characters))
    }
}

impl<T: Storable> Storable for Change<T> {
    fn objection(&self, characters: Option<usize>) -> Option<String> {
        self.value()?.objection(characters)
    }
}

/// Returns the number of digits before the decimal point.
fn whole_digits(value: &BigDecimal) -> i64 {
    i64::try_from(value.digits())
        .unwrap_or(i64::MAX)
        .saturating_sub(value.fractional_digit_count())
}

impl Storable for BigDecimal {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        // A short text names a number that takes a second to write out.
        (!crate::types::decimal::is_bounded(self)).then(|| {
            format!(
                "has more than {} digits on one side of the decimal point",
                crate::types::decimal::DIGITS
            )
        })
    }
}

/// A number, or what may hold one.
pub trait Number {
    /// Returns the number, if there is one.
    fn number(&self) -> Option<&BigDecimal>;
}

impl Number for BigDecimal {
    fn number(&self) -> Option<&BigDecimal> {
        Some(self)
    }
}

impl Number for Option<BigDecimal> {
    fn number(&self) -> Option<&BigDecimal> {
        self.as_ref()
    }
}

impl Number for Change<BigDecimal> {
    fn number(&self) -> Option<&BigDecimal> {
        self.value()
    }
}

/// Refuses a number that has more digits before the decimal point than `NUMERIC(precision, scale)` holds once it is
/// rounded, as PostgreSQL does it: half away from zero.
///
/// # Errors
/// [`Error::InvalidInput`] with the column's name.
pub fn check_number(
    value: &impl Number,
    column: &'static str,
    precision: i64,
    scale: i64,
) -> Result<()> {
    let Some(value) = value.number() else {
        return Ok(());
    };
    check(value, column, None)?;
    let rounded = value.with_scale_round(scale, RoundingMode::HalfUp);
    if !rounded.is_zero() && whole_digits(&rounded) > precision - scale {
        return Err(Error::invalid(
            column,
            format_args!(
                "has more than {} digits before the decimal point",
                precision - scale
            ),
        ));
    }
    Ok(())
}

macro_rules! always_storable {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::validation::Storable for $type {
            fn objection(&self, _: Option<usize>) -> Option<String> {
                None
            }
        }
    )*};
}
pub(crate) use always_storable;

always_storable!(bool, i32, DateTime<Utc>, IpNetwork, Uuid);
