//! Entry points for bytes of foreign origin, for this crate's own tests and fuzz targets. Each
//! reads its input in all ways in which the crate reads such bytes, and must not panic.
//!
//! Everything here is compiled only with the development feature `cache-faults`.

use std::time::Duration;

use bigdecimal::BigDecimal;
use chrono::{DateTime, Utc};
use redis::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cache::encryption::{Seal, seal, unseal};
use crate::cache::entry::{self, Latest, Sealed};
use crate::cache::keys::{EntryKey, KeySpace};
use crate::cache::{CachedKind, mget, scripts, server_info, slots};
use crate::mapping::NewRow as _;
use crate::pagination::SortKey;
use crate::sql::copy::Defaults;
use crate::{
    Configuration, Cursor, IssueSeverity, NewAnalysisIssue, NewUser, Organization,
    OrganizationRole, Project, ProjectRole, ProjectStats, SetupProfile, Tool, TrendPoint, User,
    UserId,
};

/// Reads bytes as a value of the cache of every kind: as they are, and as the payload of a value
/// with a valid header.
pub fn cache_entry(bytes: &[u8]) {
    let name = EntryKey::of_unique(CachedKind::User, "ada@example.org");
    let framed = entry::encode(&name, &(), Duration::ZERO, u64::MAX).unwrap_or_default();
    // `()` takes one byte.
    let header = framed.get(..framed.len().saturating_sub(1));
    let framed = [header.unwrap_or_default(), bytes].concat();
    for bytes in [bytes, &framed] {
        value::<Option<User>>(&name, bytes);
        value::<Option<Organization>>(&name, bytes);
        value::<Option<OrganizationRole>>(&name, bytes);
        value::<Option<Project>>(&name, bytes);
        value::<Option<ProjectRole>>(&name, bytes);
        value::<Vec<Configuration>>(&name, bytes);
        value::<Option<SetupProfile>>(&name, bytes);
        value::<Option<Tool>>(&name, bytes);
        value::<Latest>(&name, bytes);
        value::<Option<ProjectStats>>(&name, bytes);
        value::<Vec<TrendPoint>>(&name, bytes);
        value::<Option<(UserId, String)>>(&name, bytes);
        value::<Sealed>(&name, bytes);
    }
    let key = Seal::new(&[7; 32]);
    assert!(
        key.open("place", bytes).is_none(),
        "a value without the key"
    );
    assert!(
        unseal("token", bytes).is_none(),
        "a session without the token"
    );
    let sealed = seal("token", bytes).and_then(|sealed| unseal("token", &sealed));
    assert_eq!(sealed.as_deref(), Some(bytes));
}

/// Returns payloads of values, from which a test makes others.
pub fn cache_payloads() -> Vec<Vec<u8>> {
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let time = "2026-11-26T12:00:00.000001Z";
    let project = serde_json::json!({
        "id": id, "organization_id": null, "name": "Flask", "description": "", "repository_url": null,
        "repository_provider": "github", "repository_data": [1, -2.5, null, {"a": ["b"]}], "configuration": {},
        "status": "active", "visibility": "private", "created_by": id, "created_at": time, "updated_at": time,
        "last_analyzed_at": time,
    });
    let project: Option<Project> = serde_json::from_value(project).ok();
    assert!(project.is_some(), "the project has other fields");
    let id = UserId::from(Uuid::from_u128(7));
    let payloads = [
        rmp_serde::to_vec(&project),
        rmp_serde::to_vec(&Some((id, "ada@example.org"))),
        rmp_serde::to_vec(&Some(OrganizationRole::ALL[0])),
        rmp_serde::to_vec(&Sealed(vec![1, 2, 3])),
        rmp_serde::to_vec(&Vec::<TrendPoint>::new()),
    ];
    payloads.into_iter().flatten().collect()
}

