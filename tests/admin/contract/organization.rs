use super::*;

use std::collections::BTreeMap;
use std::io::Write;

use super::admin::{ConflictPolicy, ConflictReason, Input, Output};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{Follow, LiveEvent};

/// Two organizations, with rows in every table of an archive. Ids end with the number.
pub(super) const ROWS: &str = "
    CREATE FUNCTION pg_temp.id(number INTEGER) RETURNS UUID LANGUAGE sql
        RETURN ('0197a000-0000-7000-8000-' || pg_catalog.lpad(number::text, 12, '0'))::uuid;
    INSERT INTO public.users (id, email, name) SELECT pg_temp.id(n), 'user' || n || '@example.org', 'User ' || n
        FROM generate_series(1, 4) AS n;
    INSERT INTO public.user_sessions (user_id, token_hash, expires_at) VALUES (pg_temp.id(1), 'x', now() + interval '1 day');
    INSERT INTO public.organizations (id, name, slug, settings) VALUES
        (pg_temp.id(10), 'Lab', 'lab', '{\"a\": [1, 2.50, \"ü\"]}'), (pg_temp.id(11), 'Other', 'other', '{}');
    INSERT INTO public.organization_members (organization_id, user_id, role, invited_by) VALUES
        (pg_temp.id(10), pg_temp.id(1), 'owner', pg_temp.id(2)), (pg_temp.id(11), pg_temp.id(3), 'owner', NULL);
    INSERT INTO public.organization_invitations (id, organization_id, user_id, role, expires_at) VALUES
        (pg_temp.id(12), pg_temp.id(10), pg_temp.id(2), 'member', now() + interval '1 day');
    INSERT INTO public.projects (id, organization_id, name, created_by) VALUES
        (pg_temp.id(20), pg_temp.id(10), 'One', pg_temp.id(2)), (pg_temp.id(21), pg_temp.id(11), 'Two', pg_temp.id(3));
    INSERT INTO public.project_members (project_id, user_id, role) VALUES
        (pg_temp.id(20), pg_temp.id(1), 'owner'), (pg_temp.id(21), pg_temp.id(3), 'owner');
    INSERT INTO analysis.analyses (id, project_id, type, status, started_at, created_by) VALUES
        (pg_temp.id(30), pg_temp.id(20), 'quality', 'pending', NULL, pg_temp.id(1)),
        (pg_temp.id(31), pg_temp.id(20), 'security', 'running', now(), pg_temp.id(1)),
        (pg_temp.id(32), pg_temp.id(21), 'quality', 'pending', NULL, pg_temp.id(3));
    INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at)
        VALUES (pg_temp.id(31), 'worker', now() - interval '1 hour');
    INSERT INTO analysis.analysis_abandonments (analysis_id, times) VALUES (pg_temp.id(31), 1);
    INSERT INTO analysis.analysis_pins (analysis_id, reason, pinned_by) VALUES (pg_temp.id(30), 'release', pg_temp.id(2));
    INSERT INTO analysis.analysis_results (analysis_id, file_path) SELECT pg_temp.id(n), 'a.rs' FROM generate_series(30, 32) AS n;
    INSERT INTO analysis.analysis_issues (analysis_id, type, severity, title, file_path, resolved_by)
        SELECT pg_temp.id(n), 'security', 'high', 'Title ' || m, 'a.rs', pg_temp.id(4)
        FROM generate_series(30, 32) AS n, generate_series(1, 300) AS m;
    INSERT INTO analysis.analysis_metrics (analysis_id, metric_name, metric_value, category)
        SELECT pg_temp.id(n), 'lines', 'NaN', 'quality' FROM generate_series(30, 32) AS n;
    INSERT INTO analysis.dependency_graphs (project_id, analysis_id, graph_data) VALUES
        (pg_temp.id(20), pg_temp.id(30), '{}'), (pg_temp.id(21), NULL, '{}');
    INSERT INTO analysis.duplicate_groups (analysis_id, hash, similarity_percentage, total_lines, files)
        SELECT pg_temp.id(n), 'h', 99.5, 7, '[]' FROM generate_series(30, 32) AS n;
    INSERT INTO setup.setup_profiles (id, name, category, created_by, organization_id) VALUES
        (pg_temp.id(40), 'Profile', 'backend', pg_temp.id(1), pg_temp.id(10));
    INSERT INTO setup.setup_sessions (profile_id, user_id) VALUES (pg_temp.id(40), pg_temp.id(1));
    INSERT INTO setup.configurations (organization_id, project_id, scope, category, name, value, created_by) VALUES
        (pg_temp.id(10), NULL, 'organization', 'general', 'a', '1', pg_temp.id(1)),
        (NULL, pg_temp.id(20), 'project', 'general', 'b', '2', pg_temp.id(1)),
        (NULL, NULL, 'global', 'general', 'c', '3', pg_temp.id(3));
    INSERT INTO setup.integrations (organization_id, type, name, credentials, created_by) VALUES
        (pg_temp.id(10), 'github', 'GitHub', '\"sealed\"', pg_temp.id(1));
    INSERT INTO audit.audit_logs (user_id, organization_id, action, resource_type, ip_address) VALUES
        (pg_temp.id(2), pg_temp.id(10), 'login', 'user', '10.0.0.1'), (pg_temp.id(3), pg_temp.id(11), 'login', 'user', NULL);
