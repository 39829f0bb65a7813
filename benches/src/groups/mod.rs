//! The groups. The contenders of a group do the same work.

mod audit;
mod bulk;
mod cache;
mod ingest;
mod logins;
mod logs;
mod operations;
mod platform;
mod reads;
mod statistics;
mod tenancy;
mod writes;

use crate::Outcome;
use crate::database::World;
use crate::measure::Group;

/// A function that creates a group and its database.
type Make = fn(&mut World) -> Outcome<Group>;

/// All groups, in the order of the table.
pub const ALL: [(&str, Make); 29] = [
    ("point_read", reads::point_read),
    ("own_query", reads::own_query),
    ("page_of_100", reads::page_of_100),
    ("rows_1000", reads::rows_1000),
    ("insert_one", writes::insert_one),
    ("update_one", writes::update_one),
    ("upsert_one", writes::upsert_one),
    ("audited_update", audit::audited_update),
    ("bulk_100k_issues", bulk::bulk_100k_issues),
    ("ingest_django", ingest::ingest_django),
    ("track_50k", operations::track_50k),
    ("dashboard", operations::dashboard),
    ("project_stats_all", statistics::project_stats_all),
    ("project_stats_one", statistics::project_stats_one),
    ("trends", statistics::trends),
    ("log_by_id", logs::log_by_id),
    ("log_last_week", logs::log_last_week),
    ("cache_hit_1", cache::cache_hit_1),
    ("cache_hit_64", cache::cache_hit_64),
    ("cache_miss", cache::cache_miss),
    ("cache_write", cache::cache_write),
    ("cache_stampede", cache::cache_stampede),
    ("authenticate", logins::authenticate),
    ("refresh", logins::refresh),
    ("open_integration", logins::open_integration),
    ("access", tenancy::access),
    ("isolated_read", tenancy::isolated_read),
    ("isolated_page", tenancy::isolated_page),
    ("isolated_ingest", tenancy::isolated_ingest),
];
