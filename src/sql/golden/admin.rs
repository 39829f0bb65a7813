//! The statements of the administration, which are run as text.

use super::Registry;
use crate::models::admin::{FreeRange, LogArchiveHeader};
use crate::models::partitions::LogTable;
use crate::sql::admin::organization::UserColumn;
use crate::sql::admin::{
    activity, after_restore, archiver, default_partition, digests, lean_indexes, log_archive,
    maintenance, organization, readiness, relations, replication, statements,
};

pub(super) fn add_all(registry: &mut Registry) {
    for (name, types, sql) in [
        ("admin_activity", "", activity::ACTIVITY),
        ("admin_locks", "", activity::LOCKS),
        ("admin_archiver", "", archiver::ARCHIVER),
        ("admin_archiver_may_list", "", archiver::MAY_LIST),
        ("admin_archiver_waiting", "", archiver::WAITING),
        ("admin_readiness", "", &readiness::facts()),
        ("admin_tables", "", relations::TABLES),
        ("admin_indexes", "", relations::INDEXES),
        ("admin_replication", "", replication::REPLICATION),
        ("admin_statements_extension", "", statements::EXTENSION),
        ("admin_lean_indexes", "", lean_indexes::LEAN_INDEXES),
        ("after_restore_requeue", "", after_restore::REQUEUE),
        ("after_restore_end_leases", "", after_restore::END_LEASES),
        ("after_restore_move_fences", "", after_restore::MOVE_FENCES),
        (
            "after_restore_open_functions",
            "text[]",
            after_restore::OPEN_FUNCTIONS,
        ),
        (
            "after_restore_set_search_path",
            "",
            after_restore::SET_SEARCH_PATH,
        ),
        ("after_restore_search_path", "", after_restore::SEARCH_PATH),
        ("after_restore_unanalyzed", "", after_restore::UNANALYZED),
        ("snapshot_pin", "", digests::PIN),
        ("snapshot_moment", "", digests::MOMENT),
        ("snapshot_tables", "", digests::TABLES),
        ("snapshot_sequences", "", digests::SEQUENCES),
        ("snapshot_definitions", "", digests::DEFINITIONS),
        ("snapshot_export", "", digests::EXPORT_SNAPSHOT),
        ("snapshot_migrations", "", digests::MIGRATIONS),
        ("organization_name", "uuid", organization::ORGANIZATION_NAME),
        ("snapshot_migrations_table", "", digests::MIGRATIONS_TABLE),
        ("snapshot_hash", "", &digests::hash("public.users")),
        ("maintenance_try_lock", "text", maintenance::TRY_LOCK),
        (
            "maintenance_expired_sessions",
            "int8",
            maintenance::EXPIRED_SESSIONS,
        ),
        (
            "maintenance_exchanged_tokens",
            "int8",
            maintenance::EXCHANGED_TOKENS,
        ),
        (
            "maintenance_delete_exchanged_tokens",
            "int8",
            maintenance::DELETE_EXCHANGED_TOKENS,
        ),
        (
            "maintenance_abandoned_runs",
            "int8",
            maintenance::ABANDONED_RUNS,
        ),
    ] {
        registry.add_text(name, types, sql);
    }
    add_organizations(registry);
    add_archives(registry);
    add_adoptions(registry);
}

fn add_organizations(registry: &mut Registry) {
    let id = uuid::Uuid::nil().into();
    let users = [UserColumn {
        name: "public.projects".to_owned(),
        column: "created_by".to_owned(),
    }];
    let rows = |table: &str| {
        let condition = organization::condition(table, &users, id);
        format!("COPY (SELECT id FROM {table} AS r WHERE {condition}) TO STDOUT")
    };
    let columns = ["id".to_owned(), "slug".to_owned()];
    let table = "public.organizations";
    for (name, types, sql) in [
        ("organization_columns", "text[]", organization::COLUMNS),
        (
            "organization_user_columns",
            "text[]",
            organization::USER_COLUMNS,
        ),
        (
            "organization_prepare_import",
            "",
            organization::PREPARE_IMPORT,
        ),
        ("organization_rows_of_users", "", &rows("public.users")),
        (
            "organization_rows_of_issues",
            "",
            &rows("analysis.analysis_issues"),
        ),
        (
            "organization_create_staging",
            "",
            &organization::create_staging(table, "id, slug"),
        ),
        (
            "organization_insert",
            "",
            &organization::insert(table, "id, slug"),
        ),
        (
            "organization_insert_entries",
            "",
            &organization::insert("audit.audit_logs", "id, created_at"),
        ),
        (
            "organization_conflicts",
            "",
            &organization::conflicts(table, &columns, &columns[..1]),
        ),
    ] {
        registry.add_text(name, types, sql);
    }
}

fn add_archives(registry: &mut Registry) {
    let log = LogTable::AuditLogs;
    let name = "audit.audit_logs_2024_01";
    let columns = vec!["id".to_owned(), "created_at".to_owned()];
    let time = |text: &str| text.parse().unwrap();
    let bounds = (
        Some(time("2024-01-01T00:00:00Z")),
        time("2024-02-01T00:00:00Z"),
    );
    let header = LogArchiveHeader::new(log.as_str(), name, bounds, columns.clone());
    for (name, types, sql) in [
        ("log_archive_prepare", "", log_archive::PREPARE),
        ("log_archive_columns", "text", log_archive::COLUMNS),
        (
            "log_archive_copy_out",
            "",
            &log_archive::copy_out(name, &columns),
        ),
        (
            "log_archive_copy_in",
            "",
            &log_archive::copy_in(name, &columns),
        ),
        ("log_archive_detach", "", &log_archive::detach(log, name)),
        ("log_archive_drop", "", &log_archive::drop(log, name)),
        ("log_archive_create", "", &log_archive::create(log, &header)),
        (
            "log_archive_clear_references",
            "",
            &log_archive::clear_references(log, name),
        ),
        ("log_archive_cleared", "", log_archive::CLEARED),
        ("log_archive_attach", "", &log_archive::attach(log, &header)),
    ] {
        registry.add_text(name, types, sql);
    }
}

fn add_adoptions(registry: &mut Registry) {
    let range = FreeRange {
        from: None,
        before: "2024-02-01".parse().unwrap(),
    };
    let default = "audit.audit_logs_default";
    let adoption = default_partition::Adoption::new(LogTable::AuditLogs, range);
    for (name, sql) in [
        (
            "default_partition_rows_within",
            default_partition::count_within(default, &range),
        ),
        (
            "default_partition_outside",
            default_partition::outside(default, Some(&range)),
        ),
        ("default_partition_begin", adoption.begin()),
        ("default_partition_validate", adoption.validate()),
        ("default_partition_swap", adoption.swap()),
        ("default_partition_end", adoption.end()),
    ] {
        registry.add_text(name, "", &sql);
    }
}
