//! The names of the observation in a build with neither `tracing` nor `metrics`: nothing is
//! observed, and nothing remains of it in the compiled calls.

#[cfg(feature = "async")]
use super::BoxFuture;
use super::Method;
use crate::Result;

/// The settings of the observation of one `Db`: there are none.
#[derive(Debug, Clone, Default)]
pub struct CallObserver {}

/// A call that is observed: there is none.
#[derive(Debug)]
pub enum Call {}

impl CallObserver {
    /// Returns `None`.
    #[must_use]
    pub const fn begin(&self, _: Method) -> Option<Call> {
        None
    }

    /// Returns `None`.
    #[must_use]
    pub const fn begin_cached(&self, _: Method) -> Option<Call> {
        None
    }

    pub(crate) const fn begin_checkout(&self) -> Checkout {
        Checkout
    }

    pub(crate) const fn begin_copy(&self, _: &str) -> Copying {
        Copying
    }
}

/// The checkout of a connection.
pub(crate) struct Checkout;

impl Checkout {
    pub(crate) const fn begin_wait(&mut self) {}

    pub(crate) fn end(self, _: Option<&crate::Error>) {}
}

/// A `COPY`.
pub(crate) struct Copying;

impl Copying {
    pub(crate) fn end(self, _: &Result<Option<usize>>) {}
}

/// Returns the future.
#[cfg(feature = "async")]
#[must_use]
pub fn observed<'f, R>(_: Option<Call>, future: BoxFuture<'f, R>) -> BoxFuture<'f, R> {
    future
}

/// Runs the work.
///
/// # Errors
/// That of the work.
#[cfg(feature = "blocking")]
pub fn observed_now<R>(_: Option<Call>, work: impl FnOnce() -> Result<R>) -> Result<R> {
    work()
}
