use super::*;

use std::time::Duration;

use wundr_db::admin::{Thresholds, Verdict};
use wundr_db::testing::{Pair, migrated_database};
use wundr_db::{Config, Error, NewUser, Page, UserChanges, UserFilter};

use crate::servers::{Holder, measured, role_of, waiting_for_each_other};

/// Thresholds that everything exceeds.
fn none() -> Thresholds {
    let mut none = Thresholds::default();
    none.transaction = Duration::ZERO;
    none.idle_in_transaction = Duration::ZERO;
    none.connections = 0.0;
    none.horizon = 0;
    none.lock_wait = Duration::ZERO;
    none.dead_rows = 0.0;
    none.wraparound = -1.0;
    none.index_bytes = 0;
    none.index_bloat = 0.5;
    none.replication_bytes = 0;
    none.replication_delay = Duration::ZERO;
    none.slot_bytes = 0;
    none.unarchived = 0;
    none
}

fn kinds(warnings: &[admin::Warning]) -> Vec<&'static str> {
    let mut kinds: Vec<_> = warnings.iter().map(|warning| warning.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

#[both_engines]
#[case]
async fn a_server_that_is_set_up_is_ready_and_an_ordinary_role_sees_it() {
    let database = measured();
    let url = role_of(&database, "");
    let db = Db::connect_to(&url).await.unwrap();
    let readiness = admin::readiness(&db).await.unwrap();
    assert!(readiness.checks.len() > 20);
    // PostgreSQL 17 has the first, and initdb of 18 sets the second. The third depends on the time
    // since the server was started: a file is archived after a minute.
    let others = ["summarize_wal", "data_checksums", "archiver"];
    let open: Vec<_> = readiness
        .open()
        .map(|check| (check.name, check.verdict))
        .filter(|(name, _)| !others.contains(name))
        .collect();
    // Only the database has the extension, which a superuser alone can restore; TLS is off, and the
    // tests' servers do not wait for the disk.
    assert_eq!(
        open,
        [
            ("extensions", Verdict::Recommended),
            ("fsync", Verdict::NotReady),
            ("full_page_writes", Verdict::NotReady),
            ("ssl", Verdict::Recommended),
        ]
    );
}

#[both_engines]
#[case]
async fn a_server_as_it_is_installed_is_not_ready() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let readiness = admin::readiness(&db).await.unwrap();
    for name in [
        "shared_preload_libraries",
        "log_parameter_max_length",
        "archive_mode",
    ] {
        let check = readiness.check(name).unwrap();
        assert_eq!(check.verdict, Verdict::NotReady, "{check:?}");
        assert!(!check.advice.is_empty());
    }
    // The crate sets it for its own sessions.
    let timeout = readiness.check("statement_timeout").unwrap();
    assert_eq!(
        (timeout.verdict, &*timeout.value),
        (Verdict::Ready, "30000 ms")
    );
}

#[both_engines]
#[case]
async fn statements_have_the_names_of_their_methods() {
    let database = measured();
    let url = role_of(&database, "pg_monitor");
    let db = Db::connect_to(&url).await.unwrap();
    Observer::of(&database.url()).run("SELECT monitoring.pg_stat_statements_reset()");
    let new = NewUser::new("ada@example.org", "Ada");
    let ada = db.users().create(new).await.unwrap().id;
    for _ in 0..3 {
        db.users().find(ada).await.unwrap();
        db.users().find_by_email("ada@example.org").await.unwrap();
    }
    let filter = UserFilter::new().is_active(true).search("ada");
    db.users().list(&filter, &Page::new()).await.unwrap();
    db.users().count(&filter).await.unwrap();
    // A set of columns that no other test updates.
    let changes = UserChanges::new().name("Grace").avatar_url("x".to_owned());
    db.users().update(ada, changes).await.unwrap();
    db.transaction(async |tx| tx.users().exists(ada).await)
        .await
        .unwrap();

    let report = admin::statements(&db, 1_000).await.unwrap();
    let calls = |name| {
        let named = |one: &&admin::StatementState| one.name == Some(name);
        let found = report.statements.iter().filter(named);
        found.map(|statement| statement.calls).sum::<u64>()
    };
    assert_eq!(calls("users.find"), 3, "{:#?}", report.statements);
    for (name, expected) in [
        ("users.create", 1),
        ("users.find_by_email", 3),
        ("users.list", 1),
        ("users.count", 1),
        ("users.update", 1),
        ("users.exists", 1),
        ("transaction.commit", 1),
    ] {
        assert_eq!(calls(name), expected, "{name}: {:#?}", report.statements);
    }
    assert_eq!((report.hidden, report.needs()), (0, None));
    assert!(!report.version.is_empty());

    let of_email = |one: &&admin::StatementState| one.name == Some("users.find_by_email");
    let id = report.statements.iter().find(of_email).unwrap().query_id;
    let table = report.name_table();
    let line = format!("{:>20}  users.find_by_email", id.unwrap());
    assert!(table.lines().any(|of_table| of_table == line), "{table}");
    let total = |one: &admin::StatementState| one.total_ms;
    assert!(
        report
            .statements
            .is_sorted_by(|one, other| total(one) >= total(other))
    );
    let top = admin::statements(&db, 2).await.unwrap().statements;
    assert_eq!(top.len(), 2);
}

