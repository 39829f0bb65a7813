//! A future of the maintenance that is dropped at any of its awaits loses nothing.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::io::Write;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use wundr_db::admin::{
    ArchivedMonth, LogArchive, Maintenance, OldMonths, Output, Policy, StepOutcome,
};
use wundr_db::testing::migrated_database;
use wundr_db::{Db, LogTable};

use crate::observer::Observer;

#[derive(Clone, Default)]
struct Memory {
    written: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    finished: BTreeMap<String, u64>,
}

struct Entry(Memory, String);

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut written = self.0.written.lock().unwrap();
        written.entry(self.1.clone()).or_default().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl LogArchive for Memory {
    fn open(&mut self, _: LogTable, partition: &str) -> wundr_db::Result<Output<'static>> {
        self.written.lock().unwrap().remove(partition);
        Ok(Output::immediate(Entry(self.clone(), partition.to_owned())))
    }

    fn finish(&mut self, _: LogTable, archived: &ArchivedMonth) -> wundr_db::Result<()> {
        self.finished.insert(archived.name.clone(), archived.rows);
        Ok(())
    }
}

// The observer blocks its thread. A dropped transaction, whose locks it may wait for, ends on
// another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_maintenance_loses_no_entry() {
    let database = migrated_database().unwrap();
    let db = Db::connect_to(&database.url()).await.unwrap();
    let mut observer = Observer::of(&database.url());
    for month in ["2023-11", "2023-12", "2024-01"] {
        observer.run(&format!(
            "SELECT audit.create_monthly_partition('audit.audit_logs', '{month}-01'); \
             INSERT INTO audit.audit_logs (action, resource_type, created_at) \
             SELECT 'read', 'project', TIMESTAMPTZ '{month}-01 00:00:00+00' + n * INTERVAL '1 minute' \
             FROM generate_series(1, 50) AS n"
        ));
    }
    let policy = Policy::new().keep_months(LogTable::AuditLogs, 12, OldMonths::Archive);
    let mut archive = Memory::default();
    // Each try polls once more than the one before, and is then dropped.
    for polls in 1.. {
        let maintenance = Maintenance::new(&db, &policy).archive(&mut archive);
        let ended = {
            let mut running = pin!(maintenance.run());
            let mut left = polls;
            std::future::poll_fn(|context| match running.as_mut().poll(context) {
                Poll::Ready(report) => Poll::Ready(Some(report)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => {
                    left -= 1;
                    Poll::Pending
                }
            })
            .await
        };
        let archived: u64 = archive.finished.values().sum();
        let stored = observer.count("audit.audit_logs");
        assert!(archived + stored as u64 >= 150, "{archived} and {stored}");
        if let Some(report) = ended {
            let report = report.unwrap();
            let is_left = |outcome: &StepOutcome| matches!(outcome, StepOutcome::Failed(_));
            // A transaction of a dropped future may still hold its locks.
            if report.steps.iter().any(|step| is_left(&step.outcome)) {
                continue;
            }
            assert_eq!((archived, stored), (150, 0));
            break;
        }
    }
    assert_eq!(archive.written.lock().unwrap().len(), 3);
}
