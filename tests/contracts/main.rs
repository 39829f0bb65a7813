//! The contracts of repositories, transactions and connections, on both engines: each contract is
//! written once and mounted in both.

#[path = "../support/mod.rs"]
mod support;

mod cached;
mod calls;
mod connections;
mod doubles;
mod errors;
mod live;
mod observation;
mod pool;
mod repositories;
mod single_flight;
mod transactions;
mod waiters;
mod web;

use support::{hostile, measurements, observer, pgbouncer, subscriber};
