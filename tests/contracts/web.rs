//! An axum service of this crate's types: lists, errors and live progress.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::web::{Events, LastEventId, Linked, Links};
use wundr_db::*;

async fn users(
    State(db): State<Db>,
    links: Links,
    query: ListQuery<UserFilter, UserOrder>,
) -> Result<Linked<User>> {
    Ok(links.of(db.users().list(&query.filter, &query.page).await?))
}

async fn pages(State(db): State<Db>, page: Page<UserOrder>) -> Result<Paged<User>> {
    db.users().list(&UserFilter::new(), &page).await
}

async fn register(State(db): State<Db>, Path(email): Path<String>) -> Result<()> {
    db.users()
        .create(NewUser::new(email, "Ada"))
        .await
        .map(drop)
}

async fn unreachable_database() -> Result<()> {
    Err(Error::Pool(
        "no connection of db.internal is free".to_owned(),
    ))
}

/// A row that cannot be written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("db.internal"))
    }
}

async fn unwritable() -> Paged<Unwritable> {
    Paged {
        items: vec![Unwritable],
        previous: None,
        next: None,
        total: None,
    }
}

async fn impossible_status() -> Problem {
    Problem::new(99, "strange", "A status that HTTP does not have")
}

async fn progress(
    State(db): State<Db>,
    Path(project): Path<ProjectId>,
    last: LastEventId,
) -> Result<Events> {
    let follow = Follow::Project(project);
    Events::since(&db, last, follow, db.follow(follow).await?).await
}

async fn progress_of_one(
    State(db): State<Db>,
    Path(analysis): Path<AnalysisId>,
    last: LastEventId,
) -> Result<Events> {
    let follow = Follow::Analysis(analysis);
    Events::since(&db, last, follow, db.follow(follow).await?).await
}

struct Service {
    db: Db,
    router: Router,
    _database: TestDatabase,
}

async fn service() -> Service {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let router = Router::new()
        .route("/users", get(users))
        .route("/pages", get(pages))
        .route("/register/{email}", get(register))
        .route("/unreachable", get(unreachable_database))
        .route("/unwritable", get(unwritable))
        .route("/impossible", get(impossible_status))
        .route("/projects/{id}/progress", get(progress))
        .route("/analyses/{id}/progress", get(progress_of_one))
        .with_state(db.clone());
    Service {
        db,
        router,
        _database: database,
    }
}

impl Service {
    async fn get(&self, uri: &str) -> Response {
        let request = Request::get(uri).body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn json(&self, uri: &str) -> Value {
        body(self.get(uri).await).await
    }

    async fn follow(&self, uri: &str, last: Option<&str>) -> Follower {
        let mut request = Request::get(uri);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Follower(response.into_body().into_data_stream())
    }

    async fn project(&self, name: &str) -> (ProjectId, UserId) {
        let user = NewUser::new(format!("{name}@example.org"), "Ada");
        let user = self.db.users().create(user).await.unwrap().id;
        let project = NewProject::new(name, user);
        (self.db.projects().create(project).await.unwrap().id, user)
    }

    async fn analysis(&self, (project, user): (ProjectId, UserId)) -> AnalysisId {
        let new = NewAnalysis::new(project, AnalysisType::Quality, user);
        self.db.analyses().create(new).await.unwrap().id
    }

    async fn cancel(&self, id: AnalysisId) {
        self.db.analyses().cancel(id).await.unwrap();
    }
}

async fn body(response: Response) -> Value {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    serde_json::from_slice(&body.unwrap()).unwrap()
}

/// A client of server-sent events.
struct Follower(BodyDataStream);

#[derive(Debug)]
struct Received {
    id: String,
    name: String,
    data: Value,
}

impl Follower {
    async fn next(&mut self) -> Received {
        let text = tokio::time::timeout(Duration::from_secs(60), self.0.next());
        let text = text.await.expect("no event").unwrap().unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let lines = text.strip_suffix("\n\n").unwrap().lines();
        let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let [("id", id), ("event", name), ("data", data)] = fields[..] else {
            panic!("{text}");
        };
        Received {
            id: id.to_owned(),
            name: name.to_owned(),
            data: serde_json::from_str(data).unwrap(),
        }
    }

    /// Returns the events up to `resumed`, as names and analyses in order, and the last id.
    async fn until_resumed(&mut self) -> (Vec<(String, String)>, String) {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            if event.name == "resumed" {
                events.sort();
                return (events, event.id);
            }
            let id = event.data["id"].as_str().unwrap_or_default().to_owned();
            let state = event.data["status"].as_str().unwrap_or(&event.name);
            events.push((state.to_owned(), id));
        }
    }
}

