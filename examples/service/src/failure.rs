//! The failures of requests.

use axum::response::{IntoResponse, Response};
use wundr_db::{Error, Problem};

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

/// Every failure is a problem document (RFC 9457), in the form of the database's errors.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Database(error) => error.into_response(),
            Self::Unauthorized => Problem::new(401, "unauthorized", "Log in first").into_response(),
            Self::Forbidden { needs } => Problem::new(403, "forbidden", "The role is too low")
                .detail(format!("needs the role {needs}"))
                .into_response(),
        }
    }
}
