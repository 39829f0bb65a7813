//! Checks of values before they are sent, so that the error names the column.
//!
//! For a text that is too long, PostgreSQL's error names the column's type and not the column, and
//! the transaction has failed. Only `schema.rs` states the bounds.

use std::marker::PhantomData;

use bigdecimal::{BigDecimal, RoundingMode, Zero};
use diesel::query_source::SizeRestrictedColumn;

use crate::types::storable::Storable;
use crate::{Change, Error, Result};

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

/// Refuses a value that the column cannot hold.
///
/// # Errors
/// - [`Error::InvalidInput`] with the column's name
pub fn check(value: &impl Storable, column: &'static str, characters: Option<usize>) -> Result<()> {
    match value.objection(characters) {
        Some(objection) => Err(Error::invalid(column, objection)),
        None => Ok(()),
    }
}

/// Returns the number of digits before the decimal point.
fn whole_digits(value: &BigDecimal) -> i64 {
    i64::try_from(value.digits())
        .unwrap_or(i64::MAX)
        .saturating_sub(value.fractional_digit_count())
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

/// Refuses a number that has more digits before the decimal point than `NUMERIC(precision, scale)`
/// holds once it is rounded, as PostgreSQL does it: half away from zero.
///
/// # Errors
/// - [`Error::InvalidInput`] with the column's name
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
