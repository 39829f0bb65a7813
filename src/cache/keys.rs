//! The keys in Redis.
//!
//! All keys of one shard have the same hash tag, so that one script may use them wherever the shard
//! lies: `wundr:{0}:9f86d081884c7d65:` and then `generation`, `epoch:GENERATION`, or
//! `GENERATION:user:UUID:SCHEMA`. The part after the tag is the database: which cluster, which
//! database in it.

use std::io::Write as _;
use std::sync::Arc;

use redis::{RedisWrite, ToRedisArgs};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::CachedKind;
use crate::ProjectId;
use crate::write_set::Key;

/// The version of the encoding of all cached values, a part of each key.
///
/// A change of a cached type's fields needs a new version. Processes with different versions then
/// run side by side, and neither reads the other's values.
pub(crate) const ENTRY_FORMAT: &str = "3";

/// The identity of a cached entry: its kind and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EntryKey {
    pub(crate) kind: CachedKind,
    id: Id,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Row(Uuid),
    Text(String),
}

type Buffer = [u8; Hyphenated::LENGTH];

/// Returns a buffer for the text of an id.
fn buffer() -> Buffer {
    [0; Hyphenated::LENGTH]
}

impl Id {
    fn text<'b>(&'b self, buffer: &'b mut Buffer) -> &'b str {
        match self {
            Self::Row(id) => id.hyphenated().encode_lower(buffer),
            Self::Text(text) => text,
        }
    }
}

impl EntryKey {
    fn new(kind: CachedKind, id: impl ToString) -> Self {
        let id = Id::Text(id.to_string());
        Self { kind, id }
    }

    fn of_row(kind: CachedKind, id: &Uuid) -> Self {
        let id = Id::Row(*id);
        Self { kind, id }
    }

    /// Creates the key of the entry that maps a unique value to the id of its row. Redis holds only
    /// a digest of the value.
    pub(crate) fn of_unique(kind: CachedKind, value: &str) -> Self {
        Self::new(kind, format_args!("by:{}", digest(value)))
    }

    pub(crate) fn of_stats(id: ProjectId) -> Self {
        Self::of_row(CachedKind::ProjectStats, id.as_uuid())
    }

    pub(crate) fn of_trend(id: ProjectId, metric: &str, days: i32) -> Self {
        Self::new(CachedKind::Trend, format_args!("{id}:{days}:{metric}"))
    }

    /// Returns the entry's shard among `shards`. It is the same in every process and version.
    pub(crate) fn shard(&self, shards: u16) -> u16 {
        if shards == 1 {
            return 0;
        }
        (fnv1a([self.id.text(&mut buffer())]) % u64::from(shards)) as u16
    }

    /// Returns a hash that identifies the entry in the header of its value.
    pub(crate) fn hash(&self) -> u64 {
        match &self.id {
            Id::Row(id) => {
                let (first, second) = id.as_u64_pair();
                let kind = fnv1a([self.kind.word()]);
                [first, second].into_iter().fold(kind, mixed)
            }
            Id::Text(text) => fnv1a([self.kind.word(), text]),
        }
    }
}

/// Returns the FNV-1a hash of texts, each followed by a zero byte.
fn fnv1a<'t>(texts: impl IntoIterator<Item = &'t str>) -> u64 {
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0]));
    bytes.map(u64::from).fold(0xcbf2_9ce4_8422_2325, mixed)
}

fn mixed(hash: u64, next: u64) -> u64 {
    (hash ^ next).wrapping_mul(0x0100_0000_01b3)
}

impl From<&Key> for EntryKey {
    fn from(key: &Key) -> Self {
        match key {
            Key::User(id) => Self::of_row(CachedKind::User, id.as_uuid()),
            Key::Standing(id) => Self::of_row(CachedKind::Standing, id.as_uuid()),
            Key::UserSession(token_hash) => Self::new(CachedKind::UserSession, digest(token_hash)),
            Key::Organization(id) => Self::of_row(CachedKind::Organization, id.as_uuid()),
            Key::OrganizationMember(id, user) => {
                Self::new(CachedKind::OrganizationMember, format_args!("{id}:{user}"))
            }
            Key::Project(id) => Self::of_row(CachedKind::Project, id.as_uuid()),
            Key::ProjectMember(id, user) => {
                Self::new(CachedKind::ProjectMember, format_args!("{id}:{user}"))
            }
            Key::GlobalConfigurations => Self::new(CachedKind::Configuration, "global"),
            Key::OrganizationConfigurations(id) => {
                Self::new(CachedKind::Configuration, format_args!("organization:{id}"))
            }
            Key::ProjectConfigurations(id) => {
                Self::new(CachedKind::Configuration, format_args!("project:{id}"))
            }
            Key::SetupProfile(id) => Self::of_row(CachedKind::SetupProfile, id.as_uuid()),
            Key::Tool(id) => Self::of_row(CachedKind::Tool, id.as_uuid()),
            // The names of entries must not have spaces, and the application's ids may.
            Key::Own(kind, id) => Self::new(CachedKind::Own, format_args!("{kind}:{}", digest(id))),
            Key::LatestAnalysis(id, r#type) => {
                Self::new(CachedKind::LatestAnalysis, format_args!("{id}:{type}"))
            }
        }
    }
}

