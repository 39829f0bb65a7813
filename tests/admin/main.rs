//! The administration, on both engines and with the real tools: each contract is written once and
//! mounted in both.

#[path = "../support/mod.rs"]
mod support;

#[path = "contract"]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    include!("../engines/asynchronous.rs");

    mod archiver;
    mod retention;
    mod snapshot;
}

#[path = "contract"]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    include!("../engines/blocking.rs");

    mod archiver;
    mod retention;
    mod snapshot;
}

use support::observer;
