//! The statements that are written in SQL by hand.
//!
//! A statement is a type that implements [`Statement`]. It is run as [`Sql`]; a constructor returns
//! it so. The text of each is in `tests/sql`, see `golden`.
//!
//! Insert, upsert and update have one implementation for all tables. diesel prepares an upsert and
//! an insert of many rows again at each call, because their text depends on the values. Here they
//! have one text for each table, or one for each set of columns. A connection prepares each once.
//! Their parts come from the derives [`NewRow`](macro@wundr_db_macros::NewRow) and
//! [`Changes`](macro@wundr_db_macros::Changes).

pub(crate) mod access;
pub(crate) mod acting;
#[cfg(feature = "admin")]
pub(crate) mod admin;
pub(crate) mod analyses;
pub(crate) mod analysis_issues;
pub(crate) mod analysis_leases;
pub(crate) mod analysis_lifecycle;
pub(crate) mod analysis_metrics;
pub(crate) mod analysis_pins;
pub(crate) mod audit_seals;
mod by_id;
#[cfg(feature = "redis")]
pub(crate) mod cache;
mod cacheable;
mod cached_text;
pub(crate) mod copy;
mod count_by;
pub(crate) mod dashboard;
pub(crate) mod decoding;
mod delete;
pub(crate) mod finding_matching;
mod finding_texts;
pub(crate) mod functions;
#[cfg(test)]
mod golden;
pub(crate) mod health;
pub(crate) mod ingest;
mod insert;
pub(crate) mod invitations;
mod list;
mod literal_limit;
pub(crate) mod live;
mod membership;
mod own_page;
mod page_per_parent;
mod page_with_total;
pub(crate) mod partitions;
pub(crate) mod project_stats;
pub(crate) mod quality_gates;
pub(crate) mod queue_state;
#[cfg(feature = "crypto")]
pub(crate) mod resealing;
mod returning;
mod run_times;
#[cfg(any(feature = "async", feature = "migrations"))]
pub(crate) mod session_identity;
#[cfg(feature = "crypto")]
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod setup_lifecycle;
mod statement;
mod subquery;
mod target;
pub(crate) mod timeline;
pub(crate) mod tools;
pub(crate) mod tracking;
pub(crate) mod trends;
#[cfg(feature = "blocking")]
mod typed;
pub(crate) mod unreadable;
mod update;
mod update_matching;
mod upsert;
pub(crate) use crate::mapping::columns_of;
pub(crate) use by_id::ExistsById;
pub use by_id::{delete_by_id, exists_by_id, find_by_id, find_by_ids};
pub use cacheable::cacheable;
pub(crate) use count_by::CountBy;
pub use decoding::Rows;
pub use delete::delete_matching;
pub(crate) use insert::suppressed;
pub use insert::{InsertMany, insert, insert_many};
pub(crate) use list::{is_one_of, is_one_of_owned};
pub(crate) use literal_limit::{AtMost, at_most};
pub use membership::{RemoveMembers, Removed, change_member, remove_members, upsert_member};
pub(crate) use own_page::own_page;
pub use own_page::{OwnPage, OwnPageWithTotal};
pub use page_per_parent::{PagePerParent, page_per_parent, parent_id};
pub(crate) use page_with_total::{PageWithTotal, PagesWithTotals};
#[cfg(feature = "async")]
pub(crate) use statement::{AnyStatement, Untyped};
pub use statement::{Identity, Sql, Statement};
pub(crate) use subquery::{ArraySubquery, ScalarSubquery};
#[cfg(feature = "blocking")]
pub(crate) use typed::{KeyedInsert, keyed};
pub use update::update;
pub use update_matching::update_matching;
pub use upsert::upsert;
