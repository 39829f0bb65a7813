//! `setup.tools`: tools that can be installed on a machine.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use wundr_db_macros::{Changes, Filter, NewRow, TableRow};

use crate::mapping::condition::condition;
use crate::mapping::{RowSql, columns_of};
use crate::pagination::orders;
use crate::schema::setup::tools;
use crate::{Change, Document, Error, Platform, Result, ToolCategory, ToolId};

/// A tool that can be installed: a row of the design's `tools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TableRow, Identifiable)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[diesel(table_name = tools)]
#[non_exhaustive]
pub struct Tool {
    /// Primary key.
    pub id: ToolId,
    /// The name. It is not unique, not even with the version.
    pub name: String,
    /// The version, if the row is about a certain one.
    pub version: Option<String>,
    /// The category.
    pub category: ToolCategory,
    /// A description.
    pub description: Option<String>,
    /// The command that installs the tool.
    pub install_command: Option<String>,
    /// The command that checks whether the tool is installed.
    pub verify_command: Option<String>,
    /// The schema of the tool's settings, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration_schema: Option<Document>,
    /// The platforms on which the tool can be installed.
    #[diesel(deserialize_as = crate::types::lenient::Elements<Platform>)]
    pub supported_platforms: Vec<Platform>,
    /// The names of the tools that must be installed first.
    #[diesel(deserialize_as = crate::types::lenient::Elements<String>)]
    pub dependencies: Option<Vec<String>>,
    /// Additional data, in the application's own format.
    #[cfg_attr(feature = "utoipa", schema(value_type = serde_json::Value))]
    pub metadata: Document,
    /// True if the tool is offered. An inactive tool keeps its row.
    pub is_active: bool,
    /// The time at which the row was created.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change, set by the database. It increases strictly.
    #[serde(with = "crate::types::timestamp")]
    #[diesel(deserialize_as = crate::types::timestamp::AnyTime)]
    pub updated_at: DateTime<Utc>,
}

/// A tool to be created.
#[derive(Debug, Clone, PartialEq, NewRow)]
#[row(table = tools, row = Tool)]
#[row(body(ToolBody: name, version, category, description, install_command, verify_command, configuration_schema, supported_platforms, dependencies, metadata))]
#[non_exhaustive]
pub struct NewTool {
    /// Primary key. Default: [`ToolId::new`].
    #[row(default = ToolId::new())]
    pub id: ToolId,
    /// The name, at most 255 characters.
    pub name: String,
    /// The version, at most 100 characters.
    pub version: Option<String>,
    /// The category.
    pub category: ToolCategory,
    /// A description.
    pub description: Option<String>,
    /// The command that installs the tool.
    pub install_command: Option<String>,
    /// The command that checks whether the tool is installed.
    pub verify_command: Option<String>,
    /// The schema of the tool's settings.
    pub configuration_schema: Option<Document>,
    /// The platforms on which the tool can be installed. Default: none.
    #[row(or = "'{}'")]
    pub supported_platforms: Option<Vec<Platform>>,
    /// The names of the tools that must be installed first.
    pub dependencies: Option<Vec<String>>,
    /// Additional data, in the application's own format. Default: `{}`.
    #[row(or = "'{}'")]
    pub metadata: Option<Document>,
    /// True if the tool is offered. An inactive tool keeps its row. Default: `true`.
    #[row(or = "true")]
    pub is_active: Option<bool>,
}

/// Changes to a tool. A field that is not set keeps its value.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Changes)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[row(table = tools, row = Tool, id = ToolId)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolChanges {
    /// New name.
    pub name: Option<String>,
    /// New version.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub version: Change<String>,
    /// New category.
    pub category: Option<ToolCategory>,
    /// New description.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub description: Change<String>,
    /// New command that installs the tool.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub install_command: Change<String>,
    /// New command that checks whether the tool is installed.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<String>))]
    pub verify_command: Change<String>,
    /// New schema of its settings.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub configuration_schema: Change<Document>,
    /// New platforms, which replace the old ones.
    pub supported_platforms: Option<Vec<Platform>>,
    /// New dependencies, which replace the old ones.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Vec<String>>))]
    pub dependencies: Change<Vec<String>>,
    /// New metadata, which replaces the old.
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<serde_json::Value>))]
    pub metadata: Option<Document>,
    /// New value of whether the tool is offered. Not read from JSON.
    #[serde(skip_deserializing)]
    pub is_active: Option<bool>,
    /// If set, the update fails with [`Error::StaleWrite`](crate::Error::StaleWrite) unless the row
    /// still has this `updated_at`.
    #[row(expected)]
    pub unchanged_since: Option<DateTime<Utc>>,
}