fn in_order<const N: usize>(expected: [(&str, AnalysisId); N]) -> Vec<(String, String)> {
    let named = expected.map(|(state, id)| (state.to_owned(), id.to_string()));
    let mut named = named.to_vec();
    named.sort();
    named
}

#[tokio::test]
async fn a_client_walks_through_a_list_by_its_links() {
    let service = service().await;
    for name in ["Ada", "Bob", "Cleo", "Dan", "Eve"] {
        let new = NewUser::new(format!("{name}@example.org"), name);
        let role = if name == "Bob" {
            UserRole::Viewer
        } else {
            UserRole::Manager
        };
        service.db.users().create(new.role(role)).await.unwrap();
    }
    // A nested router is given a path without the first part.
    let service = Service {
        router: Router::new().nest("/api", service.router.clone()),
        ..service
    };
    let mut uri = "/api/users?role=manager&order=name&limit=2".to_owned();
    let (mut names, mut last) = (Vec::new(), String::new());
    loop {
        let response = service.get(&uri).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let links = response.headers()[header::LINK]
            .to_str()
            .unwrap()
            .to_owned();
        let page = body(response).await;
        let items = page["items"].as_array().unwrap().iter();
        names.extend(items.map(|user| user["name"].as_str().unwrap().to_owned()));
        let first = "<?role=manager&order=name&limit=2>; rel=\"first\"";
        assert!(links.starts_with(first), "{links}");
        last.clone_from(&links);
        let next = links
            .split(", ")
            .find(|link| link.ends_with("rel=\"next\""));
        let Some(next) = next else { break };
        let (target, _) = next.strip_prefix('<').unwrap().split_once('>').unwrap();
        // As a client resolves a reference that has no path.
        uri = format!("/api/users{target}");
    }
    assert_eq!(names, ["Ada", "Cleo", "Dan", "Eve"]);
    assert!(last.contains("rel=\"prev\""), "{last}");
    // A field is the same in another notation.
    let first = service.json("/api/users?limit=2").await;
    let next = first["next"].as_str().unwrap();
    let second = service
        .get(&format!("/api/users?limit=2&%61fter={next}"))
        .await;
    assert_eq!(second.status(), StatusCode::OK);
    let links = second.headers()[header::LINK].to_str().unwrap();
    assert!(!links.contains("%61fter"), "{links}");
    let last = service.get("/api/users?limit=2&last=true").await;
    let links = last.headers()[header::LINK].to_str().unwrap();
    assert!(
        links.contains("rel=\"prev\"") && !links.contains("last"),
        "{links}"
    );
    let page = service.json("/api/pages?limit=1&total=true").await;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["total"]),
        (1, &json!(5))
    );
}

#[tokio::test]
async fn what_a_client_gets_wrong_is_a_problem_document() {
    let service = service().await;
    for (uri, field) in [
        ("/users?rôle=admin", "rôle"),
        ("/users?limit=1000", "limit"),
        ("/users?after=nothing", "after"),
        ("/pages?role=admin", "role"),
    ] {
        let uri = uri.replace('ô', "%C3%B4");
        let response = service.get(&uri).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{uri}");
        let media_type = &response.headers()[header::CONTENT_TYPE];
        assert_eq!(media_type, "application/problem+json");
        let problem = body(response).await;
        assert_eq!(problem["code"], "invalid_input", "{uri}");
        assert_eq!(problem["field"], field, "{uri}");
    }
    let first = service.get("/register/ada@example.org").await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = service.get("/register/ADA@example.org").await;
    assert_eq!(second.status(), StatusCode::CONFLICT);
    let error = second.extensions().get::<std::sync::Arc<Error>>().unwrap();
    assert_eq!(error.constraint(), Some(constraints::USERS_EMAIL_KEY));
    let problem = body(second).await;
    assert_eq!(
        (&problem["code"], &problem["field"]),
        (&json!("unique"), &json!("email"))
    );
    assert!(!problem.to_string().contains("example.org"), "{problem}");
}

