//! Logins and secrets compared with the same written by hand on tokio-postgres and the RustCrypto
//! crates.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_postgres::Row;
use uuid::Uuid;
use wundr_db::cache::CacheConfig;
use wundr_db::testing::RedisServer;
use wundr_db::{
    Cached, IntegrationId, IntegrationRepository as _, IntegrationType, Keyring, NewIntegration,
    OpenSession, Refreshed, Secret, SessionClient, SessionKeys, SessionPolicy, Sessions, UserId,
    blocking,
};

use super::platform::{ids, platform};
use crate::Outcome;
use crate::database::World;
use crate::measure::Group;

const KEY: [u8; 32] = [7; 32];

/// The number of sessions and of integrations.
const ROWS: usize = 512;

fn keys() -> SessionKeys {
    SessionKeys::new(1, KEY)
}

fn policy() -> SessionPolicy {
    SessionPolicy::new().record_logins(false)
}

/// Returns the stored form of a token, as the crate has it.
fn hash(token: &str) -> Outcome<String> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&KEY)?;
    hmac.update(token.as_bytes());
    let hash = URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes());
    Ok(format!("v1.1.{hash}"))
}

/// Returns a new token with 256 random bits.
fn token(prefix: &str) -> Outcome<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| error.to_string())?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bits)))
}

const SESSION: &str = "s.id, s.user_id, s.token_hash, s.refresh_token_hash, s.expires_at, s.created_at, \
     s.last_used_at, s.user_agent, s.ip_address::text";

/// Decodes the columns of a session, and returns its id.
fn session(row: &Row) -> Outcome<Uuid> {
    let _: (Uuid, String, Option<String>) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    let _: [DateTime<Utc>; 3] = [row.try_get(4)?, row.try_get(5)?, row.try_get(6)?];
    let _: [Option<String>; 2] = [row.try_get(7)?, row.try_get(8)?];
    Ok(row.try_get(0)?)
}

/// Decodes the columns of a user after those of a session.
fn user(row: &Row) -> Outcome {
    let _: [String; 3] = [row.try_get(10)?, row.try_get(11)?, row.try_get(12)?];
    let _: (Uuid, Value) = (row.try_get(9)?, row.try_get(15)?);
    let _: [Option<String>; 2] = [row.try_get(13)?, row.try_get(14)?];
    let _: [bool; 2] = [row.try_get(16)?, row.try_get(17)?];
    let _: Option<DateTime<Utc>> = row.try_get(18)?;
    let _: [DateTime<Utc>; 2] = [row.try_get(19)?, row.try_get(20)?];
    Ok(())
}

/// Opens sessions of the first user.
fn logins(world: &mut World, number: usize) -> Outcome<Vec<OpenSession>> {
    let to = platform(world)?;
    let first = "SELECT id FROM public.users WHERE is_active ORDER BY id LIMIT 1";
    let user = UserId::from(ids(&mut to.diesel()?, first)?[0]);
    let sessions = Sessions::new(&to.wundr_async()?, keys(), policy())?;
    let mut opened = Vec::with_capacity(number);
    for _ in 0..number {
        let session = world
            .runtime
            .block_on(sessions.open(user, &SessionClient::new()))?;
        opened.push(session.ok_or("the user is inactive")?);
    }
    Ok(opened)
}

/// Measures the session and the user of a session token, from PostgreSQL and from the cache.
pub fn authenticate(world: &mut World) -> Outcome<Group> {
    let opened = logins(world, ROWS)?;
    let tokens = opened
        .iter()
        .map(|session| session.token.expose().to_owned());
    let tokens: Arc<Vec<String>> = Arc::new(tokens.collect());
    let to = platform(world)?;
    let mut group = Group::new("authenticate", "tokio_postgres", 100, 500);

    let client = to.tokio_postgres(&world.runtime)?;
    let statement = format!(
        "SELECT {SESSION}, u.id, u.email, u.name, u.role::text, u.avatar_url, u.github_username, u.preferences, u.is_active, \
         u.email_verified, u.last_login_at, u.created_at, u.updated_at FROM public.user_sessions AS s \
         JOIN public.users AS u ON u.id = s.user_id \
         WHERE s.token_hash = $1 AND s.expires_at > now() AND u.is_active"
    );
    let statement = world.runtime.block_on(client.prepare(&statement))?;
    let on = (client, statement, Arc::clone(&tokens));
    group.task(
        "tokio_postgres",
        on,
        |(client, statement, tokens), turn| async move {
            for number in turn.numbers() {
                let hash = hash(&tokens[number % ROWS])?;
                let row = client.query_one(&statement, &[&hash]).await?;
                session(&row)?;
                user(&row)?;
            }
            Ok(())
        },
    );

    let sessions = Sessions::new(&to.wundr_async()?, keys(), policy())?;
    let redis = Arc::new(RedisServer::builder().start()?);
    let cached = Cached::new(to.wundr_async()?, CacheConfig::new(&redis.url())?)?;
    let cached = Sessions::new(&cached, keys(), policy())?;
    // The first read begins a generation.
    for token in std::iter::once(&tokens[0]).chain(tokens.iter()) {
        world.runtime.block_on(cached.authenticate(token))?;
    }
    for (id, sessions) in [("wundr_async", sessions), ("wundr_async_cached", cached)] {
        let on = (sessions, Arc::clone(&tokens), Arc::clone(&redis));
        group.task(id, on, |(sessions, tokens, _redis), turn| async move {
            for number in turn.numbers() {
                let found = sessions.authenticate(&tokens[number % ROWS]).await?;
                assert!(found.is_some());
            }
            Ok(())
        });
    }

    let sessions = blocking::Sessions::new(&to.wundr_blocking()?, keys(), policy())?;
    let cached = CacheConfig::new(&redis.url())?;
    let cached = blocking::Cached::new(to.wundr_blocking()?, cached)?;
    let cached = blocking::Sessions::new(&cached, keys(), policy())?;
    for token in tokens.iter() {
        cached.authenticate(token)?;
    }
    for (id, sessions) in [
        ("wundr_blocking", sessions),
        ("wundr_blocking_cached", cached),
    ] {
        let on = (sessions, Arc::clone(&tokens), Arc::clone(&redis));
        group.call(id, on, |(sessions, tokens, _redis), turn| {
            move || {
                for number in turn.numbers() {
                    assert!(sessions.authenticate(&tokens[number % ROWS])?.is_some());
                }
                Ok(())
            }
        });
    }
    Ok(group)
}

