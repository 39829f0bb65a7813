//! Records the crate's metrics, for each thread.

use std::sync::{Arc, Mutex, Once};
use std::thread::{self, ThreadId};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

static MEASUREMENTS: Mutex<Vec<(ThreadId, String, f64)>> = Mutex::new(Vec::new());

struct Measurements;

/// One metric with its labels as text.
struct Named(String);

impl Named {
    fn of(key: &Key) -> Arc<Self> {
        let labels = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let labels: Vec<String> = labels.collect();
        Arc::new(Self(format!("{} {}", key.name(), labels.join(" "))))
    }

    fn put(&self, value: f64) {
        let measurement = (thread::current().id(), self.0.clone(), value);
        MEASUREMENTS.lock().unwrap().push(measurement);
    }
}

impl CounterFn for Named {
    fn increment(&self, value: u64) {
        self.put(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.put(value as f64);
    }
}

impl GaugeFn for Named {
    fn increment(&self, value: f64) {
        self.put(value);
    }

    fn decrement(&self, value: f64) {
        self.put(-value);
    }

    fn set(&self, value: f64) {
        self.put(value);
    }
}

impl HistogramFn for Named {
    fn record(&self, value: f64) {
        self.put(value);
    }
}

impl Recorder for Measurements {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Named::of(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Named::of(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Named::of(key))
    }
}

/// Begins to record.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| metrics::set_global_recorder(Measurements).unwrap());
}

/// Returns what this thread has measured, in order: the metric with its labels, and the value.
pub fn measurements() -> Vec<(String, f64)> {
    let recorded = MEASUREMENTS.lock().unwrap();
    let of_this = recorded
        .iter()
        .filter(|(id, ..)| *id == thread::current().id());
    of_this
        .map(|(_, name, value)| (name.clone(), *value))
        .collect()
}
