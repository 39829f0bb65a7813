//! Failpoints: places where a test can delay the process.

use super::cache_io::pause;
use super::client::CacheClient;
use super::repository;
use crate::cache::Failpoint;

/// Lets a test delay the process between two steps.
#[cfg(feature = "cache-faults")]
#[repository]
pub(crate) async fn failpoint(client: &CacheClient, failpoint: Failpoint) {
    if let Some(hook) = client.settings.failpoint_hook {
        pause(hook(failpoint)).await;
    }
}