/// The rotation of both tokens as an application would write it, with what is needed to detect a
/// token that is presented again.
const ROTATE: &str = "WITH held AS MATERIALIZED (SELECT s.id, s.refresh_token_hash, s.expires_at, f.ends_at \
     FROM public.user_sessions AS s JOIN public.user_session_families AS f ON f.session_id = s.id \
     JOIN public.users AS u ON u.id = s.user_id WHERE s.refresh_token_hash = $1 AND s.expires_at > now() \
     AND u.is_active FOR UPDATE OF s, f), \
     spent AS (INSERT INTO public.rotated_refresh_tokens (token_hash, session_id, expires_at) \
     SELECT refresh_token_hash, id, expires_at FROM held), \
     family AS (UPDATE public.user_session_families AS f SET predecessor_hash = held.refresh_token_hash, \
     predecessor_until = clock_timestamp() + INTERVAL '10 seconds' FROM held WHERE f.session_id = held.id) \
     UPDATE public.user_sessions AS s SET token_hash = $2, refresh_token_hash = $3, last_used_at = now(), \
     expires_at = LEAST(now() + INTERVAL '14 days', held.ends_at) FROM held WHERE s.id = held.id RETURNING ";

/// Measures the exchange of a refresh token for two new tokens, which commits.
pub fn refresh(world: &mut World) -> Outcome<Group> {
    let opened = logins(world, 3)?;
    let to = platform(world)?;
    let tokens = opened
        .iter()
        .map(|session| session.refresh_token.expose().to_owned());
    let [by_hand, by_async, by_blocking] =
        <[String; 3]>::try_from(tokens.collect::<Vec<_>>()).map_err(|_| "three sessions")?;
    let mut group = Group::new("refresh", "tokio_postgres", 100, 100);

    let client = to.tokio_postgres(&world.runtime)?;
    let statement = format!("{ROTATE}{SESSION}");
    let statement = world.runtime.block_on(client.prepare(&statement))?;
    let on = (client, statement, Arc::new(Mutex::new(by_hand)));
    group.task(
        "tokio_postgres",
        on,
        |(client, statement, current), turn| async move {
            for _ in turn.numbers() {
                let presented = hash(&current.lock().unwrap())?;
                let (next, refresh) = (token("wundr_at_")?, token("wundr_rt_")?);
                let hashes = (hash(&next)?, hash(&refresh)?);
                let row = client
                    .query_one(&statement, &[&presented, &hashes.0, &hashes.1])
                    .await?;
                session(&row)?;
                *current.lock().unwrap() = refresh;
            }
            Ok(())
        },
    );
    let sessions = Sessions::new(&to.wundr_async()?, keys(), policy())?;
    let on = (sessions, Arc::new(Mutex::new(by_async)));
    group.task("wundr_async", on, |(sessions, current), turn| async move {
        for _ in turn.numbers() {
            let presented = current.lock().unwrap().clone();
            let refreshed = sessions.refresh(&presented, &SessionClient::new()).await?;
            let Refreshed::Granted(next) = refreshed else {
                return Err("the refresh is refused".into());
            };
            *current.lock().unwrap() = next.refresh_token.expose().to_owned();
        }
        Ok(())
    });
    let sessions = blocking::Sessions::new(&to.wundr_blocking()?, keys(), policy())?;
    let on = (sessions, Arc::new(Mutex::new(by_blocking)));
    group.call("wundr_blocking", on, |(sessions, current), turn| {
        move || {
            for _ in turn.numbers() {
                let presented = current.lock().unwrap().clone();
                let refreshed = sessions.refresh(&presented, &SessionClient::new())?;
                let Refreshed::Granted(next) = refreshed else {
                    return Err("the refresh is refused".into());
                };
                *current.lock().unwrap() = next.refresh_token.expose().to_owned();
            }
            Ok(())
        }
    });
    Ok(group)
}

