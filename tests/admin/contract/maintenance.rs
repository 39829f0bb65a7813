use super::*;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admin::{
    ArchivedMonth, LogArchive, Maintenance, MaintenanceStep, OldMonths, Output, Policy, StepOutcome,
};
use wundr_db::testing::{TestDatabase, migrated_database};
use wundr_db::{Error, LogTable};

/// A database with something to do for each step.
#[both_engines]
async fn neglected() -> (Db, TestDatabase, Observer) {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    observer.run(
        "INSERT INTO public.users (id, email, name) VALUES ('00000000-0000-7000-8000-000000000001', 'a@example.org', 'A'); \
         INSERT INTO public.user_sessions (user_id, token_hash, refresh_token_hash, expires_at) \
             SELECT '00000000-0000-7000-8000-000000000001', 't' || n, 'r' || n, now() + (n - 25.5) * INTERVAL '1 hour' \
             FROM generate_series(1, 50) AS n; \
         INSERT INTO public.projects (id, name, created_by) \
             VALUES ('00000000-0000-7000-8000-000000000002', 'P', '00000000-0000-7000-8000-000000000001'); \
         INSERT INTO analysis.analyses (id, project_id, type, status, created_by, started_at) \
             VALUES ('00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-000000000002', 'quality', 'running', \
                 '00000000-0000-7000-8000-000000000001', now()); \
         INSERT INTO analysis.analysis_leases (analysis_id, worker, expires_at) \
             VALUES ('00000000-0000-7000-8000-000000000003', 'w', now() - INTERVAL '1 minute'); \
         INSERT INTO analysis.analyses (project_id, type, status, progress, created_by, started_at, completed_at, created_at) \
             SELECT '00000000-0000-7000-8000-000000000002', 'quality', 'completed', 100, '00000000-0000-7000-8000-000000000001', \
                 t, t + INTERVAL '1 minute', t FROM generate_series(1, 30) AS n, \
                 LATERAL (SELECT now() - n * INTERVAL '10 days' AS t) AS times; \
         INSERT INTO analysis.dependency_graphs (project_id, graph_data) \
             SELECT '00000000-0000-7000-8000-000000000002', '{}' FROM generate_series(1, 12)",
    );
    for month in ["2024-01-01", "2024-02-01"] {
        observer.run(&format!(
            "SELECT audit.create_monthly_partition('audit.audit_logs', '{month}'); \
             INSERT INTO audit.audit_logs (action, resource_type, created_at) \
             SELECT 'read', 'project', TIMESTAMPTZ '{month} 00:00:00+00' + n * INTERVAL '1 minute' \
             FROM generate_series(1, 100) AS n; \
             INSERT INTO audit.audit_logs (action, resource_type, created_at) \
             VALUES ('read', 'project', TIMESTAMPTZ '{month} 00:00:00+00' - INTERVAL '5 years')"
        ));
    }
    (db, database, observer)
}

fn policy() -> Policy {
    let old = Duration::from_secs(24 * 60 * 60);
    Policy::new()
        .months_ahead(4)
        .analyses(admin::AnalysisRetention::new(1, old).tracked_within(old))
        .without_orphaned_graphs()
        .rows(10)
        .keep_months(LogTable::AuditLogs, 12, OldMonths::Archive)
}

/// The status of the run that its worker has left.
const RUN: &str =
    "SELECT status FROM analysis.analyses WHERE id = '00000000-0000-7000-8000-000000000003'";

/// An archive in memory, which may refuse to be durable.
#[derive(Clone, Default)]
struct Memory {
    months: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    finished: Vec<String>,
    refuses: bool,
}

struct Entry(Memory, String);

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut months = self.0.months.lock().unwrap();
        months.entry(self.1.clone()).or_default().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl LogArchive for Memory {
    fn open(&mut self, _: LogTable, partition: &str) -> wundr_db::Result<Output<'static>> {
        self.months.lock().unwrap().remove(partition);
        Ok(Output::immediate(Entry(self.clone(), partition.to_owned())))
    }

    fn finish(&mut self, _: LogTable, archived: &ArchivedMonth) -> wundr_db::Result<()> {
        if self.refuses {
            return Err(Error::invalid("archive", "the disk is full"));
        }
        self.finished.push(archived.name.clone());
        Ok(())
    }
}

