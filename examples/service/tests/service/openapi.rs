//! The OpenAPI document, and the comparison of responses with it.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::App;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(example_service::openapi()).unwrap());

/// All operations of the document: path, method, description.
fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods
            .iter()
            .map(|(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn is_of(path: &str, template: &str) -> bool {
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    let mut parts = path.split('/');
    let mut templates = template.split('/');
    templates.by_ref().all(|template| {
        let part = parts.next();
        part == Some(template) || part.is_some() && template.starts_with('{')
    }) && parts.next().is_none()
}

/// Checks that the document has the status, the media type and the fields of a response, and
/// returns the response.
pub async fn check(method: &Method, path: &str, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let place = format!("{method} {path}: {}", head.status);
    let method = method.as_str().to_lowercase();
    let operation = operations().find(|&(template, of, _)| of == method && is_of(path, template));
    let (_, _, operation) = operation.unwrap_or_else(|| panic!("{place} is not described"));
    let described = &operation["responses"][head.status.as_str()];
    assert!(described.is_object(), "{place} is not described");

    let Some(media) = head.headers.get(CONTENT_TYPE) else {
        assert!(described.get("content").is_none(), "{place} has no body");
        return Response::from_parts(head, body);
    };
    let media = media.to_str().unwrap().split(';').next().unwrap();
    let schema = &described["content"][media]["schema"];
    assert!(schema.is_object(), "{place} {media} is not described");
    if !media.ends_with("json") {
        return Response::from_parts(head, body);
    }
    let bytes = body.collect().await.unwrap().to_bytes();
    fits(&serde_json::from_slice(&bytes).unwrap(), schema, &place);
    Response::from_parts(head, Body::from(bytes))
}

/// Returns the schema that a reference names.
fn resolved(schema: &'static Value) -> &'static Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} is nowhere")),
        None => schema,
    }
}

/// Checks types, fields and words of a value.
fn fits(value: &Value, schema: &'static Value, place: &str) {
    let schema = resolved(schema);
    if let Some(words) = schema["enum"].as_array() {
        assert!(
            words.contains(value),
            "{place}: {value} is none of {words:?}"
        );
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) if types.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&found), "{place}: {value} is not {types:?}");
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(item, &schema["items"], &format!("{place}[{index}]"));
    }
    let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return;
    };
    for (name, value) in object {
        let place = format!("{place}.{name}");
        let property = properties.get(name);
        fits(
            value,
            property.unwrap_or_else(|| panic!("{place} is not described")),
            &place,
        );
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().unwrap();
        assert!(object.contains_key(name), "{place}.{name} is missing");
    }
}

/// Calls `visit` for each value of a document.
fn walk(value: &'static Value, visit: &mut impl FnMut(&'static Value)) {
    visit(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, visit)),
        _ => {}
    }
}

#[test]
fn every_route_is_described() {
    let described: BTreeSet<(&str, &str)> = operations()
        .map(|(path, method, _)| (path, method))
        .collect();
    let expected = [
        ("/analyses/{id}/gate", "post"),
        ("/analyses/{id}/issues", "get"),
        ("/health/live", "get"),
        ("/health/ready", "get"),
        ("/me", "get"),
        ("/metrics", "get"),
        ("/organizations", "post"),
        ("/organizations/{id}/audit", "get"),
        ("/organizations/{id}/members", "put"),
        ("/organizations/{id}/projects", "get"),
        ("/organizations/{id}/projects", "post"),
        ("/projects/{id}/analyses", "get"),
        ("/projects/{id}/analyses", "post"),
        ("/projects/{id}/events", "get"),
        ("/sessions", "post"),
        ("/sessions/current", "delete"),
        ("/sessions/refresh", "post"),
    ];
    assert_eq!(described, expected.into());
}

#[test]
fn every_reference_of_the_document_has_its_schema() {
    let mut references = 0;
    walk(&DOCUMENT, &mut |value| {
        references += usize::from(value.get("$ref").is_some());
        resolved(value);
    });
    assert!(references > 100, "{references}");
}

/// What needs a token says so, and has a response for a request without one.
#[test]
fn every_route_but_logins_and_health_needs_a_token() {
    for (path, method, operation) in operations() {
        let is_open = ["/health", "/metrics", "/sessions"]
            .iter()
            .any(|open| path.starts_with(open) && path != "/sessions/current");
        let security = &operation["security"];
        assert_eq!(security[0]["token"].is_null(), is_open, "{method} {path}");
        if !is_open {
            assert!(operation["responses"]["401"].is_object(), "{method} {path}");
        }
        let parameters = operation["parameters"].as_array();
        let in_path = parameters.into_iter().flatten();
        let in_path = in_path
            .filter(|parameter| parameter["in"] == "path")
            .count();
        assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
    }
    assert_eq!(
        DOCUMENT["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
}

#[wundr_db::test]
async fn the_document_is_served(app: App) {
    let response = app.fetch("/openapi.json").await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let served: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(served, *DOCUMENT);
    // Without a description, a response is none by the specification.
    for (path, method, operation) in operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(
                response["description"].is_string(),
                "{method} {path} {status}"
            );
        }
    }
}

/// A route that the document has answers, if only that the request is bad.
#[wundr_db::test]
async fn every_route_of_the_document_answers(app: App) {
    for (path, method, _) in operations() {
        let method: Method = method.to_uppercase().parse().unwrap();
        let path = path.replace("{id}", "no-id");
        let status = app.send(method.clone(), &path, "", None).await.status();
        let is_open = ["/health", "/metrics"]
            .iter()
            .any(|open| path.starts_with(open));
        assert_eq!(
            status.is_client_error(),
            !is_open || path == "/metrics",
            "{method} {path}"
        );
        assert_ne!(status, 405, "{method} {path}");
    }
}

#[wundr_db::test]
async fn what_cannot_be_read_is_a_problem_document(app: App) {
    let token = app.login(&app.user("ada@example.org").await).await;
    let (status, problem) = app.get("/analyses/no-id/issues", &token).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &"path".into()));
    let (status, problem) = app.post("/organizations", &token, "no object".into()).await;
    assert_eq!((status.as_u16(), &problem["code"]), (422, &"body".into()));
    let response = app.send(Method::POST, "/organizations", &token, None).await;
    assert_eq!(response.status(), 415);
}

/// Neither the page nor its files come from another server.
#[cfg(feature = "swagger-ui")]
#[wundr_db::test]
async fn the_page_needs_no_network(app: App) {
    let response = app.fetch("/docs/").await;
    assert_eq!(response.status(), 200);
    let page = response.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8_lossy(&page);
    assert!(!page.contains("//"), "{page}");
    for file in page
        .split('"')
        .filter(|text| text.ends_with(".js") || text.ends_with(".css"))
    {
        let path = format!("/docs/{}", file.trim_start_matches("./"));
        assert_eq!(app.fetch(&path).await.status(), 200, "{path}");
    }
    let response = app.fetch("/docs/swagger-initializer.js").await;
    let script = response.into_body().collect().await.unwrap().to_bytes();
    let script = String::from_utf8_lossy(&script);
    assert!(script.contains("/openapi.json"), "{script}");
}
