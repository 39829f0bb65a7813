//! The state of the queue of analyses.

use std::time::Duration;

/// The state of the queue of analyses, returned by [`Db::queue_state`](crate::Db::queue_state).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueState {
    /// The number of analyses that are pending.
    pub pending: u64,
    /// The number of analyses that are running.
    pub running: u64,
    /// The number of running analyses whose lease has expired.
    pub abandoned: u64,
    /// The time since the oldest pending analysis was created; `None` if none is pending.
    pub longest_wait: Option<Duration>,
}

impl QueueState {
    pub(crate) fn new(
        (pending, running, abandoned, longest_wait): (i64, i64, i64, Option<i64>),
    ) -> Self {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        Self {
            pending: count(pending),
            running: count(running),
            abandoned: count(abandoned),
            longest_wait: longest_wait.map(|micros| Duration::from_micros(count(micros))),
        }
    }

    /// Sets the gauges of the queue: `wundr_db.queue.analyses` with the states `pending`, `running`
    /// and `abandoned`, and `wundr_db.queue.longest_wait` in seconds. `queue` is the label `queue`.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self, queue: &str) {
        use metrics::gauge;

        for (state, number) in [
            ("pending", self.pending),
            ("running", self.running),
            ("abandoned", self.abandoned),
        ] {
            gauge!("wundr_db.queue.analyses", "queue" => queue.to_owned(), "state" => state)
                .set(number as f64);
        }
        let wait = self.longest_wait.unwrap_or_default();
        gauge!("wundr_db.queue.longest_wait", "queue" => queue.to_owned()).set(wait.as_secs_f64());
    }
}
