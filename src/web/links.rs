//! The header `Link` of a page.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::LINK;
use http::request::Parts;
use serde::Serialize;

use crate::{Cursor, Paged};

/// An extractor that makes the links to the neighbors of a page from the request's URL.
///
/// A link keeps every field of the query string but the position, so that filter, order and limit
/// stay.
#[derive(Debug, Clone)]
pub struct Links {
    /// The path, and the query string without the position.
    base: String,
}

/// A page with links to the first, the preceding and the following page in a header `Link` (RFC
/// 8288). The body is that of [`Paged`].
#[derive(Debug, Clone)]
pub struct Linked<T> {
    page: Paged<T>,
    links: Links,
}

impl Links {
    /// Adds the links to a page.
    #[must_use]
    pub fn of<T>(self, page: Paged<T>) -> Linked<T> {
        Linked { page, links: self }
    }

    fn header<T>(&self, page: &Paged<T>) -> String {
        let mut header = format!("<{}>; rel=\"first\"", self.base);
        let joint = if self.base.contains('?') { '&' } else { '?' };
        let mut add = |field: &str, cursor: &Option<Cursor>, relation: &str| {
            if let Some(cursor) = cursor {
                // Writing to a string cannot fail.
                let _ = write!(
                    header,
                    ", <{}{joint}{field}={cursor}>; rel=\"{relation}\"",
                    self.base
                );
            }
        };
        add("before", &page.previous, "prev");
        add("after", &page.next, "next");
        header
    }
}

impl<S: Sync> FromRequestParts<S> for Links {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut base = parts.uri.path().to_owned();
        let is_position = |pair: &&str| {
            let field = pair.split_once('=').map_or(*pair, |(field, _)| field);
            matches!(field, "after" | "before" | "last")
        };
        let query = parts.uri.query().unwrap_or_default();
        let kept = query.split('&').filter(|pair| !pair.is_empty());
        for (index, pair) in kept.filter(|pair| !is_position(pair)).enumerate() {
            base.push(if index == 0 { '?' } else { '&' });
            base.push_str(pair);
        }
        Ok(Self { base })
    }
}

impl<T: Serialize> IntoResponse for Linked<T> {
    fn into_response(self) -> Response {
        let header = self.links.header(&self.page);
        let mut response = self.page.into_response();
        // A path and a query have only characters that a header may have.
        if let Ok(header) = HeaderValue::try_from(header) {
            response.headers_mut().insert(LINK, header);
        }
        response
    }
}
