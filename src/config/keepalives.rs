//! TCP keepalive settings.

use std::time::Duration;

/// TCP keepalive settings, by which the operating system detects a lost server.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::{Config, Keepalives};
///
/// # fn main() -> wundr_db::Result<()> {
/// let seconds = Duration::from_secs;
/// let config = Config::new("postgres://app@db.example/wundr")?
///     .keepalives(Keepalives::new(seconds(30), seconds(5), 3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

impl Keepalives {
    /// Creates settings for keepalive probes.
    ///
    /// The operating system sends the first probe after `idle` without traffic and repeats it every
    /// `interval`. It ends the connection after `count` unanswered probes. The times must be whole
    /// seconds between 1 s and 32767 s. The count must be between 1 and 127.
    #[must_use]
    pub const fn new(idle: Duration, interval: Duration, count: u32) -> Self {
        Self {
            idle: Some(idle),
            interval: Some(interval),
            count: Some(count),
        }
    }
}

/// Idle 5 s, interval 2 s, count 3.
impl Default for Keepalives {
    fn default() -> Self {
        Self::new(Duration::from_secs(5), Duration::from_secs(2), 3)
    }
}
