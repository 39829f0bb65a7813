//! A web service on wundr-db: logins, organizations, ingest of analyses, quality gates, the audit
//! log, live progress, health and metrics.

mod analyses;
mod failure;
mod login;
mod openapi;
mod operations;
mod organizations;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
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

/// Returns the routes with their descriptions. A route that is not described does not exist.
fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(login::open))
        .routes(routes!(login::refresh))
        .routes(routes!(login::close))
        .routes(routes!(login::me))
        .routes(routes!(organizations::create))
        .routes(routes!(organizations::set_member))
        .routes(routes!(
            organizations::projects,
            organizations::create_project
        ))
        .routes(routes!(organizations::audit))
        .routes(routes!(analyses::list, analyses::ingest))
        .routes(routes!(analyses::events))
        .routes(routes!(analyses::issues))
        .routes(routes!(analyses::gate))
        .routes(routes!(operations::live))
        .routes(routes!(operations::ready))
        .routes(routes!(operations::metrics))
}

/// Returns the OpenAPI document of the service.
#[must_use]
pub fn openapi() -> OpenApi {
    routes().into_openapi()
}

/// Returns the routes of the service, `/openapi.json`, and the page `/docs` with the feature
/// `swagger-ui`.
pub fn router(service: Service) -> Router {
    let (router, document) = routes().split_for_parts();
    let document = get(move || async move { Json(document) });
    let router = router.route("/openapi.json", document);
    #[cfg(feature = "swagger-ui")]
    let router = router.merge(page());
    router.with_state(service)
}

/// Returns the page that shows the document. It asks no other server, not even to validate it.
#[cfg(feature = "swagger-ui")]
fn page() -> utoipa_swagger_ui::SwaggerUi {
    let config = utoipa_swagger_ui::Config::from("/openapi.json").validator_url("none");
    utoipa_swagger_ui::SwaggerUi::new("/docs").config(config)
}
