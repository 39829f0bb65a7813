//! Base backups, the archive of the write-ahead log, and recovery.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wundr_db::Config;
use wundr_db::blocking::{Db, admin, migrations};
use wundr_db::testing::{PostgresServer, ServerError};

use super::{Place, command, fails, run, until_ready};
use crate::observer::Observer;

/// A server that archives, with a migrated database and a base backup that is older than what the
/// tests write.
struct Archived {
    server: PostgresServer,
    place: Place,
    base: PathBuf,
    archive: PathBuf,
}

const WUNDR: &str = "wundr";

impl Archived {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let (script, archive) = (place.script("archive.sh"), place.directory("archive"));
        // While the file `full` exists, a file of the archive cannot grow to its size.
        let archive_command = format!(
            "if [ -e {full} ]; then trap '' XFSZ; ulimit -f 8192; fi; sh {script} \"%p\" %f {archive}",
            full = place.path("full").display(),
            script = script.display(),
            archive = archive.display()
        );
        let mut builder = PostgresServer::builder()
            .setting("archive_mode", "on")
            .setting("archive_command", archive_command);
        for (name, value) in settings {
            builder = builder.setting(*name, *value);
        }
        let server = builder.start().unwrap();
        Observer::of(&server.url("postgres")).run(&format!("CREATE DATABASE {WUNDR}"));
        migrations::up(&Config::new(&server.url(WUNDR)).unwrap()).unwrap();
        let base = place.path("base");
        run(command(&server, "pg_basebackup")
            .args([
                "--checkpoint=fast",
                "--wal-method=stream",
                "--manifest-checksums=SHA256",
                "-D",
            ])
            .arg(&base));
        Self {
            server,
            place,
            base,
            archive,
        }
    }

    fn observer(&self) -> Observer {
        Observer::of(&self.server.url(WUNDR))
    }

    /// Writes a user, names the moment, and returns the name of the WAL file that has it.
    fn write(&self, name: &str) -> String {
        let mut observer = self.observer();
        observer.run(&format!(
            "INSERT INTO public.users (email, name) VALUES ('{name}@example.org', 'Named')"
        ));
        let file = observer.ask(&format!(
            "pg_walfile_name(pg_create_restore_point('{name}'))"
        ));
        observer.run("SELECT pg_switch_wal()");
        observer.until(&format!(
            "COALESCE((SELECT last_archived_wal >= '{file}' FROM pg_stat_archiver), false)"
        ));
        file
    }

    /// Recovers a copy of the base backup, up to a restore point if one is given.
    fn recover(&self, name: &str, target: Option<&str>) -> Result<PostgresServer, ServerError> {
        let target = target.map(|target| ("recovery_target_name", target));
        let server = self.recovering(name, target.as_slice())?;
        // It accepts no connections before it has reached the end.
        until_ready(&server);
        Ok(server)
    }

    /// Starts the recovery of a copy of the base backup, with these settings of its target.
    fn recovering(
        &self,
        name: &str,
        target: &[(&str, &str)],
    ) -> Result<PostgresServer, ServerError> {
        let data = self.place.path(name);
        run(command(&self.server, "cp")
            .arg("-a")
            .arg(&self.base)
            .arg(&data));
        run(command(&self.server, "touch").arg(data.join("recovery.signal")));
        let mut builder = PostgresServer::builder()
            .data_dir(data)
            .fsync(false)
            .setting("hot_standby", "off")
            .setting(
                "restore_command",
                format!("cp {}/%f %p", self.archive.display()),
            );
        for &(name, value) in target {
            builder = builder
                .setting(name, value)
                .setting("recovery_target_action", "promote");
        }
        builder.start()
    }

    /// Runs the monthly test.
    fn restore_test(&self, target: &str, user: &str) -> Command {
        let mut command = command(&self.server, "sh");
        command
            .arg(self.place.script("restore-test.sh"))
            .args([&self.base, &self.archive])
            .arg(target)
            .arg(format!(
                "SELECT count(*) FROM public.users WHERE email = '{user}@example.org'"
            ))
            .arg("1")
            .env("TMPDIR", self.place.path(""));
        command
    }
}

fn users(server: &PostgresServer) -> String {
    Observer::of(&server.url(WUNDR))
        .ask("SELECT string_agg(split_part(email, '@', 1), ' ' ORDER BY email) FROM public.users")
}

