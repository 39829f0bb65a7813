//! The tables that may appear in one query: each of this crate with each other, and an
//! application's with all of them.
//!
//! diesel requires `TableNotEqual` of two tables in one query, in both directions. Its macro
//! implements that for `Only` and `Tablesample` of the tables as well. These are foreign to a crate
//! that has only one of the two tables, so that rustc refuses the macro there (E0117).

use std::any::TypeId;

/// Calls a macro with the tables of `schema.rs`, after the tokens that it is given. A test compares
/// the list with the declarations.
#[doc(hidden)]
#[macro_export]
macro_rules! __with_each_table {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            $($given)*
            (public users) (public user_sessions) (public organization_invitations) (public user_session_families) (public rotated_refresh_tokens) (public organizations) (public organization_members) (public projects) (public project_members)
            (analysis analyses) (analysis analysis_results) (analysis analysis_issues) (analysis analysis_abandonments) (analysis analysis_leases) (analysis analysis_metrics) (analysis analysis_pins) (analysis analysis_removals) (analysis dependency_graphs) (analysis duplicate_groups)
            (setup setup_profiles) (setup setup_sessions) (setup setup_steps) (setup tools) (setup configurations) (setup integrations)
            (audit audit_logs) (audit audit_log_anonymizations) (audit audit_log_seals) (audit audit_log_seal_pages) (audit system_logs)
            (cache project_stats)
        }
    };
}

/// Implements what a query with two tables requires, in both directions.
#[doc(hidden)]
#[macro_export]
macro_rules! __tables_together {
    ($own:ident: $(($schema:ident $table:ident))*) => {$(
        impl $crate::diesel::query_source::TableNotEqual<$crate::schema::$schema::$table::table>
            for $own::table
        {
        }
        impl $crate::diesel::query_source::TableNotEqual<$own::table>
            for $crate::schema::$schema::$table::table
        {
        }
    )*};
}

/// Allows an application's tables to appear in one query with each table of this crate and with
/// each other.
///
/// It takes the place of diesel's `allow_tables_to_appear_in_same_query!`, which rustc refuses for
/// the tables of two crates (E0117). The tables are named by the modules of their `table!`, which
/// must be in scope. Each table must be in one call only: tables of two calls do not appear
/// together.
///
/// What diesel's macro has in addition is not available between an own table and one of this
/// crate: `only()` and `tablesample()`. For a join along a foreign key write
/// `diesel::joinable!(notes -> users (author_id))`.
///
/// # Examples
/// ```
/// use wundr_db::diesel::prelude::*;
/// use wundr_db::schema::analysis::analysis_issues;
/// use wundr_db::schema::public::{projects, users};
///
/// diesel::table! {
///     app.notes (id) {
///         id -> Uuid,
///         author_id -> Uuid,
///         issue_id -> Nullable<Uuid>,
///         body -> Text,
///     }
/// }
/// diesel::table! {
///     app.tags (id) {
///         id -> Uuid,
///         note_id -> Uuid,
///     }
/// }
///
/// wundr_db::allow_own_tables!(notes, tags);
/// diesel::joinable!(notes -> users (author_id));
/// diesel::joinable!(tags -> notes (note_id));
///
/// # fn main() {
/// let query = notes::table
///     .inner_join(users::table)
///     .left_join(analysis_issues::table.on(notes::issue_id.eq(analysis_issues::id.nullable())))
///     .filter(diesel::dsl::exists(projects::table.filter(projects::created_by.eq(users::id))))
///     .select((notes::body, users::email, analysis_issues::title.nullable()));
/// # let _ = query;
/// # }
/// ```
#[macro_export]
macro_rules! allow_own_tables {
    ($($own:ident),+ $(,)?) => {
        $($crate::__with_each_table! { [$crate::__tables_together] $own: })+
        $crate::diesel::allow_tables_to_appear_in_same_query!($($own,)+);
    };
}

/// Implements the same for the tables of different schemas of this crate.
macro_rules! across_schemas {
    () => {};
    (@pair (public $one:ident) (public $other:ident)) => {};
    (@pair (analysis $one:ident) (analysis $other:ident)) => {};
    (@pair (setup $one:ident) (setup $other:ident)) => {};
    (@pair (audit $one:ident) (audit $other:ident)) => {};
    (@pair ($one_schema:ident $one:ident) ($other_schema:ident $other:ident)) => {
        impl diesel::query_source::TableNotEqual<super::$one_schema::$one::table>
            for super::$other_schema::$other::table
        {
        }
        impl diesel::query_source::TableNotEqual<super::$other_schema::$other::table>
            for super::$one_schema::$one::table
        {
        }
    };
    ($first:tt $($other:tt)*) => {
        $(across_schemas! { @pair $first $other })*
        across_schemas! { $($other)* }
    };
}
__with_each_table! { [across_schemas] }

macro_rules! is_of_this_crate {
    ($table:ident: $(($schema:ident $name:ident))*) => {
        $($table == TypeId::of::<super::$schema::$name::table>() ||)* false
    };
}

/// Checks whether a type is a table of this crate.
pub(crate) fn is_of_this_crate(table: TypeId) -> bool {
    __with_each_table! { [is_of_this_crate] table: }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_declared_table_may_appear_with_the_others() {
        let declared = include_str!("../schema.rs").lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("        ")?.split_once(" (")?;
            let (schema, table) = name.split_once('.')?;
            let is_word = |word: &str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (is_word(schema) && is_word(table)).then(|| format!("({schema} {table})"))
        });
        let listed = include_str!("together.rs");
        let declared: Vec<_> = declared.collect();
        assert!(declared.len() > 25, "{declared:?}");
        for table in declared {
            assert!(listed.contains(&table), "__with_each_table lacks {table}");
        }
    }
}