/// Decodes a value. What can be decoded can be encoded, and comes back the same.
fn value<T: Serialize + DeserializeOwned>(name: &EntryKey, bytes: &[u8]) {
    let encoded = |value: &T| entry::encode(name, value, Duration::ZERO, u64::MAX);
    if let Ok(decoded) = entry::decode::<T>(name, bytes, 0) {
        let Ok(once) = encoded(&decoded.value) else {
            panic!("a decoded value cannot be encoded");
        };
        let again = entry::decode::<T>(name, &once, 0).map(|decoded| encoded(&decoded.value));
        assert!(
            matches!(&again, Ok(Ok(again)) if *again == once),
            "a decoded value does not come back"
        );
    }
}

/// Reads bytes as a reply of Redis to every command.
pub fn redis_reply(bytes: &[u8]) {
    let mut rest = bytes;
    let reply = reply(&mut rest, 4);
    let names = KeySpace::new("wundr", 0, "db", "1".to_owned(), "3".into());
    let _ = scripts::Reply::read(reply.clone());
    let _ = scripts::attach_reply(reply.clone());
    let _ = scripts::unless_refused(reply.clone());
    let _ = server_info::run_of(reply.clone());
    let _ = slots::located(reply.clone(), 7, "host");
    let answer = mget::MgetReply::of(&names, reply);
    #[cfg(feature = "async")]
    let answer = answer.map(|answer| {
        let mut shared = answer.shared();
        [shared.next(1), shared.next(2), shared.next(usize::MAX)]
    });
    drop(answer);
}

/// Makes a reply of bytes: the first says what it is.
fn reply(rest: &mut &[u8], depth: u8) -> Value {
    let Some((&first, behind)) = rest.split_first() else {
        return Value::Nil;
    };
    *rest = behind;
    let count = usize::from(first >> 3);
    let mut text = || {
        let (text, behind) = rest.split_at(count.min(rest.len()));
        *rest = behind;
        text.to_vec()
    };
    match first & 7 {
        0 => Value::Nil,
        1 => Value::Int(match text().first_chunk::<8>() {
            Some(bytes) => i64::from_le_bytes(*bytes),
            None => count as i64,
        }),
        2 => Value::BulkString(text()),
        3 => Value::SimpleString(String::from_utf8_lossy(&text()).into_owned()),
        4 => {
            // The words of the protocol, which chance does not find.
            const WORDS: [&str; 12] = [
                "lost", "closed", "fenced", "value", "granted", "held", "leases", "filled",
                "barrier", "left", "attached", "outdated",
            ];
            Value::BulkString(WORDS[count % WORDS.len()].as_bytes().to_vec())
        }
        5 if depth > 0 => {
            let pairs = 0..count.min(8);
            Value::Map(
                pairs
                    .map(|_| (reply(rest, depth - 1), reply(rest, depth - 1)))
                    .collect(),
            )
        }
        _ if depth > 0 => {
            let parts = 0..count.min(16);
            Value::Array(parts.map(|_| reply(rest, depth - 1)).collect())
        }
        _ => Value::Okay,
    }
}

/// Reads text as a cursor of every order.
pub fn cursor(text: &str) {
    let Ok(cursor) = text.parse::<Cursor>() else {
        return;
    };
    let again: Option<Cursor> = cursor.to_string().parse().ok();
    assert_eq!(again.as_ref(), Some(&cursor), "a cursor does not come back");
    position::<DateTime<Utc>>(&cursor);
    position::<String>(&cursor);
    position::<i32>(&cursor);
    position::<i64>(&cursor);
    position::<BigDecimal>(&cursor);
    position::<IssueSeverity>(&cursor);
}

fn position<K: SortKey>(cursor: &Cursor) {
    for sort in ["users.created_at", "", cursor.sort()] {
        if let Ok(key) = cursor.key_of(sort) {
            let _ = K::from_key(key);
            let _ = K::is_last(key);
        }
    }
}

/// Reads bytes as the defaults that the server sends before a `COPY`.
pub fn copy_defaults(record: &[u8]) {
    let _ = Defaults::of(NewUser::COLUMNS, record);
    let _ = Defaults::of(NewAnalysisIssue::COLUMNS, record);
}
