//! The attributes and derives of `wundr-db`. Use them through that crate.
//!
//! - [`macro@asynchronous`] and [`macro@blocking`] compile one repository, written as ordinary
//!   `async fn`, for each engine.
//! - [`macro@NewRow`], [`macro@Changes`] and [`macro@Filter`] generate the constructors and
//!   chainable setters of a table's structs. The first two also generate the parts of a statement
//!   of fixed shape, which a connection prepares once.
//! - [`macro@TableRow`] generates what reads a table's rows.

mod body;
mod boxing;
mod changes;
mod filter;
mod new_row;
mod repository;
mod row_options;
mod setters;
mod table_row;
mod test;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Compiles a repository for the async engine.
///
/// The `async fn`s of a trait or an implementation become methods that return a boxed future, so
/// that the trait can be used as `dyn`. In an implementation, a method marked `#[unboxed]` stays an
/// `async fn`.
///
/// In a trait, a method without a body calls the inner repository (`inner`). If there is none, it
/// returns `Error::Unsupported`. So a decorator or a test double implements only the methods that
/// it needs.
///
/// # Options of an implementation
/// - `exhaustive`: each method of the trait is written, or passed on by name. Otherwise the
///   implementation does not compile. Use it for a decorator that must see every call, for example
///   one that checks access: a method that a later version of the trait adds would otherwise pass
///   by it.
/// - `pass(find, list)`: the methods that an `exhaustive` implementation passes on to its `inner`.
///
/// - `observed`: with the feature `tracing` or `metrics` of wundr-db, each method is a call that
///   has a span and a duration, as those of the crate's repositories. Its name is that of the type
///   and that of the method: `issue_notes.find` for `IssueNotes`. `observed = "notes"` gives
///   another first part. The type is a tuple struct whose first field is an `OwnTables`, and each
///   method returns a `wundr_db::Result` or a `RowStream`.
#[proc_macro_attribute]
pub fn asynchronous(options: TokenStream, item: TokenStream) -> TokenStream {
    repository::asynchronous(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Compiles a repository for the blocking engine.
///
/// Removes `async` and `.await`, and the methods that are marked `#[asynchronous_only]`.
#[proc_macro_attribute]
pub fn blocking(options: TokenStream, item: TokenStream) -> TokenStream {
    repository::blocking(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Gives a test a database of its own, with every migration applied.
///
/// The test is an `async fn` or a plain `fn`. An `async fn` runs on a runtime of one thread. The
/// types of its arguments decide what it gets:
///
/// | type | value |
/// |---|---|
/// | `Db` | a pool of the async engine, in an `async fn` |
/// | `blocking::Db` | a pool of the blocking engine, in a plain `fn` |
/// | `Config` | the settings for the database |
/// | `TestDatabase` | the database, for its name and its URL |
/// | `StatementRecorder` | a recorder, through which `Db` and `Config` connect |
/// | `RedisServer` | a private Redis server |
/// | any other | what its `testing::TestArgument` makes |
///
/// The database is dropped at the end of the test, even if the test panics. A test without
/// arguments has no database. Needs the feature `testing`. If the machine has no PostgreSQL, the
/// test fails with the command that installs it.
///
/// # Options
/// - `prepare = FUNCTION`: a function that prepares the database after the migrations, for example
///   by migrations of the application. It takes a `Config` and returns a `Result<(), E>`; it is
///   async if the test is. It runs once for each server and module: the tests copy what it made.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    test::test(options.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives the columns and the decoding of a table's rows.
///
/// A field stands for the column with its name.
///
/// # Options of the struct
/// - `#[diesel(table_name = users)]`: the table. Required.
///
/// # Options of a field
/// - `#[diesel(deserialize_as = TYPE)]`: the type that is decoded, and converted into the field's.
#[proc_macro_derive(TableRow, attributes(diesel))]
pub fn table_row(input: TokenStream) -> TokenStream {
    table_row::table_row(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new`, a setter for each optional field, and the insert and upsert statements of a new
/// row.
///
/// # Options of the struct
/// - `#[row(table = users, row = User)]`: the table, and the struct of its rows. Required.
/// - `conflict = "(slug)"`: the natural key of an upsert.
/// - `keep(a, b)`: the columns that an upsert does not update, besides those of the key.
/// - `bare`: no `new` and no setters, for a row whose columns cannot be set one by one.
/// - `body(NAME: a, b)`: a struct of these fields, which implements `Deserialize` and becomes a new
///   row by `into_new`.
///
/// # Options of a field
/// - `#[row(default = EXPR)]`: the client generates the value.
/// - `#[row(or = "SQL")]`: the value of a NOT NULL column whose `Option` is `None`.
/// - `#[row(precision = 12, scale = 4)]`: the bounds of a number in a `NUMERIC(12, 4)`.
#[proc_macro_derive(NewRow, attributes(row))]
pub fn new_row(input: TokenStream) -> TokenStream {
    new_row::new_row(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new`, a setter for each field and the update statement of a set of changes.
///
/// A field is an `Option<T>` if its column is NOT NULL, and a `Change<T>` if it is nullable.
///
/// # Options of the struct
/// - `#[row(table = users, row = User, id = UserId)]`: the table, the struct of its rows, and the
///   type of its key. Required.
///
/// # Options of a field
/// - `#[row(expected)]`: the field is compared with `updated_at` and is not set.
/// - `#[row(precision = 12, scale = 4)]`: as for a new row.
#[proc_macro_derive(Changes, attributes(row))]
pub fn changes(input: TokenStream) -> TokenStream {
    changes::changes(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Derives `new`, a setter for each field of a filter (`Option<T>` or `bool`), and `FromStr` for a
/// query string. The filter implements `Deserialize`.
#[proc_macro_derive(Filter)]
pub fn filter(input: TokenStream) -> TokenStream {
    filter::filter(parse_macro_input!(input as DeriveInput))
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
