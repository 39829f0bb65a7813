//! The statements of logins: open, rotate, end.
//!
//! Those that end sessions are found by their text: they have several, and are rare.
//!
//! Every statement that locks more than one of the rows locks the session first and its family
//! second. A lock is taken on the newest version of a row, and the conditions are evaluated on that
//! version, so that of two refreshes with one token exactly one finds it.

use std::time::Duration;

use diesel::dsl::SqlTypeOf;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Bool, Inet, Nullable, Text, Uuid};
use diesel::{QueryResult, Selectable};

use super::{Identity, Sql, Statement};
use crate::mapping::{Columns, RowSql, columns_of};
use crate::write_set::{Key, Touches, WriteSet, touches};
use crate::{AuditLogId, SessionClient, SessionPolicy, UserId, UserSession, UserSessionId};

type SessionSql = RowSql<UserSession>;
/// diesel reads a row that may be absent from its columns alone.
type AllColumns = <UserSession as Selectable<Pg>>::SelectExpression;

/// A time of the policy in microseconds.
#[derive(Clone, Copy)]
struct Interval(i64);

impl From<Duration> for Interval {
    fn from(time: Duration) -> Self {
        Self(i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Interval {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<BigInt, _>(&self.0)?;
        out.push_sql(" * INTERVAL '1 microsecond'");
        Ok(())
    }
}

/// The lifetimes, and the hashes of new tokens.
#[derive(Clone)]
pub(crate) struct NewTokens<'a> {
    token_hash: &'a str,
    refresh_token_hash: &'a str,
    client: &'a SessionClient,
    refresh: Interval,
    absolute: Interval,
    grace: Interval,
    record: bool,
    audit_id: AuditLogId,
}

impl<'a> NewTokens<'a> {
    pub(crate) fn new(
        token_hash: &'a str,
        refresh_token_hash: &'a str,
        client: &'a SessionClient,
        policy: &SessionPolicy,
    ) -> Self {
        Self {
            token_hash,
            refresh_token_hash,
            client,
            refresh: policy.refresh_lifetime.into(),
            absolute: policy.absolute_lifetime.into(),
            grace: policy.grace.into(),
            record: policy.record_logins,
            audit_id: AuditLogId::new(),
        }
    }
}

/// The statement that opens a session. It returns no row if there is no such user, or the user is
/// inactive.
pub(crate) struct Open<'a> {
    user_id: UserId,
    id: UserSessionId,
    tokens: NewTokens<'a>,
    columns: Columns<UserSession>,
}

impl<'a> Open<'a> {
    pub(crate) fn new(user_id: UserId, tokens: NewTokens<'a>) -> Sql<Self> {
        Sql(Self {
            user_id,
            id: UserSessionId::new(),
            tokens,
            columns: columns_of(),
        })
    }
}

impl Clone for Open<'_> {
    fn clone(&self) -> Self {
        Self {
            tokens: self.tokens.clone(),
            columns: columns_of(),
            ..*self
        }
    }
}

impl Statement for Open<'_> {
    type SqlType = SessionSql;
    type Id = Open<'static>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The lock conflicts with that of an update of the user. So a session is opened before a
        // deactivation, which then ends it, or after it, and then not at all.
        out.push_sql("WITH account AS MATERIALIZED (SELECT id FROM public.users WHERE id = ");
        out.push_bind_param::<Uuid, _>(&self.user_id)?;
        out.push_sql(
            " AND is_active FOR SHARE), opened AS (INSERT INTO public.user_sessions \
             (id, user_id, token_hash, refresh_token_hash, expires_at, user_agent, ip_address) SELECT ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(", account.id, ");
        out.push_bind_param::<Text, _>(&self.tokens.token_hash)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.tokens.refresh_token_hash)?;
        out.push_sql(", pg_catalog.statement_timestamp() + ");
        self.tokens.refresh.push(&mut out)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.tokens.client.user_agent)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Inet>, _>(&self.tokens.client.ip_address)?;
        out.push_sql(" FROM account RETURNING ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(
            "), family AS (INSERT INTO public.user_session_families (session_id, ends_at) \
             SELECT id, pg_catalog.statement_timestamp() + ",
        );
        self.tokens.absolute.push(&mut out)?;
        out.push_sql(
            " FROM opened), recorded AS (INSERT INTO audit.audit_logs \
             (id, user_id, action, resource_type, resource_id, ip_address, user_agent) SELECT ",
        );
        out.push_bind_param::<Uuid, _>(&self.tokens.audit_id)?;
        out.push_sql(
            ", user_id, 'login', 'user_session', id, ip_address, user_agent FROM opened WHERE ",
        );
        out.push_bind_param::<Bool, _>(&self.tokens.record)?;
        out.push_sql(") SELECT * FROM opened");
        Ok(())
    }
}

