//! The values that a column cannot store, as far as that does not depend on the column.

use bigdecimal::BigDecimal;
use chrono::{DateTime, NaiveDate, Utc};
use ipnetwork::IpNetwork;
use uuid::Uuid;

use super::decimal::{DIGITS, is_bounded};
use super::timestamp::is_too_early;

/// A value that a column may refuse.
pub trait Storable {
    /// Returns the problem of the value, if any.
    fn objection(&self, characters: Option<usize>) -> Option<String>;
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

impl Storable for BigDecimal {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        // A short text names a number that takes a second to write out.
        (!is_bounded(self)).then(|| {
            format!(
                "has more than {} digits on one side of the decimal point",
                DIGITS
            )
        })
    }
}

impl Storable for DateTime<Utc> {
    fn objection(&self, _: Option<usize>) -> Option<String> {
        let reason = "is before 4713 BC, which PostgreSQL cannot store";
        is_too_early(self).then(|| reason.to_owned())
    }
}

macro_rules! always_storable {
    ($($type:ty),* $(,)?) => {$(
        impl crate::types::storable::Storable for $type {
            fn objection(&self, _: Option<usize>) -> Option<String> {
                None
            }
        }
    )*};
}
pub(super) use always_storable;
always_storable!(
    bool, i16, i32, i64, f32, f64, u8, NaiveDate, IpNetwork, Uuid
);
