//! The two engines: pools, transactions and the execution of statements.
//!
//! The async engine has its own connection on tokio-postgres. The blocking engine has diesel's on
//! libpq.

#[cfg(feature = "async")]
pub(crate) mod asynchronous;
pub(crate) mod attachments;
#[cfg(feature = "blocking")]
pub(crate) mod blocking;
#[cfg(feature = "async")]
pub(crate) mod connection;
pub(crate) mod connection_observer;
pub(crate) mod host_order;
mod lent_session;
#[cfg(feature = "blocking")]
pub(crate) mod libpq;
pub(crate) mod occupancy;
pub(crate) mod pool_context;
pub(crate) mod tx_state;
pub(crate) mod usage;
