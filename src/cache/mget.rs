//! `MGET` of values together with the generation that they must belong to.

use redis::{Cmd, ErrorKind, RedisResult, Value};

use super::keys::{EntryKey, KeySpace};
use super::scripts;

/// Returns the command that reads the shard's generation and values in one atomic step.
pub(crate) fn command<'n>(
    key_space: &KeySpace,
    wanted: impl Iterator<Item = &'n EntryKey> + Clone,
) -> Cmd {
    let count = wanted.clone().count();
    let room = key_space.generation_key.len() + count * (key_space.generation_key.len() + 96);
    let mut command = Cmd::with_capacity(count + 2, room);
    command.arg("MGET").arg(&key_space.generation_key);
    for key in wanted {
        command.arg(key_space.key(key));
    }
    command
}

/// The reply to the command.
#[derive(Debug)]
pub(crate) struct MgetReply {
    /// `true` if the keys' generation is the current one.
    pub(crate) is_current: bool,
    /// In the order of the keys.
    pub(crate) values: Vec<Option<Vec<u8>>>,
}

impl MgetReply {
    /// Reads a reply of the server.
    ///
    /// # Errors
    /// The reply is not an array.
    pub(crate) fn of(key_space: &KeySpace, reply: Value) -> RedisResult<Self> {
        let Value::Array(values) = reply else {
            let not_understood = "the reply to MGET is not an array";
            return Err((ErrorKind::Parse, not_understood).into());
        };
        // Not collected: `collect` would reuse the larger allocation of the reply.
        let mut found = Vec::with_capacity(values.len());
        let mut values = values.into_iter();
        let generation = values.next().and_then(scripts::bytes);
        found.extend(values.map(scripts::bytes));
        Ok(Self {
            is_current: generation.is_some_and(|found| found == key_space.generation.as_bytes()),
            values: found,
        })
    }

    /// Returns the reply for distribution among several readers.
    #[cfg(feature = "async")]
    pub(crate) fn shared(self) -> Shared {
        Shared {
            is_current: self.is_current,
            values: self.values.into_iter(),
        }
    }
}

/// A reply for several readers.
#[cfg(feature = "async")]
pub(crate) struct Shared {
    is_current: bool,
    values: std::vec::IntoIter<Option<Vec<u8>>>,
}

#[cfg(feature = "async")]
impl Shared {
    /// Returns the next `count` values.
    pub(crate) fn next(&mut self, count: usize) -> MgetReply {
        MgetReply {
            is_current: self.is_current,
            values: self.values.by_ref().take(count).collect(),
        }
    }
}
