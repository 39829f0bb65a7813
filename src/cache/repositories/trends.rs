//! Trends of metrics, as old as their lifetime allows.

use std::time::Duration;

use super::cache_io::boxed;
use super::protocol::fill::settle;
use super::protocol::lookup::{Lookup, look_up};
use super::*;
use crate::cache::CachedKind;
use crate::cache::keys::EntryKey;
use crate::{ProjectId, TrendPoint};

/// The [`TrendRepository`] behind the cache. A metric's trend may be out of date by
/// [`max_age`](Self::max_age), and by no more: it depends on too many rows to be fenced. Trends of
/// several metrics in one call come from the database.
#[derive(Clone)]
pub struct AgingTrends(Arc<Inside>);

impl Cached {
    /// Returns the trends of metrics, as old as they may be.
    pub fn trends(&self) -> AgingTrends {
        AgingTrends(Arc::clone(&self.0))
    }
}

impl AgingTrends {
    /// Returns the largest age of a result; zero if results are not cached.
    pub fn max_age(&self) -> Duration {
        self.0
            .client
            .settings
            .lifetime_of(CachedKind::Trend)
            .unwrap_or_default()
    }
}

#[repository(observed)]
impl TrendRepository for AgingTrends {
    fn inner(&self) -> Option<&dyn TrendRepository> {
        Some(&self.0.trends)
    }

    async fn of_metric(
        &self,
        project_id: ProjectId,
        metric_name: &str,
        days_back: i32,
    ) -> Result<Vec<TrendPoint>> {
        let key = EntryKey::of_trend(project_id, metric_name, days_back);
        match look_up(&self.0.client, key).await {
            Lookup::Hit(value) => Ok(value),
            Lookup::Miss(fill) => {
                boxed(settle(
                    fill,
                    self.0
                        .trends
                        .of_metric(project_id, metric_name, days_back)
                        .await,
                ))
                .await
            }
        }
    }
}
