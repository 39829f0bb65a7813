//! What an operator asks: health and metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use wundr_db::Availability;

use crate::Service;
use crate::failure::{Failure, Result};
use crate::openapi::Unavailable;

/// Says that the process is not to be restarted. It does not ask the server: a restart would not
/// repair that.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "operations",
    responses((status = 204, description = "The process works"), Unavailable),
)]
pub async fn live(State(service): State<Service>) -> Result<StatusCode> {
    service.db.liveness()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says whether requests can be served. A pool that is full for a while is busy, not broken.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operations",
    responses((status = 204, description = "Requests can be served"), Unavailable),
)]
pub async fn ready(State(service): State<Service>) -> Result<StatusCode> {
    match service.db.readiness().await {
        Availability::Ready(_) => Ok(StatusCode::NO_CONTENT),
        Availability::Broken(error) => Err(error.into()),
        _ => Err(Failure::Busy),
    }
}

/// Returns the metrics as Prometheus reads them.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, description = "The metrics in the text format of Prometheus", body = String, content_type = "text/plain"),
        (status = 404, description = "The process records no metrics"),
        Unavailable,
    ),
)]
pub async fn metrics(State(service): State<Service>) -> Result<Response> {
    let Some(metrics) = &service.metrics else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    service.db.pool().record_metrics("main");
    service.db.queue_state().await?.record_metrics("analyses");
    Ok(metrics.render().into_response())
}
