//! Orders the hosts of a URL for a connection attempt.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;
#[cfg(feature = "async")]
use crate::Result;
use crate::config::{Session, Target};

/// The time for which a host that failed is tried last.
const SHUNNED: Duration = Duration::from_secs(5);

/// The outcomes of earlier attempts, by host.
pub(crate) struct HostOrder {
    hosts: usize,
    is_random: bool,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    last_taken: Option<usize>,
    /// The hosts that failed, and when.
    failures: Vec<(usize, Instant)>,
}

impl HostOrder {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            hosts: target.hosts.len(),
            is_random: target.in_random_order,
            past: Mutex::default(),
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the hosts in the order in which they are to be tried.
    pub(crate) fn hosts(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.hosts).collect();
        if self.hosts == 1 {
            return order;
        }
        if self.is_random {
            order.sort_by_cached_key(|_| RandomState::new().build_hasher().finish());
        }
        let mut past = self.past();
        past.failures.retain(|(_, at)| at.elapsed() < SHUNNED);
        order.sort_by_key(|&host| {
            let has_failed = past.failures.iter().any(|&(failed, _)| failed == host);
            let was_taken = !self.is_random && past.last_taken == Some(host);
            (has_failed, !was_taken)
        });
        order
    }

    pub(crate) fn taken(&self, host: usize) {
        let mut past = self.past();
        past.last_taken = Some(host);
        past.failures.retain(|&(failed, _)| failed != host);
    }

    pub(crate) fn failed(&self, host: usize) {
        let mut past = self.past();
        past.failures.retain(|&(failed, _)| failed != host);
        past.failures.push((host, Instant::now()));
    }
}

/// Returns the roles to look for, round by round: a preferred standby comes first.
pub(crate) fn rounds(session: Session) -> &'static [Session] {
    match session {
        Session::Any => &[Session::Any],
        Session::ReadWrite => &[Session::ReadWrite],
        Session::ReadOnly => &[Session::ReadOnly],
        Session::Primary => &[Session::Primary],
        Session::Standby => &[Session::Standby],
        Session::PreferStandby => &[Session::Standby, Session::Any],
    }
}

/// Returns the refusals of hosts, as one error that names each.
///
/// It is a lasting one if one of them is. The hosts of a URL are servers of one database, with the
/// same roles.
pub(crate) fn refused(refusals: Vec<(String, Error)>) -> Error {
    let mut refusals = refusals;
    if refusals.len() == 1
        && let Some((_, only)) = refusals.pop()
    {
        return only;
    }
    // The settings are wrong for all of them.
    if let Some(at) = refusals
        .iter()
        .position(|(_, error)| matches!(error, Error::InvalidInput { .. }))
    {
        return refusals.swap_remove(at).1;
    }
    let is_lasting = refusals.iter().any(|(_, error)| error.is_lasting_refusal());
    let reasons: Vec<String> = refusals
        .into_iter()
        .map(|(host, error)| match error {
            Error::Connection { message, .. } => format!("{host}: {message}"),
            other => format!("{host}: {other}"),
        })
        .collect();
    Error::refused_connection(&reasons.join("; "), is_lasting)
}

/// Checks whether a server that says this of itself is one that is asked for.
#[cfg(feature = "async")]
pub(crate) fn fits(asked: Session, is_standby: bool, is_read_only: bool) -> Result<()> {
    let refusal = match asked {
        Session::Any | Session::PreferStandby => None,
        Session::ReadWrite => is_read_only.then_some("the session is read-only"),
        Session::ReadOnly => (!is_read_only).then_some("the session is not read-only"),
        Session::Primary => is_standby.then_some("the server is a standby"),
        Session::Standby => (!is_standby).then_some("the server is not a standby"),
    };
    refusal.map_or(Ok(()), |refusal| Err(Error::broken_connection(refusal)))
}
