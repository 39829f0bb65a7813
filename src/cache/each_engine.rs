//! The two folders of the cache that are compiled for each engine. Each engine mounts this file as
//! its module `cached`.

use super::repositories as uncached;
use super::*;

mod protocol;
mod repositories;

pub use repositories::*;
