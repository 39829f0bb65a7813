//! What an operator asks: health and metrics.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::Service;

/// Says that the process runs. It does not ask the database: a restart would not repair that.
pub async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Says whether requests can be served. A pool that is full for a while is busy, not broken.
pub async fn ready(State(service): State<Service>) -> Response {
    match service.db.health().await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}

/// Returns the metrics as Prometheus reads them.
pub async fn metrics(State(service): State<Service>) -> Response {
    let Some(metrics) = &service.metrics else {
        return StatusCode::NOT_FOUND.into_response();
    };
    service.db.pool().record_metrics("main");
    metrics.render().into_response()
}
