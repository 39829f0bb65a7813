use super::*;
use crate::servers::{self, REDIS, Raw};
use crate::wire::Wire;
use wundr_db::cache::{CacheConfig, CachedKind, Unfenced};
use wundr_db::testing::{PostgresServer, RedisServer, migrated_database};
use wundr_db::*;

include!("pair.rs");

mod caches;
mod doubles;
mod events;
mod faults;
mod foreign;
mod origin;
mod reach;
mod readers;
mod sessions;
mod transactions;