/// A filter for tools. A field that is not set matches every row.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, Filter)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema, utoipa::IntoParams))]
#[cfg_attr(feature = "utoipa", into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ToolFilter {
    /// Only rows with this name.
    pub name: Option<String>,
    /// Only tools of this category.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub category: Option<ToolCategory>,
    /// Only tools that can be installed on this platform.
    #[cfg_attr(feature = "utoipa", param(inline))]
    pub platform: Option<Platform>,
    /// Only rows that are active, or only those that are not.
    pub is_active: Option<bool>,
    /// Only rows with this text in the name or the description, ignoring case.
    pub search: Option<String>,
}

impl ToolFilter {
    pub(crate) fn query(&self) -> tools::BoxedQuery<'_, Pg, RowSql<Tool>> {
        let mut query = tools::table.select(columns_of::<Tool>()).into_boxed();
        if let Some(name) = &self.name {
            query = query.filter(condition(tools::table, tools::name.eq(name)));
        }
        if let Some(category) = self.category {
            query = query.filter(condition(tools::table, tools::category.eq(category)));
        }
        if let Some(platform) = self.platform {
            query = query.filter(condition(
                tools::table,
                tools::supported_platforms.contains(vec![platform]),
            ));
        }
        if let Some(is_active) = self.is_active {
            query = query.filter(condition(tools::table, tools::is_active.eq(is_active)));
        }
        if let Some(search) = &self.search {
            let pattern = crate::mapping::expressions::containing(search);
            query = query.filter(condition(
                tools::table,
                crate::mapping::expressions::matches_text!(tools::name, pattern)
                    .nullable()
                    .or(crate::mapping::expressions::matches_text!(
                        tools::description,
                        pattern
                    )),
            ));
        }
        query
    }
}

orders! {
    /// The order in which tools are listed.
    ToolOrder of Tool in tools {
        /// Newest first.
        #[default]
        Newest = created_at desc,
        /// Oldest first.
        Oldest = created_at asc,
        /// By name.
        Name = name asc,
    }
}

/// Sorts tools into an order in which they can be installed: each after its dependencies.
///
/// Otherwise the order is that of `names`, and dependencies of the same tool are sorted by name.
/// `tools` has one tool for each name that is needed.
///
/// # Errors
/// - [`Error::InvalidInput`] if a tool is missing or the dependencies form a cycle.
pub(crate) fn install_order(names: &[&str], tools: &[Tool]) -> Result<Vec<Tool>> {
    let tools: HashMap<&str, &Tool> = tools.iter().map(|tool| (&*tool.name, tool)).collect();
    let (mut ordered, mut begun, mut done) = (Vec::new(), HashSet::new(), HashSet::new());
    // Not recursive: the data determines the depth.
    let mut path: Vec<Visit> = Vec::new();
    for &requested in names {
        let mut next = Some(requested);
        loop {
            if let Some(name) = next.filter(|name| !done.contains(name)) {
                if !begun.insert(name) {
                    return Err(circular(&path, name));
                }
                let tool = tools.get(name).ok_or_else(|| missing(name, path.last()))?;
                path.push(Visit::new(tool));
            }
            let Some(visit) = path.last_mut() else { break };
            next = visit.dependencies.next();
            if next.is_none() {
                done.insert(&*visit.tool.name);
                ordered.push(visit.tool.clone());
                path.pop();
            }
        }
    }
    Ok(ordered)
}

/// A tool on the current path, with its dependencies that were not visited yet.
struct Visit<'t> {
    tool: &'t Tool,
    dependencies: std::vec::IntoIter<&'t str>,
}

