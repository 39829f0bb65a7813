//! The cache entries that a transaction invalidates.
//!
//! Every write to a table that has a cached form records the entries that it invalidates, next to
//! its statement. Without a cache, nothing is recorded.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::{AnalysisType, OrganizationId, ProjectId, SetupProfileId, ToolId, UserId};

/// The key of a cache entry that fences keep consistent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    User(UserId),
    /// The hash of the session's token.
    UserSession(String),
    /// The state of a user on the platform and its memberships, on which its access depends.
    Standing(UserId),
    Organization(OrganizationId),
    OrganizationMember(OrganizationId, UserId),
    Project(ProjectId),
    ProjectMember(ProjectId, UserId),
    /// All global settings.
    GlobalConfigurations,
    /// All settings of an organization itself.
    OrganizationConfigurations(OrganizationId),
    /// All settings of a project itself.
    ProjectConfigurations(ProjectId),
    SetupProfile(SetupProfileId),
    Tool(ToolId),
    /// The newest analysis of a project and type, and the newest completed one.
    LatestAnalysis(ProjectId, AnalysisType),
}

/// The limit of recorded entries, beyond which the whole cache is invalidated.
const MOST: usize = 1_000;

/// The entries that a transaction invalidates.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    keys: HashSet<Key>,
    everything: bool,
}

impl WriteSet {
    pub(crate) fn add(&mut self, key: Key) {
        if !self.everything {
            // Derived here, so that no write of a user or a member can omit it.
            if let Key::User(user)
            | Key::OrganizationMember(_, user)
            | Key::ProjectMember(_, user) = key
            {
                self.keys.insert(Key::Standing(user));
            }
            self.keys.insert(key);
            if self.keys.len() > MOST {
                self.everything();
            }
        }
    }

    /// Invalidates the whole cache, because the written rows are unknown or too many.
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

/// The recorder of a transaction's written entries, which is off without a cache.
#[derive(Debug, Default)]
pub(crate) struct WriteSetRecorder(Option<Mutex<WriteSet>>);

impl WriteSetRecorder {
    pub(crate) fn new(has_cache: bool) -> Self {
        Self(has_cache.then(Mutex::default))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn add(&self, what: &(impl Touches + ?Sized)) {
        if let Some(write_set) = &self.0 {
            what.touch(&mut write_set.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Returns the recorded entries, if there are any.
    pub(crate) fn take(&mut self) -> Option<WriteSet> {
        let write_set = self.0.take()?;
        let write_set = write_set
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (!write_set.is_empty()).then_some(write_set)
    }
}

/// A result or an argument of a write that determines the entries that the write invalidates.
pub(crate) trait Touches {
    fn touch(&self, write_set: &mut WriteSet);
}

impl<T: Touches + ?Sized> Touches for &T {
    fn touch(&self, write_set: &mut WriteSet) {
        (*self).touch(write_set);
    }
}

impl<T: Touches> Touches for Option<T> {
    fn touch(&self, write_set: &mut WriteSet) {
        self.iter().for_each(|row| row.touch(write_set));
    }
}

impl<T: Touches> Touches for [T] {
    fn touch(&self, write_set: &mut WriteSet) {
        self.iter().for_each(|row| row.touch(write_set));
    }
}

impl<T: Touches> Touches for Vec<T> {
    fn touch(&self, write_set: &mut WriteSet) {
        self.as_slice().touch(write_set);
    }
}

impl Touches for Key {
    fn touch(&self, write_set: &mut WriteSet) {
        write_set.add(self.clone());
    }
}

/// The entries of either variant.
impl<A: Touches, B: Touches> Touches for Result<A, B> {
    fn touch(&self, write_set: &mut WriteSet) {
        match self {
            Ok(one) => one.touch(write_set),
            Err(other) => other.touch(write_set),
        }
    }
}

/// The result of a write whose entries were recorded before.
impl Touches for bool {
    fn touch(&self, _: &mut WriteSet) {}
}

/// A write whose entries cannot be enumerated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everything;

impl Touches for Everything {
    fn touch(&self, write_set: &mut WriteSet) {
        write_set.everything();
    }
}

/// Declares the entry in which a row, or a new row, is cached.
macro_rules! touches {
    ($($row:ty),+ => |$self:ident| $key:expr) => {$(
        impl crate::write_set::Touches for $row {
            fn touch(&self, write_set: &mut crate::write_set::WriteSet) {
                let $self = self;
                write_set.add($key);
            }
        }
    )+};
}
pub(crate) use touches;

#[cfg(test)]
mod tests {
    use super::{Key, MOST, WriteSet};
    use crate::{OrganizationId, ProjectId, UserId};

    #[test]
    fn a_write_of_a_user_or_a_member_invalidates_the_standing_of_the_user() {
        let user = UserId::new();
        for key in [
            Key::User(user),
            Key::OrganizationMember(OrganizationId::new(), user),
            Key::ProjectMember(ProjectId::new(), user),
        ] {
            let mut write_set = WriteSet::default();
            write_set.add(key);
            assert!(write_set.keys().any(|key| *key == Key::Standing(user)));
        }
    }

    #[test]
    fn too_many_entries_invalidate_the_whole_cache() {
        let mut write_set = WriteSet::default();
        assert!(write_set.is_empty());
        for _ in 0..MOST {
            write_set.add(Key::Project(ProjectId::new()));
        }
        assert!(!write_set.is_everything());
        write_set.add(Key::Project(ProjectId::new()));
        assert!(write_set.is_everything() && !write_set.is_empty());
        write_set.add(Key::Project(ProjectId::new()));
        assert_eq!(write_set.keys().count(), 0);
    }
}
