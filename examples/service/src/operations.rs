//! What an operator asks: health and metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use wundr_db::Availability;

use crate::Service;
use crate::failure::Result;

/// Says that the process is not to be restarted. It does not ask the server: a restart would not
/// repair that.
pub async fn live(State(service): State<Service>) -> Result<StatusCode> {
    service.db.liveness()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says whether requests can be served. A pool that is full for a while is busy, not broken.
pub async fn ready(State(service): State<Service>) -> Result<StatusCode> {
    match service.db.readiness().await {
        Availability::Ready(_) => Ok(StatusCode::NO_CONTENT),
        Availability::Broken(error) => Err(error.into()),
        _ => Ok(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Returns the metrics as Prometheus reads them.
pub async fn metrics(State(service): State<Service>) -> Result<Response> {
    let Some(metrics) = &service.metrics else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    service.db.pool().record_metrics("main");
    service.db.queue_state().await?.record_metrics("analyses");
    Ok(metrics.render().into_response())
}
