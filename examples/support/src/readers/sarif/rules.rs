//! The rule and the message of a result.

use std::collections::HashMap;

use super::document::{
    Component, ComponentReference, Message, Rule, RuleReference, RunResult, Tool,
};

/// The rules of a run: those of the tool's driver and of its extensions.
pub struct Rules<'a> {
    /// The driver, then the extensions.
    components: Vec<&'a Component>,
    /// For each component, its rules by id. Of several with the same id, the first.
    by_id: Vec<HashMap<&'a str, &'a Rule>>,
}

/// The rule that a result refers to.
pub struct Referred<'a> {
    component: &'a Component,
    driver: &'a Component,
    /// The rule, if the log describes it.
    pub rule: Option<&'a Rule>,
}

impl<'a> Rules<'a> {
    pub fn new(tool: &'a Tool) -> Self {
        let components: Vec<_> = std::iter::once(&tool.driver)
            .chain(&tool.extensions)
            .collect();
        let by_id = components
            .iter()
            .map(|component| {
                let named = |rule: &'a Rule| Some((&**rule.id.as_ref()?, rule));
                component.rules.iter().rev().filter_map(named).collect()
            })
            .collect();
        Self { components, by_id }
    }

    /// Returns the rule of a result.
    ///
    /// It is found by index if the id does not differ, otherwise by id, first in the component that
    /// the result names and then in the others. Fails with the reason if the index is invalid and
    /// there is no id.
    pub fn of(&self, result: &RunResult) -> Result<Referred<'a>, String> {
        let reference = result.rule.as_ref();
        let at = match reference.and_then(|rule| rule.tool_component.as_ref()) {
            Some(reference) => self.component(reference)?,
            None => 0,
        };
        let component = self.components[at];
        let index = reference
            .and_then(|rule| rule.index)
            .or(result.rule_index)
            .filter(|index| *index >= 0);
        let by_index = index.and_then(|index| component.rules.get(usize::try_from(index).ok()?));
        let id = rule_id(result);
        let found = |component, rule| {
            Ok(Referred {
                component,
                driver: self.components[0],
                rule,
            })
        };
        match (by_index, id) {
            (Some(rule), None) => return found(component, Some(rule)),
            (Some(rule), Some(id)) if rule.id.as_ref().is_none_or(|known| is_of(id, known)) => {
                return found(component, Some(rule));
            }
            (None, None) if index.is_some() => {
                let count = component.rules.len();
                return Err(format!(
                    "rule {} of {count} does not exist",
                    index.unwrap_or_default()
                ));
            }
            _ => {}
        }
        if let Some(guid) = reference.and_then(|rule| rule.guid.as_ref())
            && let Some(rule) = component
                .rules
                .iter()
                .find(|rule| rule.guid.as_ref() == Some(guid))
        {
            return found(component, Some(rule));
        }
        let mut id = id;
        while let Some(known) = id {
            for at in std::iter::once(at).chain(0..self.components.len()) {
                if let Some(&rule) = self.by_id[at].get(known) {
                    return found(self.components[at], Some(rule));
                }
            }
            id = known.rsplit_once('/').map(|(parent, _)| parent);
        }
        found(component, None)
    }

    /// Checks whether a reference is to this rule or to a parent of it.
    pub fn refers(&self, reference: &RuleReference, rule: Option<&Rule>, id: Option<&str>) -> bool {
        if let (Some(known), Some(id)) = (reference.id.as_ref().filter(|id| !id.is_empty()), id) {
            return is_of(id, known);
        }
        let Some(rule) = rule else { return false };
        if reference.guid.is_some() {
            return reference.guid == rule.guid;
        }
        let component = match &reference.tool_component {
            Some(reference) => self.component(reference).ok(),
            None => Some(0),
        };
        let index = reference
            .index
            .and_then(|index| usize::try_from(index).ok());
        let named = component
            .zip(index)
            .and_then(|(component, index)| self.components[component].rules.get(index));
        named.is_some_and(|named| std::ptr::eq(named, rule))
    }

    fn component(&self, reference: &ComponentReference) -> Result<usize, String> {
        let extensions = self.components.len() - 1;
        if let Some(index) = reference.index.filter(|index| *index >= 0) {
            let at = usize::try_from(index)
                .ok()
                .filter(|index| *index < extensions);
            return at
                .map(|at| at + 1)
                .ok_or_else(|| format!("extension {index} of {extensions} does not exist"));
        }
        let is_named = |component: &&Component| match (&reference.guid, &reference.name) {
            (Some(guid), _) => component.guid.as_ref() == Some(guid),
            (None, name) => name.is_some() && component.name == *name,
        };
        Ok(self.components.iter().position(is_named).unwrap_or(0))
    }
}

/// Returns the id of a result's rule, as written in the result.
pub fn rule_id(result: &RunResult) -> Option<&str> {
    let id = result
        .rule
        .as_ref()
        .and_then(|rule| rule.id.as_ref())
        .or(result.rule_id.as_ref());
    id.map(|id| &**id).filter(|id| !id.is_empty())
}

/// Checks whether `id` is `known` or a child of it, as `CA1000/1` is of `CA1000`.
fn is_of(id: &str, known: &str) -> bool {
    id.strip_prefix(known)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Referred<'_> {
    /// Returns the text of a result's message. If it has none, it is found by its id.
    ///
    /// Fails with the reason if there is no message, or none with that id.
    pub fn text(&self, message: Option<&Message>) -> Result<String, String> {
        let message = message.ok_or("it has no message")?;
        if let Some(text) = message.text.as_ref().or(message.markdown.as_ref()) {
            // A plain text may contain braces that are not doubled. Only arguments make it a
            // template.
            let is_template = !message.arguments.is_empty();
            return Ok(if is_template {
                fill(text, &message.arguments)
            } else {
                text.0.clone()
            });
        }
        let id = message
            .id
            .as_ref()
            .ok_or("its message has neither text nor id")?;
        let of_rule = self.rule.and_then(|rule| rule.message_strings.get(id));
        let template = of_rule
            .or_else(|| self.component.global_message_strings.get(id))
            .or_else(|| self.driver.global_message_strings.get(id))
            .and_then(|found| found.text.as_ref().or(found.markdown.as_ref()));
        let template = template.ok_or_else(|| format!("no message has the id {:?}", &**id))?;
        Ok(fill(template, &message.arguments))
    }
}

/// Replaces `{0}`, `{1}` ... by arguments, and double braces by single ones.
///
/// A placeholder without an argument is kept.
fn fill(template: &str, arguments: &[impl AsRef<str>]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let number = rest[1..]
            .find('}')
            .map(|end| &rest[1..=end])
            .filter(|_| rest.starts_with('{'));
        let argument = number.and_then(|number| arguments.get(number.parse::<usize>().ok()?));
        let is_double = rest.starts_with("{{") || rest.starts_with("}}");
        let used = match (argument, number) {
            _ if is_double => {
                filled.push_str(&rest[..1]);
                2
            }
            (Some(argument), Some(number)) => {
                filled.push_str(argument.as_ref());
                number.len() + 2
            }
            _ => {
                filled.push_str(&rest[..1]);
                1
            }
        };
        rest = &rest[used..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn placeholders_are_filled() {
        for (template, filled) in [
            ("{0} before {1}, {0}", "a before b{, a"),
            ("{{0}} is {0}", "{0} is a"),
            ("}} {{ {", "} { {"),
            ("{2} {name} {} {-1} {0", "{2} {name} {} {-1} {0"),
            ("é{0}é", "éaé"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &["a", "b{"]), filled);
        }
    }
}
