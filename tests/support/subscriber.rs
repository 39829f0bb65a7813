//! Records the crate's events and spans, for each thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

static EVENTS: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());
/// By their ids, since all threads of the program wait for a search.
static SPANS: Mutex<BTreeMap<u64, RecordedSpan>> = Mutex::new(BTreeMap::new());
static IDS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The spans that the thread is in, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A span with its fields as text.
#[derive(Debug, Clone)]
pub struct RecordedSpan {
    thread: ThreadId,
    pub id: u64,
    pub parent: Option<u64>,
    pub fields: String,
    metadata: &'static Metadata<'static>,
}

struct Recorder;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target() {
            "wundr_db" | "wundr_db::cache" | "wundr_db::calls" => true,
            "wundr_db::pool" => metadata.is_span(),
            _ => false,
        }
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let mut text = Text(String::new());
        attributes.record(&mut text);
        let current = || ENTERED.with_borrow(|entered| entered.last().copied());
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None => current(),
        };
        let span = RecordedSpan {
            thread: thread::current().id(),
            id,
            parent,
            fields: text.0,
            metadata: attributes.metadata(),
        };
        SPANS.lock().unwrap().insert(id, span);
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut spans = SPANS.lock().unwrap();
        if let Some(span) = spans.get_mut(&id.into_u64()) {
            let mut text = Text(std::mem::take(&mut span.fields));
            values.record(&mut text);
            span.fields = text.0;
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        EVENTS
            .lock()
            .unwrap()
            .push((thread::current().id(), text.0));
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(place) = entered.iter().rposition(|&other| other == id.into_u64()) {
                entered.remove(place);
            }
        });
    }

    fn current_span(&self) -> Current {
        let Some(id) = ENTERED.with_borrow(|entered| entered.last().copied()) else {
            return Current::none();
        };
        let spans = SPANS.lock().unwrap();
        match spans.get(&id) {
            Some(span) => Current::new(Id::from_u64(id), span.metadata),
            None => Current::none(),
        }
    }
}

/// Begins to record. Earlier events are removed.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

/// Returns the events of this thread.
pub fn events() -> Vec<String> {
    let recorded = EVENTS.lock().unwrap();
    let of_this = recorded
        .iter()
        .filter(|(id, _)| *id == thread::current().id());
    of_this.map(|(_, text)| text.clone()).collect()
}

/// Returns the spans that this thread has begun, in order.
pub fn spans() -> Vec<RecordedSpan> {
    let recorded = SPANS.lock().unwrap();
    let of_this = recorded
        .values()
        .filter(|span| span.thread == thread::current().id());
    of_this.cloned().collect()
}
