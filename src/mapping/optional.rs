//! The arguments of setters.

/// A value for a setter of a field that may be left out: a value, or an `Option` of one.
///
/// A type that converts into `T` is accepted, and an `Option` of such a type. With `None` the field
/// is as if it had not been set. The compiler infers `Form`.
///
/// ```
/// use wundr_db::{UserFilter, UserRole};
///
/// let asked: Option<UserRole> = None;
/// assert_eq!(UserFilter::new().role(asked), UserFilter::new());
/// assert_eq!(UserFilter::new().search("ada"), UserFilter::new().search(Some("ada")));
/// ```
#[diagnostic::on_unimplemented(
    message = "a setter of `{T}` does not take `{Self}`",
    label = "is neither a value that converts into `{T}` nor an `Option` of one",
    note = "a field whose column is nullable takes a `Change`, the others cannot be cleared"
)]
pub trait Optional<T, Form> {
    /// Returns the value, if there is one.
    fn into_option(self) -> Option<T>;
}

/// The form of an argument that is a value.
#[derive(Debug)]
#[doc(hidden)]
pub enum Plain {}

/// The form of an argument that is an `Option`.
#[derive(Debug)]
#[doc(hidden)]
pub enum Wrapped {}

// Otherwise the message would be about `From`, which the caller has not named.
#[diagnostic::do_not_recommend]
impl<T, V: Into<T>> Optional<T, Plain> for V {
    fn into_option(self) -> Option<T> {
        Some(self.into())
    }
}

#[diagnostic::do_not_recommend]
impl<T, V: Into<T>> Optional<T, Wrapped> for Option<V> {
    fn into_option(self) -> Option<T> {
        self.map(Into::into)
    }
}
