//! A base backup, the archive of the write-ahead log, and a recovery between two named writes.

use wundr_db::NewUser;
use wundr_db::blocking::{UserRepository, admin};
use wundr_db::testing::PostgresServer;

use super::tools::Tools;
use super::{Outcome, step};

pub fn recover_between_two_writes(tools: &Tools) -> Outcome {
    let db = tools.db("wundr")?;
    step("7. A base backup, verified. The archive has what is written later.");
    let base = tools.path("base").display().to_string();
    tools.run(
        "pg_basebackup",
        &[
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
            "-D",
            &base,
        ],
    )?;
    let verified = tools.run("pg_verifybackup", &[&base])?;
    println!("  {verified}");

    step("8. A write, a name for the moment, an accident, and another write.");
    // In two statements: one message would be one transaction, whose commit is behind the point.
    let name = |name: &str| {
        let point = format!("SELECT pg_walfile_name(pg_create_restore_point('{name}'))");
        let file = tools.run("psql", &["-qAtc", &point, "wundr"]);
        tools.run("psql", &["-qAtc", "SELECT pg_switch_wal()", "wundr"])?;
        file
    };
    db.users()
        .create(NewUser::new("before@example.org", "Before"))?;
    name("before_the_accident")?;
    tools.run("psql", &["-qAtc", "DELETE FROM public.users", "wundr"])?;
    db.users()
        .create(NewUser::new("after@example.org", "After"))?;
    let file = name("after_the_accident")?;
    let is_archived = || -> Outcome<bool> {
        let last = admin::archiver(&db)?.last_archived;
        Ok(last.is_some_and(|(name, _)| name >= file))
    };
    while !is_archived()? {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let archiver = admin::archiver(&db)?;
    println!(
        "  {} files were archived, {} tries failed",
        archiver.archived, archiver.failed
    );

    step("9. Recover a copy up to the first name.");
    let copy = tools.path("recovered").display().to_string();
    tools.run("cp", &["-a", &base, &copy])?;
    tools.run("touch", &[&format!("{copy}/recovery.signal")])?;
    let archive = tools.path("archive");
    let recovered = PostgresServer::builder()
        .data_dir(&copy)
        .setting("hot_standby", "off")
        .setting("restore_command", format!("cp {}/%f %p", archive.display()))
        .setting("recovery_target_name", "before_the_accident")
        .setting("recovery_target_action", "promote")
        .start()?;
    // It accepts no connections before it has reached the name.
    while !recovered
        .command("pg_isready")
        .arg("-q")
        .status()?
        .success()
    {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let recovered_db = wundr_db::blocking::Db::connect_to(&recovered.url("wundr"))?;
    for address in ["before@example.org", "after@example.org"] {
        let found = recovered_db.users().find_by_email(address)?;
        println!(
            "  {address}: {}",
            if found.is_some() {
                "there"
            } else {
                "not there"
            }
        );
    }
    let done = admin::after_restore(&recovered_db, &Default::default())?;
    println!("  fences continue after {}", done.fences_after);
    recovered_db.close();

    incremental(tools, &base)?;

    step("10. The monthly test: restore, reach the last name, find the last write.");
    let test = tools.path("restore-test.sh").display().to_string();
    let archive = archive.display().to_string();
    let query = "SELECT count(*) FROM public.users WHERE email = 'after@example.org'";
    let reached = tools.run(
        "sh",
        &[&test, &base, &archive, "after_the_accident", query, "1"],
    )?;
    println!("  {reached}");
    Ok(())
}

/// Backs up what has changed since the base backup, and combines both. Needs version 17.
fn incremental(tools: &Tools, base: &str) -> Outcome {
    if tools.server.version() < 17 {
        return Ok(());
    }
    println!("  An incremental backup, combined with the base backup:");
    let (incremental, combined) = (tools.path("incremental"), tools.path("combined"));
    let (incremental, combined) = (
        incremental.display().to_string(),
        combined.display().to_string(),
    );
    let manifest = format!("--incremental={base}/backup_manifest");
    tools.run(
        "pg_basebackup",
        &["--checkpoint=fast", &manifest, "-D", &incremental],
    )?;
    tools.run("pg_combinebackup", &[base, &incremental, "-o", &combined])?;
    let verified = tools.run("pg_verifybackup", &[&combined])?;
    println!("  {verified}");
    Ok(())
}
