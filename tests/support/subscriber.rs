//! Records the crate's events.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static EVENTS: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

struct Hearing;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Hearing {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        matches!(metadata.target(), "wundr_db" | "wundr_db::cache")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("{} ", event.metadata().level()));
        event.record(&mut text);
        EVENTS
            .lock()
            .unwrap()
            .push((thread::current().id(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Begins to record. Earlier events are removed.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Hearing).unwrap());
}

/// Returns the events of this thread.
pub fn events() -> Vec<String> {
    let recorded = EVENTS.lock().unwrap();
    let of_this = recorded
        .iter()
        .filter(|(id, _)| *id == thread::current().id());
    of_this.map(|(_, text)| text.clone()).collect()
}
