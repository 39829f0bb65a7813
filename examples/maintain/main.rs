//! The maintenance of a database: the plan, the run with a progress bar, and the report.
//!
//! It starts a private server, fills it with two years of logs and other things that pile up, and
//! leaves nothing behind. Old months are archived as compressed files into a temporary directory,
//! and one of them is restored.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use wundr_db::admin::{
    self, ArchivedMonth, Input, LogArchive, Maintenance, MaintenanceReport, MissingReferences,
    OldMonths, Output, PlannedStep, Policy, StepOutcome,
};
use wundr_db::testing::migrated_database;
use wundr_db::{AuditLogFilter, AuditLogRepository, Db, LogTable, PartitionRepository};

/// An application's database after two years without care.
const NEGLECTED: &str = "
    INSERT INTO public.users (id, email, name)
        VALUES ('00000000-0000-7000-8000-000000000001', 'ada@example.org', 'Ada');
    INSERT INTO public.user_sessions (user_id, token_hash, refresh_token_hash, expires_at)
        SELECT '00000000-0000-7000-8000-000000000001', 't' || n, 'r' || n, now() - n * INTERVAL '1 minute'
        FROM generate_series(1, 12000) AS n;
    INSERT INTO audit.audit_logs (user_id, action, resource_type, created_at)
        SELECT '00000000-0000-7000-8000-000000000001', 'update', 'project', now() - n * INTERVAL '15 minutes'
        FROM generate_series(1, 70000) AS n;
    INSERT INTO audit.system_logs (level, service, message, created_at)
        SELECT 'info', 'worker', 'analysis completed', now() - n * INTERVAL '1 hour'
        FROM generate_series(1, 5000) AS n";

/// Compressed files in a directory, one for each month.
struct Files(PathBuf);

impl Files {
    fn path(&self, partition: &str) -> PathBuf {
        self.0.join(format!("{partition}.gz"))
    }
}

impl LogArchive for Files {
    fn open(&mut self, _: LogTable, partition: &str) -> wundr_db::Result<Output<'static>> {
        let file = File::create(self.path(partition)).map_err(unusable)?;
        Ok(Output::immediate(GzEncoder::new(file, Compression::fast())))
    }

    fn finish(&mut self, _: LogTable, archived: &ArchivedMonth) -> wundr_db::Result<()> {
        // The encoder was dropped, and has written its end. Before the month is dropped, the file
        // has to survive a power failure.
        let file = File::open(self.path(&archived.name)).map_err(unusable)?;
        let lines = std::io::BufRead::lines(std::io::BufReader::new(GzDecoder::new(&file)));
        let rows = lines.count().saturating_sub(3);
        if u64::try_from(rows).ok() != Some(archived.rows) {
            return Err(unusable(format!("{} has {rows} rows", archived.name)));
        }
        file.sync_all().map_err(unusable)
    }
}

fn unusable(error: impl std::fmt::Display) -> wundr_db::Error {
    wundr_db::Error::invalid("archive", error)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let database = migrated_database()?;
    let db = Db::connect_to(&database.url()).await?;
    fill(&db).await?;
    let directory = tempfile::tempdir()?;
    let policy = Policy::new()
        .months_ahead(6)
        .keep_months(LogTable::AuditLogs, 12, OldMonths::Archive)
        .keep_months(LogTable::SystemLogs, 3, OldMonths::Drop);

    println!("Plan");
    print_plan(&db.plan(&policy).await?);

    let mut files = Files(directory.path().to_owned());
    let report = run(&db, &policy, &mut files).await?;
    println!("Report");
    print_report(&report);
    // The default partition has become the partition of all that is old. It is archived as a whole
    // when its newest month is old enough.
    let health = db.partitions().health(LogTable::AuditLogs).await?;
    println!(
        "{} months ahead, {} rows in the default partition",
        health.months_ahead, health.rows_in_default
    );

    archive_and_restore(&db, directory.path()).await
}

