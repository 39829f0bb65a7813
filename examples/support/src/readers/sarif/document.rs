//! The parts of a SARIF 2.1.0 log that are read, with the standard's names.
//!
//! An optional property may also be null, as some tools write it. Other properties are skipped. A
//! result is kept as text until it is converted, so that one that cannot be read does not affect
//! the others. An invalid value outside of the results counts as absent.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, Visitor};
use serde_json::value::RawValue;

use super::super::classification::Level;

/// The length, in bytes, at which text is cut, so that one result cannot exhaust the memory.
pub const TEXT_BYTES: usize = 8 * 1024;

#[derive(Deserialize)]
pub struct Log {
    pub version: Option<String>,
    /// `None` if null, which means that the tool produced none.
    #[serde(deserialize_with = "Option::deserialize")]
    pub runs: Option<Vec<Option<Run>>>,
    #[serde(
        rename = "inlineExternalProperties",
        default,
        deserialize_with = "null_is_none"
    )]
    pub inline_external_properties: Vec<IgnoredAny>,
}

/// The version of a file that is not a SARIF 2.1.0 log.
#[derive(Deserialize)]
pub struct VersionOnly {
    pub version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[serde(default, deserialize_with = "lenient")]
    pub tool: Tool,
    /// `None` if absent, `Some(None)` if null, which means that the tool produced none.
    #[serde(default, deserialize_with = "given")]
    pub results: Option<Option<Vec<Box<RawValue>>>>,
    #[serde(default, deserialize_with = "each")]
    pub artifacts: Vec<Artifact>,
    #[serde(default, deserialize_with = "lenient")]
    pub original_uri_base_ids: HashMap<String, ArtifactLocation>,
    #[serde(default, deserialize_with = "each")]
    pub invocations: Vec<Invocation>,
    #[serde(default, deserialize_with = "lenient")]
    pub external_property_file_references: BTreeMap<String, IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invocation {
    #[serde(default, deserialize_with = "success")]
    pub execution_successful: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub process_start_failure_message: Option<Text>,
    #[serde(default, deserialize_with = "each")]
    pub tool_execution_notifications: Vec<Notification>,
    #[serde(default, deserialize_with = "each")]
    pub tool_configuration_notifications: Vec<Notification>,
    #[serde(default, deserialize_with = "each")]
    pub rule_configuration_overrides: Vec<ConfigurationOverride>,
}

#[derive(Default, Deserialize)]
pub struct Notification {
    #[serde(default, deserialize_with = "lenient")]
    pub level: Option<Level>,
    #[serde(default, deserialize_with = "lenient")]
    pub message: Option<Message>,
}

#[derive(Default, Deserialize)]
pub struct ConfigurationOverride {
    pub descriptor: Option<RuleReference>,
    pub configuration: Option<Configuration>,
}

#[derive(Default, Deserialize)]
pub struct Tool {
    #[serde(default, deserialize_with = "lenient")]
    pub driver: Component,
    #[serde(default, deserialize_with = "each")]
    pub extensions: Vec<Component>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<Text>,
    #[serde(default, deserialize_with = "lenient")]
    pub version: Option<Text>,
    #[serde(default, deserialize_with = "lenient")]
    pub semantic_version: Option<Text>,
    #[serde(default, deserialize_with = "lenient")]
    pub guid: Option<String>,
    #[serde(default, deserialize_with = "each")]
    pub rules: Vec<Rule>,
    #[serde(default, deserialize_with = "lenient")]
    pub global_message_strings: HashMap<Text, Message>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<Text>,
    #[serde(default, deserialize_with = "lenient")]
    pub guid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub short_description: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    pub default_configuration: Option<Configuration>,
    #[serde(default, deserialize_with = "lenient")]
    pub message_strings: HashMap<Text, Message>,
    #[serde(default, deserialize_with = "lenient")]
    pub properties: RuleProperties,
}

#[derive(Deserialize)]
pub struct Configuration {
    pub level: Option<Level>,
}

#[derive(Default, Deserialize)]
pub struct RuleProperties {
    #[serde(default, deserialize_with = "tags")]
    pub tags: Vec<String>,
    #[serde(default, rename = "security-severity", deserialize_with = "lenient")]
    pub security_severity: Option<Score>,
}

/// A list of tags, or a single one.
fn tags<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(value)?;
    let one = serde_json::from_str::<String>(raw.get()).ok();
    let each = || serde_json::from_str::<Vec<Box<RawValue>>>(raw.get()).unwrap_or_default();
    Ok(one.map_or_else(
        || {
            let tags = each();
            tags.iter()
                .filter_map(|tag| serde_json::from_str(tag.get()).ok())
                .collect()
        },
        |one| vec![one],
    ))
}

