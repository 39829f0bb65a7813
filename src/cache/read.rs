//! Reading values together with the generation that they must belong to.

use redis::{Cmd, ErrorKind, RedisResult, Value};

use super::name::{Name, Names};
use super::script;

/// Asks for the shard's generation and for values, in one step.
pub(crate) fn command<'n>(names: &Names, wanted: impl Iterator<Item = &'n Name> + Clone) -> Cmd {
    let count = wanted.clone().count();
    let room = names.generation_key.len() + count * (names.generation_key.len() + 96);
    let mut command = Cmd::with_capacity(count + 2, room);
    command.arg("MGET").arg(&names.generation_key);
    for name in wanted {
        command.arg(names.key(name));
    }
    command
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whether the generation that the names are of is the one that lives.
    pub(crate) is_current: bool,
    /// In the order of the keys.
    pub(crate) values: Vec<Option<Vec<u8>>>,
}

impl Answer {
    pub(crate) fn of(names: &Names, answer: Value) -> RedisResult<Self> {
        let Value::Array(values) = answer else {
            let not_understood = "MGET has not answered with an array";
            return Err((ErrorKind::Parse, not_understood).into());
        };
        // Not collected: that would be done in the answer's own memory, which is larger, and then moved.
        let mut found = Vec::with_capacity(values.len());
        let mut values = values.into_iter();
        let generation = values.next().and_then(script::bytes);
        found.extend(values.map(script::bytes));
        Ok(Self {
            is_current: generation.is_some_and(|found| found == names.generation.as_bytes()),
            values: found,
        })
    }

    /// To be dealt out to several readers.
    #[cfg(feature = "async")]
    pub(crate) fn shared(self) -> Shared {
        Shared {
            is_current: self.is_current,
            values: self.values.into_iter(),
        }
    }
}

/// What was found for several readers.
#[cfg(feature = "async")]
pub(crate) struct Shared {
    is_current: bool,
    values: std::vec::IntoIter<Option<Vec<u8>>>,
}

#[cfg(feature = "async")]
impl Shared {
    /// The next so many values.
    pub(crate) fn next(&mut self, count: usize) -> Answer {
        Answer {
            is_current: self.is_current,
            values: self.values.by_ref().take(count).collect(),
        }
    }
}
