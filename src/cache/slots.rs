//! The map from slots to the servers of a cluster.

use redis::Value;

use super::scripts::text;

type Address = (String, u16);

/// The server of a slot, and all servers of the cluster.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) server: Address,
    pub(crate) others: Vec<Address>,
}

/// Checks whether a server is announced with its host.
pub(crate) fn is_host(host: &str) -> bool {
    !host.is_empty() && host != "?"
}

/// Reads the reply to `CLUSTER SLOTS`. A server that is announced without a host (NULL, empty or
/// `?`, as `cluster-preferred-endpoint-type` has it) is at the address that is announced beside, or
/// else at the host that was `asked`.
pub(crate) fn located(slots: Value, slot: i64, asked: &str) -> Option<Located> {
    let Value::Array(ranges) = slots else {
        return None;
    };
    let (mut server, mut others) = (None, Vec::new());
    for range in ranges {
        let Value::Array(parts) = range else {
            continue;
        };
        let mut parts = parts.into_iter();
        let (Some(Value::Int(first)), Some(Value::Int(last))) = (parts.next(), parts.next()) else {
            continue;
        };
        // The primary comes first.
        let mut nodes = parts.filter_map(|node| address(node, asked));
        let primary = nodes.next();
        if (first..=last).contains(&slot) {
            server = primary.clone();
        }
        for node in primary.into_iter().chain(nodes) {
            if !others.contains(&node) {
                others.push(node);
            }
        }
    }
    let server = server?;
    Some(Located { server, others })
}

fn address(node: Value, asked: &str) -> Option<Address> {
    let Value::Array(parts) = node else {
        return None;
    };
    let mut parts = parts.into_iter();
    let host = text(parts.next()?).filter(|host| is_host(host));
    let Value::Int(port) = parts.next()? else {
        return None;
    };
    let port = u16::try_from(port).ok()?;
    // The node's id, and then its metadata as names and values.
    let beside = || {
        let more = match parts.nth(1)? {
            Value::Array(more) => more,
            Value::Map(more) => more
                .into_iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            _ => return None,
        };
        let mut more = more.into_iter().map(text);
        while let Some(key) = more.next() {
            let value = more.next()?;
            if key.as_deref() == Some("ip") {
                return value.filter(|host| is_host(host));
            }
        }
        None
    };
    let host = host.or_else(beside);
    Some((host.unwrap_or_else(|| asked.to_owned()), port))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::{Located, located};

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64, beside: &[&str]) -> Value {
        let beside = beside.iter().map(|word| text(word)).collect();
        Value::Array(vec![
            host,
            Value::Int(port),
            text("id"),
            Value::Array(beside),
        ])
    }

    #[test]
    fn a_server_that_is_announced_without_a_host_is_at_the_host_that_was_asked() {
        let found = |host: Value, beside: &[&str]| {
            let nodes = |from, to, host: Value| {
                Value::Array(vec![
                    Value::Int(from),
                    Value::Int(to),
                    node(host.clone(), 7000 + from, beside),
                    node(host, 8000 + from, beside),
                ])
            };
            let slots = Value::Array(vec![nodes(0, 9, host.clone()), nodes(10, 19, host)]);
            located(slots, 12, "asked")
                .map(|Located { server, others }| (server.0, server.1, others.len()))
        };
        let at = |host: &str| Some((host.to_owned(), 7010, 4));
        for nameless in [Value::Nil, text(""), text("?")] {
            assert_eq!(found(nameless.clone(), &[]), at("asked"));
            assert_eq!(
                found(nameless, &["hostname", "", "ip", "10.0.0.1"]),
                at("10.0.0.1")
            );
        }
        assert_eq!(found(text("named"), &["ip", "10.0.0.1"]), at("named"));
        assert_eq!(located(Value::Array(Vec::new()), 1, "asked"), None);
        assert_eq!(located(Value::Nil, 1, "asked"), None);
    }
}