#[tokio::test]
async fn what_the_service_gets_wrong_says_nothing_of_the_server() {
    let service = service().await;
    let response = service.get("/unreachable").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let problem = body(response).await;
    assert!(!problem.to_string().contains("internal is"), "{problem}");
    assert_eq!(problem["retryable"], true);

    let response = service.get("/unwritable").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    assert!(body.unwrap().is_empty());
    let response = service.get("/impossible").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_client_that_connects_again_gets_what_it_has_missed() {
    let service = service().await;
    let place = service.project("flask").await;
    let elsewhere = service.project("engine").await;
    let uri = format!("/projects/{}/progress", place.0);
    let (ends, goes, stays) = (
        service.analysis(place).await,
        service.analysis(place).await,
        service.analysis(place).await,
    );
    let mut follower = service.follow(&uri, None).await;
    let (events, last) = follower.until_resumed().await;
    let open = [("pending", ends), ("pending", goes), ("pending", stays)];
    assert_eq!(events, in_order(open));
    drop(follower);

    service.cancel(ends).await;
    assert!(service.db.analyses().delete(goes).await.unwrap());
    let short = service.analysis(place).await;
    service.cancel(short).await;
    let other = service.analysis(elsewhere).await;
    service.cancel(other).await;

    let mut follower = service.follow(&uri, Some(&last)).await;
    let (events, last) = follower.until_resumed().await;
    let missed = [
        ("cancelled", ends),
        ("deleted", goes),
        ("cancelled", short),
        ("pending", stays),
    ];
    assert_eq!(events, in_order(missed));
    service.cancel(stays).await;
    let event = follower.next().await;
    assert_eq!(
        (&*event.name, &event.data["status"]),
        ("changed", &json!("cancelled"))
    );
    drop(follower);

    // The ids of a view do not show what is elsewhere.
    let uri = format!("/projects/{}/progress", elsewhere.0);
    let mut follower = service.follow(&uri, Some(&last)).await;
    let (events, _) = follower.until_resumed().await;
    assert_eq!(events, in_order([("deleted", stays), ("cancelled", other)]));
}

#[tokio::test]
async fn an_analysis_that_has_ended_before_is_shown_once() {
    let service = service().await;
    let place = service.project("flask").await;
    let ended = service.analysis(place).await;
    service.cancel(ended).await;
    let uri = format!("/analyses/{ended}/progress");
    let mut follower = service.follow(&uri, None).await;
    let (events, last) = follower.until_resumed().await;
    assert_eq!(events, in_order([("cancelled", ended)]));
    assert!(last.parse::<LastEventId>().is_ok());
}

#[tokio::test]
async fn a_client_whose_view_was_not_complete_is_told_so() {
    let service = service().await;
    let place = service.project("flask").await;
    let open = service.analysis(place).await;
    let uri = format!("/projects/{}/progress", place.0);
    let mut follower = service.follow(&uri, None).await;
    let first = follower.next().await;
    assert_eq!(first.name, "changed");
    drop(follower);
    let mut follower = service.follow(&uri, Some(&first.id)).await;
    assert_eq!(follower.next().await.name, "missed");
    let (events, _) = follower.until_resumed().await;
    assert_eq!(events, in_order([("pending", open)]));
    drop(follower);
    let mut follower = service.follow(&uri, Some("damaged")).await;
    let (events, _) = follower.until_resumed().await;
    assert_eq!(events, in_order([("pending", open)]));
}

/// The clock of the service is not that of the database, and a row is not visible before its
/// transaction ends.
#[tokio::test]
async fn an_analysis_that_appears_late_is_not_missed() {
    let service = service().await;
    let place = service.project("flask").await;
    let uri = format!("/projects/{}/progress", place.0);
    let (_, last) = service.follow(&uri, None).await.until_resumed().await;
    let late = service.analysis(place).await;
    let older = format!(
        "UPDATE analysis.analyses SET created_at = created_at - interval '4 min' WHERE id = '{late}'"
    );
    let outcome: Result<usize> = service
        .db
        .run(async |connection| {
            use wundr_db::diesel_async::RunQueryDsl as _;
            Ok(wundr_db::diesel::sql_query(older)
                .execute(connection)
                .await?)
        })
        .await;
    assert_eq!(outcome.unwrap(), 1);
    service.cancel(late).await;
    let mut follower = service.follow(&uri, Some(&last)).await;
    let (events, _) = follower.until_resumed().await;
    assert_eq!(events, in_order([("cancelled", late)]));
}

#[tokio::test]
async fn a_client_that_has_missed_too_much_is_told_so() {
    let service = service().await;
    let (project, user) = service.project("flask").await;
    let uri = format!("/projects/{project}/progress");
    let (_, last) = service.follow(&uri, None).await.until_resumed().await;
    let new = NewAnalysis::new(project, AnalysisType::Quality, user);
    let new: Vec<_> = (0..101)
        .map(|_| new.clone().id(AnalysisId::new()))
        .collect();
    service
        .db
        .analyses()
        .create_many(&new[..100])
        .await
        .unwrap();
    let mut follower = service.follow(&uri, Some(&last)).await;
    assert_eq!(follower.next().await.name, "changed", "none has ended");
    service
        .db
        .analyses()
        .create_many(&new[100..])
        .await
        .unwrap();
    let mut follower = service.follow(&uri, Some(&last)).await;
    assert_eq!(follower.next().await.name, "missed");
    let (events, _) = follower.until_resumed().await;
    assert_eq!(events.len(), 101);
}
