//! The parts of live progress that are compiled for each engine. Each engine mounts this file as
//! its module `following`.

use super::*;

pub(super) mod listener;
mod live_hub;

pub(super) use live_hub::Inside;
pub use live_hub::LiveHub;
