//! Logins: sessions with tokens that are rotated.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::{ExpressionMethods, IntoSql, QueryDsl};
use diesel::sql_types::Timestamptz;

use super::*;
use crate::crypto::session_keys::{NewToken, Presented};
use crate::crypto::tokens::{Purpose, is_equal};
use crate::schema::public::{user_sessions, users};
use crate::sql::sessions::{
    End, Ended, EndedSession, NewTokens, Open, PruneRotated, Rotate, Rotation, Touch,
};
use crate::sql::{Sql, columns_of};
use crate::write_set::Key;
use crate::{
    Authenticated, Error, OpenSession, RefreshToken, Refreshed, Result, SessionClient, SessionKeys,
    SessionPolicy, SessionToken, User, UserId, UserSession, UserSessionId,
};

/// The time without an update of `last_used_at` of any session after one has failed, and of the
/// same session after one was tried.
const TOUCH_PAUSE: Duration = Duration::from_secs(5);

/// The time without an update after the server has refused one as a standby. Each refusal retires
/// all connections of the pool, because the server may have been the primary.
const STANDBY_PAUSE: Duration = Duration::from_secs(60);

/// The number of sessions whose updates of `last_used_at` are remembered.
const TOUCHED: usize = 256;

/// Logs users in and out, and authenticates their requests.
///
/// A login opens a session with two tokens. The client authenticates its requests with the session
/// token. Before that expires, the client exchanges the refresh token for two new tokens. The
/// database has only hashes of the tokens under the [`SessionKeys`].
///
/// At most one pair of tokens of a session is valid at any time:
///
/// - Of several refreshes with the same token at the same time exactly one is granted. The others
///   are [`Superseded`](Refreshed::Superseded).
/// - A refresh token that was exchanged before ends the session, because one of its two users is
///   not the owner ([`Reused`](Refreshed::Reused)).
/// - The direct predecessor of a token is accepted once more within the
///   [grace](SessionPolicy::grace), because the response may have been lost. Then the tokens of the
///   lost response are no longer valid.
///
/// A user's sessions end in the transaction that deactivates the user, changes its role on the
/// platform, or deletes it. A trigger ends them, so that this holds for every client of the
/// database. A transaction at `REPEATABLE READ` or `SERIALIZABLE` that does so does not end
/// sessions that were opened after its first statement; while the user is inactive, they are
/// rejected.
///
/// With a [`Cached`](crate::Cached) database, [`authenticate`](Self::authenticate) reads the cache.
/// Once a call that ends or refreshes a session has returned, no process accepts its previous
/// tokens.
///
/// ```no_run
/// # async fn example(db: wundr_db::Db, ada: wundr_db::UserId, key: [u8; 32]) -> wundr_db::Result<()> {
/// use wundr_db::{Refreshed, SessionClient, SessionKeys, SessionPolicy, Sessions};
///
/// let sessions = Sessions::new(&db, SessionKeys::new(1, key), SessionPolicy::new())?;
/// let client = SessionClient::new();
/// if let Some(opened) = sessions.open(ada, &client).await? {
///     // The client sends the session token with each request,
///     if let Some(found) = sessions.authenticate(opened.token.expose()).await? {
///         println!("a request of {}", found.user.email);
///     }
///     // and the refresh token before the session token expires.
///     match sessions.refresh(opened.refresh_token.expose(), &client).await? {
///         Refreshed::Granted(renewed) => println!("{}", renewed.token.expose()),
///         Refreshed::Superseded => println!("another call of the client has new tokens"),
///         _ => println!("the client must log in again"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sessions(Executor<'static>, Arc<Shared>);

/// The settings and the reader, which clones share.
struct Shared {
    db: Db,
    reader: Arc<dyn SessionReader>,
    keys: SessionKeys,
    policy: SessionPolicy,
    touches: Mutex<Touches>,
}

/// The updates of `last_used_at` that were tried lately. Each session has a slot, which it shares
/// with others, so that the size is fixed.
struct Touches {
    paused_until: Option<Instant>,
    tried: Box<[Option<(UserSessionId, Instant)>]>,
}

impl Touches {
    fn new() -> Self {
        Self {
            paused_until: None,
            tried: vec![None; TOUCHED].into(),
        }
    }

