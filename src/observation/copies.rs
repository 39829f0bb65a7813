//! The copies of rows into a table by `COPY`.

use std::time::Instant;

#[cfg(feature = "tracing")]
use tracing::Span;

#[cfg(feature = "tracing")]
use super::{ABANDONED, TARGET};

/// A `COPY`. Dropped before it ends, it was abandoned.
#[derive(Debug)]
pub(crate) struct Copying {
    pub(super) began: Instant,
    #[cfg(feature = "tracing")]
    pub(super) span: Span,
}

impl Copying {
    /// Ends a `COPY`. `None` if the rows have to be sent by statements instead.
    pub(crate) fn end(self, copied: &crate::Result<Option<usize>>) {
        let took = self.began.elapsed();
        #[cfg(feature = "tracing")]
        let mut this = self;
        #[cfg(feature = "tracing")]
        match copied {
            Ok(Some(rows)) => {
                this.span.record("wundr_db.copied_rows", *rows as u64);
                tracing::debug!(
                    target: TARGET,
                    parent: &this.span,
                    rows,
                    elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    "copied rows"
                );
                this.record("ok");
            }
            Ok(None) => this.record("not possible"),
            Err(error) => {
                this.span.record("error.type", error.code());
                this.record("error");
            }
        }
        #[cfg(feature = "metrics")]
        if let Ok(Some(rows)) = copied {
            metrics::counter!("wundr_db.copy.rows").increment(*rows as u64);
            metrics::histogram!("wundr_db.copy.duration").record(took.as_secs_f64());
        }
        #[cfg(not(all(feature = "metrics", feature = "tracing")))]
        let _ = (took, copied);
    }

    #[cfg(feature = "tracing")]
    fn record(&mut self, outcome: &'static str) {
        self.span.record("outcome", outcome);
        self.span = Span::none();
    }
}

#[cfg(feature = "tracing")]
impl Drop for Copying {
    fn drop(&mut self) {
        if !self.span.is_none() {
            self.record(ABANDONED);
        }
    }
}