/// The statement that gives a session new tokens, if the presented refresh token is accepted: its
/// current one, or its predecessor, once more within the grace.
///
/// It returns the number of sessions that accepted the token when the statement began, and the
/// previous hash of the session token and the session if it was rotated. If the number is not 0,
/// and there is no session, then another transaction changed the session while the statement
/// waited for its lock.
pub(crate) struct Rotate<'a, const OF_PREDECESSOR: bool> {
    presented: &'a str,
    tokens: NewTokens<'a>,
    columns: Columns<UserSession>,
}

/// The result of [`Rotate`].
pub(crate) type Rotation = (i64, Option<String>, Option<UserSession>);

/// The entry of the session under its previous token.
impl Touches for Rotation {
    fn touch(&self, touched: &mut WriteSet) {
        if let Some(token_hash) = &self.1 {
            touched.add(Key::UserSession(token_hash.clone()));
        }
    }
}

impl<'a, const OF_PREDECESSOR: bool> Rotate<'a, OF_PREDECESSOR> {
    pub(crate) fn new(presented: &'a str, tokens: NewTokens<'a>) -> Sql<Self> {
        Sql(Self {
            presented,
            tokens,
            columns: columns_of(),
        })
    }

    /// Writes the query for the session that accepts the token, and its family.
    fn push_accepting<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT s.id, s.token_hash, s.refresh_token_hash, s.expires_at, f.ends_at FROM ",
        );
        out.push_sql(match OF_PREDECESSOR {
            false => "public.user_sessions AS s",
            true => {
                "public.rotated_refresh_tokens AS r JOIN public.user_sessions AS s ON s.id = r.session_id"
            }
        });
        out.push_sql(
            " JOIN public.user_session_families AS f ON f.session_id = s.id \
             JOIN public.users AS u ON u.id = s.user_id WHERE ",
        );
        match OF_PREDECESSOR {
            false => {
                out.push_sql("s.refresh_token_hash = ");
                out.push_bind_param::<Text, _>(&self.presented)?;
            }
            true => {
                out.push_sql("r.token_hash = ");
                out.push_bind_param::<Text, _>(&self.presented)?;
                out.push_sql(" AND f.predecessor_hash = ");
                out.push_bind_param::<Text, _>(&self.presented)?;
                // An application may have removed the present token, so that no refresh is granted.
                out.push_sql(
                    " AND f.predecessor_until > pg_catalog.statement_timestamp() \
                     AND s.refresh_token_hash IS NOT NULL",
                );
            }
        }
        out.push_sql(" AND s.expires_at > pg_catalog.statement_timestamp() AND u.is_active");
        Ok(())
    }
}

impl<const OF_PREDECESSOR: bool> Clone for Rotate<'_, OF_PREDECESSOR> {
    fn clone(&self) -> Self {
        Self {
            tokens: self.tokens.clone(),
            columns: columns_of(),
            ..*self
        }
    }
}