    /// Tries no update for a while after this error.
    fn pause(&mut self, error: &Error, now: Instant) {
        let pause = match error {
            Error::ReadOnly => STANDBY_PAUSE,
            _ => TOUCH_PAUSE,
        };
        self.paused_until = now.checked_add(pause);
    }

    /// Checks whether an update may be tried now, and records it if so.
    fn begin(&mut self, id: UserSessionId, every: Duration) -> bool {
        if self.paused_until.is_some_and(|end| Instant::now() < end) {
            return false;
        }
        // The last bytes of an id are random.
        let [.., high, low] = *uuid::Uuid::from(id).as_bytes();
        let slot = usize::from(u16::from_be_bytes([high, low])) % TOUCHED;
        let Some(slot) = self.tried.get_mut(slot) else {
            return false;
        };
        let is_paused = |(tried, at): (UserSessionId, Instant)| {
            tried == id && at.elapsed() < every.min(TOUCH_PAUSE)
        };
        if slot.is_some_and(is_paused) {
            return false;
        }
        *slot = Some((id, Instant::now()));
        true
    }
}

/// The database of [`Sessions`]: created from a `&Db`, or from a `&Cached` whose cache is read.
#[derive(Clone)]
pub struct SessionSource {
    db: Db,
    reader: Arc<dyn SessionReader>,
}

impl SessionSource {
    /// Creates a source whose sessions are read by `reader`.
    pub(crate) fn new(db: Db, reader: Arc<dyn SessionReader>) -> Self {
        Self { db, reader }
    }
}

impl fmt::Debug for SessionSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SessionSource")
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

impl From<&Db> for SessionSource {
    fn from(db: &Db) -> Self {
        Self::new(db.clone(), Arc::new(DatabaseReader(db.executor())))
    }
}

/// A session that accepts a token.
pub(crate) struct FoundSession {
    pub(crate) session: UserSession,
    pub(crate) user: User,
    /// The time by the database's clock.
    pub(crate) now: DateTime<Utc>,
}

/// Finds the session of a token.
#[repository]
pub(crate) trait SessionReader: Send + Sync {
    /// Returns the session with the hash of this token, and its user. Returns `None` unless session
    /// and token are valid and the user is active.
    async fn session_of(&self, token: &Presented) -> Result<Option<FoundSession>>;
}

