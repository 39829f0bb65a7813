//! A web service on wundr-db: logins, organizations, ingest of analyses, quality gates, the audit
//! log, live progress, health and metrics.

mod analyses;
mod failure;
mod login;
mod operations;
mod organizations;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};
use metrics_exporter_prometheus::PrometheusHandle;
use wundr_db::{Db, Result, SessionKeys, SessionPolicy, Sessions};

/// Checks whether a code proves that its sender has the address.
type Identity = dyn Fn(&str, &str) -> bool + Send + Sync;

/// The state of the service, which is cheap to clone.
#[derive(Clone)]
pub struct Service {
    db: Db,
    sessions: Arc<Sessions>,
    identity: Arc<Identity>,
    metrics: Option<PrometheusHandle>,
}

impl Service {
    /// Creates the service of a database.
    ///
    /// # Errors
    /// As [`Sessions::new`].
    pub fn new(
        db: Db,
        keys: SessionKeys,
        identity: impl Fn(&str, &str) -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let sessions = Sessions::new(&db, keys, SessionPolicy::new())?;
        Ok(Self {
            db,
            sessions: Arc::new(sessions),
            identity: Arc::new(identity),
            metrics: None,
        })
    }

    /// Adds the recorder whose metrics `/metrics` shows.
    #[must_use]
    pub fn metrics(mut self, metrics: PrometheusHandle) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

/// Returns the routes of the service.
pub fn router(service: Service) -> Router {
    Router::new()
        .route("/sessions", post(login::open))
        .route("/sessions/refresh", post(login::refresh))
        .route("/sessions/current", delete(login::close))
        .route("/me", get(login::me))
        .route("/organizations", post(organizations::create))
        .route(
            "/organizations/{id}/members",
            put(organizations::set_member),
        )
        .route(
            "/organizations/{id}/projects",
            get(organizations::projects).post(organizations::create_project),
        )
        .route("/organizations/{id}/audit", get(organizations::audit))
        .route(
            "/projects/{id}/analyses",
            get(analyses::list).post(analyses::ingest),
        )
        .route("/projects/{id}/events", get(analyses::events))
        .route("/analyses/{id}/issues", get(analyses::issues))
        .route("/analyses/{id}/gate", post(analyses::gate))
        .route("/health/live", get(operations::live))
        .route("/health/ready", get(operations::ready))
        .route("/metrics", get(operations::metrics))
        .with_state(service)
}