/// A number, or text that may contain one.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Score {
    Number(f64),
    Text(String),
    Other(IgnoredAny),
}

impl Score {
    pub fn value(&self) -> Option<f64> {
        let value = match self {
            Self::Number(value) => Some(*value),
            Self::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "critical" => Some(9.5),
                "high" | "important" => Some(8.0),
                "medium" | "moderate" => Some(5.0),
                "low" => Some(2.0),
                "none" | "info" | "informational" => Some(0.0),
                number => number.parse().ok(),
            },
            Self::Other(_) => None,
        };
        value.filter(|value: &f64| value.is_finite())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    pub rule_id: Option<Text>,
    pub rule_index: Option<i64>,
    pub rule: Option<RuleReference>,
    pub kind: Option<super::Kind>,
    pub level: Option<Level>,
    pub message: Option<Message>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub locations: Vec<Location>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub fingerprints: BTreeMap<Text, Text>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub partial_fingerprints: BTreeMap<Text, Text>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub suppressions: Vec<Suppression>,
    pub baseline_state: Option<BaselineState>,
    pub rank: Option<f64>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub fixes: Vec<Fix>,
    #[serde(default, deserialize_with = "lenient")]
    pub provenance: Provenance,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    pub invocation_index: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleReference {
    pub id: Option<Text>,
    pub index: Option<i64>,
    pub guid: Option<String>,
    pub tool_component: Option<ComponentReference>,
}

#[derive(Deserialize)]
pub struct ComponentReference {
    pub name: Option<Text>,
    pub index: Option<i64>,
    pub guid: Option<String>,
}

/// A `message` or a `multiformatMessageString`.
#[derive(Deserialize)]
pub struct Message {
    pub text: Option<Text>,
    pub markdown: Option<Text>,
    pub id: Option<Text>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub arguments: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    pub physical_location: Option<PhysicalLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhysicalLocation {
    pub artifact_location: Option<ArtifactLocation>,
    pub region: Option<Region>,
    pub context_region: Option<Region>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactLocation {
    pub uri: Option<String>,
    pub uri_base_id: Option<String>,
    pub index: Option<i64>,
}

#[derive(Default, Deserialize)]
pub struct Artifact {
    pub location: Option<ArtifactLocation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    pub start_line: Option<i64>,
    pub start_column: Option<i64>,
    pub end_line: Option<i64>,
    pub end_column: Option<i64>,
    pub snippet: Option<Content>,
}

#[derive(Deserialize)]
pub struct Content {
    pub text: Option<Text>,
}

#[derive(Deserialize)]
pub struct Suppression {
    pub status: Option<SuppressionStatus>,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SuppressionStatus {
    Accepted,
    UnderReview,
    Rejected,
}

#[derive(PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BaselineState {
    New,
    Unchanged,
    Updated,
    Absent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fix {
    pub description: Option<Message>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub artifact_changes: Vec<ArtifactChange>,
}

#[derive(Deserialize)]
pub struct ArtifactChange {
    #[serde(default, deserialize_with = "null_is_none")]
    pub replacements: Vec<Replacement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    pub inserted_content: Option<Content>,
}

fn null_is_none<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Deserializes a value. One that cannot be read counts as absent.
fn lenient<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    value: D,
) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(value)?;
    Ok(read_or_default(&raw))
}

/// Deserializes whether a tool succeeded. Some tools write a text or a number.
fn success<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    let raw = Box::<RawValue>::deserialize(value)?;
    let text = raw.get().trim_matches('"').to_ascii_lowercase();
    Ok(match text.as_str() {
        "false" | "0" => Some(false),
        "true" | "1" => Some(true),
        _ => None,
    })
}

/// Deserializes a list. If an element cannot be read, the others keep their indices, which other
/// parts refer to.
fn each<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(
    value: D,
) -> Result<Vec<T>, D::Error> {
    let list: Vec<Box<RawValue>> = lenient(value)?;
    Ok(list.iter().map(|raw| read_or_default(raw)).collect())
}

fn read_or_default<T: Default + DeserializeOwned>(raw: &RawValue) -> T {
    let read: Result<Option<T>, _> = serde_json::from_str(raw.get());
    read.ok().flatten().unwrap_or_default()
}

/// Deserializes text of at most [`TEXT_BYTES`], without NUL, which PostgreSQL text cannot contain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(pub String);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Cut;
        impl Visitor<'_> for Cut {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                let mut end = text.len().min(TEXT_BYTES);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                let kept = &text[..end];
                let kept = if kept.contains('\0') {
                    kept.replace('\0', "\u{fffd}")
                } else {
                    kept.to_owned()
                };
                Ok(Text(if kept.len() < text.len() {
                    kept + "…"
                } else {
                    kept
                }))
            }
        }
        value.deserialize_str(Cut)
    }
}
