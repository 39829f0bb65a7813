//! The data of the administration: settings, reports and what the server says about itself.

mod archiver;
mod digests;
mod retention;

pub use archiver::Archiver;
pub use digests::{Aspect, Comparison, Difference, Digests, TableDigest};
pub use retention::{AnalysisRetention, RetainedAnalyses};
