//! The cache entries that a transaction invalidates.
//!
//! Every write to a table that has a cached form records the entries that it invalidates, next to
//! its statement. Without a cache, nothing is recorded.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::{AnalysisType, OrganizationId, ProjectId, SetupProfileId, Table, ToolId, UserId};

/// Declares the keys of the entries of each cached table, and the list of these tables: a table
/// with a key is in the list, and a key is of one of its tables.
macro_rules! keys {
    (
        $($table:ident { $($(#[$doc:meta])* $key:ident $(($($field:ty),*))?),* $(,)? })*
        _ { $($(#[$other_doc:meta])* $other:ident ($($other_field:ty),*)),* $(,)? }
    ) => {
        /// The key of a cache entry that fences keep consistent.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub(crate) enum Key {
            $($($(#[$doc])* $key $(($($field),*))?,)*)*
            $($(#[$other_doc])* $other($($other_field),*),)*
        }

        /// The tables whose rows have cached forms that fences keep consistent.
        pub(crate) const CACHED_TABLES: &[Table] = &[$(Table::$table),*];

        impl Key {
            /// Returns the table of the crate whose rows the entry has. `None` for a standing,
            /// which has rows of several tables and is derived from their keys, and for rows of the
            /// application.
            fn table(&self) -> Option<Table> {
                match self {
                    $($(Self::$key { .. })|* => Some(Table::$table),)*
                    $(Self::$other { .. })|* => None,
                }
            }
        }
    };
}

keys! {
    Users { User(UserId) }
    UserSessions {
        /// The hash of the session's token.
        UserSession(String),
    }
    Organizations { Organization(OrganizationId) }
    OrganizationMembers { OrganizationMember(OrganizationId, UserId) }
    Projects { Project(ProjectId) }
    ProjectMembers { ProjectMember(ProjectId, UserId) }
    Configurations {
        /// All global settings.
        GlobalConfigurations,
        /// All settings of an organization itself.
        OrganizationConfigurations(OrganizationId),
        /// All settings of a project itself.
        ProjectConfigurations(ProjectId),
    }
    SetupProfiles { SetupProfile(SetupProfileId) }
    Tools { Tool(ToolId) }
    Analyses {
        /// The newest analysis of a project and type, and the newest completed one.
        LatestAnalysis(ProjectId, AnalysisType),
    }
    _ {
        /// The state of a user on the platform and its memberships, on which its access depends.
        Standing(UserId),
        /// A row of the application: its kind and its id.
        Own(&'static str, String),
    }
}

/// The limit of recorded entries, beyond which the whole cache is invalidated.
const MOST: usize = 1_000;

/// The entries that a transaction invalidates.
#[derive(Debug, Default)]
pub(crate) struct WriteSet {
    keys: HashSet<Key>,
    everything: bool,
    /// The connection was lent, so that statements of the caller may have written anything.
    is_lent: bool,
    /// The caller has named what its statements change.
    is_named: bool,
}

impl WriteSet {
    /// Creates the write set of a transaction that may have written anything.
    pub(crate) fn of_everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// Records that the caller may run statements of its own. The tables that they write are found
    /// before the commit.
    fn lend(&mut self) {
        self.is_lent = true;
    }

    /// Records that the caller has named what its statements change.
    fn name(&mut self) {
        self.is_named = true;
    }

    /// Checks whether the tables that the transaction has written must be compared with the
    /// entries.
    pub(crate) fn has_own_statements(&self) -> bool {
        self.is_lent && !self.everything
    }

    /// Checks whether the entries are all that became old in a transaction that has written these
    /// of the [`CACHED_TABLES`].
    ///
    /// Without the caller's names, any of these tables may have been written by a statement of the
    /// caller. With them, only a table is suspicious of which no entry is named.
    pub(crate) fn covers(&self, mut written: impl Iterator<Item = Table>) -> bool {
        if !self.is_named {
            return written.next().is_none();
        }
        let named: HashSet<Table> = self.keys.iter().filter_map(Key::table).collect();
        written.all(|table| named.contains(&table))
    }

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

    /// Checks whether nothing became old.
    pub(crate) fn is_empty(&self) -> bool {
        !self.everything && self.keys.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.is_empty() && !self.is_lent
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
        self.change(|write_set| what.touch(write_set));
    }

    /// Returns the recorded entries. `None` if there are none, and the connection was not lent.
    pub(crate) fn take(&mut self) -> Option<WriteSet> {
        let write_set = self.0.take()?;
        let write_set = write_set
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (!write_set.is_idle()).then_some(write_set)
    }

    /// Records that the connection is lent to the caller.
    pub(crate) fn lend(&self) {
        self.change(WriteSet::lend);
    }

    /// Records that the caller has named what its statements change.
    pub(crate) fn name(&self) {
        self.change(WriteSet::name);
    }

    fn change(&self, change: impl FnOnce(&mut WriteSet)) {
        if let Some(write_set) = &self.0 {
            change(&mut write_set.lock().unwrap_or_else(PoisonError::into_inner));
        }
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
    use std::collections::HashSet;

    use super::{CACHED_TABLES, Key, MOST, WriteSet};
    use crate::{OrganizationId, ProjectId, Table, UserId};

    /// A table with a decorator is read from the cache: a statement of the application that writes
    /// it must be found.
    #[test]
    fn every_table_with_a_cached_repository_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cache/repositories");
        let files = std::fs::read_dir(folder).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let names: Vec<String> = names.collect();
        let has_repository = |table: &&Table| {
            let (_, name) = table.as_str().split_once('.').unwrap();
            names.contains(&format!("{name}.rs"))
        };
        let cached: HashSet<_> = Table::ALL.iter().filter(has_repository).collect();
        assert_eq!(cached, CACHED_TABLES.iter().collect());
        assert_eq!(cached.len(), CACHED_TABLES.len());
    }

    #[test]
    fn without_names_every_written_table_is_suspicious() {
        let mut write_set = WriteSet::default();
        assert!(!write_set.has_own_statements());
        write_set.lend();
        write_set.add(Key::User(UserId::new()));
        assert!(write_set.has_own_statements());
        assert!(write_set.covers(std::iter::empty()));
        for &table in CACHED_TABLES {
            assert!(!write_set.covers([table].into_iter()), "{table}");
        }
        write_set.everything();
        assert!(!write_set.has_own_statements());
    }

    #[test]
    fn with_names_a_table_without_one_is_suspicious() {
        let mut write_set = WriteSet::default();
        write_set.lend();
        write_set.name();
        write_set.add(Key::User(UserId::new()));
        assert!(write_set.covers([Table::Users].into_iter()));
        assert!(!write_set.covers([Table::Users, Table::Projects].into_iter()));
        // A standing is derived from the user's key, and says nothing of the tables of members.
        assert!(!write_set.covers([Table::OrganizationMembers].into_iter()));
    }

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