#[both_engines]
#[case]
async fn without_pg_monitor_the_texts_of_others_are_hidden() {
    let database = measured();
    Observer::of(&database.url()).run("SELECT 'by the owner'");
    let url = role_of(&database, "");
    let db = Db::connect_to(&url).await.unwrap();
    let report = admin::statements(&db, 1_000).await.unwrap();
    assert!(report.hidden > 0);
    assert_eq!(report.needs(), Some("pg_monitor"));
    let hidden = report.statements.iter().find(|one| one.query.is_none());
    assert_eq!(hidden.unwrap().name, None);
}

#[both_engines]
#[case]
async fn one_copy_of_the_extension_serves_all_databases() {
    let (database, other) = (measured(), measured());
    Observer::of(&other.url()).run("SELECT 'in the other', 'database'");
    let db = Db::connect_to(&database.url()).await.unwrap();
    let report = admin::statements_of(&db, other.name(), 1_000)
        .await
        .unwrap();
    let is_there = |text: &str| {
        let queries = report
            .statements
            .iter()
            .filter_map(|one| one.query.as_deref());
        queries.filter(|query| query.contains(text)).count() > 0
    };
    assert!(is_there("SELECT $1, $2"), "{report:#?}");
    // In a database that this crate has no tables in, as the documentation says.
    let postgres = database
        .url()
        .replace(&format!("/{}", database.name()), "/postgres");
    Observer::of(&postgres).run(
        "BEGIN; SELECT pg_advisory_xact_lock(17); CREATE EXTENSION IF NOT EXISTS pg_stat_statements; COMMIT",
    );
    let db = Db::connect_to(&postgres).await.unwrap();
    let there = admin::statements_of(&db, other.name(), 1_000).await;
    assert!(there.unwrap().statements.len() >= report.statements.len());
    let refused = admin::statements_of(&db, "a\0b", 1).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidInput { .. }), "{refused:?}");

    let bare = migrated_database().unwrap();
    let db = Db::connect_to(&bare.url()).await.unwrap();
    let missing = admin::statements(&db, 1).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
}

#[both_engines]
#[case]
async fn an_idle_transaction_is_seen_and_what_it_holds_back() {
    let database = measured();
    let mut holder = Holder::of(&database.url(), "worker-7");
    holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.users");
    Observer::of(&database.url()).run("CREATE TABLE public.later (id int)");
    let mut later = Holder::of(&database.url(), "worker-8");
    later.run("BEGIN; SELECT 1");
    let seen = Db::connect_to(&role_of(&database, "pg_monitor"))
        .await
        .unwrap();
    let report = admin::activity(&seen).await.unwrap();
    // The oldest transaction first.
    let session = &report.sessions[0];
    assert_eq!(session.application, "worker-7", "{report:#?}");
    assert_eq!(report.sessions[1].application, "worker-8", "{report:#?}");
    assert_eq!(session.state.as_deref(), Some("idle in transaction"));
    assert!(session.transaction_seconds.unwrap() >= 0.0);
    assert!(session.query.as_deref().unwrap().contains("count(*)"));
    assert!(report.connections > 0 && report.connections <= report.max_connections);
    assert_eq!(report.needs(), None);
    let process = session.pid.to_string();
    assert!(
        report
            .horizons
            .iter()
            .any(|one| one.name == process && one.age > 0)
    );
    let warnings = report.warnings(&none());
    for kind in ["idle_in_transaction", "connections", "horizon"] {
        assert!(kinds(&warnings).contains(&kind), "{kind}: {warnings:?}");
    }
    assert_eq!(report.warnings(&Thresholds::default()), []);

    let unseen = Db::connect_to(&role_of(&database, "")).await.unwrap();
    let report = admin::activity(&unseen).await.unwrap();
    assert!(report.hidden > 0 && report.needs() == Some("pg_monitor"));
    let hidden = report
        .sessions
        .iter()
        .find(|one| one.application == "worker-7");
    assert_eq!(hidden.unwrap().query, None);
}