#[test]
fn a_recovery_between_two_named_writes_has_the_first_alone_and_one_without_a_target_both() {
    let archived = Archived::start();
    archived.write("first");
    archived.observer().run("DELETE FROM public.users");
    archived.write("second");
    let recovered = archived.recover("between", Some("first")).unwrap();
    assert_eq!(users(&recovered), "first");
    // It is a new timeline: a fence of a lease is greater than any of the old one.
    assert_eq!(
        Observer::of(&recovered.url(WUNDR)).ask("left(pg_walfile_name(pg_current_wal_lsn()), 8)"),
        "00000002"
    );
    let db = Db::connect_to(&recovered.url(WUNDR)).unwrap();
    admin::after_restore(&db, &Default::default()).unwrap();
    let recovered = archived.recover("last", None).unwrap();
    assert_eq!(users(&recovered), "second");
}

/// A transaction by accident, with its id and the time before it.
#[test]
fn a_recovery_ends_before_a_time_and_before_or_after_a_transaction() {
    let archived = Archived::start();
    archived.write("first");
    let mut observer = archived.observer();
    let before = observer.ask("clock_timestamp()");
    observer.run(
        "BEGIN; CREATE TABLE public.accident AS SELECT pg_current_xact_id() AS id; \
         DELETE FROM public.users; COMMIT",
    );
    let id = observer.ask("SELECT id FROM public.accident");
    archived.write("later");
    for (name, settings, found) in [
        (
            "time",
            &[("recovery_target_time", before.as_str())][..],
            "first",
        ),
        (
            "before",
            &[
                ("recovery_target_xid", &id),
                ("recovery_target_inclusive", "off"),
            ],
            "first",
        ),
        ("after", &[("recovery_target_xid", &id)], "NULL"),
    ] {
        let recovered = archived.recovering(name, settings).unwrap();
        until_ready(&recovered);
        assert_eq!(users(&recovered), found, "{name}");
        let db = Db::connect_to(&recovered.url(WUNDR)).unwrap();
        admin::after_restore(&db, &Default::default()).unwrap();
    }
    // A time after the last write that was archived: it is not promoted with less than was asked
    // for.
    let after = observer.ask("clock_timestamp() + INTERVAL '1 day'");
    let log = match archived.recovering("beyond", &[("recovery_target_time", &after)]) {
        Ok(server) => {
            while server.pid().is_some() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            server.log()
        }
        Err(error) => error.to_string(),
    };
    assert!(
        log.contains("before configured recovery target was reached"),
        "{log}"
    );
}

#[test]
fn the_monthly_test_reaches_the_last_named_write() {
    let archived = Archived::start();
    archived.write("first");
    archived.write("monthly");
    let said = run(&mut archived.restore_test("monthly", "monthly"));
    assert!(said.contains("monthly was reached"), "{said}");
    // The write is expected where it cannot be.
    let said = fails(&mut archived.restore_test("first", "monthly"));
    assert!(said.contains("expected 1, found 0"), "{said}");
    let said = fails(&mut archived.restore_test("unknown", "monthly"));
    assert!(said.contains("did not reach unknown"), "{said}");
    // Nothing is left of the scratch servers.
    let left = fs::read_dir(archived.place.path("")).unwrap().flatten();
    let mut names = left.map(|entry| entry.file_name().into_string().unwrap());
    assert!(!names.any(|name| name.starts_with("restore-test.") && name != "restore-test.sh"));
}

#[test]
fn a_hole_and_a_damaged_file_of_the_archive_are_noticed_by_the_monthly_test_alone() {
    let archived = Archived::start();
    archived.write("first");
    let hole = archived.write("second");
    archived.write("monthly");
    let (file, kept) = (archived.archive.join(&hole), archived.place.path("kept"));
    fs::rename(&file, &kept).unwrap();
    // A recovery without a target is promoted before the hole, as if it were complete.
    let recovered = archived.recover("hole", None).unwrap();
    assert_eq!(users(&recovered), "first");
    let said = fails(&mut archived.restore_test("monthly", "monthly"));
    assert!(
        said.contains("before configured recovery target was reached"),
        "{said}"
    );
    let mut damaged = fs::read(&kept).unwrap();
    for byte in damaged.iter_mut().take(1 << 20) {
        *byte = 0;
    }
    fs::write(&file, damaged).unwrap();
    let recovered = archived.recover("damaged", None).unwrap();
    assert_eq!(users(&recovered), "first");
    let said = fails(&mut archived.restore_test("monthly", "monthly"));
    assert!(
        said.contains("before configured recovery target was reached"),
        "{said}"
    );
    fs::rename(&kept, &file).unwrap();
    run(&mut archived.restore_test("monthly", "monthly"));
}

