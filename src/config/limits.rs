//! The bounds of the settings.

use std::time::Duration;

use super::{Config, Keepalives};
use crate::{Error, Result};

/// The upper bound of every time setting. PostgreSQL stores timeouts as milliseconds in 31 bits.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

/// The number of times in succession that a silent server does not respond before its connection is
/// closed: a server under load may not respond within the limit of one.
#[cfg(any(feature = "async", feature = "migrations"))]
pub(crate) const PROBES: u32 = 5;

/// The time for which a server is silent before it is asked whether it responds, if the settings
/// have no limit: the default of the limit.
#[cfg(any(feature = "admin", feature = "migrations"))]
const PATIENCE: Duration = Duration::from_secs(35);

impl Config {
    /// Checks the ranges of all settings.
    pub(crate) fn check(&self) -> Result<()> {
        in_range("acquire_timeout", self.acquire_timeout)?;
        in_range("heartbeat", self.heartbeat)?;
        self.check_limits()?;
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("statement_timeout", self.statement_timeout),
            (
                "idle_in_transaction_timeout",
                self.idle_in_transaction_timeout,
            ),
            ("idle_timeout", self.idle_timeout),
            ("max_lifetime", self.max_lifetime),
            ("unacknowledged_timeout", self.unacknowledged_timeout),
        ] {
            time.map_or(Ok(()), |time| in_range(name, time))?;
        }
        if !(1..=10_000).contains(&self.max_connections) {
            let reason = "must be between 1 and 10,000";
            return Err(Error::invalid("max_connections", reason));
        }
        if self.min_idle > self.max_connections {
            let reason = "must not be greater than max_connections";
            return Err(Error::invalid("min_idle", reason));
        }
        if let Some(Keepalives {
            idle,
            interval,
            count,
        }) = self.keepalives
        {
            let is_time =
                |time: Duration| time.subsec_nanos() == 0 && (1..=32_767).contains(&time.as_secs());
            if ![idle, interval].into_iter().flatten().all(is_time) {
                let reason = "idle and interval must be whole seconds between 1 s and 32767 s";
                return Err(Error::invalid("keepalives", reason));
            }
            if !count.is_none_or(|count| (1..=127).contains(&count)) {
                return Err(Error::invalid(
                    "keepalives",
                    "count must be between 1 and 127",
                ));
            }
        }
        Ok(())
    }

    /// Returns the longest time for which the server may send nothing while a response is due.
    pub(crate) fn response_limit(&self) -> Option<Duration> {
        match self.response_timeout {
            Some(timeout) => timeout,
            None => self
                .effective_statement_timeout()
                .map(|timeout| timeout.saturating_add(Duration::from_secs(5)).min(LONGEST)),
        }
    }

    /// Returns the settings of a connection whose statements may take any time.
    ///
    /// When the server is silent for the limit that these settings have, it is asked on another
    /// connection whether it responds.
    #[cfg(any(feature = "admin", feature = "migrations"))]
    pub(crate) fn without_limits(&self) -> Self {
        let patience = self.response_limit().unwrap_or(PATIENCE);
        Self {
            patience: Some(patience),
            ..self
                .clone()
                .statement_timeout(None)
                .idle_in_transaction_timeout(None)
                .response_timeout(None)
        }
    }

    /// Returns the statement timeout, or that in the URL's `options`, which takes precedence.
    ///
    /// `None` if the value in `options` cannot be parsed.
    fn effective_statement_timeout(&self) -> Option<Duration> {
        match self.option("statement_timeout") {
            Some(value) => duration_of(&value),
            None => self.statement_timeout,
        }
    }

    fn check_limits(&self) -> Result<()> {
        if !(1..=65_536).contains(&self.prepared_statements) {
            return Err(Error::invalid(
                "prepared_statements",
                "must be between 1 and 65,536",
            ));
        }
        for (name, timeout) in [
            ("response_timeout", self.response_limit()),
            ("health_timeout", Some(self.health_timeout)),
        ] {
            timeout.map_or(Ok(()), |timeout| in_range(name, timeout))?;
        }
        Ok(())
    }
}

/// Parses the value of a setting of the server that is a time in milliseconds, unless it has a
/// unit.
///
/// `None` for 0, which means no limit, and for a value that the server rejects.
fn duration_of(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = value[..value.len() - digits.len()].parse().ok()?;
    let milliseconds = match digits.trim_start() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    // The server rounds to whole milliseconds.
    let milliseconds = (number * milliseconds).round_ties_even();
    (milliseconds >= 1.0).then(|| Duration::from_millis(milliseconds as u64))
}

