//! Whether a server is set up for monitoring, for reports of its log, and for recovery.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The checks of a server's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// The checks, in the order of the documentation.
    pub checks: Vec<Check>,
}

/// A check of a server's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// The name: a setting, or a word for what is checked. Stable.
    pub name: &'static str,
    /// The result.
    pub verdict: Verdict,
    /// The current value.
    pub value: String,
    /// What to set, and why.
    pub advice: &'static str,
}

/// The result of a [`Check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Set as recommended.
    Ready,
    /// Works, but another value is recommended for most servers.
    Recommended,
    /// Something in the operation of the database fails or is not seen without it.
    NotReady,
    /// The role cannot see the value, or this server's version does not have it.
    Unknown,
}

impl Readiness {
    /// Returns the checks that are not [`Verdict::Ready`].
    pub fn open(&self) -> impl Iterator<Item = &Check> {
        self.checks
            .iter()
            .filter(|check| check.verdict != Verdict::Ready)
    }

    /// Returns the check with this name.
    #[must_use]
    pub fn check(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

/// The facts that the checks judge, as the server reports them.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    settings: BTreeMap<String, Setting>,
    extensions: Vec<Extension>,
    archived: Option<DateTime<Utc>>,
    failed: Option<DateTime<Utc>>,
    failures: i64,
}

#[derive(Debug, Deserialize)]
struct Setting {
    value: String,
    unit: Option<String>,
    waits_for_restart: bool,
}

#[derive(Debug, Deserialize)]
struct Extension {
    name: String,
    version: String,
    schema: String,
    /// True if an ordinary role can create it in a database of its own.
    is_trusted: bool,
}

/// A check of one setting: its name, the verdict about a value that does not pass, what to set,
/// and the condition.
type OfSetting = (&'static str, Verdict, &'static str, fn(&str) -> bool);

fn is_on(value: &str) -> bool {
    value == "on"
}

fn is_off(value: &str) -> bool {
    value == "off"
}

fn is_positive(value: &str) -> bool {
    value.parse().is_ok_and(|number: i64| number > 0)
}

fn is_not_negative(value: &str) -> bool {
    value.parse().is_ok_and(|number: i64| number >= 0)
}

/// Checks whether messages in this locale are in English. pgBadger recognizes no others.
fn is_english(locale: &str) -> bool {
    let language = locale.split(['.', '@']).next().unwrap_or_default();
    matches!(language, "" | "C" | "POSIX") || language.starts_with("en_")
}

/// Checks whether pgBadger finds the time, the process, the user, the database, the application and
/// the client in the prefix of each line.
fn has_all_parts(prefix: &str) -> bool {
    let mut parts = Vec::new();
    let mut characters = prefix.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            parts.extend(
                characters
                    .by_ref()
                    .find(|next| !next.is_ascii_digit() && *next != '-'),
            );
        }
    }
    ["tmn", "p", "u", "d", "a", "hr"]
        .iter()
        .all(|any| any.chars().any(|part| parts.contains(&part)))
}

