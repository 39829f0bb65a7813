//! A dump of a live database, its restore into a new one, the proof, and the swap of names.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use wundr_db::admin::{AfterRestoreOptions, Digests};
use wundr_db::blocking::{Db, UserRepository, admin};
use wundr_db::{NewUser, UserFilter};

use super::tools::Tools;
use super::{Outcome, step};

/// Writers of the live database.
struct Writing<'w> {
    db: &'w Db,
    is_over: &'w AtomicBool,
    written: &'w AtomicU32,
    failed: &'w AtomicU32,
}

impl Writing<'_> {
    fn run(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.written.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
            let user = NewUser::new(format!("user{number}@example.org"), "Writer");
            let counter = match self.db.users().create(user) {
                Ok(_) => self.written,
                Err(_) => self.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub fn dump_restore_prove_and_swap(tools: &Tools) -> Outcome {
    let db = tools.db("wundr")?;
    for number in 0..200 {
        let user = NewUser::new(format!("first{number}@example.org"), "First");
        db.users().create(user)?;
    }
    let (is_over, written, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let writing = Writing {
            db: &db,
            is_over: &is_over,
            written: &written,
            failed: &failed,
        };
        scope.spawn(move || writing.run());
        let outcome = dump_and_swap(tools, &db);
        is_over.store(true, Ordering::Relaxed);
        outcome
    })?;
    let (written, failed) = (written.into_inner(), failed.into_inner());
    println!(
        "  the writer wrote {written} users meanwhile, and received {failed} errors at the swap"
    );
    Ok(())
}

fn dump_and_swap(tools: &Tools, db: &Db) -> Outcome {
    step("1. Dump the live database while a client writes. The digests are of the same snapshot.");
    let snapshot = admin::snapshot(db)?;
    let file = tools.path("wundr.dump").display().to_string();
    let id = format!("--snapshot={}", snapshot.id());
    tools.run("pg_dump", &["-Fc", &id, "-f", &file, "wundr"])?;
    let digests = snapshot.digests()?;
    snapshot.end()?;
    let digests = kept_beside_the_dump(&digests)?;
    println!(
        "  {} users in the snapshot",
        digests.tables["public.users"].rows
    );

    step("2. Restore it into a new database, never into the live one.");
    let restore = tools.path("restore-dump.sh").display().to_string();
    tools.run("sh", &[&restore, &file, "wundr_new"])?;

    step("3. Prove that it is all there. A dump does not contain the settings of the database.");
    let copy = tools.db("wundr_new")?;
    let comparison = admin::compare(&copy, &digests)?;
    println!("  {comparison}");

    step("4. Prepare it: fences, leases, partitions, search_path, rights.");
    let done = admin::after_restore(&copy, &AfterRestoreOptions::new())?;
    println!("  fences continue after {}", done.fences_after);
    println!("  search_path is {}", done.search_path.unwrap_or_default());
    let comparison = admin::compare(&copy, &digests)?;
    println!("  {comparison}");
    if !comparison.is_equal() {
        return Err("the copy differs".into());
    }
    copy.close();

    step("5. Swap the names under connections. Each client sees a broken connection once.");
    let swap = tools.path("swap.sh").display().to_string();
    let ended = tools.run("sh", &[&swap, "wundr", "wundr_new"])?;
    println!("  {ended}");
    let count = loop {
        match db.users().count(&UserFilter::new()) {
            Ok(count) => break count,
            Err(error) => println!("  {error}"),
        }
    };
    println!("  {count} users: those of the dump, and what was written since the swap");
    tools.run("dropdb", &["wundr_old"])?;
    Ok(())
}

/// Returns what is read from the file that is stored beside the dump.
fn kept_beside_the_dump(digests: &Digests) -> Outcome<Digests> {
    Ok(serde_json::from_str(&serde_json::to_string(digests)?)?)
}
