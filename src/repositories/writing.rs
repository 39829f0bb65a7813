//! Writes of tables that have a cached form.

use super::*;
use crate::Result;
use crate::touched::Touches;

/// Where a write runs: as it is, or in a unit of its own where there is a cache, since what it touches is fenced before
/// it is committed.
pub(super) enum Writing<'s, 'a> {
    Plain(&'s Source<'a>),
    Fenced(Unit<'a>),
}

#[repository]
pub(super) async fn writing<'s, 'a>(source: &'s Source<'a>) -> Result<Writing<'s, 'a>> {
    match source {
        Source::Pool(db) if db.has_cache() => Ok(Writing::Fenced(Unit::begin(source).await?)),
        _ => Ok(Writing::Plain(source)),
    }
}

#[repository]
pub(super) async fn written<T: Send>(writing: Writing<'_, '_>, outcome: Result<T>) -> Result<T> {
    match writing {
        Writing::Plain(_) => outcome,
        Writing::Fenced(unit) => unit.end(outcome).await,
    }
}

impl Writing<'_, '_> {
    pub(super) fn source(&self) -> Source<'_> {
        match self {
            Self::Plain(source) => (*source).clone(),
            Self::Fenced(unit) => unit.source(),
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