/// Checks that a time is between 1 ms and [`LONGEST`].
pub(crate) fn in_range(name: &'static str, time: Duration) -> Result<()> {
    if time < Duration::from_millis(1) || time > LONGEST {
        return Err(Error::invalid(name, "must be between 1 ms and 24 days"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &str) -> Config {
        let mut config = Config::without_environment("postgres://h/d").unwrap();
        config.target.options = options.to_owned();
        config
    }

    /// In the URL's `options`, a setting has the name, the value and the unit that the server
    /// reads.
    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (options, timeout) in [
            ("", seconds(30)),
            ("-c statement_timeout=10min", seconds(600)),
            ("-cstatement_timeout=600s", seconds(600)),
            ("--statement-timeout=600000", seconds(600)),
            ("-c STATEMENT_TIMEOUT=0.5h", seconds(1800)),
            ("-c statement_timeout=600000000us", seconds(600)),
            (r"-c statement_timeout=600\ s", seconds(600)),
            (
                "-c statement_timeout=1s -c statement_timeout=2s",
                seconds(2),
            ),
            (
                "-c statement_timeout=2s -c my.statement_timeout=1s",
                seconds(2),
            ),
            ("-c my.note=statement_timeout=1s", seconds(30)),
            ("-c statement_timeout=0", None),
            ("-c statement_timeout=0.4", None),
        ] {
            let found = config(options).effective_statement_timeout();
            assert_eq!(found, timeout, "{options}");
        }
        for (value, is_on) in [
            ("on", true),
            ("ON", true),
            ("true", true),
            ("t", true),
            ("Yes", true),
            ("1", true),
            ("off", false),
            ("OFF", false),
            ("of", false),
            ("false", false),
            ("f", false),
            ("no", false),
            ("0", false),
        ] {
            for options in [
                format!("-c default_transaction_read_only={value}"),
                format!(
                    "-c default_transaction_read_only=on --Default-Transaction-Read-Only={value}"
                ),
                format!(
                    "-c default_transaction_read_only={value} -c my.default_transaction_read_only=on"
                ),
            ] {
                assert_eq!(config(&options).asks_for_read_only(), is_on, "{options}");
            }
        }
    }

    /// Returns the setting that a check refuses.
    fn refused(config: &Config) -> Option<String> {
        match config.check() {
            Ok(()) => None,
            Err(Error::InvalidInput { field, .. }) => Some(field.into_owned()),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_time_has_both_of_its_bounds() {
        type Set = fn(Config, Duration) -> Config;
        let settings: [(&str, Set); 10] = [
            ("acquire_timeout", |config, time| {
                config.acquire_timeout(time)
            }),
            ("connect_timeout", |config, time| {
                config.connect_timeout(time)
            }),
            ("statement_timeout", |config, time| {
                config
                    .statement_timeout(time)
                    .response_timeout(Duration::from_secs(1))
            }),
            ("idle_in_transaction_timeout", |config, time| {
                config.idle_in_transaction_timeout(time)
            }),
            ("idle_timeout", |config, time| config.idle_timeout(time)),
            ("max_lifetime", |config, time| config.max_lifetime(time)),
            ("response_timeout", |config, time| {
                config.response_timeout(time)
            }),
            ("health_timeout", |config, time| config.health_timeout(time)),
            ("unacknowledged_timeout", |config, time| {
                config.unacknowledged_timeout(time)
            }),
            ("heartbeat", |config, time| config.heartbeat(time)),
        ];
        let shortest = Duration::from_millis(1);
        let step = Duration::from_nanos(1);
        for (name, set) in settings {
            for time in [shortest, LONGEST] {
                assert_eq!(refused(&set(config(""), time)), None, "{name} {time:?}");
            }
            for time in [Duration::ZERO, shortest - step, LONGEST + step] {
                let refused = refused(&set(config(""), time));
                assert_eq!(refused.as_deref(), Some(name), "{time:?}");
            }
        }
    }

    #[test]
    fn every_number_has_both_of_its_bounds() {
        let accepted = [
            config("").max_connections(1),
            config("").max_connections(10_000).min_idle(10_000),
            config("").prepared_statements(1),
            config("").prepared_statements(65_536),
        ];
        for config in accepted {
            assert_eq!(refused(&config), None, "{config:?}");
        }
        for (name, config) in [
            ("max_connections", config("").max_connections(0)),
            ("max_connections", config("").max_connections(10_001)),
            ("min_idle", config("").max_connections(5).min_idle(6)),
            ("prepared_statements", config("").prepared_statements(0)),
            (
                "prepared_statements",
                config("").prepared_statements(65_537),
            ),
        ] {
            assert_eq!(refused(&config).as_deref(), Some(name), "{config:?}");
        }
    }

    #[test]
    fn keepalives_are_whole_seconds_and_a_number_within_their_bounds() {
        let second = Duration::from_secs(1);
        let longest = Duration::from_secs(32_767);
        let probes = |idle, interval, count| {
            refused(&config("").keepalives(Keepalives::new(idle, interval, count)))
        };
        assert_eq!(probes(second, longest, 1), None);
        assert_eq!(probes(longest, second, 127), None);
        for wrong in [
            Duration::ZERO,
            Duration::from_millis(1_500),
            longest + second,
        ] {
            assert_eq!(probes(wrong, second, 3).as_deref(), Some("keepalives"));
            assert_eq!(probes(second, wrong, 3).as_deref(), Some("keepalives"));
        }
        for wrong in [0, 128] {
            assert_eq!(probes(second, second, wrong).as_deref(), Some("keepalives"));
        }
    }
}
