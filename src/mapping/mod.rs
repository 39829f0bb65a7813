//! The traits that the derives of the models implement, and the expressions of the models' queries.

mod changes;
pub(crate) mod expressions;
mod membership;
mod new_row;

#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) use changes::RowOf;
pub use changes::{ChangedColumn, Changes};
pub use membership::Membership;
#[cfg(any(feature = "async", feature = "blocking"))]
pub(crate) use new_row::InsertedOf;
pub use new_row::{Column, NewRow, ROWS_PER_STATEMENT, Replaced};