";

fn id(number: u32) -> String {
    format!("0197a000-0000-7000-8000-{number:012}")
}

pub(super) fn lab() -> OrganizationId {
    id(10).parse().unwrap()
}

#[both_engines]
pub(super) async fn filled() -> (Db, TestDatabase) {
    let (db, database) = empty().await;
    Observer::of(&database.url()).run(ROWS);
    (db, database)
}

#[both_engines]
pub(super) async fn empty() -> (Db, TestDatabase) {
    let database = migrated_database().unwrap();
    (Db::connect_to(&database.url()).await.unwrap(), database)
}

#[both_engines]
pub(super) async fn archive_of(db: &Db) -> Vec<u8> {
    let mut archive = Vec::new();
    let output = Output::immediate(&mut archive);
    let exported = admin::export_organization(db, lab(), output).await.unwrap();
    assert_eq!(exported.bytes, archive.len() as u64);
    archive
}

#[both_engines]
async fn import(
    db: &Db,
    archive: &[u8],
    policy: ConflictPolicy,
) -> Result<admin::ImportedOrganization> {
    admin::import_organization(db, Input::immediate(archive), policy).await
}

#[both_engines]
#[case]
async fn an_organization_moves_to_another_database_with_all_its_rows() {
    let (db, _database) = filled().await;
    let (other, other_database) = empty().await;
    let archive = archive_of(&db).await;
    let imported = import(&other, &archive, ConflictPolicy::Refuse)
        .await
        .unwrap();
    let rows: BTreeMap<_, _> = imported
        .tables
        .iter()
        .map(|table| (table.table.as_str(), table.inserted))
        .collect();
    let expected = [
        ("analysis.analyses", 2),
        ("analysis.analysis_abandonments", 1),
        ("analysis.analysis_issues", 600),
        ("analysis.analysis_leases", 1),
        ("analysis.analysis_metrics", 2),
        ("analysis.analysis_pins", 1),
        ("analysis.analysis_results", 2),
        ("analysis.dependency_graphs", 1),
        ("analysis.duplicate_groups", 2),
        ("audit.audit_logs", 1),
        ("public.organization_invitations", 1),
        ("public.organization_members", 1),
        ("public.organizations", 1),
        ("public.project_members", 1),
        ("public.projects", 1),
        ("public.users", 3),
        ("setup.configurations", 2),
        ("setup.integrations", 1),
        ("setup.setup_profiles", 1),
    ];
    for (table, number) in expected {
        assert_eq!(rows.get(table), Some(&number), "{table}");
    }
    // Back into the first: every row is there in the same form.
    let archive = archive_of(&other).await;
    let again = import(&db, &archive, ConflictPolicy::Refuse).await.unwrap();
    for table in &again.tables {
        assert_eq!((table.inserted, table.conflicts), (0, 0), "{table:?}");
        assert_eq!(rows[table.table.as_str()], table.rows, "{table:?}");
    }
    let mut observer = Observer::of(&other_database.url());
    assert_eq!(observer.count("public.user_sessions"), 0);
    assert_eq!(observer.count("setup.setup_sessions"), 0);
    // The run of a worker that is not there is abandoned, as any other.
    let abandoned = other.analyses().requeue_abandoned(9).await.unwrap();
    assert_eq!(abandoned.len(), 1);
}

