//! The two folders of the cache that are compiled for each engine. `cache::asynchronous` and
//! `cache::blocking` mount this file as their module `cached`.

use super::repositories as uncached;
use super::*;

mod protocol;
mod repositories;

pub use repositories::*;
