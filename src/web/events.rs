//! Live progress as server-sent events.
//!
//! Each event has an id that says what the client has seen: a time at which its view was complete,
//! and the analyses that are open in the view. A client that connects again sends the last id. The
//! new stream begins with all analyses that are open; what it lacks are those that have ended
//! meanwhile. They are among the analyses of the id, or were created after its time.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use futures_util::stream::{Stream, StreamExt as _};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use serde_json::json;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use uuid::Uuid;

use crate::{
    Analysis, AnalysisFilter, AnalysisId, AnalysisIssueFilter, AnalysisIssueRepository as _,
    AnalysisOrder, AnalysisRepository as _, Db, Error, Follow, LiveAnalysis, LiveEvent, Page,
    Result,
};

/// The largest number of open analyses in an id. A client whose view had more is sent
/// `event: missed`.
const MOST_OPEN: usize = 64;
/// How long the creation of an analysis may take, together with the difference of the clocks of the
/// service and the database.
const LEEWAY: TimeDelta = TimeDelta::minutes(5);
/// The interval of comments that keep the connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The extractor of the header `Last-Event-ID`, which a browser sends when it connects again.
///
/// A missing or damaged header means that the client has seen nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastEventId(Option<Seen>);

/// What a client has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// The time up to which the view is complete.
    at: DateTime<Utc>,
    /// The open analyses; `None` if they are too many, or the view was never complete.
    open: Option<BTreeSet<AnalysisId>>,
}

impl FromStr for LastEventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let damaged = || Error::invalid("Last-Event-ID", "is damaged");
        if text.len() > 4 * (8 + 16 * MOST_OPEN) {
            return Err(damaged());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| damaged())?;
        let (time, ids) = bytes.split_first_chunk::<9>().ok_or_else(damaged)?;
        let [is_complete, time @ ..] = *time;
        // No id that was sent has another time, and the database has not all times of `chrono`.
        let at = DateTime::from_timestamp_micros(i64::from_be_bytes(time))
            .filter(|at| (1_970..10_000).contains(&at.year()))
            .ok_or_else(damaged)?;
        let open = ids
            .chunks(16)
            .map(|id| Uuid::from_slice(id).map(Into::into));
        let open: BTreeSet<AnalysisId> = open.collect::<Result<_, _>>().map_err(|_| damaged())?;
        let open = (is_complete == 1).then_some(open);
        Ok(Self(Some(Seen { at, open })))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![u8::from(self.open.is_some())];
        bytes.extend(self.at.timestamp_micros().to_be_bytes());
        for id in self.open.iter().flatten() {
            bytes.extend(id.as_uuid().as_bytes());
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get("last-event-id");
        let text = header.and_then(|header| header.to_str().ok());
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
    }
}

/// Live progress as server-sent events: a response with media type `text/event-stream`.
///
/// | event | data |
/// |---|---|
/// | `changed` | the [`LiveAnalysis`] |
/// | `deleted` | `id`, and `project_id` where it is known |
/// | `missed` | `{}`: changes may be missing until `resumed`; after it, the client reads what it shows again |
/// | `resumed` | `{}`: the view is complete |
///
/// Each event has an id. A browser sends the last one when it connects again, and gets the present
/// state of all that it has missed: analyses that have ended or were deleted meanwhile, besides
/// those that are open. If they are too many, it is sent `missed`. Every 15 s a comment keeps the
/// connection open.
///
/// ```
/// use axum::extract::{Path, State};
/// use wundr_db::web::{Events, LastEventId};
/// use wundr_db::{Db, Error, Follow, ProjectId};
///
/// async fn progress(
///     State(db): State<Db>,
///     Path(project): Path<ProjectId>,
///     last: LastEventId,
/// ) -> Result<Events, Error> {
///     let follow = Follow::Project(project);
///     Events::since(&db, last, follow, db.follow(follow).await?).await
/// }
/// ```
pub struct Events(Pin<Box<EventStream>>);

impl Events {
    /// Creates the response from a stream of the events, and from what the client has seen.
    ///
    /// `live` follows what `follow` says, and was created before. `db` reads what has happened
    /// since the last event, with two statements and one for each analysis that has ended. For a
    /// client that has seen nothing it reads nothing but the state of a single followed analysis.
    ///
    /// The ids that a client sends do not widen what it sees: analyses outside `follow` are not
    /// among the events.
    ///
    /// # Errors
    /// Only [common ones](Error#common-errors).
    pub async fn since(
        db: &Db,
        last: LastEventId,
        follow: Follow,
        live: impl Stream<Item = LiveEvent> + Send + 'static,
    ) -> Result<Self> {
        let mut stream = EventStream {
            first: VecDeque::new(),
            live: Box::pin(live),
            open: BTreeSet::new(),
            complete_at: None,
            is_complete: false,
            keep_alive: tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE),
        };
        let behavior = MissedTickBehavior::Delay;
        stream.keep_alive.set_missed_tick_behavior(behavior);
        let has_seen = last.0.is_some();
        let since = match last.0 {
            Some(Seen {
                at,
                open: Some(open),
            }) => {
                stream.open = open;
                Some(at)
            }
            _ => None,
        };
        // The stream begins with its state, unless it was deleted.
        if let Follow::Analysis(id) = follow {
            stream.open.insert(id);
        }
        let is_all = catch_up(db, since, &stream.open, follow, &mut stream.first).await?;
        if is_all {
            stream.complete_at = since;
        } else if has_seen {
            stream.first.push_front(Event::Missed);
        }
        Ok(Self(Box::pin(stream)))
    }
}

