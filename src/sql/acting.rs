//! The transaction-local setting that names the actor of a transaction's changes.

use serde_json::{Map, Value};

use crate::Actor;

/// The largest number of characters of a user agent that is recorded.
const MOST_OF_USER_AGENT: usize = 1_000;

/// An actor, and the SQL that sets it for the rest of a transaction.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) actor: Actor,
    setting: String,
    set: String,
}

impl Acting {
    pub(crate) fn new(mut actor: Actor) -> Self {
        if let Some(user_agent) = &mut actor.user_agent {
            *user_agent = user_agent
                .chars()
                .take(MOST_OF_USER_AGENT)
                .map(|character| match character {
                    '\0' => char::REPLACEMENT_CHARACTER,
                    character => character,
                })
                .collect();
        }
        let fields = [
            ("user", actor.user.map(|user| user.to_string())),
            ("organization", actor.organization.map(|id| id.to_string())),
            ("ip", actor.ip.map(|ip| ip.to_string())),
            ("user_agent", actor.user_agent.clone()),
            ("request", actor.request.map(|request| request.to_string())),
        ];
        let given: Map<String, Value> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
            .collect();
        let text = Value::Object(given).to_string();
        // Quoted so that the text means the same whatever `standard_conforming_strings` is.
        let quoted = text.replace('\\', r"\\").replace('\'', "''");
        // A query, not SET LOCAL: pg_stat_statements counts it as one statement for all actors.
        let set = format!("; SELECT pg_catalog.set_config('wundr.actor', E'{quoted}', true)");
        Self {
            actor,
            setting: text,
            set,
        }
    }

    /// Returns the value of the setting.
    pub(crate) fn setting(&self) -> &str {
        &self.setting
    }

    /// Returns the SQL to be appended to a `BEGIN`.
    pub(crate) fn sql(&self) -> &str {
        &self.set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_agent(user_agent: &str) -> Acting {
        Acting::new(Actor {
            user_agent: Some(user_agent.to_owned()),
            ..Actor::default()
        })
    }

    #[test]
    fn what_a_client_calls_itself_does_not_end_the_literal() {
        assert_eq!(
            of_agent(r#"a'; DROP TABLE x; --\'"é"#).sql(),
            r#"; SELECT pg_catalog.set_config('wundr.actor', E'{"user_agent":"a''; DROP TABLE x; --\\\\''\\"é"}', true)"#
        );
    }

    #[test]
    fn a_user_agent_is_recorded_up_to_a_limit_and_without_zero() {
        let acting = of_agent(&format!("a\0{}", "é".repeat(2_000)));
        let recorded = acting.actor.user_agent.unwrap();
        assert!(recorded.starts_with("a\u{fffd}é"));
        assert_eq!(recorded.chars().count(), MOST_OF_USER_AGENT);
    }
}
