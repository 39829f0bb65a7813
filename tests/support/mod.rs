//! The code that several test programs share: each mounts this folder as a module.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod catalog;
pub mod hostile;
pub mod measurements;
pub mod observer;
pub mod pgbouncer;
pub mod subscriber;
pub mod wire;
