//! The encoding of values in Redis: a short header, then MessagePack with the fields of a row in
//! their order.
//!
//! The header identifies the entry, and has the time that the value took to read and the time at
//! which it expires.

use std::fmt;
use std::time::Duration;

use serde::de::{self, DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::keys::EntryKey;
use crate::Analysis;

const MAGIC: u8 = 0xC5;
const HEAD: usize = 21;

/// A value that can be cached.
pub(crate) trait Entry:
    Serialize + DeserializeOwned + Clone + Send + Sync + 'static
{
    /// `true` if the value may be kept in the memory of the process.
    const MAY_BE_NEAR: bool = true;

    /// Checks whether the value records that there is no row. Negative entries expire sooner.
    fn is_absence(&self) -> bool {
        false
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Entry for Option<T> {
    fn is_absence(&self) -> bool {
        self.is_none()
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Entry for Vec<T> {}

/// The newest analyses of a project and type.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Latest {
    pub(crate) any: Option<Analysis>,
    pub(crate) completed: Option<Analysis>,
}

impl Entry for Latest {}

/// A session, encrypted with a key that is derived from its token.
#[derive(Clone)]
pub(crate) struct Sealed(pub(crate) Vec<u8>);

// As bytes: the derived implementation would write a list of numbers.
impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Sealed;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Sealed, E> {
                Ok(Sealed(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

impl Entry for Sealed {
    const MAY_BE_NEAR: bool = false;
}

/// A decoded value.
#[derive(Debug)]
pub(crate) struct Decoded<T> {
    pub(crate) value: T,
    /// The entry should be refreshed, although it has not expired.
    pub(crate) is_due: bool,
}

/// Encodes a value that took `cost` to read and expires at `end`, in milliseconds since 1970 by the
/// database's clock.
pub(crate) fn encode<T: Serialize>(
    key: &EntryKey,
    value: &T,
    cost: Duration,
    end: u64,
) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = Vec::with_capacity(512);
    bytes.push(MAGIC);
    bytes.extend_from_slice(&key.hash().to_le_bytes());
    let cost = u32::try_from(cost.as_micros()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&cost.to_le_bytes());
    bytes.extend_from_slice(&end.to_le_bytes());
    rmp_serde::encode::write(&mut bytes, value)?;
    Ok(bytes)
}

/// The reason why bytes cannot be used as a value of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Redis removes the value by a clock of its own: a moment later, or much later if that clock
    /// was set back.
    Expired,
    /// The value may have been read from the database before this process has written or read the
    /// entry.
    Outdated,
    /// The bytes are not a value of this entry.
    Foreign(String),
}

impl From<&str> for Unusable {
    fn from(reason: &str) -> Self {
        Self::Foreign(reason.to_owned())
    }
}

/// Decodes a value at the time `now` of the database's clock, in milliseconds since 1970.
///
/// # Errors
/// The reason if the bytes cannot be used.
pub(crate) fn decode<T: DeserializeOwned>(
    key: &EntryKey,
    bytes: &[u8],
    now: u64,
) -> Result<Decoded<T>, Unusable> {
    let head = bytes.first_chunk::<HEAD>().filter(|head| head[0] == MAGIC);
    let Some(head) = head else {
        return Err("the header of a cached value is missing".into());
    };
    let [_, a, b, c, d, e, f, g, h, rest @ ..] = *head;
    if key.hash() != u64::from_le_bytes([a, b, c, d, e, f, g, h]) {
        return Err("the value belongs to another entry".into());
    }
    let [a, b, c, d, end @ ..] = rest;
    let cost = Duration::from_micros(u64::from(u32::from_le_bytes([a, b, c, d])));
    let left = u64::from_le_bytes(end).saturating_sub(now);
    if left == 0 {
        return Err(Unusable::Expired);
    }
    let value = rmp_serde::from_slice(&bytes[HEAD..]);
    let value = value.map_err(|error| Unusable::Foreign(error.to_string()))?;
    Ok(Decoded {
        value,
        is_due: is_due(cost, left),
    })
}

/// Decides by chance whether to refresh an entry early (XFetch with beta = 1). The probability
/// rises as the entry's end approaches, and with the time that a refresh takes. `left` is the time
/// to the end in milliseconds.
fn is_due(cost: Duration, left: u64) -> bool {
    // A chance of less than 10^-9 is ignored, which saves the random number.
    if u128::from(left) > cost.as_millis().saturating_mul(21).saturating_add(1) {
        return false;
    }
    let chance = crate::transaction::random_fraction().max(1e-9);
    cost.as_secs_f64() * 1_000.0 * -chance.ln() >= left as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, Utc};
    use serde::Deserializer;
    use serde::de::{DeserializeOwned, Error as _, Visitor};
    use serde_json::json;

    use super::{Decoded, EntryKey, Unusable, decode, encode};
    use crate::cache::CachedKind;
    use crate::cache::keys::ENTRY_FORMAT;
    use crate::models::access::Standing;
    use crate::{
        Analysis, AnalysisSummary, Configuration, Json, Organization, Project, ProjectId,
        ProjectStats, ProjectStatus, ProjectVisibility, RepositoryProvider, SetupProfile, Tool,
        TrendPoint, User, UserId,
    };

    fn name() -> EntryKey {
        EntryKey::of_unique(CachedKind::User, "ada@example.org")
    }

    const HOUR: Duration = Duration::from_secs(3600);

    /// The time at which all values are decoded, and an end an hour later.
    const NOW: u64 = 1_000_000_000_000;
    const LATER: u64 = NOW + 3_600_000;

    #[test]
    fn bytes_that_are_not_a_value_are_refused() {
        let good = encode(&name(), &Some("value"), Duration::ZERO, LATER).unwrap();
        assert_eq!(
            decode::<Option<String>>(&name(), &good, NOW)
                .unwrap()
                .value
                .as_deref(),
            Some("value")
        );
        for bad in [
            &b""[..],
            b"foreign text",
            &good[..good.len() - 1],
            &good[..5],
        ] {
            assert!(
                decode::<Option<String>>(&name(), bad, NOW).is_err(),
                "{bad:?}"
            );
        }
        assert!(decode::<Option<u8>>(&name(), &good, NOW).is_err());
        let expired = decode::<Option<String>>(&name(), &good, LATER);
        assert_eq!(expired.unwrap_err(), Unusable::Expired);
        let another = EntryKey::of_unique(CachedKind::User, "eve@example.org");
        assert!(decode::<Option<String>>(&another, &good, NOW).is_err());
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let moment = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let project = Project {
            id: ProjectId::new(),
            organization_id: None,
            name: "Ada\u{2019}s".to_owned(),
            description: Some(String::new()),
            repository_url: None,
            repository_provider: Some(RepositoryProvider::Github),
            repository_data: Some(json!([1, -2.5, null, {"a": ["b"]}]).into()),
            configuration: json!({}).into(),
            status: ProjectStatus::Active,
            visibility: ProjectVisibility::Private,
            created_by: UserId::new(),
            created_at: moment("1969-12-31T23:59:59.999999Z"),
            updated_at: moment("2026-11-26T12:00:00.000001Z"),
            last_analyzed_at: Some(moment("1970-01-01T00:00:00.000001Z")),
        };
        let bytes = encode(&name(), &Some(&project), Duration::ZERO, LATER).unwrap();
        let back = decode::<Option<Project>>(&name(), &bytes, NOW)
            .unwrap()
            .value;
        assert_eq!(back.as_ref(), Some(&project));

        let json = serde_json::to_value(&project).unwrap();
        assert_eq!(json["updated_at"], "2026-11-26T12:00:00.000001Z");
        assert_eq!(serde_json::from_value::<Project>(json).unwrap(), project);

        let mut scored = AnalysisSummary::scored(0.5);
        scored.extra.insert("files".to_owned(), json!(3).into());
        for summary in [Json::Typed(scored), Json::Raw(json!([0.5]).into())] {
            let bytes = encode(&name(), &summary, Duration::ZERO, LATER).unwrap();
            let back: Decoded<Json<AnalysisSummary>> = decode(&name(), &bytes, NOW).unwrap();
            assert_eq!(back.value, summary);
        }
    }

    /// A deserializer that records the field names of a struct, and reads nothing.
    struct Fields<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("only structs"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Self::Error::custom("these are the fields"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn form<T: DeserializeOwned>() -> String {
        let mut fields: &[&str] = &[];
        let _ = T::deserialize(Fields(&mut fields));
        fields.join(" ")
    }

    #[test]
    fn a_changed_type_needs_another_entry_format() {
        let form = |kind| {
            Some(match kind {
                CachedKind::User => form::<User>(),
                CachedKind::Standing => form::<Standing>(),
                CachedKind::Organization => form::<Organization>(),
                CachedKind::Project => form::<Project>(),
                CachedKind::Configuration => form::<Configuration>(),
                CachedKind::SetupProfile => form::<SetupProfile>(),
                CachedKind::Tool => form::<Tool>(),
                CachedKind::LatestAnalysis => form::<Analysis>(),
                CachedKind::ProjectStats => form::<ProjectStats>(),
                CachedKind::Trend => form::<TrendPoint>(),
                // No rows of the crate: bytes that are sealed, roles, and rows of applications.
                CachedKind::UserSession
                | CachedKind::Own
                | CachedKind::OrganizationMember
                | CachedKind::ProjectMember => return None,
            })
        };
        let forms: Vec<String> = CachedKind::ALL.into_iter().filter_map(form).collect();
        let forms = crate::cache::keys::digest(&forms.join("\n"));
        let advice =
            "a cached type has other fields: give ENTRY_FORMAT another value, and put both here";
        assert_eq!(
            (ENTRY_FORMAT, forms.as_str()),
            ("3", "cf32acd35e833b649ee3b04af84a4940"),
            "{advice}"
        );
    }

    #[test]
    fn an_entry_is_due_near_its_end_only() {
        let due = |cost, left| {
            let bytes = encode(&name(), &1, cost, NOW + left).unwrap();
            let decoded: Decoded<i32> = decode(&name(), &bytes, NOW).unwrap();
            decoded.is_due
        };
        assert!(!due(Duration::from_millis(5), 3_600_000));
        // In all but one of a million cases.
        assert!((0..10).filter(|_| due(HOUR, 1)).count() > 8);
        // 100 s to fill and 100 s left: due in some 37 of 100 cases.
        let many = (0..1_000).filter(|_| due(HOUR / 36, 100_000)).count();
        assert!((250..500).contains(&many), "{many}");
    }
}