async fn fill(db: &Db) -> wundr_db::Result<()> {
    use diesel_async::SimpleAsyncConnection as _;
    db.transaction(async |tx| {
        tx.connection_mut().batch_execute(NEGLECTED).await?;
        Ok(())
    })
    .await
}

async fn run(
    db: &Db,
    policy: &Policy,
    files: &mut Files,
) -> Result<MaintenanceReport, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(0).with_style(style);
    let maintenance = Maintenance::new(db, policy)
        .archive(files)
        .on_step(|done, number, of| {
            bar.set_length(of.try_into().unwrap_or(0));
            bar.set_position(number.try_into().unwrap_or(0));
            bar.set_message(done.step.to_string());
        });
    let report = maintenance.run().await?;
    bar.finish_and_clear();
    Ok(report)
}

/// Archives the oldest partition, drops it and restores it.
async fn archive_and_restore(db: &Db, directory: &Path) -> Result<(), Box<dyn Error>> {
    let (log, everything) = (LogTable::AuditLogs, AuditLogFilter::new());
    let all = db.audit_logs().count(&everything).await?;
    let partitions = db.partitions().list(log).await?;
    let end = partitions.first().and_then(|oldest| oldest.before);
    let last_day = end.and_then(|end| end.date_naive().pred_opt());
    let month = last_day.ok_or("no month")?;
    let path = directory.join("month.gz");
    let mut encoder = GzEncoder::new(File::create(&path)?, Compression::fast());
    let output = Output::immediate(&mut encoder);
    let archived = admin::archive_month(db, log, month, output).await?;
    encoder.finish()?.sync_all()?;
    admin::drop_archived(db, log, &archived).await?;
    let bytes = path.metadata()?.len();
    println!(
        "{}: {} rows, {} bytes of text, {bytes} compressed; dropped",
        archived.name, archived.rows, archived.bytes
    );
    let input = Input::immediate(GzDecoder::new(File::open(&path)?));
    let refuse = MissingReferences::Refuse;
    let restored = admin::restore_month(db, log, month, input, refuse).await?;
    println!("{}: {} rows restored", restored.name, restored.rows);
    match db.audit_logs().count(&everything).await? == all {
        true => Ok(()),
        false => Err("the log has another number of entries".into()),
    }
}

fn table(headers: [&str; 4]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(headers);
    table
}

fn print_plan(plan: &[PlannedStep]) {
    let mut lines = table(["step", "to do", "", "partitions"]);
    for planned in plan {
        let amount = match (planned.amount, planned.is_exact) {
            (None, _) => "?".to_owned(),
            (Some(amount), true) => amount.to_string(),
            (Some(amount), false) => format!("{amount} or more"),
        };
        let partitions = planned.partitions.join("\n");
        lines.add_row([
            planned.step.as_str(),
            &amount,
            planned.step.unit(),
            &partitions,
        ]);
    }
    println!("{lines}");
}

fn print_report(report: &MaintenanceReport) {
    let mut lines = table(["step", "done", "", "outcome"]);
    for done in &report.steps {
        let outcome = match &done.outcome {
            StepOutcome::Complete => "complete".to_owned(),
            StepOutcome::Unfinished => match done.left.as_ref().and_then(|left| left.amount) {
                Some(left) => format!("to be continued, {left} left"),
                None => "to be continued".to_owned(),
            },
            StepOutcome::Busy => "another process runs it".to_owned(),
            StepOutcome::Failed(error) => error.to_string(),
            _ => String::new(),
        };
        let outcome = format!("{outcome}, {:.2} s", done.took.as_secs_f64());
        let outcome = [vec![outcome], done.partitions.clone()].concat().join("\n");
        let amount = done.done.to_string();
        lines.add_row([done.step.as_str(), &amount, done.step.unit(), &outcome]);
    }
    println!("{lines}");
}
