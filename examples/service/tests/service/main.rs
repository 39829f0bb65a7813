//! The service on a private server, called without a network. Every response is compared with the
//! OpenAPI document.

mod openapi;

use axum::Router;
use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use axum::response::Response;
use example_service::{Service, router};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wundr_db::testing::{
    AsyncTest, Scenario, StatementRecorder, TestArgument, TestContext, TestError,
};
use wundr_db::{Config, Db, NewUser, OrganizationRole, SessionKeys, Table, User, UserRepository};

/// The service on a database of its own.
struct App {
    db: Db,
    router: Router,
}

impl TestArgument<AsyncTest> for App {
    fn take(context: &mut TestContext) -> Result<Self, TestError> {
        let db = Db::take(context)?;
        let keys = SessionKeys::new(1, [7; 32]);
        let service = Service::new(db.clone(), keys, |_, code| code == "123456")?;
        Ok(Self {
            db,
            router: router(service),
        })
    }
}

/// Records changes, as `example-service migrate` does.
async fn watched(config: Config) -> wundr_db::Result<()> {
    wundr_db::audit::watch(&config, Table::Projects, &["name"]).await
}

impl App {
    async fn user(&self, address: &str) -> User {
        self.db
            .users()
            .create(NewUser::new(address, "Ada"))
            .await
            .unwrap()
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Response {
        let mut request = Request::builder().method(&method).uri(path);
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        openapi::check(&method, path, response).await
    }

    /// Gets what is not a part of the document.
    async fn fetch(&self, path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str, token: &str) -> (StatusCode, Value) {
        read(self.send(Method::GET, path, token, None).await).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
        read(self.send(Method::POST, path, token, Some(body)).await).await
    }

    /// Logs a user in, and returns the session token.
    async fn login(&self, user: &User) -> String {
        let body = json!({"email": user.email, "code": "123456"});
        let (status, tokens) = self.post("/sessions", "", body).await;
        assert_eq!(status, StatusCode::CREATED, "{tokens}");
        text(&tokens["token"])
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let value = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    };
    (status, value)
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn report() -> Value {
    json!({
        "type": "quality",
        "score": 81.5,
        "issues": [
            {"type": "security", "severity": "critical", "title": "key in source", "file": "src/a.rs", "line": 3},
            {"type": "code_quality", "severity": "low", "title": "long line", "file": "src/b.rs", "rule": "line-length"},
        ],
        "metrics": [{"name": "coverage", "value": 79.5, "category": "coverage"}],
    })
}

#[wundr_db::test]
async fn a_session_is_opened_refreshed_and_ended(app: App) {
    let ada = app.user("ada@example.org").await;
    let wrong = json!({"email": ada.email, "code": "000000"});
    assert_eq!(
        app.post("/sessions", "", wrong).await.0,
        StatusCode::UNAUTHORIZED
    );
    let right = json!({"email": "ADA@example.org", "code": "123456"});
    let (_, tokens) = app.post("/sessions", "", right).await;

    let (status, me) = app.get("/me", &text(&tokens["token"])).await;
    assert_eq!((status, text(&me["email"])), (StatusCode::OK, ada.email));
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    let (status, fresh) = app.post("/sessions/refresh", "", refresh).await;
    assert_eq!(status, StatusCode::OK);
    let token = text(&fresh["token"]);
    let ended = app
        .send(Method::DELETE, "/sessions/current", &token, None)
        .await;
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    for token in [token.as_str(), "not a token", ""] {
        assert_eq!(app.get("/me", token).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[wundr_db::test]
async fn an_organization_has_an_owner_and_a_slug_is_taken_once(app: App) {
    let token = app.login(&app.user("ada@example.org").await).await;
    let lab = json!({"name": "Lab", "slug": "lab"});
    let (status, created) = app.post("/organizations", &token, lab.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, problem) = app.post("/organizations", &token, lab).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    assert_eq!(problem["code"], "unique");

    let projects = format!("/organizations/{}/projects", text(&created["id"]));
    let engine = json!({"name": "Engine", "repository_url": "https://example.org/engine"});
    let (status, project) = app.post(&projects, &token, engine).await;
    assert_eq!(status, StatusCode::CREATED, "{project}");
    let (_, page) = app.get(&format!("{projects}?search=eng"), &token).await;
    assert_eq!(page["items"][0]["id"], project["id"]);
    let (status, problem) = app.get(&format!("{projects}?nonsense=1"), &token).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

#[wundr_db::test]
async fn a_stranger_does_not_find_an_organization_and_a_member_may_not_add_members(app: App) {
    let acme = app.db.seed(&Scenario::new().members(1)).await.unwrap();
    let stranger = app.login(&app.user("eve@example.org").await).await;
    let member = app.login(&acme.members[0]).await;
    let members = format!("/organizations/{}/members", acme.organization.id);
    let eve = app.user("eve2@example.org").await;
    let body = || Some(json!({"user_id": eve.id, "role": OrganizationRole::Member}));

    let refused = app.send(Method::PUT, &members, &stranger, body()).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let refused = app.send(Method::PUT, &members, &member, body()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let owner = app.login(&acme.owner).await;
    let added = app.send(Method::PUT, &members, &owner, body()).await;
    assert_eq!(added.status(), StatusCode::OK);
}

#[wundr_db::test]
async fn an_analysis_is_stored_with_its_findings_and_judged(app: App) {
    let acme = app.db.seed(&Scenario::new().projects(1)).await.unwrap();
    let owner = app.login(&acme.owner).await;
    let analyses = format!("/projects/{}/analyses", acme.projects[0].id);
    let (status, analysis) = app.post(&analyses, &owner, report()).await;
    assert_eq!(
        (status, &analysis["status"]),
        (StatusCode::CREATED, &json!("completed"))
    );

    let path = format!("/analyses/{}", text(&analysis["id"]));
    let (_, issues) = app
        .get(&format!("{path}/issues?severity=critical"), &owner)
        .await;
    assert_eq!(issues["items"][0]["title"], "key in source");
    let gate = json!({"gate": {"conditions": [
        {"kind": "new_issues", "severity": "critical", "at_most": 0},
        {"kind": "metric", "name": "coverage", "bound": {"at_least": 79.5}},
    ]}});
    let (status, verdict) = app.post(&format!("{path}/gate"), &owner, gate).await;
    assert_eq!(status, StatusCode::OK, "{verdict}");
    let passed = |index: usize| verdict["conditions"][index]["passed"].clone();
    assert_eq!((passed(0), passed(1)), (json!(false), json!(true)));

    let mut broken = report();
    broken["issues"][1]["title"] = json!("x".repeat(501));
    let (status, problem) = app.post(&analyses, &owner, broken).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let (_, stored) = app.get(&format!("{analyses}?total=true"), &owner).await;
    assert_eq!(stored["items"].as_array().map(Vec::len), Some(1));
}

#[wundr_db::test(prepare = watched)]
async fn changes_are_recorded_with_the_user(app: App) {
    let acme = app.db.seed(&Scenario::new()).await.unwrap();
    let owner = app.login(&acme.owner).await;
    let organization = format!("/organizations/{}", acme.organization.id);
    let new = json!({"name": "Engine"});
    let (_, project) = app
        .post(&format!("{organization}/projects"), &owner, new)
        .await;

    let path = format!("{organization}/audit?resource_type=project");
    let (status, log) = app.get(&path, &owner).await;
    assert_eq!(status, StatusCode::OK, "{log}");
    let entry = &log["items"][0];
    assert_eq!(entry["resource_id"], project["id"], "{log}");
    assert_eq!(entry["user_id"], json!(acme.owner.id));
}

#[wundr_db::test]
async fn a_client_follows_the_analyses_of_a_project(app: App) {
    let acme = app.db.seed(&Scenario::new().projects(1)).await.unwrap();
    let owner = app.login(&acme.owner).await;
    let project = format!("/projects/{}", acme.projects[0].id);
    let events = app
        .send(Method::GET, &format!("{project}/events"), &owner, None)
        .await;
    assert_eq!(events.status(), StatusCode::OK);
    let mut events = events.into_body();

    let (_, analysis) = app
        .post(&format!("{project}/analyses"), &owner, report())
        .await;
    let id = text(&analysis["id"]);
    let mut received = String::new();
    while !(received.contains(&id) && received.contains("completed")) {
        let frame = events.frame().await.unwrap().unwrap();
        received.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
}

#[wundr_db::test]
async fn a_list_takes_three_queries(recorder: StatementRecorder, app: App) {
    let acme = app
        .db
        .seed(&Scenario::new().projects(1).analyses(2))
        .await
        .unwrap();
    let owner = app.login(&acme.owner).await;
    for list in [
        format!("/projects/{}/analyses", acme.projects[0].id),
        format!("/analyses/{}/issues", acme.analyses[0].id),
    ] {
        recorder.clear();
        assert_eq!(app.get(&list, &owner).await.0, StatusCode::OK);

        // The login, the access, the page.
        assert_eq!(recorder.queries(), 3, "{:?}", recorder.names());
    }
}

#[wundr_db::test]
async fn an_analysis_of_a_project_that_the_user_cannot_see_does_not_exist(app: App) {
    let scenario = Scenario::new().projects(1).analyses(1);
    let acme = app.db.seed(&scenario).await.unwrap();
    let eve = app.login(&app.user("eve@example.org").await).await;
    let path = format!("/analyses/{}", acme.analyses[0].id);
    let (status, problem) = app.get(&format!("{path}/issues"), &eve).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    let gate = json!({"gate": {"conditions": []}});
    let (status, problem) = app.post(&format!("{path}/gate"), &eve, gate).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

#[wundr_db::test]
async fn an_operator_asks_for_the_health(app: App) {
    assert_eq!(app.get("/health/live", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(app.get("/health/ready", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(app.get("/metrics", "").await.0, StatusCode::NOT_FOUND);
    app.db.close().await;
    let (status, _) = app.get("/health/live", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, problem) = app.get("/health/ready", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
}