/// Opens a sealed text that is bound to a column of an integration without organization and
/// project.
fn open(cipher: &XChaCha20Poly1305, column: &str, row: Uuid, sealed: &str) -> Outcome<Vec<u8>> {
    let mut parts = sealed.splitn(4, '|').skip(2);
    let mut part = || parts.next().ok_or("not a sealed text");
    let nonce: [u8; 24] = URL_SAFE_NO_PAD
        .decode(part()?)?
        .try_into()
        .map_err(|_| "a nonce")?;
    let ciphertext = URL_SAFE_NO_PAD.decode(part()?)?;
    let mut place = b"wundr-db secret 1\0".to_vec();
    place.extend_from_slice(column.as_bytes());
    place.push(0);
    place.extend_from_slice(row.as_bytes());
    place.extend_from_slice(&[0; 34]);
    let payload = Payload {
        msg: &ciphertext,
        aad: &place,
    };
    let opened = cipher.decrypt(&XNonce::from(nonce), payload);
    Ok(opened.map_err(|error| error.to_string())?)
}

/// Measures an integration by its id, with both secrets opened.
pub fn open_integration(world: &mut World) -> Outcome<Group> {
    let to = platform(world)?;
    let first = "SELECT id FROM public.users ORDER BY id LIMIT 1";
    let maker = UserId::from(ids(&mut to.diesel()?, first)?[0]);
    let db = to.wundr_async()?.with_secrets(Keyring::new(1, KEY));
    let mut rows = Vec::with_capacity(ROWS);
    for number in 0..ROWS {
        let credentials =
            json!({ "user": "robot", "token": format!("a token of the service {number}") });
        let new = NewIntegration::new(IntegrationType::Github, "Code", maker)
            .credentials(Secret::new(credentials.into()))
            .webhook_secret("the secret of its events");
        rows.push(world.runtime.block_on(db.integrations().create(new))?.id);
    }
    let rows: Arc<Vec<IntegrationId>> = Arc::new(rows);
    let mut group = Group::new("open_integration", "tokio_postgres", 100, 500);

    let client = to.tokio_postgres(&world.runtime)?;
    let statement = "SELECT id, organization_id, project_id, type::text, name, configuration, \
         credentials #>> '{}', webhook_url, webhook_secret, is_enabled, last_sync_at, sync_status::text, \
         created_by, created_at, updated_at FROM setup.integrations WHERE id = $1";
    let statement = world.runtime.block_on(client.prepare(statement))?;
    let on = (client, statement, Arc::clone(&rows));
    group.task(
        "tokio_postgres",
        on,
        |(client, statement, rows), turn| async move {
            let cipher = XChaCha20Poly1305::new(&KEY.into());
            for number in turn.numbers() {
                let id = Uuid::from(rows[number % ROWS]);
                let row = client.query_one(&statement, &[&id]).await?;
                let _: (Uuid, [Option<Uuid>; 2]) =
                    (row.try_get(0)?, [row.try_get(1)?, row.try_get(2)?]);
                let _: [String; 3] = [row.try_get(3)?, row.try_get(4)?, row.try_get(11)?];
                let _: (Value, Option<String>, bool) =
                    (row.try_get(5)?, row.try_get(7)?, row.try_get(9)?);
                let _: (Option<DateTime<Utc>>, Uuid) = (row.try_get(10)?, row.try_get(12)?);
                let _: [DateTime<Utc>; 2] = [row.try_get(13)?, row.try_get(14)?];
                let (credentials, secret): (&str, &str) = (row.try_get(6)?, row.try_get(8)?);
                let credentials = open(&cipher, "setup.integrations.credentials", id, credentials)?;
                let _: Value = serde_json::from_slice(&credentials)?;
                let secret = open(&cipher, "setup.integrations.webhook_secret", id, secret)?;
                let _: String = String::from_utf8(secret)?;
            }
            Ok(())
        },
    );
    group.task(
        "wundr_async",
        (db, Arc::clone(&rows)),
        |(db, rows), turn| async move {
            for number in turn.numbers() {
                let row = db.integrations().find(rows[number % ROWS]).await?;
                let row = row.ok_or("no such integration")?;
                row.credentials.ok_or("no credentials")?.expose()?;
                row.webhook_secret.ok_or("no secret")?.expose()?;
            }
            Ok(())
        },
    );
    let db = to.wundr_blocking()?.with_secrets(Keyring::new(1, KEY));
    group.call("wundr_blocking", (db, rows), |(db, rows), turn| {
        move || {
            for number in turn.numbers() {
                let integrations = db.integrations();
                let row =
                    blocking::IntegrationRepository::find(&integrations, rows[number % ROWS])?;
                let row = row.ok_or("no such integration")?;
                row.credentials.ok_or("no credentials")?.expose()?;
                row.webhook_secret.ok_or("no secret")?.expose()?;
            }
            Ok(())
        }
    });
    Ok(group)
}