#[test]
fn a_full_archive_fails_visibly_and_goes_on_by_itself_with_no_torn_file() {
    let archived = Archived::start();
    archived.write("first");
    let db = Db::connect_to(&archived.server.url(WUNDR)).unwrap();
    assert!(!admin::archiver(&db).unwrap().is_failing());
    fs::write(archived.place.path("full"), "").unwrap();
    let mut observer = archived.observer();
    observer.run("INSERT INTO public.users (email, name) VALUES ('full@example.org', 'Full')");
    let file = observer.ask("pg_walfile_name(pg_current_wal_insert_lsn())");
    observer.run("SELECT pg_switch_wal()");
    observer.until(&format!(
        "(SELECT failed_count > 0 AND last_failed_wal = '{file}' FROM pg_stat_archiver)"
    ));
    let state = admin::archiver(&db).unwrap();
    assert!(state.is_failing(), "{state:?}");
    assert!(!archived.archive.join(&file).exists());
    fs::remove_file(archived.place.path("full")).unwrap();
    observer.until(&format!(
        "(SELECT last_archived_wal >= '{file}' FROM pg_stat_archiver)"
    ));
    assert!(!admin::archiver(&db).unwrap().is_failing());
    for entry in fs::read_dir(&archived.archive).unwrap().flatten() {
        let (name, length) = (entry.file_name(), entry.metadata().unwrap().len());
        let name = name.to_string_lossy();
        assert!(!name.ends_with(".part"), "{name}");
        assert!(
            length == 16 << 20 || name.contains(".backup"),
            "{name}: {length}"
        );
    }
    archived.write("monthly");
    run(&mut archived.restore_test("monthly", "monthly"));
}

#[test]
fn the_archive_is_never_overwritten_and_the_same_file_may_come_again() {
    let place = Place::new();
    let (script, archive) = (place.script("archive.sh"), place.directory("archive"));
    let file = place.path("wal");
    let archiving = || {
        let mut command = Command::new("sh");
        command
            .arg(&script)
            .arg(&file)
            .arg("000000010000000000000001")
            .arg(&archive);
        command
    };
    fs::write(&file, "content").unwrap();
    run(&mut archiving());
    run(&mut archiving());
    fs::write(&file, "other").unwrap();
    fails(&mut archiving());
    assert_eq!(
        fs::read(archive.join("000000010000000000000001")).unwrap(),
        b"content"
    );
    fails(Command::new("sh").arg(&script).arg(&file));
}

#[test]
fn a_page_of_the_base_backup_that_is_damaged_is_found_before_it_is_restored() {
    let archived = Archived::start();
    archived.write("monthly");
    let verify = || {
        let mut verify = archived.server.command("pg_verifybackup");
        verify.arg(&archived.base);
        verify
    };
    run(&mut verify());
    let global = archived.base.join("global/pg_control");
    let largest = largest_file(&archived.base.join("base"));
    assert!(global.exists());
    let mut bytes = fs::read(&largest).unwrap();
    bytes[100] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let said = fails(&mut verify());
    assert!(said.contains("checksum mismatch"), "{said}");
    fails(&mut archived.restore_test("monthly", "monthly"));
}

fn largest_file(directory: &Path) -> PathBuf {
    let databases = fs::read_dir(directory).unwrap().flatten();
    let files = databases.flat_map(|database| fs::read_dir(database.path()).unwrap().flatten());
    files
        .max_by_key(|file| file.metadata().unwrap().len())
        .unwrap()
        .path()
}

/// Versions before 17 refuse the option: what holds there is that there is no incremental backup.
#[test]
fn an_incremental_backup_is_combined_with_its_full_one() {
    let is_new = PostgresServer::shared().unwrap().version() >= 17;
    let settings: &[_] = if is_new {
        &[("summarize_wal", "on")]
    } else {
        &[]
    };
    let archived = Archived::start_with(settings);
    archived.write("first");
    let incremental = archived.place.path("incremental");
    let mut backup = command(&archived.server, "pg_basebackup");
    backup
        .args(["--checkpoint=fast", "-D"])
        .arg(&incremental)
        .arg(format!(
            "--incremental={}",
            archived.base.join("backup_manifest").display()
        ));
    if !is_new {
        let said = fails(&mut backup);
        assert!(said.contains("unrecognized option"), "{said}");
        return;
    }
    run(&mut backup);
    let combined = archived.place.path("combined");
    run(command(&archived.server, "pg_combinebackup")
        .args([&archived.base, &incremental])
        .arg("-o")
        .arg(&combined));
    run(command(&archived.server, "pg_verifybackup").arg(&combined));
    let restored = PostgresServer::builder()
        .data_dir(combined)
        .fsync(false)
        .start()
        .unwrap();
    assert_eq!(users(&restored), "first");
}
