//! The traits that the derives of the models implement, and the expressions of the models' queries.

pub(crate) mod analyses_of;
mod changes;
pub(crate) mod condition;
pub(crate) mod exhaustive;
pub(crate) mod expressions;
pub(crate) mod keyset;
mod membership;
mod new_row;
mod optional;
mod table_row;

pub use changes::{ChangedColumn, Changes};
pub use membership::Membership;
pub use new_row::{
    Column, ColumnValues, NewRow, ROWS_PER_STATEMENT, Replaced, bind_array, columns,
};
pub use optional::Optional;
pub use table_row::{Columns, RowSql, TableRow, columns_of, field};
