//! The failures of requests.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::response::{IntoResponse, Response};
use wundr_db::{Error, Problem};

pub type Result<T> = std::result::Result<T, Failure>;

/// The reason why a request failed.
pub enum Failure {
    /// The database's error, which is a response by itself.
    Database(Error),
    /// The body cannot be read.
    Body(JsonRejection),
    /// The path has no valid id.
    Path(PathRejection),
    /// The request has no valid token.
    Unauthorized,
    /// The user has less than this role.
    Forbidden { needs: String },
    /// All connections have been in use for a while.
    Busy,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body(rejection)
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Self::Path(rejection)
    }
}

/// Every failure is a problem document (RFC 9457), in the form of the database's errors.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Database(error) => return error.into_response(),
            Self::Body(rejection) => {
                let status = rejection.status().as_u16();
                Problem::new(status, "body", "The body is invalid").detail(rejection.body_text())
            }
            Self::Path(rejection) => {
                let status = rejection.status().as_u16();
                Problem::new(status, "path", "The path is invalid").detail(rejection.body_text())
            }
            Self::Unauthorized => Problem::new(401, "unauthorized", "Log in first"),
            Self::Forbidden { needs } => Problem::new(403, "forbidden", "The role is too low")
                .detail(format!("needs the role {needs}")),
            Self::Busy => Problem::new(503, "busy", "The service is busy"),
        };
        problem.into_response()
    }
}

/// A body that is read from JSON. One that cannot be read is a problem document.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Failure))]
pub struct Body<T>(pub T);

/// What the path of a request has. A damaged one is a problem document.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Failure))]
pub struct Path<T>(pub T);
