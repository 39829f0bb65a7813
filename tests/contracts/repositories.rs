//! The contracts of all repositories, checked on real databases. Each contract is written once and
//! runs on both engines.

#[path = ""]
mod asynchronous {
    use crate::observer::Observer;
    use tokio::test as case;
    use wundr_db::testing::TestDatabase;
    use wundr_db::{repository as both_engines, *};

    /// A database of the test's own, with its pool.
    async fn database() -> (Db, TestDatabase) {
        let database = crate::hostile::database();
        let config = crate::hostile::config(&database);
        (Db::connect(config).await.unwrap(), database)
    }

    include!("../engines/asynchronous.rs");

    mod streams_of_tenants;
    mod tables;
}

#[path = ""]
mod blocking {
    use crate::observer::Observer;
    use core::prelude::v1::test as case;
    use wundr_db::blocking::{repository as both_engines, *};
    use wundr_db::testing::TestDatabase;

    /// A database of the test's own, with its pool.
    fn database() -> (Db, TestDatabase) {
        let database = crate::hostile::database();
        let config = crate::hostile::config(&database);
        (Db::connect(config).unwrap(), database)
    }

    include!("../engines/blocking.rs");

    mod tables;
}

use crate::hostile;

/// The operations that only the owner of the tables, or a member of it, may do.
pub const OF_THE_OWNER: &[&str] = &[
    "tables::partitions",
    "an_entry_by_id_is_looked_for_in_the_months_around_it_alone",
];

// Each mount of the contracts runs once more, in a hostile database. Those of the repositories and
// those of the cache are in the other kind of database with the other engine: each engine and each
// of the two layers meets both kinds.
#[test]
fn a_role_that_owns_nothing_runs_no_code_of_a_hostile_one() {
    hostile::run_again("new", "repositories::asynchronous::", OF_THE_OWNER);
}

#[test]
fn a_role_that_owns_nothing_runs_no_code_of_a_hostile_one_in_an_adopted_database() {
    hostile::run_again("adopted", "repositories::blocking::", OF_THE_OWNER);
}
