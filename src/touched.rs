//! What a transaction has written of that which may be cached.
//!
//! Every write of a table that has a cached form notes the entries that it makes old, next to its statement. Without a
//! cache nobody reads the notes, and none are taken.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::{
    AnalysisType, ConfigurationScope, OrganizationId, ProjectId, SetupProfileId, ToolId, UserId,
};

/// An entry of the cache whose truth is kept by fences.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    User(UserId),
    /// By the hash of the session's token.
    UserSession(String),
    Organization(OrganizationId),
    OrganizationMember(OrganizationId, UserId),
    Project(ProjectId),
    ProjectMember(ProjectId, UserId),
    /// All settings that a scope has itself.
    Configurations(ConfigurationScope),
    SetupProfile(SetupProfileId),
    Tool(ToolId),
    /// The newest analysis of a project and type, and the newest that is completed.
    LatestAnalysis(ProjectId, AnalysisType),
}

/// With more entries than this, all that is cached is made old instead of each of them.
const MOST: usize = 1_000;

/// The entries that a transaction makes old.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    keys: HashSet<Key>,
    everything: bool,
}

impl Touched {
    pub(crate) fn add(&mut self, key: Key) {
        if !self.everything {
            self.keys.insert(key);
            if self.keys.len() > MOST {
                self.everything();
            }
        }
    }

    /// What was written is not known, or too much to name.
    pub(crate) fn everything(&mut self) {
        self.everything = true;
        self.keys = HashSet::new();
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.everything && self.keys.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

/// A transaction's notes; none are taken without a cache.
#[derive(Debug, Default)]
pub(crate) struct Notes(Option<Mutex<Touched>>);

impl Notes {
    pub(crate) fn new(has_cache: bool) -> Self {
        Self(has_cache.then(Mutex::default))
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn add(&self, what: &(impl Touches + ?Sized)) {
        if let Some(touched) = &self.0 {
            what.touch(&mut touched.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What was noted, if anything was.
    pub(crate) fn take(&mut self) -> Option<Touched> {
        let touched = self.0.take()?;
        let touched = touched.into_inner().unwrap_or_else(PoisonError::into_inner);
        (!touched.is_empty()).then_some(touched)
    }
}

/// What a write returns or was given, which tells what it has touched.
pub(crate) trait Touches {
    fn touch(&self, touched: &mut Touched);
}

impl<T: Touches> Touches for Option<T> {
    fn touch(&self, touched: &mut Touched) {
        self.iter().for_each(|row| row.touch(touched));
    }
}

impl<T: Touches> Touches for [T] {
    fn touch(&self, touched: &mut Touched) {
        self.iter().for_each(|row| row.touch(touched));
    }
}

impl<T: Touches> Touches for Vec<T> {
    fn touch(&self, touched: &mut Touched) {
        self.as_slice().touch(touched);
    }
}

impl Touches for Key {
    fn touch(&self, touched: &mut Touched) {
        touched.add(self.clone());
    }
}

/// The one or the other.
impl<A: Touches, B: Touches> Touches for Result<A, B> {
    fn touch(&self, touched: &mut Touched) {
        match self {
            Ok(one) => one.touch(touched),
            Err(other) => other.touch(touched),
        }
    }
}

/// The answer of a write whose entries were noted before.
impl Touches for bool {
    fn touch(&self, _: &mut Touched) {}
}

/// A write whose entries cannot be told one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everything;

impl Touches for Everything {
    fn touch(&self, touched: &mut Touched) {
        touched.everything();
    }
}

/// Says which entry a row, or a row that is to be created, is cached as.
macro_rules! touches {
    ($($row:ty),+ => |$self:ident| $key:expr) => {$(
        impl crate::touched::Touches for $row {
            fn touch(&self, touched: &mut crate::touched::Touched) {
                let $self = self;
                touched.add($key);
            }
        }
    )+};
}
pub(crate) use touches;

#[cfg(test)]
mod tests {
    use super::{Key, MOST, Touched};
    use crate::UserId;

    #[test]
    fn too_many_entries_are_everything() {
        let mut touched = Touched::default();
        assert!(touched.is_empty());
        for _ in 0..MOST {
            touched.add(Key::User(UserId::new()));
        }
        assert!(!touched.is_everything());
        touched.add(Key::User(UserId::new()));
        assert!(touched.is_everything() && !touched.is_empty());
        touched.add(Key::User(UserId::new()));
        assert_eq!(touched.keys().count(), 0);
    }
}