#[both_engines]
#[case]
async fn a_row_that_differs_is_refused_with_nothing_written_or_kept() {
    let (db, _database) = filled().await;
    let (other, other_database) = filled().await;
    let archive = archive_of(&db).await;
    let mut observer = Observer::of(&other_database.url());
    observer.run(
        "UPDATE public.users SET name = 'Changed'; UPDATE public.projects SET name = 'Changed'; \
         DELETE FROM analysis.analysis_results",
    );
    let refused = import(&other, &archive, ConflictPolicy::Refuse).await;
    let Err(Error::InvalidInput { reason, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        reason.contains("1 rows of public.organizations "),
        "{reason}"
    );
    assert_eq!(observer.count("analysis.analysis_results"), 0);
    let kept = import(&other, &archive, ConflictPolicy::Keep)
        .await
        .unwrap();
    let project = kept
        .conflicts
        .iter()
        .find(|conflict| conflict.table == "public.projects");
    let project = project.unwrap();
    assert_eq!(
        (&project.key, project.reason),
        (&id(20), ConflictReason::Different)
    );
    assert!(
        !kept
            .conflicts
            .iter()
            .any(|conflict| conflict.table == "public.users")
    );
    assert_eq!(observer.count("analysis.analysis_results"), 2);
    assert_eq!(
        observer.ask("SELECT string_agg(DISTINCT name, ',') FROM public.projects"),
        "Changed"
    );
}

#[both_engines]
#[case]
async fn a_user_whose_address_another_has_is_refused_by_either_policy() {
    let (db, _database) = filled().await;
    let (other, other_database) = empty().await;
    let archive = archive_of(&db).await;
    let mut observer = Observer::of(&other_database.url());
    observer.run("INSERT INTO public.users (email, name) VALUES ('user1@example.org', 'Another')");
    let refused = import(&other, &archive, ConflictPolicy::Refuse)
        .await
        .unwrap_err();
    let reason = refused.to_string();
    assert!(
        reason.contains("1 rows of public.users") && reason.contains("taken"),
        "{reason}"
    );
    let refused = import(&other, &archive, ConflictPolicy::Keep)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::MissingReference(_)), "{refused}");
    assert_eq!(
        (
            observer.count("public.users"),
            observer.count("public.organizations")
        ),
        (1, 0)
    );
}

#[both_engines]
#[case]
async fn an_entry_of_a_sealed_month_is_a_conflict() {
    let (db, _database) = filled().await;
    let (other, other_database) = empty().await;
    let archive = archive_of(&db).await;
    let mut observer = Observer::of(&other_database.url());
    observer.run(
        "INSERT INTO audit.audit_log_seals (month, entries, hash) \
         VALUES (date_trunc('month', now() AT TIME ZONE 'UTC')::date, 0, '')",
    );
    let refused = import(&other, &archive, ConflictPolicy::Refuse)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("1 rows of audit.audit_logs"),
        "{refused}"
    );
    let kept = import(&other, &archive, ConflictPolicy::Keep)
        .await
        .unwrap();
    assert_eq!(kept.conflicts.len(), 1, "{kept:?}");
    assert_eq!(kept.conflicts[0].reason, ConflictReason::Taken);
    assert_eq!(observer.count("audit.audit_logs"), 0);
    assert_eq!(observer.count("public.organizations"), 1);
}

#[both_engines]
#[case]
async fn a_damaged_archive_is_refused_and_nothing_is_written() {
    let (db, _database) = filled().await;
    let (other, other_database) = empty().await;
    let archive = archive_of(&db).await;
    let mut observer = Observer::of(&other_database.url());
    for cut in [
        0,
        5,
        14,
        100,
        archive.len() / 2,
        archive.len() - 40,
        archive.len() - 1,
    ] {
        let refused = import(&other, &archive[..cut], ConflictPolicy::Keep).await;
        assert!(
            matches!(refused, Err(Error::InvalidInput { .. })),
            "{cut}: {refused:?}"
        );
    }
    let mut damaged = archive.clone();
    let at = archive
        .windows(9)
        .position(|bytes| bytes == b"Title 150")
        .unwrap();
    damaged[at] ^= 1;
    let refused = import(&other, &damaged, ConflictPolicy::Keep).await;
    assert!(
        matches!(&refused, Err(Error::InvalidInput { reason, .. }) if reason.contains("damaged")),
        "{refused:?}"
    );
    let mut foreign = archive.clone();
    let at = archive
        .windows(13)
        .position(|bytes| bytes == b"public.users\"")
        .unwrap();
    foreign[at..at + 12].copy_from_slice(b"public.tools");
    let refused = import(&other, &foreign, ConflictPolicy::Keep).await;
    assert!(
        matches!(refused, Err(Error::InvalidInput { .. })),
        "{refused:?}"
    );
    // A column of another type.
    observer.run("ALTER TABLE analysis.analysis_issues ALTER COLUMN line_number TYPE BIGINT");
    let refused = import(&other, &archive, ConflictPolicy::Keep).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("other columns in analysis.analysis_issues"),
        "{refused}"
    );
    observer.run("DELETE FROM public.__diesel_schema_migrations WHERE version = '20250102007400'");
    let refused = import(&other, &archive, ConflictPolicy::Keep)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("20250102007400"), "{refused}");
    assert_eq!(
        (
            observer.count("public.users"),
            observer.count("public.organizations")
        ),
        (0, 0)
    );
    // The pool is not affected.
    assert_eq!(other.users().count(&Default::default()).await.unwrap(), 0);
}