const SETTINGS: [OfSetting; 32] = [
    (
        "pg_stat_statements.max",
        Verdict::Recommended,
        "pg_stat_statements.max = 5000 or more: below it, statements of this crate displace each other",
        |value| value.parse().is_ok_and(|number: i64| number >= 5_000),
    ),
    (
        "track_io_timing",
        Verdict::Recommended,
        "track_io_timing = on: without it, the time that statements wait for the disk is not counted",
        is_on,
    ),
    (
        "track_counts",
        Verdict::NotReady,
        "track_counts = on: autovacuum needs it",
        is_on,
    ),
    ("autovacuum", Verdict::NotReady, "autovacuum = on", is_on),
    (
        "log_min_duration_statement",
        Verdict::Recommended,
        "log_min_duration_statement = '100ms', for an hour of analysis 0: pgBadger reads durations from the log",
        is_not_negative,
    ),
    (
        "log_line_prefix",
        Verdict::Recommended,
        "log_line_prefix = '%t [%p]: user=%u,db=%d,app=%a,client=%h '",
        has_all_parts,
    ),
    (
        "log_statement",
        Verdict::Recommended,
        "log_statement = 'none': otherwise pgBadger counts each statement twice",
        |value| value == "none",
    ),
    (
        "log_duration",
        Verdict::Recommended,
        "log_duration = off: otherwise pgBadger counts each statement twice",
        is_off,
    ),
    (
        "log_error_verbosity",
        Verdict::Recommended,
        "log_error_verbosity = default: pgBadger reads no other form",
        |value| value == "default",
    ),
    (
        "lc_messages",
        Verdict::Recommended,
        "lc_messages = 'C': pgBadger and the blocking engine read English messages",
        is_english,
    ),
    (
        "log_checkpoints",
        Verdict::Recommended,
        "log_checkpoints = on",
        is_on,
    ),
    (
        "log_lock_waits",
        Verdict::Recommended,
        "log_lock_waits = on",
        is_on,
    ),
    (
        "log_temp_files",
        Verdict::Recommended,
        "log_temp_files = 0",
        is_not_negative,
    ),
    (
        "log_autovacuum_min_duration",
        Verdict::Recommended,
        "log_autovacuum_min_duration = 0",
        is_not_negative,
    ),
    // A list of words from PostgreSQL 18 on.
    (
        "log_connections",
        Verdict::Recommended,
        "log_connections = on",
        |value| !matches!(value, "" | "off"),
    ),
    (
        "log_disconnections",
        Verdict::Recommended,
        "log_disconnections = on",
        is_on,
    ),
    (
        "log_parameter_max_length",
        Verdict::NotReady,
        "log_parameter_max_length = 0: otherwise the log contains bound values, such as addresses and hashes of tokens",
        |value| value == "0",
    ),
    (
        "log_parameter_max_length_on_error",
        Verdict::NotReady,
        "log_parameter_max_length_on_error = 0: otherwise the log contains bound values of statements that fail",
        |value| value == "0",
    ),
    (
        "statement_timeout",
        Verdict::Recommended,
        "ALTER ROLE app SET statement_timeout = '30s', or Config::statement_timeout",
        is_positive,
    ),
    (
        "idle_in_transaction_session_timeout",
        Verdict::NotReady,
        "ALTER ROLE app SET idle_in_transaction_session_timeout = '60s', or Config::idle_in_transaction_timeout",
        is_positive,
    ),
    (
        "max_slot_wal_keep_size",
        Verdict::Recommended,
        "max_slot_wal_keep_size = '10GB', or as much as the disk has: without it, a forgotten slot fills the disk",
        is_not_negative,
    ),
    (
        "fsync",
        Verdict::NotReady,
        "fsync = on: otherwise a crash of the machine destroys the database",
        is_on,
    ),
    (
        "full_page_writes",
        Verdict::NotReady,
        "full_page_writes = on: otherwise a crash of the machine may destroy pages",
        is_on,
    ),
    (
        "synchronous_commit",
        Verdict::Recommended,
        "synchronous_commit = on: otherwise a crash loses the latest commits",
        |value| value != "off",
    ),
    (
        "data_checksums",
        Verdict::NotReady,
        "pg_checksums --enable on the stopped server: without checksums, damaged pages are not detected",
        is_on,
    ),
    (
        "wal_level",
        Verdict::NotReady,
        "wal_level = replica: an archive and a standby need it",
        |value| value != "minimal",
    ),
    (
        "archive_mode",
        Verdict::NotReady,
        "archive_mode = on, with an archive_command: recovery to a point in time needs the archive",
        |value| value != "off",
    ),
    (
        "archive_timeout",
        Verdict::Recommended,
        "archive_timeout = 60: otherwise a quiet server archives nothing for hours",
        is_positive,
    ),
    (
        "wal_compression",
        Verdict::Recommended,
        "wal_compression = lz4, or on",
        |value| value != "off",
    ),
    (
        "summarize_wal",
        Verdict::Recommended,
        "summarize_wal = on: incremental backups need it (PostgreSQL 17 and newer)",
        is_on,
    ),
    (
        "password_encryption",
        Verdict::NotReady,
        "password_encryption = 'scram-sha-256'",
        |value| value == "scram-sha-256",
    ),
    (
        "ssl",
        Verdict::Recommended,
        "ssl = on, unless all clients use a Unix socket",
        is_on,
    ),
];

impl From<Facts> for Readiness {
    fn from(facts: Facts) -> Self {
        let mut checks = vec![facts.preloaded()];
        checks.extend(facts.extension());
        checks.extend(SETTINGS.iter().map(|check| facts.setting(check)));
        checks.push(facts.archiver());
        Self { checks }
    }
}

impl Facts {
    fn setting(&self, &(name, otherwise, advice, passes): &OfSetting) -> Check {
        let (verdict, value) = match self.settings.get(name) {
            None => (Verdict::Unknown, "not visible".to_owned()),
            Some(setting) => {
                let unit = setting.unit.as_deref();
                let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
                let restart = match setting.waits_for_restart {
                    true => " (a changed value waits for a restart)",
                    false => "",
                };
                let verdict = match passes(&setting.value) {
                    true => Verdict::Ready,
                    false => otherwise,
                };
                (verdict, format!("{}{unit}{restart}", setting.value))
            }
        };
        Check {
            name,
            verdict,
            value,
            advice,
        }
    }