/// Reads sessions from the database.
struct DatabaseReader(Executor<'static>);

#[repository]
impl SessionReader for DatabaseReader {
    async fn session_of(&self, token: &Presented) -> Result<Option<FoundSession>> {
        let now = diesel::dsl::now.into_sql::<Timestamptz>();
        let query = user_sessions::table
            .inner_join(users::table)
            .filter(user_sessions::token_hash.eq(&token.hash))
            .filter(user_sessions::expires_at.gt(now))
            .filter(token.end.into_sql::<Timestamptz>().gt(now))
            .filter(users::is_active)
            .select((columns_of::<UserSession>(), columns_of::<User>(), now));
        let found: Option<(UserSession, User, DateTime<Utc>)> = self.0.first(query).await?;
        Ok(found.map(|(session, user, now)| FoundSession { session, user, now }))
    }
}

impl Sessions {
    /// Creates the sessions of a database: a `&Db`, or a `&Cached`. Nothing is read or written.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if a time of the policy is out of its
    ///   bounds
    pub fn new(
        source: impl Into<SessionSource>,
        keys: SessionKeys,
        policy: SessionPolicy,
    ) -> Result<Self> {
        policy.check()?;
        let SessionSource { db, reader } = source.into();
        let shared = Shared {
            db: db.clone(),
            reader,
            keys,
            policy,
            touches: Mutex::new(Touches::new()),
        };
        Ok(Self(db.executor(), Arc::new(shared)))
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sessions")
            .field("db", &self.1.db)
            .field("keys", &self.1.keys)
            .field("policy", &self.1.policy)
            .finish_non_exhaustive()
    }
}

/// The two new tokens of a session.
struct Pair {
    token: NewToken,
    refresh_token: NewToken,
}

impl Pair {
    fn create(shared: &Shared, user_id: UserId) -> Result<Self> {
        let end = |lifetime| {
            let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
            Utc::now()
                .checked_add_signed(lifetime)
                .unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        let (keys, policy) = (&shared.keys, &shared.policy);
        Ok(Self {
            token: keys.create(Purpose::Session, user_id, end(policy.token_lifetime))?,
            refresh_token: keys.create(Purpose::Refresh, user_id, end(policy.refresh_lifetime))?,
        })
    }

    fn statement<'s>(&'s self, client: &'s SessionClient, shared: &Shared) -> NewTokens<'s> {
        let (token, refresh_token) = (&self.token.hash, &self.refresh_token.hash);
        NewTokens::new(token, refresh_token, client, &shared.policy)
    }

    fn of(self, session: UserSession) -> OpenSession {
        OpenSession {
            session,
            token: SessionToken::new(self.token.text),
            refresh_token: RefreshToken::new(self.refresh_token.text),
        }
    }
}

#[repository(observed)]
impl Sessions {
    /// Opens a session for a user whose identity the application has checked. Returns `None` if
    /// there is no such user, or the user is inactive.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the client's name cannot be stored
    pub async fn open(
        &self,
        user_id: UserId,
        client: &SessionClient,
    ) -> Result<Option<OpenSession>> {
        client.check()?;
        let pair = Pair::create(&self.1, user_id)?;
        let statement = Open::new(user_id, pair.statement(client, &self.1));
        // It is not fenced: no process can have cached a session under a new token.
        let opened: Option<UserSession> =
            steady_first_uncached(&self.0, || statement.clone()).await?;
        Ok(opened.map(|session| pair.of(session)))
    }

    /// Returns the session of a session token, and its user. Returns `None` unless the token, the
    /// session and the user are valid.
    ///
    /// It is one statement, or with a cache one look-up of session and user together: one command,
    /// or two at the same time if they are of different shards. A text that is not a token, or
    /// whose key is not accepted, is rejected without either.
    ///
    /// A `last_used_at` that is older than the policy's interval is updated. A process tries this
    /// at most once in 5 s for a session. If it fails, the session is returned nevertheless, and no
    /// further update of any session is tried for 5 s.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Authenticated>> {
        let Some(presented) = self.1.keys.read(Purpose::Session, token) else {
            return Ok(None);
        };
        let Some(found) = self.1.reader.session_of(&presented).await? else {
            return Ok(None);
        };
        let FoundSession {
            mut session,
            user,
            now,
        } = found;
        if !is_equal(&session.token_hash, &presented.hash) {
            return Ok(None);
        }
        if let Some(every) = self.1.touch_due(&session, now) {
            match self.touch(session.id, every).await {
                Ok(true) => session.last_used_at = now,
                Ok(false) => {}
                Err(error) => self.1.record_failed_touch(&error),
            }
        }
        Ok(Some(Authenticated { session, user }))
    }

    /// Exchanges a refresh token for new tokens. The client's name and address replace those of the
    /// session if they are given.
    ///
    /// The session's new end is the [refresh lifetime](SessionPolicy::refresh_lifetime) from now,
    /// and at the latest the [absolute lifetime](SessionPolicy::absolute_lifetime) from its login.
    ///
    /// After an error of [`Fate::Unknown`](crate::Fate::Unknown) the client tries again with the
    /// same token within the grace.
    ///
    /// # Errors
    /// - [`Error::InvalidInput`](crate::Error::InvalidInput) if the client's name cannot be stored
    pub async fn refresh(&self, token: &str, client: &SessionClient) -> Result<Refreshed> {
        client.check()?;
        let Some(presented) = self.1.keys.read(Purpose::Refresh, token) else {
            return Ok(Refreshed::Unknown);
        };
        let pair = Pair::create(&self.1, presented.user_id)?;
        for of_predecessor in [false, true] {
            let tokens = pair.statement(client, &self.1);
            let rotation = if of_predecessor {
                let statement = Rotate::<true>::new(&presented.hash, tokens);
                steady_first(&self.0, || statement.clone()).await?
            } else {
                let statement = Rotate::<false>::new(&presented.hash, tokens);
                steady_first(&self.0, || statement.clone()).await?
            };
            let (matched, _, session): Rotation = rotation.unwrap_or_default();
            match session {
                Some(session) => return Ok(Refreshed::Granted(Box::new(pair.of(session)))),
                None if matched > 0 => return Ok(Refreshed::Superseded),
                None => {}
            }
        }
        let ended = self
            .end(Ended::OfRotated(presented.hash), client, true)
            .await?;
        Ok(match ended.first() {
            Some(&(session_id, user_id, _)) => Refreshed::Reused {
                session_id,
                user_id,
            },
            None => Refreshed::Unknown,
        })
    }

    /// Ends a session, and returns whether it existed.
    ///
    /// # Errors
    /// - [`Error::Suppressed`](crate::Error::Suppressed) if a trigger keeps the session
    pub async fn revoke(&self, id: UserSessionId) -> Result<bool> {
        match self.end_by_request(Ended::One(id)).await? {
            0 => not_deleted("UserSession", self.1.db.user_sessions().exists(id).await?),
            _ => Ok(true),
        }
    }

    /// Ends all sessions of the session's user but this one, and returns their number.
    pub async fn revoke_others(&self, id: UserSessionId) -> Result<u64> {
        self.end_by_request(Ended::OthersThan(id)).await
    }

    /// Ends all sessions of a user, and returns their number.
    pub async fn revoke_user(&self, id: UserId) -> Result<u64> {
        self.end_by_request(Ended::OfUser(id)).await
    }

    /// Deletes at most `limit` sessions that have expired, and at most `limit` hashes of exchanged
    /// tokens that have expired. Returns the number of both.
    ///
    /// Call it until it returns 0 to delete them all in short transactions. It skips rows that
    /// another transaction has locked, so that any number of callers may run at the same time.
    ///
    /// Sessions and hashes are deleted one after the other: after an error, the sessions may be
    /// deleted.
    pub async fn prune(&self, limit: u32) -> Result<u64> {
        let sessions = self.1.db.user_sessions();
        let sessions = sessions.delete_expired(limit).await?;
        let tokens = self.0.execute(Sql(PruneRotated(limit.into()))).await?;
        Ok(sessions + tokens)
    }
}

#[repository]
impl Sessions {
    async fn end_by_request(&self, ended: Ended) -> Result<u64> {
        let record = self.1.policy.record_logins;
        let ended = self.end(ended, &SessionClient::new(), record).await?;
        Ok(ended.len() as u64)
    }

    async fn end(
        &self,
        ended: Ended,
        client: &SessionClient,
        record: bool,
    ) -> Result<Vec<EndedSession>> {
        let statement = End::new(ended, client, record);
        steady_load(&self.0, || statement.clone()).await
    }

    async fn touch(&self, id: UserSessionId, every: Duration) -> Result<bool> {
        let write = Write::begin(&self.0).await?;
        let outcome = write.executor().first(Touch::new(id, every)).await;
        let key_of = |hash: &Option<String>| hash.clone().map(Key::UserSession);
        Ok(write.finish_touching(outcome, key_of).await?.is_some())
    }
}

impl Shared {
    /// Returns the interval if `last_used_at` is to be updated.
    fn touch_due(&self, session: &UserSession, now: DateTime<Utc>) -> Option<Duration> {
        let every = self.policy.touch_every?;
        let age = now
            .signed_duration_since(session.last_used_at)
            .to_std()
            .ok()?;
        let is_due = age >= every && self.touches().begin(session.id, every);
        is_due.then_some(every)
    }

    fn record_failed_touch(&self, error: &Error) {
        self.touches().pause(error, Instant::now());
    }

    fn touches(&self) -> MutexGuard<'_, Touches> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_asked_for_an_update_less_often_than_a_primary() {
        let (now, id) = (Instant::now(), UserSessionId::new());
        for (error, pause) in [
            (Error::ReadOnly, STANDBY_PAUSE),
            (Error::Serialization, TOUCH_PAUSE),
        ] {
            let mut touches = Touches::new();
            assert!(touches.begin(id, Duration::ZERO));
            touches.pause(&error, now);
            assert_eq!(touches.paused_until, Some(now + pause));
        }
        let mut touches = Touches::new();
        touches.pause(&Error::ReadOnly, now);
        assert!(!touches.begin(id, Duration::ZERO));
    }
}
