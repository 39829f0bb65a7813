//! The swap behind PgBouncer: its clients wait, and none fails.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wundr_db::blocking::{Db, UserRepository};
use wundr_db::{Config, UserFilter};

use super::tools::Tools;
use super::{Outcome, step};

struct Bouncer(Child);

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn swap_behind_pgbouncer(tools: &Tools) -> Outcome {
    step("6. Swap again, behind PgBouncer: PAUSE, rename, RECONNECT, RESUME.");
    let directory = tools.path("");
    let path = directory.display();
    let settings = format!(
        "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
         unix_socket_dir = {path}\nauth_type = any\nadmin_users = postgres\nlogfile = {path}/pgbouncer.log\npool_mode = session\n\
         server_idle_timeout = 1\nserver_login_retry = 1\n",
        tools.server.socket_dir().display(),
        tools.server.port(),
    );
    let file = tools.path("pgbouncer.ini");
    fs::write(&file, settings)?;
    let mut command = tools.command("pgbouncer");
    // Debian installs it in a directory that is not in the PATH of users.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command.arg("--quiet").arg(&file);
    let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        println!("  pgbouncer is not installed");
        return Ok(());
    };
    let _bouncer = Bouncer(child);
    for _ in 0..1_000 {
        if UnixStream::connect(tools.path(".s.PGSQL.6432")).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tools.run("createdb", &["-T", "wundr", "wundr_new"]).or_else(|_| {
        // A template has no other connections.
        tools.run("psql", &["-qc", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'wundr'"])?;
        tools.run("createdb", &["-T", "wundr", "wundr_new"])
    })?;
    let host = directory.display().to_string().replace('/', "%2F");
    let url = format!("postgres://postgres@{host}:6432/wundr");
    let config = Config::new(&url)?
        .behind_pgbouncer()
        .acquire_timeout(Duration::from_secs(60));
    let is_over = AtomicBool::new(false);
    let (ended, reads) = std::thread::scope(|scope| {
        // Each read has a connection of its own: in session mode, PAUSE waits for the client.
        let reading = scope.spawn(|| {
            let mut reads = 0_u32;
            while !is_over.load(Ordering::Relaxed) || reads < 10 {
                let db = Db::connect(config.clone())?;
                db.users().count(&UserFilter::new())?;
                db.close();
                reads += 1;
            }
            Ok::<_, wundr_db::Error>(reads)
        });
        let swap = tools.path("swap.sh").display().to_string();
        let console = format!(
            "PGBOUNCER=host={} port=6432 user=postgres dbname=pgbouncer",
            directory.display()
        );
        let ended = tools.run("env", &[&console, "sh", &swap, "wundr", "wundr_new"]);
        is_over.store(true, Ordering::Relaxed);
        (ended, reading.join())
    });
    println!("  {}", ended?);
    let reads = reads.map_err(|_| "the reader has panicked")??;
    println!("  {reads} reads meanwhile, and none failed");
    Ok(())
}