/// An event as it is sent.
#[derive(Debug)]
enum Event {
    Changed(LiveAnalysis),
    Deleted(AnalysisId, Option<crate::ProjectId>),
    Missed,
    Resumed,
}

impl From<LiveEvent> for Event {
    fn from(event: LiveEvent) -> Self {
        match event {
            LiveEvent::Changed(analysis) => Self::Changed(analysis),
            LiveEvent::Deleted { id, project_id } => Self::Deleted(id, Some(project_id)),
            // The reason names the server.
            LiveEvent::Missed { .. } => Self::Missed,
            LiveEvent::Resumed => Self::Resumed,
        }
    }
}

/// Reads the states of the analyses that have ended since a time. Returns `false` if there is no
/// such time, or they are too many.
async fn catch_up(
    db: &Db,
    since: Option<DateTime<Utc>>,
    open: &BTreeSet<AnalysisId>,
    follow: Follow,
    events: &mut VecDeque<Event>,
) -> Result<bool> {
    let analyses = db.analyses();
    let ids: Vec<AnalysisId> = open.iter().copied().collect();
    let mut ended = Vec::new();
    let states = match ids.is_empty() {
        true => Vec::new(),
        false => analyses.find_many(&ids).await?,
    };
    for (id, found) in ids.iter().zip(states) {
        match found {
            Some(_) if matches!(follow, Follow::Analysis(followed) if followed == *id) => {}
            Some(analysis) if is_followed(&analysis, follow) => ended.push(analysis),
            _ => {
                let project = match follow {
                    Follow::Project(project) => Some(project),
                    _ => None,
                };
                events.push_back(Event::Deleted(*id, project));
            }
        }
    }
    let created = since.map(|since| AnalysisFilter::new().created_from(since - LEEWAY));
    let created = match follow {
        Follow::Project(project) => created.map(|created| created.project_id(project)),
        Follow::Analysis(_) => None,
        Follow::All => created,
    };
    let mut is_all = since.is_some() || matches!(follow, Follow::Analysis(_));
    if let Some(created) = created {
        let page = Page::new().order(AnalysisOrder::Newest).limit(100);
        let created = analyses.list(&created, &page).await?;
        is_all = created.next.is_none();
        let new = |analysis: &Analysis| !open.contains(&analysis.id);
        ended.extend(created.items.into_iter().filter(new));
    }
    ended.retain(|analysis| analysis.status.is_terminal());
    for analysis in ended {
        let issues = AnalysisIssueFilter::new().analysis_id(analysis.id);
        let findings = db.analysis_issues().count(&issues).await?;
        events.push_back(Event::Changed(LiveAnalysis {
            id: analysis.id,
            project_id: analysis.project_id,
            r#type: analysis.r#type,
            status: analysis.status,
            progress: analysis.progress,
            findings: i64::try_from(findings).unwrap_or(i64::MAX),
        }));
    }
    Ok(is_all)
}

fn is_followed(analysis: &Analysis, follow: Follow) -> bool {
    match follow {
        Follow::All => true,
        Follow::Project(project) => analysis.project_id == project,
        Follow::Analysis(id) => analysis.id == id,
    }
}

/// The body of the response.
struct EventStream {
    first: VecDeque<Event>,
    live: Pin<Box<dyn Stream<Item = LiveEvent> + Send>>,
    /// The open analyses in the client's view.
    open: BTreeSet<AnalysisId>,
    /// The time up to which the view was complete, if it ever was.
    complete_at: Option<DateTime<Utc>>,
    /// True from `resumed` until `missed`.
    is_complete: bool,
    keep_alive: Interval,
}

impl EventStream {
    fn written(&mut self, event: &Event) -> Bytes {
        let (name, data) = match event {
            Event::Changed(analysis) => {
                match analysis.is_open() {
                    true => self.open.insert(analysis.id),
                    false => self.open.remove(&analysis.id),
                };
                ("changed", json!(analysis))
            }
            Event::Deleted(id, project) => {
                self.open.remove(id);
                let data = match project {
                    Some(project) => json!({ "id": id, "project_id": project }),
                    None => json!({ "id": id }),
                };
                ("deleted", data)
            }
            Event::Missed => ("missed", json!({})),
            Event::Resumed => ("resumed", json!({})),
        };
        match event {
            Event::Missed => self.is_complete = false,
            Event::Resumed => self.is_complete = true,
            Event::Changed(_) | Event::Deleted(..) => {}
        }
        if self.is_complete {
            self.complete_at = Some(Utc::now());
        }
        let is_kept = self.complete_at.is_some() && self.open.len() <= MOST_OPEN;
        let seen = Seen {
            at: self.complete_at.unwrap_or_default(),
            open: is_kept.then(|| self.open.clone()),
        };
        format!("id: {seen}\nevent: {name}\ndata: {data}\n\n").into()
    }
}

impl Stream for EventStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = match self.first.pop_front() {
            Some(event) => Some(event),
            None => match self.live.poll_next_unpin(context) {
                Poll::Ready(Some(event)) => Some(event.into()),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => None,
            },
        };
        let sent = match event {
            Some(event) => self.written(&event),
            None if self.keep_alive.poll_tick(context).is_ready() => Bytes::from_static(b":\n\n"),
            None => return Poll::Pending,
        };
        Poll::Ready(Some(Ok(sent)))
    }
}

impl IntoResponse for Events {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from_stream(self.0));
        let headers = response.headers_mut();
        let media_type = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, media_type);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx would keep events back until its buffer is full.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Events").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
