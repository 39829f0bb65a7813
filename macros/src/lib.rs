//! The attribute and the derives of `wundr-db`; use them through that crate.
//!
//! - [`macro@asynchronous`] and [`macro@blocking`] make one repository, written as ordinary `async fn`, serve
//!   both engines.
//! - [`macro@NewRow`], [`macro@Changes`] and [`macro@Filter`] give a table's plain structs their constructors,
//!   chainable setters and, for the first two, a statement of fixed shape that a connection prepares once.

mod repository;
mod rows;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Turns the `async fn`s of a repository trait, or of an implementation of one, into methods that return a boxed
/// future, so that the trait can be used as `dyn`.
///
/// In a trait, a method without a body asks the repository behind this one (`inner`), or returns
/// `Error::Unsupported` where there is none: a decorator or a test double implements only what it cares about.
///
/// In an implementation, a method marked `#[unboxed]` stays an `async fn`.
#[proc_macro_attribute]
pub fn asynchronous(_: TokenStream, item: TokenStream) -> TokenStream {
    repository::asynchronous(item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// The same source for the blocking engine: takes away `async` and `.await`, and the methods that are marked
/// `#[asynchronous_only]`.
#[proc_macro_attribute]
pub fn blocking(_: TokenStream, item: TokenStream) -> TokenStream {
    repository::blocking(item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new`, a setter for each optional field, and the insert and upsert statements of a new row.
///
/// On the struct: `#[row(table = users, row = User)]`, and `conflict = "(slug)"` where an upsert has a natural key,
/// with `keep(a, b)` for the columns that an upsert leaves alone besides those of the key.
/// `bare` leaves out `new` and the setters: for a row with columns that cannot be chosen one by one.
/// On a field: `#[row(default = EXPR)]` for a value made by the client, `#[row(or = "SQL")]` for an `Option` whose
/// column is NOT NULL: what the column gets when nothing is given. `#[row(precision = 12, scale = 4)]` on a number
/// states the bounds of its `NUMERIC(12, 4)`.
#[proc_macro_derive(NewRow, attributes(row))]
pub fn new_row(input: TokenStream) -> TokenStream {
    rows::new_row(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new`, a setter for each field and the update statement of a set of changes.
///
/// On the struct: `#[row(table = users, row = User, id = UserId)]`. Fields are `Option<T>` where the column is
/// NOT NULL and `Change<T>` where it is nullable. A field marked `#[row(expected)]` is compared with `updated_at`
/// instead of being set; `#[row(precision = 12, scale = 4)]` is as for a new row.
#[proc_macro_derive(Changes, attributes(row))]
pub fn changes(input: TokenStream) -> TokenStream {
    rows::changes(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new` and a setter for each field of a filter: `Option<T>`, `Vec<T>` or `bool`.
#[proc_macro_derive(Filter)]
pub fn filter(input: TokenStream) -> TokenStream {
    rows::filter(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
