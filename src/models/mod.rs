//! The tables' plain data: rows, new rows, changes, filters and orders. No engine in sight.

mod users;

pub use users::*;
