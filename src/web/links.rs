//! The header `Link` of a page.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::LINK;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::{Cursor, Paged};

/// An extractor that makes the links to the neighbors of a page from the request's URL.
///
/// A link is relative: it consists of a query string, and the client takes the path of its request.
/// So it leads to the same place from a nested router, and from behind a proxy that changes the
/// path. It keeps every field but the position, so that filter, order and limit stay.
#[derive(Debug, Clone)]
pub struct Links {
    /// A question mark, and the query string without the position.
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
        let joint = if self.base == "?" { "" } else { "&" };
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
        let is_position = |pair: &&str| {
            let field = pair.split_once('=').map_or(*pair, |(field, _)| field);
            let field = percent_decode_str(field).decode_utf8_lossy();
            matches!(&*field, "after" | "before" | "last")
        };
        let query = parts.uri.query().unwrap_or_default();
        let kept = query.split('&').filter(|pair| !pair.is_empty());
        let kept: Vec<&str> = kept.filter(|pair| !is_position(pair)).collect();
        let base = format!("?{}", kept.join("&"));
        Ok(Self { base })
    }
}

impl<T: Serialize> IntoResponse for Linked<T> {
    fn into_response(self) -> Response {
        let header = self.links.header(&self.page);
        let mut response = self.page.into_response();
        // A query has only characters that a header may have.
        if let Ok(header) = HeaderValue::try_from(header) {
            response.headers_mut().insert(LINK, header);
        }
        response
    }
}
