//! The types of this crate in an axum service.
//!
//! - [`ListQuery`] and [`Page`] are extractors: a handler takes the
//!   filter and the page from the query string.
//! - [`Error`] is a response: a problem document (RFC 9457) with the
//!   [status](crate::Error::http_status) of the error. [`Problem::new`] makes the same response for
//!   an error of the application.
//! - [`Paged`] is a response: its rows and cursors as JSON. [`Links`] adds a header
//!   `Link` (RFC 8288) to it.
//! - [`Events`] is a response: live progress as server-sent events. A client that connects again
//!   gets what it has missed.
//!
//! ```
//! use axum::Router;
//! use axum::extract::{Path, State};
//! use axum::routing::get;
//! use wundr_db::web::{Linked, Links};
//! use wundr_db::{Db, Error, ListQuery, Project, ProjectFilter, ProjectId, ProjectOrder, ProjectRepository};
//!
//! async fn project(State(db): State<Db>, Path(id): Path<ProjectId>) -> Result<axum::Json<Project>, Error> {
//!     let project = db.projects().find(id).await?;
//!     project.map(axum::Json).ok_or(Error::NotFound { what: "Project" })
//! }
//!
//! async fn projects(
//!     State(db): State<Db>,
//!     links: Links,
//!     query: ListQuery<ProjectFilter, ProjectOrder>,
//! ) -> Result<Linked<Project>, Error> {
//!     Ok(links.of(db.projects().list(&query.filter, &query.page).await?))
//! }
//!
//! fn service(db: Db) -> Router {
//!     Router::new()
//!         .route("/projects", get(projects))
//!         .route("/projects/{id}", get(project))
//!         .with_state(db)
//! }
//! ```
//!
//! Extractors and responses implement the traits of `axum-core` 0.5, which axum 0.8 uses.

mod events;
mod links;

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, ListQuery, Page, Paged, Problem, Result};

pub use events::{Events, LastEventId};
pub use links::{Linked, Links};

/// Reads the filter and the page from the query string. What cannot be read is refused with status
/// 422 and a problem document that names the field.
impl<F, O, S> FromRequestParts<S> for ListQuery<F, O>
where
    F: DeserializeOwned,
    O: DeserializeOwned + Default,
    S: Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.uri.query().unwrap_or_default().parse()
    }
}

/// Reads the page from the query string, which has no other fields. What cannot be read is refused
/// with status 422 and a problem document that names the field.
impl<O, S> FromRequestParts<S> for Page<O>
where
    O: DeserializeOwned + Default,
    S: Sync,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.uri.query().unwrap_or_default().parse()
    }
}

/// The [problem document](Error::problem) with its status. If the same request may succeed later,
/// the header `Retry-After` asks for one second.
///
/// The error itself is in the extensions of the response, as an `Arc<Error>`, so that a layer can
/// log it.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.problem().into_response();
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// The document with its status, and the media type `application/problem+json`. A status that HTTP
/// does not have becomes 500.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json(&self, "application/problem+json");
        let status = StatusCode::from_u16(self.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

/// The rows, the cursors and the total as JSON.
impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        json(&self, "application/json")
    }
}

/// Returns a response with a document. A document that cannot be written is an error of the
/// service.
fn json<T: Serialize>(document: &T, media_type: &'static str) -> Response {
    match serde_json::to_vec(document) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            response
        }
        Err(_) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}
