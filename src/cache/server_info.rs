//! The identity and the role of the Redis server that a connection has reached.

use redis::{Cmd, ErrorKind, RedisResult, Value};

use super::scripts::{text, unless_refused};

/// Returns the command that asks for them.
pub(crate) fn command() -> Cmd {
    redis::cmd("INFO")
}

/// Returns the server's `run_id`, which changes with each start of the server, and its
/// `master_replid`, which changes with each promotion. A primary that was a replica for a while may
/// have lost its last commands, although its process is the same.
///
/// # Errors
/// - The server is a replica, which may lag behind its primary.
/// - The reply has no `run_id`.
pub(crate) fn run_of(information: Value) -> RedisResult<String> {
    let information = match unless_refused(information)? {
        Value::VerbatimString { text, .. } => text,
        other => text(other).unwrap_or_default(),
    };
    let field = |name: &str| {
        let line = information.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(':')).map(str::trim)
    };
    match (field("role"), field("run_id")) {
        (Some("master"), Some(run)) => Ok(match field("master_replid") {
            Some(history) => format!("{run}.{history}"),
            None => run.to_owned(),
        }),
        (Some(_), Some(_)) => Err((ErrorKind::Io, "the server is a replica").into()),
        _ => Err((ErrorKind::UnexpectedReturnType, "INFO has no run_id").into()),
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::run_of;

    #[test]
    fn a_replica_is_refused() {
        let information = |role| {
            Value::BulkString(format!("# Server\r\nrun_id:abc\r\nrole:{role}\r\n").into_bytes())
        };
        assert_eq!(run_of(information("master")).unwrap(), "abc");
        let promoted = "run_id:abc\r\nrole:master\r\nmaster_replid:def\r\nmaster_replid2:0\r\n";
        let promoted = Value::BulkString(promoted.as_bytes().to_vec());
        assert_eq!(run_of(promoted).unwrap(), "abc.def");
        assert!(run_of(information("slave")).is_err());
        assert!(run_of(Value::Nil).is_err());
    }
}
