//! The configuration of the cache.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo};

#[cfg(feature = "cache-faults")]
use super::faults::{FailpointHook, InjectedFault};
use super::kinds::CachedKind;
use crate::config::{LONGEST, in_range};
use crate::{Error, Result};

/// The behavior of a write whose entries cannot be fenced, because Redis does not reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unfenced {
    /// The write fails with [`Error::Cache`] before its commit, and nothing is written. The
    /// guarantee of the cache holds.
    #[default]
    FailBeforeCommit,
    /// The write is committed. Until this process reaches Redis again and begins a new generation
    /// there, other processes may read older values, up to the lifetime of each entry.
    Proceed,
}

/// The near cache: values that are kept in the memory of the process, in front of Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    pub(crate) entries: u64,
    pub(crate) staleness: Duration,
}

/// The addresses of the Redis servers.
#[derive(Clone)]
pub(crate) enum Servers {
    One(ConnectionInfo),
    /// The Sentinels are queried in order for the address of the primary. `primary` has the other
    /// connection settings.
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        name: String,
        primary: ConnectionInfo,
    },
    Cluster(Vec<ConnectionInfo>),
}

/// Settings of the cache, with safe defaults.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::cache::{CacheConfig, CachedKind};
///
/// # fn main() -> wundr_db::Result<()> {
/// let config = CacheConfig::new("rediss://app:secret@cache.example:6380")?
///     .prefix("wundr-web")
///     .lifetime(CachedKind::Tool, Duration::from_secs(3600))
///     .without(CachedKind::Trend);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct CacheConfig {
    pub(crate) servers: Servers,
    pub(crate) prefix: String,
    pub(crate) shards: u16,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) retry_after: Duration,
    pub(crate) unfenced: Unfenced,
    lifetimes: [Option<Duration>; CachedKind::ALL.len()],
    pub(crate) negative_ttl: Duration,
    pub(crate) max_value_bytes: usize,
    pub(crate) lease: Duration,
    pub(crate) lease_wait: Duration,
    pub(crate) early_refresh: bool,
    pub(crate) near: Option<Near>,
    pub(crate) root_certificates: Option<Vec<u8>>,
    pub(crate) key: Option<[u8; 32]>,
    #[cfg(feature = "cache-faults")]
    pub(crate) injected_fault: Option<InjectedFault>,
    #[cfg(feature = "cache-faults")]
    pub(crate) failpoint_hook: Option<FailpointHook>,
}

