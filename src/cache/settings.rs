//! How the cache is reached, and what is kept in it for how long.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionInfo, IntoConnectionInfo};

#[cfg(feature = "cache-faults")]
use super::faults::{FailpointHook, InjectedFault};
use crate::config::{LONGEST, in_range};
use crate::{Error, Result};

/// What can be cached, each with a lifetime of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachedKind {
    /// Users by id, and their ids by address.
    User,
    /// Sessions by the hash of their token, sealed with it.
    UserSession,
    /// Organizations by id, and their ids by slug.
    Organization,
    /// Who is what in an organization.
    OrganizationMember,
    /// Projects by id.
    Project,
    /// Who is what in a project.
    ProjectMember,
    /// The settings of a scope, from which the effective ones follow.
    Configuration,
    /// Setup profiles by id.
    SetupProfile,
    /// Tools by id.
    Tool,
    /// The newest analysis of a project and type.
    LatestAnalysis,
    /// Statistics of projects, as old as their lifetime allows.
    ProjectStats,
    /// Trends of metrics, as old as their lifetime allows.
    Trend,
}

impl CachedKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::User,
        Self::UserSession,
        Self::Organization,
        Self::OrganizationMember,
        Self::Project,
        Self::ProjectMember,
        Self::Configuration,
        Self::SetupProfile,
        Self::Tool,
        Self::LatestAnalysis,
        Self::ProjectStats,
        Self::Trend,
    ];

    /// Whether it may be out of date by its lifetime: it depends on too much to be fenced.
    pub(crate) const fn is_aging(self) -> bool {
        matches!(self, Self::ProjectStats | Self::Trend)
    }

    /// Its part of a key's name.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::UserSession => "session",
            Self::Organization => "organization",
            Self::OrganizationMember => "organization_member",
            Self::Project => "project",
            Self::ProjectMember => "project_member",
            Self::Configuration => "configurations",
            Self::SetupProfile => "setup_profile",
            Self::Tool => "tool",
            Self::LatestAnalysis => "latest_analysis",
            Self::ProjectStats => "project_stats",
            Self::Trend => "trend",
        }
    }

    const fn lifetime(self) -> Duration {
        match self {
            // What rights follow from, and what may be out of date by this.
            Self::User
            | Self::UserSession
            | Self::OrganizationMember
            | Self::ProjectMember
            | Self::ProjectStats
            | Self::Trend => Duration::from_secs(60),
            _ => Duration::from_secs(600),
        }
    }
}

/// What a write does whose entries cannot be fenced, because Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unfenced {
    /// It fails with [`Error::Cache`] before it is committed, and nothing is written: what the cache guarantees holds.
    #[default]
    FailBeforeCommit,
    /// It is committed. Until this process reaches Redis again and makes everything old there, other processes that do
    /// reach it may read what was before the write, for as long as that entry lives.
    Proceed,
}

/// Values kept in the process as well, in front of Redis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    pub(crate) entries: u64,
    pub(crate) staleness: Duration,
}

/// Where the Redis servers are.
#[derive(Clone)]
pub(crate) enum Servers {
    One(ConnectionInfo),
    /// Asked in turn for the address of the primary, which is then connected to like `primary`.
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
    pub(crate) absence: Duration,
    pub(crate) largest: usize,
    pub(crate) lease: Duration,
    pub(crate) lease_wait: Duration,
    pub(crate) early: bool,
    pub(crate) near: Option<Near>,
    pub(crate) root_certificates: Option<Vec<u8>>,
    pub(crate) key: Option<[u8; 32]>,
    #[cfg(feature = "cache-faults")]
    pub(crate) injected_fault: Option<InjectedFault>,
    #[cfg(feature = "cache-faults")]
    pub(crate) failpoint_hook: Option<FailpointHook>,
}