#[both_engines]
#[case]
async fn the_maintenance_does_what_its_plan_says_and_then_has_nothing_to_do() {
    let (db, _database, mut observer) = neglected().await;
    let amounts = async |db: &Db| {
        let plan = db.plan(&policy()).await.unwrap();
        let amounts = plan.iter().map(|planned| (planned.step, planned.amount));
        amounts.collect::<BTreeMap<_, _>>()
    };
    let planned = amounts(&db).await;
    assert_eq!(planned[&MaintenanceStep::ExpiredSessions], Some(25));
    assert_eq!(planned[&MaintenanceStep::AbandonedRuns], Some(1));
    assert_eq!(planned[&MaintenanceStep::OldAnalyses], Some(29));
    assert_eq!(planned[&MaintenanceStep::OrphanedGraphs], None);
    assert_eq!(
        planned[&MaintenanceStep::OldMonthsOf(LogTable::AuditLogs)],
        Some(2)
    );
    assert_eq!(
        planned[&MaintenanceStep::DefaultPartition(LogTable::AuditLogs)],
        Some(2)
    );
    let ahead = planned[&MaintenanceStep::PartitionsAhead(LogTable::AuditLogs)].unwrap();
    assert!((1..=4).contains(&ahead), "{ahead}");

    let (mut archive, mut reported) = (Memory::default(), Vec::new());
    let maintenance = Maintenance::new(&db, &policy()).archive(&mut archive);
    let report = maintenance
        .on_step(|done, number, of| reported.push((done.step, number, of)))
        .run()
        .await
        .unwrap();

    assert_eq!(report.errors().count(), 0, "{report:?}");
    let done = |step| {
        let done = report.steps.iter().find(|done| done.step == step).unwrap();
        assert!(matches!(done.outcome, StepOutcome::Complete), "{done:?}");
        done.done
    };
    assert_eq!(
        done(MaintenanceStep::PartitionsAhead(LogTable::AuditLogs)),
        ahead
    );
    assert_eq!(
        done(MaintenanceStep::DefaultPartition(LogTable::AuditLogs)),
        2
    );
    // The two of the plan, and two that the default partition had rows of.
    assert_eq!(done(MaintenanceStep::OldMonthsOf(LogTable::AuditLogs)), 4);
    assert_eq!(done(MaintenanceStep::ExpiredSessions), 25);
    assert_eq!(done(MaintenanceStep::AbandonedRuns), 1);
    assert_eq!(done(MaintenanceStep::OldAnalyses), 29);
    // The newest one of a project stays.
    assert_eq!(done(MaintenanceStep::OrphanedGraphs), 11);
    assert_eq!(reported.len(), report.steps.len());
    assert!(
        reported
            .iter()
            .zip(1..)
            .all(|(&(_, number, of), n)| number == n && of == report.steps.len())
    );
    let archived = archive.months.lock().unwrap().clone();
    assert_eq!(archived.len(), 4);
    assert_eq!(archive.finished.len(), 4);
    assert_eq!(observer.count("audit.audit_logs"), 0);
    assert_eq!(observer.count("public.user_sessions"), 25);
    assert_eq!(observer.ask(RUN), "pending");

    let planned = amounts(&db).await;
    assert!(
        planned.values().all(|&amount| amount.unwrap_or(0) == 0),
        "{planned:?}"
    );
    let input = admin::Input::immediate(archived["audit.audit_logs_2024_01"].as_slice());
    let (day, missing) = (
        "2024-01-01".parse().unwrap(),
        admin::MissingReferences::Refuse,
    );
    let restored = admin::restore_month(&db, LogTable::AuditLogs, day, input, missing).await;
    assert_eq!(restored.unwrap().rows, 100);
}

