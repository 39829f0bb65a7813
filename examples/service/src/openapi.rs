//! The OpenAPI document of the service.
//!
//! Paths, bodies and the statuses of success are written at each handler. What fails is written
//! here, once for each kind of request.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, Ref, RefOr};
use utoipa::{IntoResponses, Modify};
use wundr_db::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Code analyses",
        description = "An example of a web service on wundr-db. Each failure is a problem document \
            (RFC 9457). A row that the user may not see does not exist for the user.",
    ),
    components(schemas(Problem)),
    modifiers(&Token),
    tags(
        (name = "sessions", description = "Logins, with tokens that are rotated"),
        (name = "organizations", description = "Organizations, their members, projects and audit log"),
        (name = "analyses", description = "Reports of analyses, quality gates, live progress"),
        (name = "operations", description = "What an operator asks"),
    ),
)]
pub struct Document;

/// The token that a login returns, as a header of requests.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = Http::builder()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The session token that `POST /sessions` returns"))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

type Responses = BTreeMap<String, RefOr<Response>>;

/// Returns the responses with these statuses, each of which is a problem document.
fn problems<const N: usize>(statuses: [(u16, &str); N]) -> Responses {
    let response = |(status, description): (u16, &str)| {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build();
        (status.to_string(), response.into())
    };
    statuses.map(response).into()
}

/// The failures of each request that needs the database.
pub struct Unavailable;

impl IntoResponses for Unavailable {
    fn responses() -> Responses {
        problems([
            (500, "The service has a fault."),
            (
                503,
                "The service is busy or its database cannot be reached.",
            ),
        ])
    }
}

/// The failures of a request with a body.
pub struct Unreadable;

impl IntoResponses for Unreadable {
    fn responses() -> Responses {
        problems([
            (400, "The path or the body is damaged."),
            (413, "The body is too long."),
            (415, "The body is not JSON."),
            (422, "A value is missing, unknown or invalid."),
        ])
    }
}

/// The failures of a request with an invalid value in its path or query.
pub struct Invalid;

impl IntoResponses for Invalid {
    fn responses() -> Responses {
        problems([
            (400, "The path is damaged."),
            (422, "A field of the query is unknown or invalid."),
        ])
    }
}

/// The failure of a request that creates what exists, or changes what must stay.
pub struct Conflict;

impl IntoResponses for Conflict {
    fn responses() -> Responses {
        problems([(409, "The present rows do not allow it.")])
    }
}

/// The failure of a request without a login.
pub struct Anonymous;

impl IntoResponses for Anonymous {
    fn responses() -> Responses {
        problems([(401, "The request has no valid token.")])
    }
}

/// The failures of a request by a user whose role does not suffice.
pub struct Refused;

impl IntoResponses for Refused {
    fn responses() -> Responses {
        problems([
            (401, "The request has no valid token."),
            (403, "The role of the user is too low."),
            (404, "There is no such row, or the user may not see it."),
        ])
    }
}