impl<const OF_PREDECESSOR: bool> Statement for Rotate<'_, OF_PREDECESSOR> {
    type SqlType = (BigInt, Nullable<Text>, Nullable<SqlTypeOf<AllColumns>>);
    type Id = Rotate<'static, OF_PREDECESSOR>;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH held AS MATERIALIZED (");
        self.push_accepting(&mut out)?;
        // Both rows are locked: the condition on an unlocked family would be evaluated on the
        // version that the statement saw when it began.
        out.push_sql(
            " FOR UPDATE OF s, f), rotated AS (UPDATE public.user_sessions SET token_hash = ",
        );
        out.push_bind_param::<Text, _>(&self.tokens.token_hash)?;
        out.push_sql(", refresh_token_hash = ");
        out.push_bind_param::<Text, _>(&self.tokens.refresh_token_hash)?;
        out.push_sql(", expires_at = LEAST(pg_catalog.statement_timestamp() + ");
        self.tokens.refresh.push(&mut out)?;
        out.push_sql(
            ", held.ends_at), last_used_at = pg_catalog.statement_timestamp(), user_agent = COALESCE(",
        );
        out.push_bind_param::<Nullable<Text>, _>(&self.tokens.client.user_agent)?;
        out.push_sql(", user_sessions.user_agent), ip_address = COALESCE(");
        out.push_bind_param::<Nullable<Inet>, _>(&self.tokens.client.ip_address)?;
        out.push_sql(
            ", user_sessions.ip_address) FROM held WHERE user_sessions.id = held.id RETURNING ",
        );
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql("), family AS (UPDATE public.user_session_families AS f SET ");
        match OF_PREDECESSOR {
            false => {
                out.push_sql(
                    "predecessor_hash = held.refresh_token_hash, \
                     predecessor_until = pg_catalog.clock_timestamp() + ",
                );
                self.tokens.grace.push(&mut out)?;
            }
            true => {
                out.push_sql("predecessor_hash = NULL, predecessor_until = NULL");
            }
        }
        out.push_sql(
            " FROM held WHERE f.session_id = held.id), \
             spent AS (INSERT INTO public.rotated_refresh_tokens (token_hash, session_id, expires_at) \
             SELECT refresh_token_hash, id, expires_at FROM held) \
             SELECT CASE WHEN held.id IS NOT NULL THEN 1 ELSE (SELECT pg_catalog.count(*) FROM (",
        );
        // Evaluated if no session is held: one that another call rotated while this one waited for
        // its lock is seen here, in the snapshot of the statement.
        self.push_accepting(&mut out)?;
        out.push_sql(
            ") AS seen) END, held.token_hash, rotated.* \
             FROM (SELECT) AS one LEFT JOIN held ON TRUE LEFT JOIN rotated ON TRUE",
        );
        Ok(())
    }
}

/// The sessions that a statement ends.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// The session that had this refresh token before.
    OfRotated(String),
    One(UserSessionId),
    /// All sessions of the same user but this one.
    OthersThan(UserSessionId),
    OfUser(UserId),
}

/// The statement that ends sessions and records it in the audit log. It returns their ids, users
/// and hashes of their tokens.
#[derive(Clone)]
pub(crate) struct End<'a> {
    ended: Ended,
    record: bool,
    client: &'a SessionClient,
    audit_id: AuditLogId,
}

/// A row that [`End`] returns.
pub(crate) type EndedSession = (UserSessionId, UserId, String);

touches!(EndedSession => |ended| Key::UserSession(ended.2.clone()));

impl<'a> End<'a> {
    pub(crate) fn new(ended: Ended, client: &'a SessionClient, record: bool) -> Sql<Self> {
        Sql(Self {
            ended,
            record,
            client,
            audit_id: AuditLogId::new(),
        })
    }
}

