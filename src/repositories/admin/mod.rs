//! The administration: functions for operators, which need more rights than an application or read
//! the server's catalogues.

mod archiver;

pub use crate::models::admin::*;
pub use archiver::archiver;

use super::{Db, repository};
