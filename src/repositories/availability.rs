//! The probes of an orchestrator, and the state of the queue.

use super::*;
use crate::models::queue_state::QueueState;
use crate::sql::Sql;
use crate::sql::queue_state::StateOfQueue;
use crate::{Availability, Result};

#[repository]
impl Db {
    /// Checks whether the database can serve requests, as a readiness probe does. Takes little
    /// longer than [`Config::health_timeout`](crate::Config::health_timeout).
    ///
    /// A pool whose connections are all in use is [`Availability::Busy`]: the application should
    /// get fewer requests, and nothing is broken.
    pub async fn readiness(&self) -> Availability {
        let health = self.health().await;
        let is_closed = self.pool.context().is_closed();
        Availability::new(health, self.pool(), is_closed)
    }

    /// Checks whether the pool can be used at all, as a liveness probe does. Neither waits nor uses
    /// a connection.
    ///
    /// An application whose server is down is alive: a restart would not help. It is not alive
    /// after [`close`](Self::close).
    ///
    /// # Errors
    /// - [`Error::Pool`](crate::Error::Pool) if the database is closed
    pub fn liveness(&self) -> Result<()> {
        self.pool.context().check_open()
    }

    /// Returns the number of analyses that are pending, running and abandoned, and the longest
    /// wait. It reads the open analyses alone.
    pub async fn queue_state(&self) -> Result<QueueState> {
        let state = self.executor().one(Sql(StateOfQueue)).await;
        state.map(QueueState::new)
    }
}