#[both_engines]
#[case]
async fn the_session_at_the_head_of_a_queue_comes_first() {
    let database = measured();
    let config = Config::new(&role_of(&database, "pg_monitor")).unwrap();
    let config = config.statement_timeout(Duration::from_secs(15));
    let db = Db::connect(config).await.unwrap();
    let none_waits = admin::locks(&db).await.unwrap();
    assert_eq!(none_waits.sessions, []);
    // A worker that is idle, ALTER TABLE behind it, and two reads behind that.
    let queue = waiting_for_each_other(&database);
    let report = admin::locks(&db).await.unwrap();
    let sessions: Vec<_> = report
        .sessions
        .iter()
        .map(|one| {
            (
                one.application.as_deref().unwrap(),
                one.depth.unwrap(),
                one.blocks,
            )
        })
        .collect();
    assert_eq!(
        sessions,
        [
            ("worker", 0, 3),
            ("alter", 1, 2),
            ("read", 2, 0),
            ("read", 2, 0)
        ],
        "{report:#?}"
    );
    let alter = &report.sessions[1];
    let wanted = "AccessExclusiveLock on public.projects";
    assert_eq!(alter.waits_for.as_deref(), Some(wanted));
    assert_eq!(alter.blocked_by, [report.sessions[0].pid]);
    assert_eq!(
        report.sessions[0].state.as_deref(),
        Some("idle in transaction")
    );
    assert_eq!(report.warnings(&none()).len(), 3);
    assert_eq!(report.needs(), None);

    let unseen = Db::connect_to(&role_of(&database, "")).await.unwrap();
    let report = admin::locks(&unseen).await.unwrap();
    assert_eq!((report.sessions.len(), report.hidden), (4, 4));
    // Sizes are read under locks: the report ends within its bound.
    let is_bound =
        |error: &Error| matches!(error, Error::Timeout(why) if why.contains("lock timeout"));
    let blocked = admin::tables(&db).await.unwrap_err();
    assert!(is_bound(&blocked), "{blocked:?}");
    let blocked = admin::warnings(&db, &Thresholds::default())
        .await
        .unwrap_err();
    assert!(is_bound(&blocked), "{blocked:?}");
    queue.end();
    admin::tables(&db).await.unwrap();
}