#[both_engines]
#[case]
async fn a_month_whose_archive_is_not_durable_is_kept() {
    let (db, _database, mut observer) = neglected().await;
    let mut archive = Memory {
        refuses: true,
        ..Memory::default()
    };
    let maintenance = Maintenance::new(&db, &policy()).archive(&mut archive);
    let report = maintenance.run().await.unwrap();
    let failed: Vec<_> = report.errors().map(|(step, _)| step).collect();
    assert_eq!(failed, [MaintenanceStep::OldMonthsOf(LogTable::AuditLogs)]);
    assert_eq!(observer.count("audit.audit_logs"), 202);
    // The other steps were run.
    assert_eq!(observer.count("public.user_sessions"), 25);
    let refused = db.maintenance(&policy()).await;
    assert!(
        matches!(refused, Err(Error::InvalidInput { .. })),
        "{refused:?}"
    );
}

#[both_engines]
#[case]
async fn a_step_that_another_process_runs_is_skipped_and_one_that_fails_is_reported() {
    let (db, database, mut observer) = neglected().await;
    let mut other = Observer::of(&database.url());
    other.run(
        "SELECT pg_advisory_lock(hashtext('wundr_db.maintenance'), hashtext('expired sessions')); \
         SELECT pg_advisory_lock(hashtext('wundr_db.maintenance'), hashtext('old months of audit.audit_logs'))",
    );
    // A table in the place of a partition.
    let next = "to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + INTERVAL '4 months', '\"audit.system_logs_\"YYYY_MM')";
    let next = observer.ask(next);
    observer.run(&format!("CREATE TABLE {next} ()"));
    let mut archive = Memory::default();
    let maintenance = Maintenance::new(&db, &policy()).archive(&mut archive);
    let report = maintenance.run().await.unwrap();
    let steps = |is: fn(&StepOutcome) -> bool| {
        let steps = report.steps.iter().filter(|done| is(&done.outcome));
        steps.map(|done| done.step).collect::<Vec<_>>()
    };
    assert_eq!(
        steps(|outcome| matches!(outcome, StepOutcome::Busy)),
        [
            MaintenanceStep::OldMonthsOf(LogTable::AuditLogs),
            MaintenanceStep::ExpiredSessions
        ]
    );
    assert_eq!(
        steps(|outcome| matches!(outcome, StepOutcome::Failed(_))),
        [MaintenanceStep::PartitionsAhead(LogTable::SystemLogs)]
    );
    assert_eq!(observer.count("public.user_sessions"), 50);
    assert_eq!(observer.ask(RUN), "pending");
}

#[both_engines]
#[case]
async fn months_are_detached_or_dropped_and_a_policy_out_of_bounds_is_refused() {
    let (db, _database, mut observer) = neglected().await;
    let policy = Policy::new().keep_months(LogTable::AuditLogs, 12, OldMonths::Detach);
    db.maintenance(&policy).await.unwrap();
    assert_eq!(observer.count("audit.audit_logs"), 0);
    assert_eq!(observer.count("audit.audit_logs_2024_01"), 100);
    let policy = Policy::new().keep_months(LogTable::SystemLogs, 1, OldMonths::Drop);
    observer.run(
        "INSERT INTO audit.system_logs (level, service, message, created_at) VALUES ('info', 's', 'm', '2024-01-01')",
    );
    let report = db.maintenance(&policy).await.unwrap();
    assert!(
        !report.is_unfinished() && report.errors().next().is_none(),
        "{report:?}"
    );
    assert_eq!(observer.count("audit.system_logs"), 0);
    assert_eq!(
        observer.ask("to_regclass('audit.system_logs_2024_01')"),
        "NULL"
    );
    for policy in [
        Policy::new().months_ahead(121),
        Policy::new().rows(0),
        Policy::new().rows(10_001),
        Policy::new().attempts(0),
        Policy::new().keep_months(LogTable::AuditLogs, 0, OldMonths::Drop),
    ] {
        let (ran, planned) = (db.maintenance(&policy).await, db.plan(&policy).await);
        assert!(matches!(ran, Err(Error::InvalidInput { .. })), "{policy:?}");
        assert!(
            matches!(planned, Err(Error::InvalidInput { .. })),
            "{policy:?}"
        );
    }
}