/// The keys of one shard in one database and generation.
#[derive(Debug)]
pub(crate) struct KeySpace {
    prefix: String,
    pub(crate) generation_key: String,
    pub(crate) generation: String,
    pub(crate) epoch: String,
    /// The version of the encoding, and a mark of the key that encrypts the values.
    pub(crate) schema: Arc<str>,
}

impl KeySpace {
    /// Returns the key of the shard's generation, and the prefix of the keys of its epochs.
    pub(crate) fn of_shard(application: &str, shard: u16, database: &str) -> (String, String) {
        let prefix = format!("{application}:{{{shard}}}:{database}:");
        (format!("{prefix}generation"), format!("{prefix}epoch:"))
    }

    pub(crate) fn new(
        application: &str,
        shard: u16,
        database: &str,
        generation: String,
        schema: Arc<str>,
    ) -> Self {
        let prefix = format!("{application}:{{{shard}}}:{database}:");
        Self {
            generation_key: format!("{prefix}generation"),
            epoch: format!("{prefix}epoch:{generation}"),
            prefix: format!("{prefix}{generation}:"),
            generation,
            schema,
        }
    }

    /// Returns the name under which the entry is fenced. The key of its value begins with it.
    pub(crate) fn entry(&self, key: &EntryKey) -> String {
        let mut buffer = buffer();
        let [parts @ .., _] = self.parts(key, &mut buffer);
        parts.concat()
    }

    /// Returns the key of the entry's value.
    pub(crate) fn value(&self, key: &EntryKey) -> String {
        self.parts(key, &mut buffer()).concat()
    }

    /// Returns [`value`](Self::value) as an argument of a command, without an allocation.
    pub(crate) fn key<'n>(&'n self, key: &'n EntryKey) -> ValueKey<'n> {
        ValueKey {
            key_space: self,
            key,
        }
    }

    fn parts<'p>(&'p self, key: &'p EntryKey, buffer: &'p mut Buffer) -> [&'p str; 6] {
        let id = key.id.text(buffer);
        [&self.prefix, key.kind.word(), ":", id, ":", &self.schema]
    }

    /// Returns the key of the entry's lease.
    pub(crate) fn lease(&self, key: &EntryKey) -> String {
        format!("{}:lease", self.value(key))
    }
}

/// The key of a value, written into a command part by part.
pub(crate) struct ValueKey<'n> {
    key_space: &'n KeySpace,
    key: &'n EntryKey,
}

impl ToRedisArgs for ValueKey<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut key = out.writer_for_next_arg();
        for part in self.key_space.parts(self.key, &mut buffer()) {
            // Writing to memory does not fail.
            let _ = key.write_all(part.as_bytes());
        }
    }
}

/// Returns the first 16 bytes of the SHA-256 digest in hexadecimal.
pub(crate) fn digest(value: &str) -> String {
    let digest = Sha256::digest(value.as_bytes());
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{EntryKey, KeySpace};
    use crate::cache::CachedKind;
    use crate::write_set::Key;
    use crate::{ProjectId, UserId};

    /// Processes of other versions fence the same entries, so the key and the shard of an entry
    /// must not change.
    #[test]
    fn an_entry_has_the_same_key_in_every_version() {
        let id = uuid::uuid!("01890a5d-ac96-774b-bcce-b302099a8057");
        let key = EntryKey::from(&Key::Project(ProjectId::from(id)));
        let key_space = KeySpace::new("wundr", 0, "db", "g".to_owned(), "2".into());
        let entry = "wundr:{0}:db:g:project:01890a5d-ac96-774b-bcce-b302099a8057:";
        assert_eq!(key_space.entry(&key), entry);
        assert_eq!(key.shard(16), 9);

        let value = key_space.value(&key);
        assert!(value.starts_with(entry), "{value}");
        let mut command = redis::cmd("GET");
        command.arg(key_space.key(&key));
        assert_eq!(
            command.args_iter().nth(1),
            Some(redis::Arg::Simple(value.as_bytes()))
        );
    }

    #[test]
    fn entries_have_different_hashes() {
        let id = uuid::uuid!("01890a5d-ac96-774b-bcce-b302099a8057");
        let next = uuid::uuid!("01890a5d-ac96-774b-bcce-b302099a8058");
        let marks = [
            EntryKey::from(&Key::Project(ProjectId::from(id))),
            EntryKey::from(&Key::Project(ProjectId::from(next))),
            EntryKey::from(&Key::User(UserId::from(id))),
            EntryKey::of_stats(ProjectId::from(id)),
            EntryKey::of_unique(CachedKind::User, "ada@example.org"),
        ]
        .map(|key| key.hash());
        for (index, mark) in marks.iter().enumerate() {
            assert!(!marks[..index].contains(mark), "{index}");
        }
    }
}