#[both_engines]
#[case]
async fn indexes_that_bring_nothing_are_named() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(
        "CREATE TABLE public.\"Odd table\" (id bigint PRIMARY KEY, a int, b int, c text); \
         INSERT INTO public.\"Odd table\" SELECT n, n, 1, 'c' FROM generate_series(1, 50000) AS n; \
         CREATE INDEX by_a ON public.\"Odd table\" (a); \
         CREATE INDEX again ON public.\"Odd table\" (a); \
         CREATE INDEX descending ON public.\"Odd table\" (a DESC); \
         CREATE INDEX of_some ON public.\"Odd table\" (a) WHERE a > 5; \
         CREATE INDEX with_b ON public.\"Odd table\" (a, b); \
         CREATE INDEX with_c ON public.\"Odd table\" (a) INCLUDE (c); \
         CREATE INDEX folded ON public.\"Odd table\" (lower(c), id)",
    );
    let failed =
        observer.refusal("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.\"Odd table\" (b)");
    assert!(failed.is_some());
    observer.run("DELETE FROM public.\"Odd table\" WHERE id % 10 <> 0");
    observer.run("VACUUM ANALYZE public.\"Odd table\"");
    observer
        .run("SET enable_seqscan = off; SELECT id FROM public.\"Odd table\" WHERE lower(c) = 'x'");
    // The server counts when the session is idle.
    observer.until("(SELECT idx_scan > 0 FROM pg_stat_user_indexes WHERE indexrelname = 'folded')");
    let db = Db::connect_to(&database.url()).await.unwrap();
    let report = admin::indexes(&db).await.unwrap();
    let ours = |name: &str| {
        let found = report.indexes.iter().find(|index| index.name == name);
        found.unwrap_or_else(|| panic!("{name}: {report:#?}"))
    };
    assert_eq!(ours("by_a").table, "public.\"Odd table\"");
    assert_eq!(ours("by_a").duplicate_of.as_deref(), Some("again"));
    assert_eq!(ours("again").duplicate_of, None);
    assert_eq!(ours("again").prefix_of.as_deref(), Some("with_b"));
    for name in ["descending", "of_some", "with_c", "with_b", "folded"] {
        assert_eq!(
            (&ours(name).duplicate_of, &ours(name).prefix_of),
            (&None, &None),
            "{name}"
        );
    }
    assert!(!ours("broken").is_valid && ours("by_a").is_valid);
    assert!(ours("by_a").is_unused() && !ours("Odd table_pkey").is_unused());
    assert!(!ours("folded").is_unused());
    // Nine tenths of the entries are gone.
    let bloat = ours("with_b").bloat().unwrap();
    assert!((0.7..1.0).contains(&bloat), "{bloat}");
    assert!(ours("folded").bloat().unwrap() > 0.5);
    let warnings = report.warnings(&none());
    for kind in [
        "index_invalid",
        "index_duplicate",
        "index_prefix",
        "index_unused",
        "index_bloat",
    ] {
        assert!(kinds(&warnings).contains(&kind), "{kind}: {warnings:?}");
    }
    observer.run("REINDEX INDEX public.with_b");
    let rebuilt = admin::indexes(&db).await.unwrap();
    let rebuilt = rebuilt.indexes.iter().find(|index| index.name == "with_b");
    assert!(rebuilt.unwrap().bloat().unwrap() < 0.2);
}

#[both_engines]
#[case]
async fn an_index_without_an_estimate_is_counted_with_the_role_that_it_needs() {
    let database = measured();
    Observer::of(&database.url()).run("ANALYZE public.users");
    let estimated = |report: &admin::Indexes, name: &str| {
        let found = report.indexes.iter().find(|index| index.name == name);
        found.unwrap().expected_bytes.is_some()
    };
    // It may read the users, and neither other tables nor the index of an expression.
    let ordinary = Db::connect_to(&role_of(&database, "")).await.unwrap();
    let report = admin::indexes(&ordinary).await.unwrap();
    let trees = report.indexes.iter();
    let trees = trees.filter(|index| index.definition.contains("USING btree"));
    let trees = trees.count() as u64;
    assert!(
        0 < report.hidden && report.hidden < trees,
        "{} of {trees}",
        report.hidden
    );
    assert_eq!(report.needs(), Some("pg_read_all_data"));
    assert!(!estimated(&report, "idx_users_email_lower"));
    let reader = role_of(&database, "pg_read_all_data");
    let reader = Db::connect_to(&reader).await.unwrap();
    let report = admin::indexes(&reader).await.unwrap();
    assert_eq!((report.hidden, report.needs()), (0, None));
}

#[both_engines]
#[case]
async fn tables_have_their_dead_rows_and_their_threshold() {
    let database = migrated_database().unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(
        "CREATE TABLE public.often (id int) WITH (autovacuum_vacuum_threshold = 7, autovacuum_vacuum_scale_factor = 0.5); \
         INSERT INTO public.often SELECT generate_series(1, 1000)",
    );
    // Otherwise the rows may be counted after ANALYZE has, once more.
    observer.run("SELECT pg_stat_force_next_flush()");
    observer.run("ANALYZE public.often");
    observer.run("UPDATE public.often SET id = 0 WHERE id <= 600");
    let db = Db::connect_to(&database.url()).await.unwrap();
    // The server counts when the session is idle.
    observer.until("(SELECT n_dead_tup = 600 FROM pg_stat_user_tables WHERE relname = 'often')");
    let report = admin::tables(&db).await.unwrap();
    let often = report
        .tables
        .iter()
        .find(|table| table.name == "public.often")
        .unwrap();
    assert_eq!((often.dead_rows, often.live_rows), (600, 1_000));
    assert!((often.vacuum_threshold - 507.0).abs() < 0.01, "{often:?}");
    assert!(often.bytes > 0 && often.last_analyze.is_some() && often.last_vacuum.is_none());
    assert_eq!(often.updates, 600);
    assert!(report.freeze_max_age > report.xid_age && report.xid_age > 0);
    assert!(
        !report
            .tables
            .iter()
            .any(|table| table.name.starts_with("pg_"))
    );
    assert!(
        report
            .tables
            .iter()
            .any(|table| table.name == "analysis.analysis_issues")
    );
    assert_eq!(
        kinds(&report.warnings(&none())),
        ["dead_rows", "wraparound"]
    );
    assert_eq!(report.warnings(&Thresholds::default()), []);
}

