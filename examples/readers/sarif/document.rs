//! The parts of a SARIF 2.1.0 log that are read, as the standard names them.
//!
//! A property that may be left out may also be null, for some writers say it so. What is not named here is
//! skipped without being kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};

use super::super::classification::Level;

/// Longer text is cut here, so that one result cannot fill the memory.
pub const TEXT_BYTES: usize = 8 * 1024;

#[derive(Deserialize)]
pub struct Log {
    pub version: Option<String>,
    #[serde(deserialize_with = "null_is_none")]
    pub runs: Vec<Run>,
}

/// What is read of a file that is no SARIF 2.1.0 log, to say which version it is.
#[derive(Deserialize)]
pub struct VersionOnly {
    pub version: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    #[serde(default, deserialize_with = "null_is_none")]
    pub tool: Tool,
    #[serde(default, deserialize_with = "null_is_none")]
    pub results: Vec<RunResult>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub artifacts: Vec<Artifact>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub original_uri_base_ids: HashMap<String, ArtifactLocation>,
}

#[derive(Default, Deserialize)]
pub struct Tool {
    #[serde(default, deserialize_with = "null_is_none")]
    pub driver: Component,
    #[serde(default, deserialize_with = "null_is_none")]
    pub extensions: Vec<Component>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    pub name: Option<Text>,
    pub version: Option<Text>,
    pub semantic_version: Option<Text>,
    pub guid: Option<String>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub rules: Vec<Rule>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub global_message_strings: HashMap<Text, Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub id: Option<Text>,
    pub guid: Option<String>,
    pub short_description: Option<Message>,
    pub default_configuration: Option<Configuration>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub message_strings: HashMap<Text, Message>,
    #[serde(default, deserialize_with = "null_is_none")]
    pub properties: RuleProperties,
}

#[derive(Deserialize)]
pub struct Configuration {
    pub level: Option<Level>,
}

#[derive(Default, Deserialize)]
pub struct RuleProperties {
    #[serde(default, deserialize_with = "null_is_none")]
    pub tags: Vec<String>,
    #[serde(rename = "security-severity")]
    pub security_severity: Option<Score>,
}

/// A number, or text that may hold one.
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
            Self::Text(text) => text.trim().parse().ok(),
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

#[derive(Deserialize)]
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

/// Text of at most [`TEXT_BYTES`], without NUL, which PostgreSQL text cannot hold.
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