impl CacheConfig {
    /// Creates the settings for one server, given as a URL: `redis://`, `rediss://` for TLS, or
    /// `redis+unix://` for a socket; with user, password and database where they are needed.
    ///
    /// A user of Redis (6.2 or later) needs the keys that begin with the [prefix](Self::prefix),
    /// and these commands:
    ///
    /// ```text
    /// ACL SETUSER app on >secret ~wundr:* +info +mget +get +set +del +eval +evalsha +exists +type +time +hget +hmget +hset +hsetnx +hdel +hexists
    /// ```
    ///
    /// In a cluster `+cluster|keyslot +cluster|slots` as well, and on Sentinels
    /// `+sentinel|get-master-addr-by-name`.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] if the URL is not valid. The message does not contain the URL,
    ///   which may have a password.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self::of(Servers::One(parse(url)?), 1))
    }

    /// Creates the settings for the primary that Sentinels monitor under this name. `primary` is a
    /// URL with the user, password, database and scheme for it; its host and port do not matter.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] as in [`CacheConfig::new`].
    pub fn sentinel(sentinels: &[&str], name: &str, primary: &str) -> Result<Self> {
        let servers = Servers::Sentinels {
            sentinels: parse_all(sentinels)?,
            name: name.to_owned(),
            primary: parse(primary)?,
        };
        Ok(Self::of(servers, 1))
    }

    /// Creates the settings for a cluster. The given servers are queried for the others. Entries
    /// are spread over 64 slots unless [`shards`](Self::shards) sets another number.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`] as in [`CacheConfig::new`].
    pub fn cluster(urls: &[&str]) -> Result<Self> {
        Ok(Self::of(Servers::Cluster(parse_all(urls)?), 64))
    }

    fn of(servers: Servers, shards: u16) -> Self {
        Self {
            servers,
            prefix: "wundr".to_owned(),
            shards,
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_millis(250),
            retry_after: Duration::from_millis(500),
            unfenced: Unfenced::default(),
            lifetimes: CachedKind::ALL.map(|kind| Some(kind.lifetime())),
            negative_ttl: Duration::from_secs(30),
            max_value_bytes: 64 * 1024,
            lease: Duration::from_secs(5),
            lease_wait: Duration::from_millis(500),
            early_refresh: true,
            near: None,
            root_certificates: None,
            key: None,
            #[cfg(feature = "cache-faults")]
            injected_fault: None,
            #[cfg(feature = "cache-faults")]
            failpoint_hook: None,
        }
    }

    /// Sets the prefix of all keys, so that applications can share a server. Processes that share a
    /// database must use the same prefix. Default: `wundr`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the number of hash tags over which the entries are spread. All processes must use the
    /// same number. A write calls one script for each tag that it touches. Default: 1, in a
    /// cluster 64. Must be at least 1.
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards.max(1);
        self
    }

    /// Sets the timeout for opening a connection. Default: 500 ms. Must be between 1 ms and 24
    /// days.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the timeout for a response. A read then goes to the database. Default: 250 ms. Must be
    /// between 1 ms and 24 days.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// Sets the time for which reads avoid a server that did not reply. It doubles with each
    /// further failure, up to 16 times. Writes try the server each time, because they depend on it.
    /// Default: 500 ms. Must be between 0 and 24 days.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// Sets the behavior of a write that cannot be fenced. Default: it fails before its commit.
    pub fn unfenced(mut self, unfenced: Unfenced) -> Self {
        self.unfenced = unfenced;
        self
    }

    /// Sets the longest lifetime of the entries of a kind. Each entry lives up to a tenth shorter,
    /// by chance. Statistics and trends may be this old. Default: a minute for them, and for users,
    /// sessions and roles, which decide access; 10 minutes for all others. Must be between 1 ms and
    /// 24 days.
    pub fn lifetime(mut self, kind: CachedKind, lifetime: Duration) -> Self {
        self.lifetimes[kind as usize] = Some(lifetime);
        self
    }

    /// Disables the cache for a kind in this process. Its writes still invalidate the entries of
    /// other processes.
    pub fn without(mut self, kind: CachedKind) -> Self {
        self.lifetimes[kind as usize] = None;
        self
    }

    /// Sets the lifetime of negative entries, which record that there is no such row. Default: 30
    /// s. Must be between 1 ms and 60 s.
    pub fn negative_ttl(mut self, lifetime: Duration) -> Self {
        self.negative_ttl = lifetime;
        self
    }

    /// Sets the size of the largest value that is stored, in bytes. Default: 64 KiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self
    }

    /// Sets the lifetime of a lease, which keeps other readers from filling the same entry.
    /// Default: 5 s. Must be between 1 ms and 24 days.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the time that a reader waits for another reader to fill the entry before it reads the
    /// database itself. For a reader of the same process the wait is at least
    /// [`response_timeout`](Self::response_timeout). Default: 500 ms. Must be between 0 and 24
    /// days.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.lease_wait = wait;
        self
    }

    /// Enables or disables the refresh of an entry shortly before its end, by chance. The
    /// probability rises with the time that a refresh takes ("XFetch": Vattani, Chierichetti,
    /// Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*, 2015). Default: enabled.
    pub fn early_refresh(mut self, early: bool) -> Self {
        self.early_refresh = early;
        self
    }

    /// Enables a near cache in the memory of the process, with at most `entries` values, each used
    /// for at most `staleness` from the begin of its read. A read may then return a value that is
    /// older than an acknowledged write by up to `staleness`. Effective settings are not assembled
    /// from such values, which were read at different moments. A write of this process removes the
    /// entries that it touches. Sessions are not kept, and `Sessions::authenticate` reads neither
    /// session nor user from it. Default: off. `staleness` must be between 1 ms and 24 days.
    pub fn near(mut self, entries: u64, staleness: Duration) -> Self {
        self.near = Some(Near { entries, staleness });
        self
    }

    /// Encrypts all values with this key (AES-256-GCM), so that only processes that have the key
    /// can write or read them. All processes that share entries must use the same key. Default:
    /// none; Redis is then trusted like the database.
    ///
    /// With a key, a client with write access to Redis cannot forge a value, nor move one to
    /// another entry, database or generation. See [the
    /// module](crate::cache#attackers-with-access-to-redis) for the attacks that remain.
    ///
    /// Use 32 bytes from a random source of the operating system, not a password. Entries under
    /// different keys coexist, so a key can be changed process by process: each fills its own
    /// entries, and a write invalidates those of all keys.
    pub fn key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the root certificates for TLS, as PEM, in place of the system's.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    pub(crate) fn lifetime_of(&self, kind: CachedKind) -> Option<Duration> {
        self.lifetimes[kind as usize]
    }

    pub(crate) fn longest_lifetime(&self) -> Duration {
        let lifetimes = self.lifetimes.iter().flatten();
        lifetimes.copied().max().unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let is_separator = |c: char| c == '{' || c == '}' || c.is_whitespace() || c.is_control();
        if self.prefix.is_empty() || self.prefix.contains(is_separator) {
            return Err(Error::invalid(
                "prefix",
                "is empty, or has a brace, white space or a control character",
            ));
        }
        let lifetimes = self.lifetimes.iter().flatten();
        let lifetimes = lifetimes.map(|&lifetime| ("lifetime", lifetime));
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("negative_ttl", self.negative_ttl),
            ("lease", self.lease),
        ];
        let near = self.near.map(|near| ("near", near.staleness));
        for (name, time) in times.into_iter().chain(lifetimes).chain(near) {
            in_range(name, time)?;
        }
        if self.negative_ttl > Duration::from_secs(60) {
            return Err(Error::invalid(
                "negative_ttl",
                "must be between 1 ms and 60 s",
            ));
        }
        for (name, time) in [
            ("retry_after", self.retry_after),
            ("lease_wait", self.lease_wait),
        ] {
            if time > LONGEST {
                return Err(Error::invalid(name, "must be between 0 and 24 days"));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for CacheConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = match &self.servers {
            Servers::One(server) => vec![server.addr().to_string()],
            Servers::Sentinels {
                sentinels: several, ..
            }
            | Servers::Cluster(several) => several
                .iter()
                .map(|server| server.addr().to_string())
                .collect(),
        };
        formatter
            .debug_struct("CacheConfig")
            .field("servers", &servers)
            .field("prefix", &self.prefix)
            .field("unfenced", &self.unfenced)
            .field("key", &self.key.map(|_| "..."))
            .finish_non_exhaustive()
    }
}

/// Parses a URL. The error does not contain the URL, which may have a password.
fn parse(url: &str) -> Result<ConnectionInfo> {
    url.into_connection_info()
        .map_err(|_| Error::invalid("cache url", "is not a URL of a Redis server"))
}

fn parse_all(urls: &[&str]) -> Result<Vec<ConnectionInfo>> {
    if urls.is_empty() {
        return Err(Error::invalid("cache url", "none is given"));
    }
    urls.iter().map(|url| parse(url)).collect()
}