impl Statement for End<'_> {
    type SqlType = (Uuid, Uuid, Text);
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH ended AS (DELETE FROM public.user_sessions WHERE ");
        match &self.ended {
            Ended::OfRotated(hash) => {
                out.push_sql("id = (SELECT session_id FROM public.rotated_refresh_tokens WHERE token_hash = ");
                out.push_bind_param::<Text, _>(hash)?;
                out.push_sql(" AND expires_at > pg_catalog.statement_timestamp())");
            }
            Ended::One(id) => {
                out.push_sql("id = ");
                out.push_bind_param::<Uuid, _>(id)?;
            }
            Ended::OthersThan(id) => {
                out.push_sql("user_id = (SELECT user_id FROM public.user_sessions WHERE id = ");
                out.push_bind_param::<Uuid, _>(id)?;
                out.push_sql(") AND id <> ");
                out.push_bind_param::<Uuid, _>(id)?;
            }
            Ended::OfUser(id) => {
                out.push_sql("user_id = ");
                out.push_bind_param::<Uuid, _>(id)?;
            }
        }
        out.push_sql(
            " RETURNING id, user_id, token_hash), recorded AS (INSERT INTO audit.audit_logs \
             (id, user_id, action, resource_type, resource_id, metadata, ip_address, user_agent) SELECT ",
        );
        out.push_bind_param::<Uuid, _>(&self.audit_id)?;
        out.push_sql(", ");
        if !matches!(self.ended, Ended::OfRotated(_)) {
            // The user that ends the sessions is the actor, if there is one.
            out.push_sql(
                "COALESCE((NULLIF(pg_catalog.current_setting('wundr.actor', true), '')::jsonb ->> 'user')::uuid, \
                 user_id), ",
            );
        }
        out.push_sql(match self.ended {
            Ended::OfRotated(_) => {
                "user_id, 'reject', 'user_session', id, '{\"reason\": \"refresh token reused\"}', "
            }
            Ended::One(_) => {
                "'logout', 'user_session', id, pg_catalog.jsonb_build_object('user', user_id), "
            }
            Ended::OthersThan(_) | Ended::OfUser(_) => {
                "'logout', 'user', user_id, \
                 pg_catalog.jsonb_build_object('sessions', pg_catalog.count(*)), "
            }
        });
        out.push_bind_param::<Nullable<Inet>, _>(&self.client.ip_address)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&self.client.user_agent)?;
        out.push_sql(" FROM ended WHERE ");
        out.push_bind_param::<Bool, _>(&self.record)?;
        if matches!(self.ended, Ended::OthersThan(_) | Ended::OfUser(_)) {
            out.push_sql(" GROUP BY user_id");
        }
        out.push_sql(") SELECT id, user_id, token_hash FROM ended");
        Ok(())
    }
}

/// The statement that sets `last_used_at` to now, if it is older than `every` and no other
/// transaction has locked the session. It returns the new time and the hash of the token.
#[derive(Clone)]
pub(crate) struct Touch {
    id: UserSessionId,
    every: Interval,
}

impl Touch {
    pub(crate) fn new(id: UserSessionId, every: Duration) -> Sql<Self> {
        Sql(Self {
            id,
            every: every.into(),
        })
    }
}

impl Statement for Touch {
    type SqlType = Text;
    type Id = Self;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "UPDATE public.user_sessions SET last_used_at = pg_catalog.statement_timestamp() \
             WHERE id = (SELECT id FROM public.user_sessions WHERE id = ",
        );
        out.push_bind_param::<Uuid, _>(&self.id)?;
        out.push_sql(" AND last_used_at <= pg_catalog.statement_timestamp() - ");
        self.every.push(&mut out)?;
        out.push_sql(" FOR NO KEY UPDATE SKIP LOCKED) RETURNING token_hash");
        Ok(())
    }
}

/// The statement that deletes at most `limit` rotated refresh tokens that have expired.
#[derive(Clone)]
pub(crate) struct PruneRotated(pub(crate) i64);

impl Statement for PruneRotated {
    type SqlType = ();
    type Id = ();
    const IDENTITY: Identity = Identity::Text;

    fn push<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "DELETE FROM public.rotated_refresh_tokens WHERE token_hash IN (\
             SELECT token_hash FROM public.rotated_refresh_tokens \
             WHERE expires_at <= pg_catalog.statement_timestamp() ORDER BY expires_at LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.0)?;
        out.push_sql(" FOR UPDATE SKIP LOCKED)");
        Ok(())
    }
}
