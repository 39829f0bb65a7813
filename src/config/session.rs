//! The settings of a session, as SQL and as options of its start.

use super::Config;

/// Switches a server whose messages are in another language to English, if the role may.
///
/// Errors are classified by the message; see [`Error`].
pub(crate) const UNDERSTOOD_MESSAGES: &str = "SELECT pg_catalog.set_config('lc_messages', 'C', false) \
     WHERE pg_catalog.current_setting('lc_messages') NOT IN ('C', 'POSIX', 'en_US.UTF-8', 'en_US.utf8') \
     AND pg_catalog.has_parameter_privilege('lc_messages', 'SET')";

/// The part of [`Config::restoring`] that does not depend on the settings. Its end sets what every
/// new connection sets.
const RESTORING: &str = "SET CONSTRAINTS ALL IMMEDIATE; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; \
     CLOSE ALL; UNLISTEN *; DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all(); \
     DO LANGUAGE plpgsql $$ DECLARE named pg_catalog.text; BEGIN \
         FOR named IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql LOOP \
             EXECUTE pg_catalog.format('DEALLOCATE %I', named); \
         END LOOP; \
     END $$; \
     SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'";

impl Config {
    /// Returns the schemas of the `search_path` of every connection.
    pub(crate) fn path(&self) -> impl Iterator<Item = &str> {
        let named = self.search_path.iter().map(String::as_str);
        let first = std::iter::once("pg_catalog");
        first.chain(named).chain(std::iter::once("pg_temp"))
    }

    /// Returns the `search_path` of every connection as the value of a command-line option.
    fn pinned_path(&self) -> String {
        let quoted = |schema: &str| format!("\"{}\"", schema.replace('"', "\"\""));
        let path: Vec<String> = self.path().map(quoted).collect();
        path.join(",").replace('\\', "\\\\").replace(' ', "\\ ")
    }

    /// Checks whether the URL's `options` ask for read-only transactions.
    pub(crate) fn asks_for_read_only(&self) -> bool {
        self.option("default_transaction_read_only")
            .is_some_and(|value| is_on(&value))
    }

    /// Returns the SQL that restores a connection which a caller was lent. It fails in a
    /// transaction that has failed.
    ///
    /// It must run before the commit: behind PgBouncer in transaction mode, the session belongs to
    /// another client afterwards.
    ///
    /// First it executes what the commit would execute, with the role and the settings that the
    /// caller has set.
    pub(crate) fn restoring(&self) -> String {
        let name = self
            .application_name
            .replace('\\', r"\\")
            .replace('\'', "''");
        let messages = match self.behind_pgbouncer {
            true => String::new(),
            false => format!("; {UNDERSTOOD_MESSAGES}"),
        };
        let settings = self.settings();
        format!("{RESTORING}; SET application_name = E'{name}'; {settings}{messages}")
    }

    /// Returns the SQL that restores a session after an application's migration. The lock of the
    /// migrations is kept.
    #[cfg(feature = "migrations")]
    pub(crate) fn restoring_within_lock(&self) -> String {
        format!(
            "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; DISCARD TEMP; \
             SET client_encoding = 'UTF8'; SET TIME ZONE 'UTC'; {}; {UNDERSTOOD_MESSAGES}",
            self.settings()
        )
    }

    /// Returns the SQL that gives a session the settings which libpq would take from the
    /// environment.
    ///
    /// libpq sends them whatever its parameters are, and they take precedence over `options`. Both
    /// engines run this SQL, so that their sessions are equal.
    pub(crate) fn settings(&self) -> String {
        let quoted = |value: &str| value.replace('\\', r"\\").replace('\'', "''");
        // A value that gives only the style or only the order keeps the other one.
        // With the setting off, a backslash in a literal would have a meaning.
        let mut settings =
            "SET standard_conforming_strings = on; SET DateStyle = 'ISO, MDY'".to_owned();
        let date_style = self.date_style.clone();
        if let Some(date_style) = date_style.or_else(|| self.option("datestyle")) {
            settings.push_str(&format!("; SET DateStyle = E'{}'", quoted(&date_style)));
        }
        // PgBouncer does not restore this setting for the next client of a server connection.
        if !self.behind_pgbouncer {
            let mut geqo = self.geqo.clone();
            if geqo.is_none() && std::env::var_os("PGGEQO").is_some() {
                geqo = Some(self.option("geqo").unwrap_or_else(|| "on".to_owned()));
            }
            if let Some(geqo) = geqo {
                settings.push_str(&format!("; SET geqo = E'{}'", quoted(&geqo)));
            }
        }
        settings
    }

    /// Returns the value that the URL's `options` give to a setting, by the server's rules.
    pub(super) fn option(&self, name: &str) -> Option<String> {
        let mut arguments = vec![String::new()];
        let mut characters = self.target.options.chars();
        while let Some(character) = characters.next() {
            let is_escaped = character == '\\';
            let character = if is_escaped {
                characters.next()
            } else {
                Some(character)
            };
            match (character, arguments.last_mut()) {
                (Some(space), _) if !is_escaped && space.is_ascii_whitespace() => {
                    arguments.push(String::new());
                }
                (Some(character), Some(argument)) => argument.push(character),
                _ => {}
            }
        }
        arguments.retain(|argument| !argument.is_empty());
        let mut arguments = arguments.into_iter();
        let mut value = None;
        while let Some(argument) = arguments.next() {
            let setting = match argument.strip_prefix("-c") {
                Some("") => arguments.next(),
                Some(setting) => Some(setting.to_owned()),
                None => argument.strip_prefix("--").map(str::to_owned),
            };
            if let Some((found, text)) = setting.as_deref().and_then(|set| set.split_once('='))
                && found.replace('-', "_").eq_ignore_ascii_case(name)
            {
                value = Some(text.to_owned());
            }
        }
        value
    }

    /// Returns the session settings that are sent at its start.
    pub(crate) fn options(&self) -> String {
        if self.behind_pgbouncer {
            return self.target.options.clone();
        }
        let timeouts = [
            ("statement_timeout", self.statement_timeout),
            (
                "idle_in_transaction_session_timeout",
                self.idle_in_transaction_timeout,
            ),
        ];
        let mut options: Vec<String> = timeouts
            .iter()
            .map(|(name, timeout)| {
                let milliseconds = timeout.map_or(0, |timeout| timeout.as_millis());
                format!("-c {name}={milliseconds}")
            })
            .collect();
        if !self.target.options.is_empty() {
            options.push(self.target.options.clone());
        }
        options.push(format!("-c search_path={}", self.pinned_path()));
        options.join(" ")
    }
}

/// Parses the value of a setting of the server that is on or off. A value that the server rejects
/// counts as off.
fn is_on(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    let is_prefix = |word: &str| !value.is_empty() && word.starts_with(&value);
    value == "1" || value == "on" || is_prefix("true") || is_prefix("yes")
}