#[both_engines]
#[case]
async fn many_processes_at_a_time_do_everything_once() {
    let (db, _database, mut observer) = neglected().await;
    let policy = Policy::new().keep_months(LogTable::AuditLogs, 12, OldMonths::Drop);
    let mut reports = Vec::new();
    for report in all_concurrently!(4, db.maintenance(&policy)) {
        reports.push(report.unwrap());
    }
    let last = db.maintenance(&policy).await.unwrap();
    assert!(!last.is_unfinished(), "{last:?}");
    reports.push(last);
    let (mut months, mut sessions) = (Vec::new(), 0);
    for report in &reports {
        assert_eq!(report.errors().count(), 0, "{report:?}");
        for done in &report.steps {
            match done.step {
                MaintenanceStep::OldMonthsOf(_) => months.extend(&done.partitions),
                MaintenanceStep::ExpiredSessions => sessions += done.done,
                _ => {}
            }
        }
    }
    // Each was removed by one of them: the two months, and two that the default partition had.
    assert_eq!(sessions, 25, "{reports:?}");
    let number = months.len();
    months.sort();
    months.dedup();
    assert_eq!((months.len(), number), (4, 4), "{reports:?}");
    assert_eq!(observer.count("audit.audit_logs"), 0);
    assert_eq!(observer.count("public.user_sessions"), 25);
}

/// The names of the steps that are not complete, each with what is left.
fn unfinished(report: &admin::MaintenanceReport) -> BTreeMap<MaintenanceStep, Option<u64>> {
    let unfinished = report
        .steps
        .iter()
        .filter(|done| matches!(done.outcome, StepOutcome::Unfinished));
    let left = unfinished.map(|done| {
        let left = done.left.as_ref().unwrap();
        assert_eq!(left.step, done.step);
        (done.step, left.amount)
    });
    left.collect()
}

/// Each step begins one transaction, or none, and says what it has left.
#[both_engines]
#[case]
async fn a_step_whose_time_is_over_says_what_is_left_and_the_next_call_continues() {
    let (db, _database, mut observer) = neglected().await;
    let policy = policy().keep_months(LogTable::AuditLogs, 12, OldMonths::Drop);
    let short = policy.clone().step_time(Duration::ZERO);
    let report = db.maintenance(&short).await.unwrap();
    assert_eq!(report.errors().count(), 0, "{report:?}");
    let log = LogTable::AuditLogs;
    assert_eq!(
        unfinished(&report),
        BTreeMap::from([
            // Two rows of two months, and three months with a partition.
            (MaintenanceStep::DefaultPartition(log), Some(1)),
            (MaintenanceStep::OldMonthsOf(log), Some(3)),
            (MaintenanceStep::ExpiredSessions, Some(15)),
            (MaintenanceStep::OldAnalyses, Some(29)),
            // Only the deletion finds them.
            (MaintenanceStep::OrphanedGraphs, None),
        ]),
        "{report:?}"
    );
    assert_eq!(observer.count("public.user_sessions"), 40);
    assert_eq!(observer.count("audit.audit_logs_default"), 1);

    let report = db.maintenance(&policy).await.unwrap();
    assert_eq!(unfinished(&report), BTreeMap::new(), "{report:?}");
    assert!(report.steps.iter().all(|done| done.left.is_none()));
    assert_eq!(observer.count("public.user_sessions"), 25);
    assert_eq!(observer.count("audit.audit_logs"), 0);
}