impl CacheConfig {
    /// A server, as a URL: `redis://`, `rediss://` for TLS, or `redis+unix://` for a socket; with user, password and
    /// database where they are needed.
    ///
    /// A user of Redis (6.2 or later) needs the keys that begin with the [prefix](Self::prefix), and these commands:
    ///
    /// ```text
    /// ACL SETUSER app on >secret ~wundr:* +info +mget +get +set +del +eval +evalsha +exists +type +time +hget +hset +hsetnx +hdel +hexists
    /// ```
    ///
    /// In a cluster `+cluster|keyslot +cluster|slots` as well, and on Sentinels `+sentinel|get-master-addr-by-name`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is no such URL. The message does not repeat it, for its password's sake.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self::of(Servers::One(parse(url)?), 1))
    }

    /// The primary that Sentinels know by this name. `primary` is a URL with the user, password, database and scheme
    /// for it; its host and port do not matter.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] as in [`CacheConfig::new`].
    pub fn sentinel(sentinels: &[&str], name: &str, primary: &str) -> Result<Self> {
        let servers = Servers::Sentinels {
            sentinels: parse_all(sentinels)?,
            name: name.to_owned(),
            primary: parse(primary)?,
        };
        Ok(Self::of(servers, 1))
    }

    /// A cluster, of which these servers are asked for the others. Entries lie in 64 slots unless
    /// [`shards`](Self::shards) says otherwise.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] as in [`CacheConfig::new`].
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
            absence: Duration::from_secs(30),
            largest: 64 * 1024,
            lease: Duration::from_secs(5),
            lease_wait: Duration::from_millis(500),
            early: true,
            near: None,
            root_certificates: None,
            key: None,
            #[cfg(feature = "cache-faults")]
            injected_fault: None,
            #[cfg(feature = "cache-faults")]
            failpoint_hook: None,
        }
    }

    /// What all keys begin with, so that applications can share a server. Processes that share a database must have
    /// the same. Default: `wundr`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Among how many hash tags the entries are spread; all processes must have the same number, at least 1. A write
    /// takes one script for each tag that it touches. Default: 1, in a cluster 64.
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards.max(1);
        self
    }

    /// The time that opening a connection may take. Default: 500 ms. Must be between 1 ms and 24 days.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The time that an answer may take. A read then goes to the database. Default: 250 ms. Must be between 1 ms and 24
    /// days.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How long reads leave a server alone that did not answer; doubled with each further failure, up to 16 times.
    /// Writes try it each time, since they need it. Default: 500 ms. Must be between 0 and 24 days.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = wait;
        self
    }

    /// What a write does that cannot be fenced. Default: it fails before it is committed.
    pub fn unfenced(mut self, unfenced: Unfenced) -> Self {
        self.unfenced = unfenced;
        self
    }

    /// How long an entry lives at most, less up to a tenth by chance. For statistics and trends it is also how old they
    /// may be. Default: a minute for those, and for users, sessions and the roles of members, which rights follow from;
    /// 10 minutes for all others. Must be between 1 ms and 24 days.
    pub fn lifetime(mut self, kind: CachedKind, lifetime: Duration) -> Self {
        self.lifetimes[kind as usize] = Some(lifetime);
        self
    }

    /// Does not cache this kind. Other processes may; what this one writes they see all the same.
    pub fn without(mut self, kind: CachedKind) -> Self {
        self.lifetimes[kind as usize] = None;
        self
    }

    /// The time for which it is remembered that there is no such row. Default: 30 s. Must be between 1 ms and 60 s.
    pub fn absence(mut self, lifetime: Duration) -> Self {
        self.absence = lifetime;
        self
    }

    /// The largest value that is stored, in bytes. Default: 64 KiB.
    pub fn largest_value(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// The time for which a reader may keep others from filling the entry that it fills. Default: 5 s. Must be between 1
    /// ms and 24 days.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a reader waits for another that fills the entry, before it reads the database itself; for one of this
    /// process at least [`response_timeout`](Self::response_timeout). Default: 500 ms. Must be between 0 and 24 days.
    pub fn lease_wait(mut self, wait: Duration) -> Self {
        self.lease_wait = wait;
        self
    }

    /// Whether an entry is now and then filled again shortly before its end, the more likely the longer that takes
    /// ("XFetch": Vattani, Chierichetti, Lowenstein, *Optimal Probabilistic Cache Stampede Prevention*, 2015). Default:
    /// yes.
    pub fn early_refresh(mut self, early: bool) -> Self {
        self.early = early;
        self
    }

    /// Keeps values in the process as well, at most so many, each at most so long from when it was put there. Such a value
    /// may be older than an acknowledged write by `staleness`, and by no more. What is effective in a scope is not put
    /// together from such values, which are of different moments. A write of this process takes the entries that it
    /// touches out. Sessions are not kept there. Default: off. `staleness` must be between 1 ms and 24 days.
    pub fn near(mut self, entries: u64, staleness: Duration) -> Self {
        self.near = Some(Near { entries, staleness });
        self
    }

    /// Seals all values with this key (XChaCha20-Poly1305), so that only processes that have it can write or read them.
    /// All processes that share entries must have the same. Default: none, and then Redis is trusted like the database.
    ///
    /// With a key, who may write to Redis can make no value up, and none opens that was moved to another entry, database
    /// or generation. See [the module](crate::cache#who-may-write-to-redis) for what can still be done.
    ///
    /// 32 bytes from a random source of the operating system's; a password is no key. Entries under different keys lie
    /// beside each other, so that a key can be changed process by process: each fills its own, and writes are seen by
    /// all of them.
    pub fn key(mut self, key: [u8; 32]) -> Self {
        self.key = Some(key);
        self
    }

    /// The certificates to trust for TLS, as PEM, in place of the system's.
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
        if self.prefix.is_empty() || self.prefix.contains(['{', '}', ' ']) {
            return Err(Error::invalid(
                "prefix",
                "is empty, or has a brace or a space",
            ));
        }
        let lifetimes = self.lifetimes.iter().flatten();
        let lifetimes = lifetimes.map(|&lifetime| ("lifetime", lifetime));
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("absence", self.absence),
            ("lease", self.lease),
        ];
        let near = self.near.map(|near| ("near", near.staleness));
        for (name, time) in times.into_iter().chain(lifetimes).chain(near) {
            in_range(name, time)?;
        }
        if self.absence > Duration::from_secs(60) {
            return Err(Error::invalid("absence", "must be between 1 ms and 60 s"));
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

/// A URL's mistakes are named without it: it may hold a password.
fn parse(url: &str) -> Result<ConnectionInfo> {
    url.into_connection_info()
        .map_err(|_| Error::invalid("cache url", "is no URL of a Redis server"))
}

fn parse_all(urls: &[&str]) -> Result<Vec<ConnectionInfo>> {
    if urls.is_empty() {
        return Err(Error::invalid("cache url", "none is given"));
    }
    urls.iter().map(|url| parse(url)).collect()
}
