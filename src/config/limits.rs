//! The bounds of the settings.

use std::time::Duration;

use super::{Config, Keepalives};
use crate::{Error, Result};

/// The upper bound of every time setting. PostgreSQL stores timeouts as milliseconds in 31 bits.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

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

    /// Returns the statement timeout, or that in the URL's `options`, which takes precedence.
    ///
    /// `None` if the value in `options` cannot be parsed.
    fn effective_statement_timeout(&self) -> Option<Duration> {
        match self.target.options.rsplit_once("statement_timeout") {
            Some((_, value)) => duration_of(value),
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

/// Parses a time as PostgreSQL writes it, from an equals sign to the next space.
///
/// `None` for 0, which means no limit.
fn duration_of(setting: &str) -> Option<Duration> {
    let value = setting.trim_start_matches([' ', '=', '\'']);
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = value.split_at(digits);
    let unit = unit.split([' ', '\'']).next().unwrap_or_default();
    let milliseconds = match unit {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    (number > 0).then(|| Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// Checks that a time is between 1 ms and [`LONGEST`].
pub(crate) fn in_range(name: &'static str, time: Duration) -> Result<()> {
    if time < Duration::from_millis(1) || time > LONGEST {
        return Err(Error::invalid(name, "must be between 1 ms and 24 days"));
    }
    Ok(())
}
