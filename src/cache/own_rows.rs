//! Rows of the application's tables in the cache.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::entry::{Entry, Sealed};
use crate::Touched;
use crate::write_set::Key;

/// A row of the application, or another value, that [`Cached::of`](crate::Cached::of) caches.
///
/// The guarantee of the [cache](crate::cache) holds for it under one condition: each transaction
/// that changes what the value depends on names the key, by
/// [`Tx::touches`](crate::Tx::touches) on the [`Cached`](crate::Cached) database. The crate does
/// not find such a write by itself. A write that does not name the key becomes visible when the
/// lifetime of the entry ends, as that of another client does.
///
/// The value is stored with the names of its fields. A process that cannot decode a value reads
/// the database and replaces it.
///
/// # Examples
/// ```
/// use serde::{Deserialize, Serialize};
/// use wundr_db::cache::CachedRow;
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Note {
///     id: i32,
///     text: String,
/// }
///
/// impl CachedRow for Note {
///     const KIND: &'static str = "note";
/// }
///
/// let key = Note::key(7);
/// ```
pub trait CachedRow: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name of the kind, a part of the keys in Redis.
    ///
    /// It must be the same in all processes, and no other type may have it. Must be between 1 and
    /// 64 ASCII letters, digits, `-` and `_`; anything else does not compile.
    const KIND: &'static str;

    /// The version of the value, for changes of its meaning that decoding does not find.
    ///
    /// Processes with different versions replace each other's values. Default: 1.
    const VERSION: u32 = 1;

    /// The longest lifetime of an entry, if that of [`CachedKind::Own`](super::CachedKind::Own) is
    /// longer. Default: none.
    const LIFETIME: Option<Duration> = None;

    /// Returns the key of a row. Keys are equal if the texts of their ids are.
    fn key(id: impl fmt::Display) -> OwnKey<Self> {
        const { assert!(is_word(Self::KIND), "KIND is not a word") }
        OwnKey {
            id: id.to_string(),
            row: PhantomData,
        }
    }
}

const fn is_word(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if !(bytes[index].is_ascii_alphanumeric() || matches!(bytes[index], b'-' | b'_')) {
            return false;
        }
        index += 1;
    }
    !bytes.is_empty() && bytes.len() <= 64
}

/// The key of a cached row of the application, made by [`CachedRow::key`].
pub struct OwnKey<T: ?Sized> {
    id: String,
    row: PhantomData<fn() -> T>,
}

impl<T: CachedRow> OwnKey<T> {
    pub(crate) fn key(self) -> Key {
        Key::Own(T::KIND, self.id)
    }
}

impl<T: ?Sized> Clone for OwnKey<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            row: PhantomData,
        }
    }
}

impl<T: CachedRow> fmt::Debug for OwnKey<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = formatter.debug_struct("OwnKey");
        key.field("kind", &T::KIND).field("id", &self.id).finish()
    }
}

impl<T: CachedRow> From<OwnKey<T>> for Touched {
    fn from(key: OwnKey<T>) -> Self {
        Self::Own {
            kind: T::KIND,
            id: key.id,
        }
    }
}

/// A row of the application, or its absence, as it is stored: the version, and MessagePack with the
/// names of the fields. Rows of the crate have no names, and another version for each form.
#[derive(Clone)]
pub(crate) struct Own<T>(pub(crate) Option<T>);

impl<T: CachedRow> Serialize for Own<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = rmp_serde::to_vec_named(&self.0).map_err(S::Error::custom)?;
        (T::VERSION, Sealed(value)).serialize(serializer)
    }
}

impl<'de, T: CachedRow> Deserialize<'de> for Own<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (version, value) = <(u32, Sealed)>::deserialize(deserializer)?;
        if version != T::VERSION {
            return Err(D::Error::custom("the value has another version"));
        }
        let value = rmp_serde::from_slice(&value.0);
        value.map(Self).map_err(D::Error::custom)
    }
}

impl<T: CachedRow> Entry for Own<T> {
    fn is_absence(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::{Deserialize, Serialize};

    use super::{CachedRow, Own, is_word};
    use crate::cache::entry::{decode, encode};
    use crate::cache::keys::{EntryKey, KeySpace};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Note {
        id: i32,
        text: String,
    }

    impl CachedRow for Note {
        const KIND: &'static str = "note";
    }

    /// The note of the next release: another order of the fields, and a new one.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Later {
        text: String,
        id: i32,
        #[serde(default)]
        tags: Vec<String>,
    }

    impl CachedRow for Later {
        const KIND: &'static str = "note";
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct OfAnotherVersion {
        id: i32,
        text: String,
    }

    impl CachedRow for OfAnotherVersion {
        const KIND: &'static str = "note";
        const VERSION: u32 = 2;
    }

    #[test]
    fn a_value_is_decoded_by_the_names_of_its_fields() {
        let key = EntryKey::from(&Note::key(7).key());
        let note = Note {
            id: 7,
            text: "text".to_owned(),
        };
        let bytes = encode(&key, &Own(Some(note.clone())), Duration::ZERO, 2).unwrap();
        assert_eq!(
            decode::<Own<Note>>(&key, &bytes, 1).unwrap().value.0,
            Some(note)
        );
        let later = Later {
            text: "text".to_owned(),
            id: 7,
            tags: Vec::new(),
        };
        assert_eq!(
            decode::<Own<Later>>(&key, &bytes, 1).unwrap().value.0,
            Some(later)
        );
        assert!(decode::<Own<OfAnotherVersion>>(&key, &bytes, 1).is_err());
        let absent = encode(&key, &Own::<Note>(None), Duration::ZERO, 2).unwrap();
        assert_eq!(decode::<Own<Note>>(&key, &absent, 1).unwrap().value.0, None);
    }

    #[test]
    fn an_id_may_be_any_text() {
        let space = KeySpace::new("wundr", 0, "db", "g".to_owned(), "3".into());
        let name = |id: &str| space.entry(&EntryKey::from(&Note::key(id).key()));
        assert!(!name("a b {c}:\n").contains([' ', '\n']));
        assert_ne!(name("a b"), name("a c"));
        assert_eq!(name("7"), space.entry(&EntryKey::from(&Note::key(7).key())));
    }

    #[test]
    fn a_kind_is_a_word() {
        assert!(is_word("note-2_b"));
        for name in ["", "a b", "a:b", "a{b}", &"x".repeat(65)] {
            assert!(!is_word(name), "{name}");
        }
    }
}