    /// An ordinary role cannot see `shared_preload_libraries`. A module defines its settings only
    /// if it is preloaded, and they are visible.
    fn preloaded(&self) -> Check {
        let is_loaded = self.settings.contains_key("pg_stat_statements.max");
        let (verdict, value) = match is_loaded {
            true => (Verdict::Ready, "loaded"),
            false => (Verdict::NotReady, "not loaded"),
        };
        Check {
            name: "shared_preload_libraries",
            verdict,
            value: value.to_owned(),
            advice: "shared_preload_libraries = 'pg_stat_statements', and restart the server",
        }
    }

    /// Returns the checks of the extension and of the place of all extensions.
    fn extension(&self) -> [Check; 2] {
        let described = |extension: &Extension| {
            format!(
                "{} {} in {}",
                extension.name, extension.version, extension.schema
            )
        };
        let found = self
            .extensions
            .iter()
            .find(|extension| extension.name == "pg_stat_statements");
        let untrusted: Vec<_> = self
            .extensions
            .iter()
            .filter(|extension| !extension.is_trusted)
            .map(described)
            .collect();
        let statements = Check {
            name: "pg_stat_statements",
            verdict: match found {
                Some(_) => Verdict::Ready,
                None => Verdict::Unknown,
            },
            value: found.map_or_else(|| "not in this database".to_owned(), described),
            advice: "CREATE EXTENSION pg_stat_statements in the database postgres: one copy sees all databases",
        };
        let place = Check {
            name: "extensions",
            verdict: match untrusted.is_empty() {
                true => Verdict::Ready,
                false => Verdict::Recommended,
            },
            value: match untrusted.is_empty() {
                true => "none that only a superuser can restore".to_owned(),
                false => untrusted.join(", "),
            },
            advice: "keep extensions for monitoring in the database postgres: only a superuser can restore a dump with them",
        };
        [statements, place]
    }

    fn archiver(&self) -> Check {
        let fails = self.failed > self.archived;
        Check {
            name: "archiver",
            verdict: match (fails, self.archived) {
                (true, _) => Verdict::NotReady,
                (false, Some(_)) => Verdict::Ready,
                // Nothing was archived and nothing failed.
                (false, None) => Verdict::Unknown,
            },
            value: match self.archived {
                Some(at) => format!("{} failed tries, last success {at}", self.failures),
                None => format!("{} failed tries, no success", self.failures),
            },
            advice: "read the server's log for the output of archive_command",
        }
    }
}

/// Returns the names of the settings that the checks read.
pub(crate) fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|check| check.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_locales_are_recognized() {
        for locale in [
            "",
            "C",
            "POSIX",
            "C.UTF-8",
            "en_US.UTF-8",
            "en_GB.utf8",
            "en_US",
        ] {
            assert!(is_english(locale), "{locale}");
        }
        for locale in ["de_DE.UTF-8", "fr_FR", "ca_ES.UTF-8"] {
            assert!(!is_english(locale), "{locale}");
        }
    }

    #[test]
    fn a_prefix_must_have_all_that_pgbadger_groups_by() {
        for prefix in [
            "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
            "%m [%p] %q%u@%d/%a %r ",
            "%-5t %10p %u %d %a %h",
        ] {
            assert!(has_all_parts(prefix), "{prefix}");
        }
        for prefix in ["", "%m [%p] ", "%m [%p] %q%u@%d ", "%%t%%p%%u%%d%%a%%h"] {
            assert!(!has_all_parts(prefix), "{prefix}");
        }
    }

    #[test]
    fn the_facts_of_a_bare_server_give_no_false_certainty() {
        let facts = r#"{"settings": {"fsync": {"value": "off", "unit": null, "waits_for_restart": true}},
            "extensions": [], "archived": null, "failed": null, "failures": 0}"#;
        let readiness = Readiness::from(serde_json::from_str::<Facts>(facts).unwrap());
        let verdict = |name| readiness.check(name).unwrap().verdict;
        assert_eq!(verdict("fsync"), Verdict::NotReady);
        assert!(readiness.check("fsync").unwrap().value.contains("restart"));
        assert_eq!(verdict("archiver"), Verdict::Unknown);
        assert_eq!(verdict("ssl"), Verdict::Unknown);
        assert_eq!(verdict("pg_stat_statements"), Verdict::Unknown);
        assert_eq!(verdict("shared_preload_libraries"), Verdict::NotReady);
        assert_eq!(verdict("extensions"), Verdict::Ready);
    }
}