/// The plan examines the analyses by pages, and ends with the page in which its time was over.
#[both_engines]
#[case]
async fn a_plan_counts_analyses_for_the_time_of_a_step() {
    let (db, _database, mut observer) = neglected().await;
    observer.run(
        "INSERT INTO analysis.analyses (project_id, type, status, progress, created_by, started_at, completed_at, created_at) \
             SELECT '00000000-0000-7000-8000-000000000002', 'quality', 'completed', 100, '00000000-0000-7000-8000-000000000001', \
                 t, t, t FROM generate_series(1, 1000) AS n, \
                 LATERAL (SELECT now() - INTERVAL '2 years' - n * INTERVAL '1 hour' AS t) AS times",
    );
    let analyses = async |policy: &Policy| {
        let plan = db.plan(policy).await.unwrap();
        let step = |planned: &&admin::PlannedStep| planned.step == MaintenanceStep::OldAnalyses;
        let planned = plan.iter().find(step).unwrap();
        (planned.amount.unwrap(), planned.is_exact)
    };
    assert_eq!(analyses(&policy()).await, (1_029, true));
    let (amount, is_exact) = analyses(&policy().step_time(Duration::ZERO)).await;
    assert!(amount < 1_029 && !is_exact, "{amount}");
}

#[both_engines]
#[case]
async fn rows_that_another_transaction_has_locked_are_left_and_counted() {
    let (db, database, mut observer) = neglected().await;
    let mut other = Observer::of(&database.url());
    other.run(
        "BEGIN; SELECT FROM public.user_sessions WHERE token_hash = 't7' FOR UPDATE; \
         SELECT FROM analysis.analyses WHERE status = 'completed' ORDER BY created_at LIMIT 1 FOR UPDATE",
    );
    let policy = policy().keep_months(LogTable::AuditLogs, 12, OldMonths::Drop);
    let report = db.maintenance(&policy).await.unwrap();
    assert_eq!(
        unfinished(&report),
        BTreeMap::from([
            (MaintenanceStep::ExpiredSessions, Some(1)),
            (MaintenanceStep::OldAnalyses, Some(1)),
        ]),
        "{report:?}"
    );
    other.run("ROLLBACK");
    let report = db.maintenance(&policy).await.unwrap();
    assert!(!report.is_unfinished(), "{report:?}");
    assert_eq!(observer.count("public.user_sessions"), 25);
}

/// A deadlock with a session that is not of the maintenance: the step is undone, and is not failed.
/// The other session never ends the deadlock, so that the maintenance does.
#[both_engines]
#[case]
async fn a_step_that_a_deadlock_ended_is_left_to_the_next_call() {
    let (db, database, mut observer) = neglected().await;
    observer.run(
        "CREATE FUNCTION public.wait_for_others() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_advisory_xact_lock(1); PERFORM pg_advisory_xact_lock(2); RETURN OLD; END $$; \
         CREATE TRIGGER wait_for_others BEFORE DELETE ON public.user_sessions \
             FOR EACH ROW EXECUTE FUNCTION public.wait_for_others()",
    );
    let mut gate = Observer::of(&database.url());
    gate.run("SELECT pg_advisory_lock(1)");
    let url = database.url();
    let others = std::thread::spawn(move || {
        // The step holds its own lock, and waits in the trigger.
        gate.until(&waiting(1));
        let mut other = Observer::of(&url);
        let other = std::thread::spawn(move || {
            other.run(
                "SET deadlock_timeout = '1h'; BEGIN; SELECT pg_advisory_xact_lock(2); \
                 SELECT pg_advisory_xact_lock(hashtext('wundr_db.maintenance'), hashtext('expired sessions')); \
                 COMMIT",
            );
        });
        gate.until(&waiting(2));
        gate.run("SELECT pg_advisory_unlock(1)");
        other.join().unwrap();
    });
    let policy = Policy::new();
    let report = db.maintenance(&policy).await.unwrap();
    others.join().unwrap();
    assert_eq!(report.errors().count(), 0, "{report:?}");
    let left = BTreeMap::from([(MaintenanceStep::ExpiredSessions, Some(25))]);
    assert_eq!(unfinished(&report), left, "{report:?}");
    assert_eq!(observer.ask(RUN), "pending");
    let report = db.maintenance(&policy).await.unwrap();
    assert!(!report.is_unfinished(), "{report:?}");
    assert_eq!(observer.count("public.user_sessions"), 25);
}

/// The condition that so many sessions of the database wait for a lock.
fn waiting(sessions: u32) -> String {
    format!(
        "(SELECT count(*) = {sessions} FROM pg_stat_activity \
          WHERE datname = current_database() AND wait_event_type = 'Lock')"
    )
}
