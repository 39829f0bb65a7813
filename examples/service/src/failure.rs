//! The failures of requests.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use wundr_db::Error;

pub type Result<T> = std::result::Result<T, Failure>;

/// The reason why a request failed.
pub enum Failure {
    /// The database's error, which is a response by itself.
    Database(Error),
    /// The request has no valid token.
    Unauthorized,
    /// The user has less than this role.
    Forbidden { needs: String },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// A problem document (RFC 9457), in the form of the database's errors.
#[derive(Serialize)]
struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title, detail) = match self {
            Self::Database(error) => return error.into_response(),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", String::new()),
            Self::Forbidden { needs } => (
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("needs the role {needs}"),
            ),
        };
        let status_number = status.as_u16();
        (
            status,
            Json(Problem {
                status: status_number,
                title,
                detail,
            }),
        )
            .into_response()
    }
}