#[both_engines]
#[case]
async fn a_standby_is_seen_from_both_sides() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    pair.wait_for_catch_up().unwrap();
    let primary = Db::connect_to(&database.url()).await.unwrap();
    let report = admin::replication(&primary).await.unwrap();
    assert!(!report.is_standby);
    assert_eq!(report.standbys[0].state.as_deref(), Some("streaming"));
    assert!(report.standbys[0].lag_bytes.is_some() && report.slots[0].is_active);
    assert_eq!(report.needs(), None);
    let standby = Db::connect_to(&pair.standby_url(&database)).await.unwrap();
    let there = admin::replication(&standby).await.unwrap();
    assert!(there.is_standby && there.standbys.is_empty());
    // The reports also work there.
    admin::activity(&standby).await.unwrap();
    admin::locks(&standby).await.unwrap();
    admin::archiver(&standby).await.unwrap();
    admin::readiness(&standby).await.unwrap();
    admin::tables(&standby).await.unwrap();
    admin::indexes(&standby).await.unwrap();
}

#[both_engines]
#[case]
async fn an_archive_command_that_fails_is_reported() {
    let database = crate::servers::failing_archive();
    let mut observer = Observer::of(&database.url());
    let db = Db::connect_to(&database.url()).await.unwrap();
    observer.run("SELECT pg_switch_wal()");
    observer.until("(SELECT failed_count > 0 FROM pg_stat_archiver)");
    let state = admin::archiver(&db).await.unwrap();
    assert!(
        state.is_failing() && state.waiting.unwrap() > 0,
        "{state:?}"
    );
    let warnings = admin::warnings(&db, &none()).await.unwrap();
    for kind in ["archiver_failing", "unarchived"] {
        assert!(kinds(&warnings).contains(&kind), "{kind}: {warnings:?}");
    }
    let readiness = admin::readiness(&db).await.unwrap();
    let check = readiness.check("archiver").unwrap();
    assert_eq!(check.verdict, Verdict::NotReady, "{check:?}");

    let ordinary = Db::connect_to(&role_of(&database, "")).await.unwrap();
    let state = admin::archiver(&ordinary).await.unwrap();
    assert_eq!((state.waiting, state.needs()), (None, Some("pg_monitor")));
    assert!(state.is_failing());
    let member = Db::connect_to(&role_of(&database, "pg_monitor"))
        .await
        .unwrap();
    let state = admin::archiver(&member).await.unwrap();
    assert_eq!(state.needs(), None);
}

/// A row has no lock of its own that others could wait for: they wait for its transaction.
#[both_engines]
#[case]
async fn a_wait_for_a_row_is_a_wait_for_a_transaction() {
    let database = measured();
    let db = Db::connect_to(&role_of(&database, "pg_monitor"))
        .await
        .unwrap();
    let mut holder = Observer::of(&database.url());
    holder.run("CREATE TABLE public.held (id int); INSERT INTO public.held VALUES (1)");
    holder.run("BEGIN; UPDATE public.held SET id = 2");
    let mut waiter = Observer::of(&database.url());
    let waiting = std::thread::spawn(move || waiter.run("UPDATE public.held SET id = 3"));
    until(&database, crate::observer::SOMEBODY_WAITS).await;
    let report = admin::locks(&db).await.unwrap();
    let waits = report.sessions[1].waits_for.as_deref();
    assert_eq!(waits, Some("ShareLock on transactionid"), "{report:#?}");
    assert_eq!(report.sessions[1].blocked_by, [report.sessions[0].pid]);
    holder.run("COMMIT");
    waiting.join().unwrap();
}
