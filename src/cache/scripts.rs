//! The Lua scripts of the protocol, and their replies.
//!
//! Each script is one atomic step on the keys of one shard. All but `attach` first check that the
//! caller's generation is the current one.

use std::sync::LazyLock;

use redis::{Cmd, RedisResult, Script, Value};

/// A script. Its text is sent once to each server, and its SHA-1 from then on.
pub(crate) struct Step {
    script: Script,
    text: String,
}

macro_rules! steps {
    ($($name:ident = $text:expr;)+) => {$(
        pub(crate) static $name: LazyLock<Step> = LazyLock::new(|| Step::new($text));
    )+};
}

macro_rules! alive {
    ($file:literal) => {
        concat!(
            include_str!("lua/alive.lua"),
            include_str!(concat!("lua/", $file))
        )
    };
}

steps! {
    ATTACH = include_str!("lua/attach.lua");
    BARRIER = alive!("barrier.lua");
    OPEN = alive!("open.lua");
    LEASE = alive!("lease.lua");
    FILL = alive!("fill.lua");
    RELEASE = alive!("release.lua");
    LEASE_ALL = alive!("lease_all.lua");
    FILL_ALL = alive!("fill_all.lua");
    BEGIN = alive!("begin.lua");
    END = alive!("end.lua");
    SWEEP = alive!("sweep.lua");
}

impl Step {
    fn new(text: &str) -> Self {
        Self {
            script: Script::new(text),
            text: text.to_owned(),
        }
    }

    /// Returns the call by the script's SHA-1 (`EVALSHA`).
    pub(crate) fn by_name(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", self.script.get_hash(), keys, arguments)
    }

    /// Returns the call by the script's text (`EVAL`).
    pub(crate) fn by_text(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.text, keys, arguments)
    }
}

fn call(name: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for argument in arguments {
        command.arg(argument);
    }
    command
}

/// The reply of a script: a word, and its arguments.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    /// The caller's generation is no longer the current one.
    Lost,
    /// The generation may not be filled yet. Has its barrier, if one is set.
    Closed(Option<String>),
    /// The entry is fenced by these writers.
    Fenced(Vec<Fence>),
    Value(Vec<u8>),
    Granted,
    /// Another reader fills the entry.
    Held,
    Barrier(String),
    /// Writers that have not removed their fences for some time.
    Left(Vec<Writer>),
    /// For each of several entries: `true` if its lease was granted, or its value stored.
    Each(Vec<bool>),
    /// Success, with the script's own word.
    Done(String),
}

/// The fence of a writer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub(crate) token: String,
    pub(crate) transaction: String,
    /// Its age in seconds, by the clock of the Redis server.
    pub(crate) age: u64,
}

/// A writer that has not removed its fences, and the entries that it fenced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) token: String,
    pub(crate) transaction: String,
    pub(crate) number: String,
    pub(crate) entries: Vec<String>,
}

impl Writer {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut fence = words.next()?.split(',');
        Some(Self {
            token: fence.next()?.to_owned(),
            transaction: fence.next()?.to_owned(),
            number: fence.nth(1)?.to_owned(),
            entries: words.map(str::to_owned).collect(),
        })
    }
}

impl Reply {
    /// Reads a reply. Returns `None` if it does not belong to this protocol.
    pub(crate) fn read(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else {
            return None;
        };
        let mut parts = parts.into_iter();
        let word = text(parts.next()?)?;
        Some(match word.as_str() {
            "lost" => Self::Lost,
            "closed" => Self::Closed(text(parts.next()?).filter(|barrier| !barrier.is_empty())),
            "fenced" => {
                let fences = text(parts.next()?)?;
                let now = text(parts.next()?)?.parse().ok()?;
                Self::Fenced(
                    fences
                        .split(' ')
                        .filter_map(|fence| Fence::read(fence, now))
                        .collect(),
                )
            }
            "value" => Self::Value(bytes(parts.next()?)?),
            "granted" => Self::Granted,
            "held" => Self::Held,
            "leases" | "filled" => match parts.next() {
                Some(each) => {
                    Self::Each(bytes(each)?.into_iter().map(|byte| byte == b'1').collect())
                }
                None => Self::Done(word),
            },
            "barrier" => Self::Barrier(text(parts.next()?)?),
            "left" => {
                let writers = text(parts.next()?)?;
                Self::Left(writers.split('\n').filter_map(Writer::read).collect())
            }
            _ => Self::Done(word),
        })
    }
}

impl Fence {
    fn read(text: &str, now: u64) -> Option<Self> {
        let mut parts = text.split(',');
        let token = parts.next()?.to_owned();
        let transaction = parts.next()?.to_owned();
        let since: u64 = parts.next()?.parse().ok()?;
        Some(Self {
            token,
            transaction,
            age: now.saturating_sub(since),
        })
    }
}

/// The reply of `attach`.
pub(crate) enum AttachReply {
    /// The generation.
    To(String),
    /// The cache has recorded this later timeline of the database.
    Outdated(String),
}

/// Reads the reply of `attach`. Returns `None` if it does not belong to this protocol.
pub(crate) fn attach_reply(value: Value) -> Option<AttachReply> {
    let Value::Array(parts) = value else {
        return None;
    };
    let mut parts = parts.into_iter();
    let (word, what) = (text(parts.next()?)?, text(parts.next()?)?);
    match word.as_str() {
        "outdated" => Some(AttachReply::Outdated(what)),
        "attached" => Some(AttachReply::To(what)),
        _ => None,
    }
}

/// Returns the reply, or an error if the reply is an error of the server. No command used here has
/// errors nested in its reply.
pub(crate) fn unless_refused(reply: Value) -> RedisResult<Value> {
    match reply {
        Value::ServerError(refusal) => Err(refusal.into()),
        reply => Ok(reply),
    }
}

/// Returns the bytes of a string reply.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// Returns the text of a string reply.
pub(crate) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Fence, Reply};

    fn reply(words: &[&str]) -> Value {
        Value::Array(
            words
                .iter()
                .map(|word| Value::BulkString(word.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn replies_are_read() {
        assert_eq!(Reply::read(reply(&["lost"])), Some(Reply::Lost));
        assert_eq!(
            Reply::read(reply(&["closed", ""])),
            Some(Reply::Closed(None))
        );
        assert_eq!(
            Reply::read(reply(&["closed", "7"])),
            Some(Reply::Closed(Some("7".to_owned())))
        );
        let fence = |token: &str, transaction: &str, age| Fence {
            token: token.to_owned(),
            transaction: transaction.to_owned(),
            age,
        };
        assert_eq!(
            Reply::read(reply(&["fenced", "a,12,100,1 b,13,98,2", "101"])),
            Some(Reply::Fenced(vec![
                fence("a", "12", 1),
                fence("b", "13", 3)
            ]))
        );
        assert_eq!(Reply::read(Value::Nil), None);
        assert_eq!(Reply::read(reply(&["value"])), None);
    }
}
