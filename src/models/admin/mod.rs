//! The data of the administration: settings, reports and what the server says about itself.

mod archiver;

pub use archiver::Archiver;