/// A writer that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 < bytes.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[both_engines]
#[case]
async fn an_output_that_fails_is_an_error_and_leaves_no_transaction_open() {
    let (db, database) = filled().await;
    for room in [0, 3_000, 20_000, 100_000] {
        let output = Output::immediate(Full(room));
        let failed = admin::export_organization(&db, lab(), output).await;
        assert!(
            matches!(failed, Err(Error::InvalidInput { .. })),
            "{room}: {failed:?}"
        );
    }
    let nobody =
        admin::export_organization(&db, OrganizationId::new(), Output::immediate(Vec::new())).await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })), "{nobody:?}");
    until(
        &database,
        "NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'wundr-db admin')",
    )
    .await;
}

#[both_engines]
#[case]
async fn listeners_are_not_notified_of_what_is_imported_and_readers_of_the_cache_find_it() {
    let (db, _database) = filled().await;
    let (other, other_database) = empty().await;
    let archive = archive_of(&db).await;
    let cached = Cached::new(other, crate::cache()).unwrap();
    assert_eq!(cached.organizations().find(lab()).await.unwrap(), None);
    let mut live = cached.follow(Follow::All).await.unwrap();
    import(&cached, &archive, ConflictPolicy::Refuse)
        .await
        .unwrap();
    assert!(cached.organizations().find(lab()).await.unwrap().is_some());
    Observer::of(&other_database.url()).run(&format!(
        "INSERT INTO analysis.analyses (id, project_id, type, created_by) VALUES ('{}', '{}', 'quality', '{}')",
        id(99), id(20), id(1)
    ));
    let first = loop {
        if let LiveEvent::Changed(analysis) = next(&mut live).await {
            break analysis.id;
        }
    };
    assert_eq!(first.to_string(), id(99));
}

#[both_engines]
#[case]
async fn every_table_of_an_organization_is_in_the_archive_after_those_that_it_names() {
    let (_db, database) = empty().await;
    let tables = admin::organization_tables();
    let mut observer = Observer::of(&database.url());
    let reached = observer.ask(
        "WITH RECURSIVE reached AS ( \
            SELECT 'public.organizations'::regclass::oid AS oid UNION \
            SELECT c.conrelid FROM reached JOIN pg_constraint AS c ON c.confrelid = reached.oid AND c.contype = 'f' \
            JOIN pg_class AS r ON r.oid = c.conrelid AND NOT r.relispartition) \
         SELECT string_agg(format('%I.%I', n.nspname, c.relname), ' ' ORDER BY 1) FROM reached \
         JOIN pg_class AS c ON c.oid = reached.oid JOIN pg_namespace AS n ON n.oid = c.relnamespace",
    );
    // They belong to users.
    let others = ["setup.setup_sessions", "setup.setup_steps"];
    for table in reached.split(' ') {
        assert!(
            tables.contains(&table) != others.contains(&table),
            "{table} has rows of an organization: list it in src/sql/admin/organization.rs, or here if it has none"
        );
    }
    let keys = observer.ask(
        "SELECT string_agg(format('%s %s', c.conrelid::regclass, c.confrelid::regclass), ',') FROM pg_constraint AS c \
         WHERE c.contype = 'f' AND c.conrelid <> c.confrelid",
    );
    let place = |table: &str| {
        let name = table.rsplit('.').next().unwrap();
        tables
            .iter()
            .position(|known| known.rsplit('.').next() == Some(name))
    };
    for key in keys.split(',') {
        let (table, named) = key.split_once(' ').unwrap();
        if let (Some(table_at), named_at) = (place(table), place(named)) {
            assert!(named_at.is_some_and(|at| at < table_at), "{key}");
        }
    }
}
