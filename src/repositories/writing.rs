//! Writes of tables that have a cached form.

use super::*;
use crate::Result;
use crate::touched::Touches;

/// A write of a table that has a cached form. With a cache it runs in a unit of its own, since what it touches is fenced
/// before it is committed. Without one, and in a transaction of the caller's, it runs as it is.
pub(super) enum Write<'s, 'a> {
    Plain(&'s Source<'a>),
    Fenced(Unit<'a>),
}

#[repository]
impl<'s, 'a> Write<'s, 'a> {
    /// Begins a write.
    #[unboxed]
    pub(super) async fn begin(source: &'s Source<'a>) -> Result<Self> {
        match source {
            Source::Pool(db) if db.has_cache() => Ok(Self::Fenced(Unit::begin(source).await?)),
            _ => Ok(Self::Plain(source)),
        }
    }

    /// Returns where the write's statements run.
    pub(super) fn source(&self) -> Source<'_> {
        match self {
            Self::Plain(source) => (*source).clone(),
            Self::Fenced(unit) => unit.source(),
        }
    }

    /// Ends the write and returns its outcome, which names the entries that it touches.
    #[unboxed]
    pub(super) async fn finish<T: Touches + Send>(self, outcome: Result<T>) -> Result<T> {
        if let Ok(written) = &outcome {
            self.source().touch(written);
        }
        // Not by `end`, whose future would hold the row once more.
        match self {
            Self::Plain(_) => outcome,
            Self::Fenced(unit) => unit.end(outcome).await,
        }
    }

    /// Ends the write and returns its outcome. `touched` names the entries that it touches.
    #[unboxed]
    pub(super) async fn finish_touching<T: Send, W: Touches>(
        self,
        outcome: Result<T>,
        touched: impl FnOnce(&T) -> W + Send,
    ) -> Result<T> {
        if let Ok(written) = &outcome {
            self.source().touch(&touched(written));
        }
        self.end(outcome).await
    }

    /// Ends the write, whose entries have been noted, and returns its outcome.
    #[unboxed]
    pub(super) async fn end<T: Send>(self, outcome: Result<T>) -> Result<T> {
        match self {
            Self::Plain(_) => outcome,
            Self::Fenced(unit) => unit.end(outcome).await,
        }
    }
}

impl Source<'_> {
    /// Notes what was written of that which may be cached.
    pub(super) fn touch(&self, what: &(impl Touches + ?Sized)) {
        if let Some(tx) = self.tx() {
            tx.touch(what);
        }
    }

    /// Whether writes are fenced.
    pub(super) fn has_cache(&self) -> bool {
        match self {
            Source::Pool(db) => db.has_cache(),
            another => another.takes_notes(),
        }
    }

    /// Whether [`touch`](Self::touch) is heard: then it is worth while to find out what a write touches.
    pub(super) fn takes_notes(&self) -> bool {
        self.tx().is_some_and(|tx| tx.takes_notes())
    }
}
