//! Logins: sessions with tokens that are rotated.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wundr_db::{
    Actor, Db, OpenSession, OrganizationId, Refreshed, SessionClient, User, UserRepository,
    UserSession, uuid::Uuid,
};

use crate::Service;
use crate::failure::{Body, Failure, Result};
use crate::openapi::{Anonymous, Unavailable, Unreadable};

/// The user of a request, and the database on the user's behalf.
pub struct Login {
    pub user: User,
    pub session: UserSession,
    /// Writes through it are recorded in the audit log with the user and the request.
    pub db: Db,
    actor: Actor,
}

impl Login {
    /// Returns the database for writes in an organization, under which the audit log lists them.
    pub fn within(&self, organization: OrganizationId) -> Db {
        self.db.acting_as(Actor {
            organization: Some(organization),
            ..self.actor.clone()
        })
    }
}

impl FromRequestParts<Service> for Login {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self> {
        let header = |name| parts.headers.get(name)?.to_str().ok();
        let token = header(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or(Failure::Unauthorized)?;
        let found = service.sessions.authenticate(token).await?;
        let found = found.ok_or(Failure::Unauthorized)?;
        let actor = Actor {
            user: Some(found.user.id),
            user_agent: header(USER_AGENT).map(str::to_owned),
            request: Some(Uuid::now_v7()),
            ..Actor::default()
        };
        Ok(Self {
            db: service.db.acting_as(actor.clone()),
            actor,
            user: found.user,
            session: found.session,
        })
    }
}

/// An address, and the proof that it is the client's.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    #[schema(example = "ada@example.org")]
    email: String,
    code: String,
}

/// What a client stores of its session.
#[derive(Serialize, ToSchema)]
pub struct Tokens {
    token: String,
    refresh_token: String,
}

impl From<OpenSession> for Tokens {
    fn from(open: OpenSession) -> Self {
        Self {
            token: open.token.expose().to_owned(),
            refresh_token: open.refresh_token.expose().to_owned(),
        }
    }
}

/// Opens a session. An unknown address and a wrong code have the same response.
#[utoipa::path(
    post,
    path = "/sessions",
    tag = "sessions",
    responses((status = 201, description = "A session token and a refresh token", body = Tokens), Anonymous, Unreadable, Unavailable),
)]
pub async fn open(
    State(service): State<Service>,
    Body(credentials): Body<Credentials>,
) -> Result<(StatusCode, Json<Tokens>)> {
    let Credentials { email, code } = credentials;
    if !(service.identity)(&email, &code) {
        return Err(Failure::Unauthorized);
    }
    let user = service.db.users().find_by_email(&email).await?;
    let user = user.ok_or(Failure::Unauthorized)?;
    let opened = service
        .sessions
        .open(user.id, &SessionClient::new())
        .await?;
    let opened = opened.ok_or(Failure::Unauthorized)?;
    Ok((StatusCode::CREATED, Json(opened.into())))
}

/// A refresh token that was not exchanged before.
#[derive(Deserialize, ToSchema)]
pub struct Refresh {
    refresh_token: String,
}

/// Exchanges a refresh token. One that was exchanged before ends the session.
#[utoipa::path(
    post,
    path = "/sessions/refresh",
    tag = "sessions",
    responses((status = 200, description = "A session token and a refresh token", body = Tokens), Anonymous, Unreadable, Unavailable),
)]
pub async fn refresh(
    State(service): State<Service>,
    Body(body): Body<Refresh>,
) -> Result<Json<Tokens>> {
    let client = SessionClient::new();
    let refreshed = service
        .sessions
        .refresh(&body.refresh_token, &client)
        .await?;
    match refreshed {
        Refreshed::Granted(opened) => Ok(Json((*opened).into())),
        _ => Err(Failure::Unauthorized),
    }
}

/// Ends the session of the request.
#[utoipa::path(
    delete,
    path = "/sessions/current",
    tag = "sessions",
    security(("token" = [])),
    responses((status = 204, description = "The session has ended"), Anonymous, Unavailable),
)]
pub async fn close(State(service): State<Service>, login: Login) -> Result<StatusCode> {
    service.sessions.revoke(login.session.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the user of the session.
#[utoipa::path(
    get,
    path = "/me",
    tag = "sessions",
    security(("token" = [])),
    responses((status = 200, description = "The user", body = User), Anonymous, Unavailable),
)]
pub async fn me(login: Login) -> Json<User> {
    Json(login.user)
}