impl<'t> Visit<'t> {
    fn new(tool: &'t Tool) -> Self {
        let names = tool.dependencies.iter().flatten();
        let mut dependencies: Vec<&str> = names.map(String::as_str).collect();
        dependencies.sort_unstable();
        Self {
            tool,
            dependencies: dependencies.into_iter(),
        }
    }
}

/// Returns the error for a cycle of dependencies, with the tools on it.
fn circular(path: &[Visit<'_>], back_to: &str) -> Error {
    let names = path.iter().map(|visit| &*visit.tool.name);
    let cycle = names.skip_while(|&name| name != back_to).chain([back_to]);
    let names: Vec<&str> = cycle.collect();
    Error::invalid(
        "dependencies",
        format_args!("form a cycle: {}", names.join(" > ")),
    )
}

/// Returns the error for a missing tool, with the tool that needs it.
fn missing(name: &str, needed_by: Option<&Visit<'_>>) -> Error {
    match needed_by {
        Some(Visit { tool, .. }) => Error::invalid(
            "dependencies",
            format_args!("{} needs {name}, which is not an active tool", tool.name),
        ),
        None => Error::invalid("names", format_args!("{name} is not an active tool")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(dependencies: &[(&str, &[&str])]) -> Vec<Tool> {
        let tool = |&(name, dependencies): &(&str, &[&str])| Tool {
            id: ToolId::new(),
            name: name.to_owned(),
            version: None,
            category: ToolCategory::Runtime,
            description: None,
            install_command: None,
            verify_command: None,
            configuration_schema: None,
            supported_platforms: Vec::new(),
            dependencies: Some(dependencies.iter().map(|&name| name.to_owned()).collect()),
            metadata: Document::default(),
            is_active: true,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        };
        dependencies.iter().map(tool).collect()
    }

    fn order(names: &[&str], dependencies: &[(&str, &[&str])]) -> Result<String, String> {
        match install_order(names, &tools(dependencies)) {
            Ok(tools) => Ok(tools
                .iter()
                .map(|tool| &*tool.name)
                .collect::<Vec<_>>()
                .join(" ")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn dependencies_come_first_and_ties_go_by_what_was_asked_then_by_name() {
        let diamond: &[(&str, &[&str])] = &[
            ("a", &["c", "b"]),
            ("b", &["d"]),
            ("c", &["d"]),
            ("d", &[]),
            ("e", &[]),
        ];
        assert_eq!(order(&["a"], diamond).unwrap(), "d b c a");
        assert_eq!(order(&["e", "a", "e"], diamond).unwrap(), "e d b c a");
        assert_eq!(order(&["c", "a"], diamond).unwrap(), "d c b a");
        assert_eq!(order(&[], diamond).unwrap(), "");
    }

    #[test]
    fn a_cycle_is_named() {
        let cycle: &[(&str, &[&str])] = &[("x", &["a"]), ("a", &["b"]), ("b", &["a"])];
        assert_eq!(
            order(&["x"], cycle).unwrap_err(),
            "dependencies: form a cycle: a > b > a"
        );
        assert_eq!(
            order(&["a"], &[("a", &["a"])]).unwrap_err(),
            "dependencies: form a cycle: a > a"
        );
    }

    #[test]
    fn a_missing_tool_is_named_with_the_one_that_needs_it() {
        assert_eq!(
            order(&["a"], &[("a", &["b"])]).unwrap_err(),
            "dependencies: a needs b, which is not an active tool"
        );
        assert_eq!(
            order(&["z"], &[]).unwrap_err(),
            "names: z is not an active tool"
        );
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let names: Vec<String> = (0..20_000).map(|n| format!("{n:05}")).collect();
        let mut chain = tools(&[]);
        for pair in names.windows(2) {
            chain.extend(tools(&[(&pair[0], &[&pair[1]])]));
        }
        chain.extend(tools(&[("19999", &[])]));
        let ordered = install_order(&["00000"], &chain).unwrap();
        assert_eq!((ordered.len(), &*ordered[0].name), (20_000, "19999"));
    }
}

crate::write_set::touches!(Tool, NewTool => |tool| crate::write_set::Key::Tool(tool.id));
crate::write_set::touches!(ToolId => |id| crate::write_set::Key::Tool(*id));
