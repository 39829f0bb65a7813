//! Logins: the policy of sessions, and the results of their operations.

use std::time::Duration;

use ipnetwork::IpNetwork;

use crate::{Error, RefreshToken, Result, SessionToken, User, UserId, UserSession, UserSessionId};

/// The lifetimes of sessions and their tokens.
///
/// ```
/// use std::time::Duration;
/// use wundr_db::SessionPolicy;
///
/// let policy = SessionPolicy::new()
///     .token_lifetime(Duration::from_secs(5 * 60))
///     .refresh_lifetime(Duration::from_secs(7 * 24 * 60 * 60));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct SessionPolicy {
    pub(crate) token_lifetime: Duration,
    pub(crate) refresh_lifetime: Duration,
    pub(crate) absolute_lifetime: Duration,
    pub(crate) grace: Duration,
    pub(crate) touch_every: Option<Duration>,
    pub(crate) record_logins: bool,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest lifetime of a session.
const LONGEST: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

impl Default for SessionPolicy {
    fn default() -> Self {
        Self {
            token_lifetime: 15 * MINUTE,
            refresh_lifetime: 14 * DAY,
            absolute_lifetime: 90 * DAY,
            grace: 10 * SECOND,
            touch_every: Some(5 * MINUTE),
            record_logins: true,
        }
    }
}

impl SessionPolicy {
    /// Creates a policy with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the lifetime of a session token. A client must refresh within it. Default: 15 minutes.
    /// Must be between 1 s and the [refresh lifetime](Self::refresh_lifetime).
    ///
    /// The end is part of the token. It is set by the clock of the process that creates the token,
    /// and compared with the database's clock.
    pub fn token_lifetime(self, lifetime: Duration) -> Self {
        Self {
            token_lifetime: lifetime,
            ..self
        }
    }

    /// Sets the lifetime of a refresh token, which is also the time after which an unused session
    /// ends. Each refresh starts it again. Default: 14 days. Must be between 1 s and the [absolute
    /// lifetime](Self::absolute_lifetime).
    pub fn refresh_lifetime(self, lifetime: Duration) -> Self {
        Self {
            refresh_lifetime: lifetime,
            ..self
        }
    }

    /// Sets the time after which a session ends, however often it is refreshed. Default: 90 days.
    /// Must be between 1 s and 3,650 days.
    pub fn absolute_lifetime(self, lifetime: Duration) -> Self {
        Self {
            absolute_lifetime: lifetime,
            ..self
        }
    }

    /// Sets the time after a refresh during which the exchanged token is accepted once more,
    /// because the response may have been lost. Default: 10 s. Must be between 0 and 5 minutes; 0
    /// accepts every token once.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Sets the precision of `last_used_at`: authentication updates it if it is older than this, or
    /// never with `None`. Default: 5 minutes. Must be at least 1 s.
    ///
    /// Use `None` with a database that is a standby.
    pub fn touch_every(self, interval: impl Into<Option<Duration>>) -> Self {
        Self {
            touch_every: interval.into(),
            ..self
        }
    }

    /// Sets whether logins and logouts are recorded in the audit log. Default: `true`. A refresh
    /// token that was presented again is always recorded.
    ///
    /// A user that the audit log names cannot be deleted.
    pub fn record_logins(self, record: bool) -> Self {
        Self {
            record_logins: record,
            ..self
        }
    }

    /// # Errors
    /// - [`Error::InvalidInput`] if a time is out of its bounds
    pub(crate) fn check(&self) -> Result<()> {
        for (field, time, longest) in [
            ("absolute_lifetime", self.absolute_lifetime, LONGEST),
            (
                "refresh_lifetime",
                self.refresh_lifetime,
                self.absolute_lifetime,
            ),
            ("token_lifetime", self.token_lifetime, self.refresh_lifetime),
            ("touch_every", self.touch_every.unwrap_or(SECOND), LONGEST),
        ] {
            if !(SECOND..=longest).contains(&time) {
                let reason = format_args!("must be between 1 s and {longest:?}");
                return Err(Error::invalid(field, reason));
            }
        }
        if self.grace > 5 * MINUTE {
            return Err(Error::invalid("grace", "must be between 0 and 5 minutes"));
        }
        Ok(())
    }
}

/// The client of a session, for the list of a user's sessions and the audit log.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
pub struct SessionClient {
    pub(crate) user_agent: Option<String>,
    pub(crate) ip_address: Option<IpNetwork>,
}

impl SessionClient {
    /// Creates a client about which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name that the client gives itself.
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: Some(user_agent.into()),
            ..self
        }
    }

    /// Sets the address of the client.
    pub fn ip_address(self, ip_address: impl Into<IpNetwork>) -> Self {
        Self {
            ip_address: Some(ip_address.into()),
            ..self
        }
    }

    /// # Errors
    /// - [`Error::InvalidInput`] if the user agent cannot be stored
    pub(crate) fn check(&self) -> Result<()> {
        crate::validation::check(&self.user_agent, "user_agent", None)
    }
}

/// A session with its tokens, which are shown once.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OpenSession {
    /// The session. Its `expires_at` is the end of the refresh token.
    pub session: UserSession,
    /// The token with which the client authenticates its requests.
    pub token: SessionToken,
    /// The token that the client exchanges for new tokens.
    pub refresh_token: RefreshToken,
}

/// The session of an authenticated request, and its user.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Authenticated {
    /// The session.
    pub session: UserSession,
    /// The user, which is active.
    pub user: User,
}

/// The outcome of a refresh.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Refreshed {
    /// The session has new tokens. Its previous tokens are no longer valid.
    Granted(Box<OpenSession>),
    /// Another call changed the session at the same time, in general a refresh with the same token.
    /// Nothing was written.
    ///
    /// The client uses the tokens of the other call. If it has none, it tries again.
    Superseded,
    /// The token was exchanged before. It may have been stolen, so the session was ended, and the
    /// audit log has an entry of the action `reject`.
    Reused {
        /// The session that was ended.
        session_id: UserSessionId,
        /// Its user.
        user_id: UserId,
    },
    /// There is no session with this refresh token: it is not a token, it has expired, the session
    /// was ended, or the user is inactive.
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::SessionPolicy;
    use crate::Error;

    #[test]
    fn a_policy_out_of_its_bounds_is_refused() {
        let seconds = Duration::from_secs;
        let policy = SessionPolicy::new;
        assert!(policy().check().is_ok());
        assert!(
            policy()
                .touch_every(None)
                .grace(Duration::ZERO)
                .check()
                .is_ok()
        );
        for (wrong, name) in [
            (policy().token_lifetime(seconds(0)), "token_lifetime"),
            (
                policy().token_lifetime(seconds(15 * 86_400)),
                "token_lifetime",
            ),
            (
                policy().refresh_lifetime(seconds(91 * 86_400)),
                "refresh_lifetime",
            ),
            (
                policy().absolute_lifetime(seconds(3_651 * 86_400)),
                "absolute_lifetime",
            ),
            (policy().grace(seconds(301)), "grace"),
            (
                policy().touch_every(Duration::from_millis(999)),
                "touch_every",
            ),
        ] {
            assert!(
                matches!(wrong.check(), Err(Error::InvalidInput { field, .. }) if field == name),
                "{name}"
            );
        }
    }
}
