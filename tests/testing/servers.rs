//! The servers of `wundr_db::testing`: they start for every kind of user, keep databases apart, and
//! leave nothing.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use wundr_db::testing::{
    Pair, PostgresServer, Proxy, ProxyMode, RedisServer, ServerError, ShutdownMode,
};

/// Makes `process_of_another_test` play a part.
const PART: &str = "WUNDR_DB_TESTING_PART";

/// Returns the output of psql for a statement.
fn query(server: &PostgresServer, url: &str, sql: &str) -> Result<String, String> {
    let mut psql = server.command("psql");
    psql.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        url,
        "-c",
        sql,
    ]);
    let output = psql.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

fn run_sql(
    server: &PostgresServer,
    url: &str,
    sql: &str,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    query(server, url, sql).map(drop).map_err(Into::into)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, pid: u32) -> bool {
    let mut shell = Command::new("/bin/sh");
    shell.args([
        "-c",
        "kill -s \"$1\" \"$2\" 2>/dev/null",
        "sh",
        name,
        &pid.to_string(),
    ]);
    shell.status().unwrap().success()
}

/// Checks whether a process runs. One that has ended keeps its id until its parent waits for it.
fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    signal("0", pid) && !status.contains("State:\tZ")
}

fn is_root() -> bool {
    tempfile_owner() == 0
}

fn tempfile_owner() -> u32 {
    tempfile::tempfile().unwrap().metadata().unwrap().uid()
}

/// This test's program again, as a process that plays a part.
fn another_process(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "servers::process_of_another_test", "--nocapture"])
        .env(PART, part)
        // Its servers are its own, unless the test gives it a run.
        .env_remove("NEXTEST_RUN_ID");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Not a test of its own: what the processes that other tests start do.
#[test]
fn process_of_another_test() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let servers = || {
        let redis = RedisServer::start().unwrap();
        let server = PostgresServer::shared().unwrap();
        for (pid, directory) in [
            (server.pid(), server.socket_dir()),
            (redis.pid(), redis.data_dir()),
        ] {
            println!("\nserver {} {}", pid.unwrap(), directory.display());
        }
        redis
    };
    match part.as_str() {
        "hold" => {
            let _redis = servers();
            loop {
                thread::park();
            }
        }
        "use" => {
            servers();
            let server = PostgresServer::shared().unwrap();
            let database = server.create_database().unwrap();
            let sum = query(server, &database.url(), "SELECT 40 + 2").unwrap();
            println!("\nsum {sum}");
        }
        "use-disk" => {
            let server = PostgresServer::builder().fsync(true).start().unwrap();
            assert!(!server.data_dir().starts_with("/dev/shm"));
            let sum = query(&server, &server.url("postgres"), "SELECT 40 + 2").unwrap();
            println!("\nsum {sum}");
        }
        "fail" => println!("\nerror {}", PostgresServer::start().unwrap_err()),
        "fail-redis" => println!("\nerror {}", RedisServer::start().unwrap_err()),
        other => panic!("no such part: {other}"),
    }
}

/// The rest of the next `count` lines that begin with this word.
fn lines(child: &mut Child, word: &str, count: usize) -> Vec<String> {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    let all = output.lines().map_while(Result::ok);
    let found: Vec<String> = all
        .filter_map(|line| Some(line.strip_prefix(word)?.trim().to_owned()))
        .take(count)
        .collect();
    if found.len() < count {
        let mut errors = String::new();
        child
            .stderr
            .as_mut()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        panic!("the process printed only {found:?} and {errors}");
    }
    found
}

#[test]
fn servers_run_for_root_and_for_others() {
    let server = PostgresServer::shared().unwrap();
    assert!(server.version() >= 15);
    let version: u32 = query(server, &server.url("postgres"), "SHOW server_version_num")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(version / 10000, server.version());

    let data = server.data_dir().metadata().unwrap();
    if !is_root() {
        assert_eq!(data.uid(), tempfile_owner());
        return;
    }
    assert_ne!(data.uid(), 0, "PostgreSQL does not run as root");
    // The same as another user, who may not be able to reach this program where it is.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", "servers::process_of_another_test", "--nocapture"])
        .env(PART, "use");
    command
        .uid(data.uid())
        .gid(data.gid())
        .current_dir("/")
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = loop {
        match command.spawn() {
            // A process that another test has just forked still holds the copy open for writing,
            // until it executes.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            child => break child.unwrap(),
        }
    };
    assert_eq!(lines(&mut child, "sum ", 1), ["42"]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn servers_start_whatever_the_environment() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let open = reachable_directory();
    let long = open.path().join("x".repeat(120));
    fs::create_dir(&long).unwrap();
    fs::set_permissions(&long, fs::Permissions::from_mode(0o777)).unwrap();

    let mut without = another_process("use");
    without.env_remove("TMPDIR").current_dir(closed.path());
    // Without a saved image: initdb has to run.
    let mut with_long = another_process("use-disk");
    with_long.env("TMPDIR", &long).current_dir(closed.path());
    let mut with_other_settings = another_process("use");
    with_other_settings.envs([
        ("PGPORT", "1"),
        ("PGDATA", "/nowhere"),
        ("PGOPTIONS", "-c no=1"),
    ]);
    for mut command in [without, with_long, with_other_settings] {
        let mut child = command.spawn().unwrap();
        assert_eq!(lines(&mut child, "sum ", 1), ["42"]);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn no_server_outlives_its_process() {
    for part in ["hold", "use"] {
        let mut child = another_process(part).spawn().unwrap();
        let servers: Vec<(u32, String)> = lines(&mut child, "server ", 2)
            .iter()
            .map(|line| {
                let (pid, directory) = line.split_once(' ').unwrap();
                (pid.parse().unwrap(), directory.to_owned())
            })
            .collect();
        if part == "hold" {
            assert!(servers.iter().all(|(pid, _)| runs(*pid)));
            assert!(signal("KILL", child.id()));
        }
        child.wait().unwrap();
        for (pid, directory) in servers {
            wait_until("the server is gone", || !runs(pid));
            wait_until("its directory is gone", || !Path::new(&directory).exists());
        }
    }
}

#[test]
fn processes_of_one_run_share_a_server_until_the_last_ends() {
    let temporary = reachable_directory();
    let start = |run: &str| {
        let mut command = another_process("hold");
        command
            .env("NEXTEST_RUN_ID", run)
            .env("TMPDIR", temporary.path());
        let mut child = command.spawn().unwrap();
        let postgres = lines(&mut child, "server ", 1).remove(0);
        let (pid, directory) = postgres.split_once(' ').unwrap();
        let pid: u32 = pid.parse().unwrap();
        (child, pid, directory.to_owned())
    };
    let (mut first, pid, directory) = start("one");
    let (mut second, same, _) = start("one");
    let (mut other, different, _) = start("two");
    assert_eq!(pid, same);
    assert_ne!(pid, different);
    // The process that started the server is the first to end.
    for child in [&mut first, &mut other] {
        assert!(signal("KILL", child.id()));
        child.wait().unwrap();
    }
    wait_until("the server of the other run is gone", || !runs(different));
    let (mut third, same, _) = start("one");
    assert_eq!(pid, same);
    assert!(signal("KILL", second.id()));
    second.wait().unwrap();
    assert!(runs(pid));
    assert!(signal("KILL", third.id()));
    third.wait().unwrap();
    wait_until("the server is gone", || !runs(pid));
    wait_until("its directory is gone", || !Path::new(&directory).exists());
    wait_until("no run has left anything", || {
        let entries = fs::read_dir(temporary.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        !names
            .into_iter()
            .any(|name| name.to_string_lossy().starts_with("wundr-db-run-"))
    });
}

#[test]
fn databases_are_apart_and_go_with_their_handle() {
    let server = PostgresServer::shared().unwrap();
    let (one, two) = (
        server.create_database().unwrap(),
        server.create_database().unwrap(),
    );
    assert_ne!(one.name(), two.name());
    query(server, &one.url(), "CREATE TABLE t AS SELECT 1 AS n").unwrap();
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 't'";
    assert_eq!(query(server, &one.url(), tables).unwrap(), "1");
    assert_eq!(query(server, &two.url(), tables).unwrap(), "0");

    let name = one.name().to_owned();
    let exists = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(query(server, &two.url(), &exists).unwrap(), "1");
    drop(one);
    assert_eq!(query(server, &two.url(), &exists).unwrap(), "0");
}

#[test]
fn a_server_lives_as_long_as_its_databases() {
    let server = PostgresServer::start().unwrap();
    let pid = server.pid().unwrap();
    let database = server.create_database().unwrap();
    drop(server);
    assert!(runs(pid));
    drop(database);
    assert!(!runs(pid));
}

#[test]
fn a_template_is_prepared_once() {
    let server = PostgresServer::start().unwrap();
    let prepared = AtomicUsize::new(0);
    let databases: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    server.create_database_from("numbers", |url| {
                        prepared.fetch_add(1, Ordering::SeqCst);
                        run_sql(&server, url, "CREATE TABLE t AS SELECT 7 AS n")?;
                        run_sql(
                            &server,
                            url,
                            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', \
                             current_database()); \
                             EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$",
                        )
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    for database in &databases {
        let row = query(
            &server,
            &database.url(),
            "DELETE FROM t RETURNING n, current_setting('work_mem'), has_database_privilege('pg_monitor', current_database(), 'CONNECT')",
        );
        assert_eq!(row.unwrap(), "7|5MB|f");
    }
    let template = "SELECT datname FROM pg_database WHERE datname LIKE 'template\\_%'";
    let template = query(&server, &server.url("postgres"), template).unwrap();
    assert!(
        query(&server, &server.url(&template), "SELECT 1").is_err(),
        "a template cannot be changed"
    );
}

#[test]
fn a_template_that_fails_is_prepared_again() {
    let server = PostgresServer::start().unwrap();
    let broken = server.create_database_from("key", |url| {
        run_sql(&server, url, "CREATE TABLE half (n int)")?;
        Err("the second half is missing".into())
    });
    assert!(
        matches!(&broken, Err(ServerError::Prepare { key, source })
            if key == "key" && source.to_string() == "the second half is missing"),
        "{broken:?}"
    );
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.create_database_from("key", |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    let whole = server
        .create_database_from("key", |url| {
            run_sql(&server, url, "CREATE TABLE whole (n int)")
        })
        .unwrap();
    let tables = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relname IN ('half', 'whole')";
    assert_eq!(query(&server, &whole.url(), tables).unwrap(), "whole");
}

#[test]
fn a_connection_that_prepare_leaves_open_does_not_block_the_template() {
    let server = PostgresServer::start().unwrap();
    let mut left_open = None;
    server
        .create_database_from("open", |url| {
            let mut psql = server.command("psql");
            psql.args(["-X", "-q", "-d", url])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = psql.stderr(Stdio::null()).spawn()?;
            writeln!(child.stdin.as_mut().unwrap(), "\\echo connected")?;
            assert_eq!(lines(&mut child, "connected", 1), [""]);
            left_open = Some(child);
            Ok(())
        })
        .unwrap();
    let mut psql = left_open.unwrap();
    drop(psql.stdin.take());
    psql.wait().unwrap();
}

#[test]
fn committed_data_survives_a_crash_of_the_server() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let (url, pid) = (database.url(), server.pid().unwrap());
    query(
        &server,
        &url,
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n",
    )
    .unwrap();
    server.kill().unwrap();
    assert!(!runs(pid));
    assert_eq!(server.pid(), None);
    query(&server, &url, "SELECT 1").unwrap_err();

    server.restart().unwrap();
    assert!(
        server.log().contains("automatic recovery in progress"),
        "{}",
        server.log()
    );
    assert_eq!(
        query(&server, &url, "SELECT count(*) FROM t").unwrap(),
        "1000"
    );
    let second = server.pid().unwrap();
    server.restart().unwrap();
    assert_ne!(server.pid(), Some(second));
    assert_eq!(
        query(&server, &url, "SELECT count(*) FROM t").unwrap(),
        "1000"
    );

    let pid = server.pid().unwrap();
    server.stop(ShutdownMode::Fast).unwrap();
    assert!(!runs(pid));
}

#[test]
fn settings_and_tcp() {
    let server = PostgresServer::builder()
        .setting("work_mem", "7MB")
        .setting("jit", "on")
        .listen_tcp()
        .start()
        .unwrap();
    let url = server.tcp_url("postgres").unwrap();
    let row = query(
        &server,
        &url,
        "SELECT current_setting('work_mem'), current_setting('jit'), inet_client_addr()",
    );
    assert_eq!(row.unwrap(), "7MB|on|127.0.0.1");
    assert_eq!(PostgresServer::shared().unwrap().tcp_url("postgres"), None);

    let error = PostgresServer::builder()
        .setting("no_such_setting", "1")
        .start()
        .unwrap_err();
    assert!(
        matches!(&error, ServerError::Start { log, .. } if log.contains("no_such_setting")),
        "{error}"
    );
}

/// A directory that the server's account can reach, for root too.
fn reachable_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn a_kept_data_directory_is_used_again() {
    let place = reachable_directory();
    let builder = PostgresServer::builder().data_dir(place.path().join("made/data"));
    let server = builder.start().unwrap();
    let url = server.url("postgres");
    query(&server, &url, "CREATE TABLE t AS SELECT 1 AS n").unwrap();
    assert_eq!(query(&server, &url, "SHOW fsync").unwrap(), "on");
    let pid = server.pid().unwrap();
    drop(server);
    assert!(!runs(pid));

    let server = builder.start().unwrap();
    assert_eq!(
        query(&server, &server.url("postgres"), "SELECT n FROM t").unwrap(),
        "1"
    );

    // As a second process would.
    let second = builder.start().unwrap();
    assert_eq!(second.url("postgres"), server.url("postgres"));
    assert_eq!(second.pid(), server.pid());
    assert!(matches!(second.kill(), Err(ServerError::Borrowed)));
    assert!(matches!(second.restart(), Err(ServerError::Borrowed)));
    drop(second);
    assert_eq!(
        query(&server, &server.url("postgres"), "SELECT n FROM t").unwrap(),
        "1"
    );
}

#[test]
fn processes_that_start_on_the_same_data_share_a_server() {
    let place = reachable_directory();
    let builder = PostgresServer::builder()
        .fsync(false)
        .data_dir(place.path().join("data"));
    let servers: Vec<PostgresServer> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| builder.start())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });
    assert!(
        servers
            .iter()
            .all(|server| server.pid() == servers[0].pid())
    );
    let names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["data"]);
    // Only its own process may stop it.
    let borrowed = servers
        .into_iter()
        .map(|server| server.stop(ShutdownMode::Fast));
    assert_eq!(
        borrowed
            .filter(|result| matches!(result, Err(ServerError::Borrowed)))
            .count(),
        3
    );
}

#[test]
fn other_data_is_refused() {
    let place = reachable_directory();
    let data = place.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "12\n").unwrap();
    let start = || {
        PostgresServer::builder()
            .data_dir(&data)
            .start()
            .unwrap_err()
    };
    let error = start();
    assert!(
        matches!(&error, ServerError::DataDirectory { reason, .. } if reason.contains("PostgreSQL 12")),
        "{error}"
    );
    fs::rename(data.join("PG_VERSION"), data.join("notes")).unwrap();
    assert!(matches!(start(), ServerError::DataDirectory { .. }));
    assert!(data.join("notes").exists());
}

#[test]
fn missing_programs_are_an_error_that_says_how_to_install_them() {
    let empty = tempfile::tempdir().unwrap();
    for (variable, part) in [("PG_BIN", "fail"), ("REDIS_BIN", "fail-redis")] {
        let mut child = another_process(part)
            .env(variable, empty.path())
            .spawn()
            .unwrap();
        let error = lines(&mut child, "error ", 1).remove(0);
        child.wait().unwrap();
        assert!(error.contains(variable), "{error}");
        assert!(error.contains("install"), "{error}");
        if Path::new("/usr/bin/apt-get").exists() {
            assert!(error.contains("sudo apt-get install -y "), "{error}");
        }
    }
}

/// The first line of Redis's answer to a command, with the value's line if it announces one.
fn redis(server: &RedisServer, commands: &[&str]) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(server.socket())?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        line.clear();
        answers.read_line(&mut line)?;
        if line.starts_with('$') && !line.starts_with("$-1") {
            line.clear();
            answers.read_line(&mut line)?;
        }
    }
    Ok(line.trim().to_owned())
}

#[test]
fn redis_starts_stops_and_starts_again() {
    let server = RedisServer::start().unwrap();
    assert!(server.url().starts_with("redis+unix:///"));
    assert_eq!(server.tcp_url(), None);
    assert_eq!(redis(&server, &["SET k 1", "GET k"]).unwrap(), "1");
    let pid = server.pid().unwrap();
    server.kill();
    assert!(!runs(pid));
    assert_eq!(server.pid(), None);
    redis(&server, &["GET k"]).unwrap_err();
    server.restart().unwrap();
    assert_eq!(redis(&server, &["GET k"]).unwrap(), "$-1", "it is empty");

    server.pause().unwrap();
    redis(&server, &["PING"]).unwrap_err();
    server.resume().unwrap();
    assert_eq!(redis(&server, &["PING"]).unwrap(), "+PONG");

    server.pause().unwrap();
    let (pid, directory) = (server.pid().unwrap(), server.data_dir().to_owned());
    drop(server);
    assert!(!runs(pid));
    assert!(!directory.exists());
}

#[test]
fn redis_with_a_password_settings_and_an_append_only_file() {
    let password = "p w\"d\\é";
    let server = RedisServer::builder()
        .persistent()
        .password(password)
        .maxmemory(50_000_000)
        .setting("maxmemory-policy", "volatile-lru")
        .setting("client-output-buffer-limit", "normal 0 0 0")
        .listen_tcp()
        .start()
        .unwrap();
    let login = "AUTH \"p w\\\"d\\\\é\"";
    assert!(redis(&server, &["GET k"]).unwrap().starts_with("-NOAUTH"));
    assert_eq!(redis(&server, &[login, "SET k 1"]).unwrap(), "+OK");
    assert!(
        server.url().ends_with("?pass=p%20w%22d%5C%C3%A9"),
        "{}",
        server.url()
    );
    assert!(
        server
            .tcp_url()
            .unwrap()
            .starts_with("redis://:p%20w%22d%5C%C3%A9@127.0.0.1:")
    );
    assert!(!format!("{server:?}").contains("p w"));
    server.restart().unwrap();
    assert_eq!(redis(&server, &[login, "GET k"]).unwrap(), "1");
    assert!(redis(&server, &[login, "INFO memory"]).is_ok());

    let error = RedisServer::builder()
        .setting("no-such-setting", "1")
        .start()
        .unwrap_err();
    assert!(
        matches!(&error, ServerError::Start { log, .. } if log.contains("no-such-setting")),
        "{error}"
    );
    let error = RedisServer::builder()
        .setting("save", "1 1\nport 1")
        .start()
        .unwrap_err();
    assert!(matches!(error, ServerError::Setting { .. }), "{error}");
}

/// A client of a proxy in front of Redis.
struct Client {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    fn connect(proxy: &Proxy) -> std::io::Result<Self> {
        let stream = TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, answers })
    }

    fn send(&mut self, command: &str) {
        write!(self.stream, "{command}\r\n").unwrap();
    }

    /// The next line of the answer; empty at the end of the connection.
    fn receive(&mut self) -> String {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(_) => line.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.receive()
    }

    /// Checks that there is no answer yet.
    fn receives_nothing(&mut self) {
        let limit = |limit| self.stream.set_read_timeout(Some(limit)).unwrap();
        limit(Duration::from_millis(200));
        let error = loop {
            match self.stream.peek(&mut [0]).unwrap_err().kind() {
                ErrorKind::Interrupted => {}
                error => break error,
            }
        };
        assert_eq!(error, ErrorKind::WouldBlock);
        limit(Duration::from_secs(30));
    }
}

#[test]
fn a_proxy_forwards_and_counts() {
    let server = PostgresServer::shared().unwrap();
    let database = server.create_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    assert_eq!((proxy.accepted(), proxy.open()), (0, 0));
    let name = query(
        server,
        &proxy.url_of(&database),
        "SELECT current_database()",
    );
    assert_eq!(name.unwrap(), database.name());
    assert_eq!(proxy.accepted(), 1);
    wait_until("the connection is closed", || proxy.open() == 0);

    let redis = RedisServer::builder().password("p w").start().unwrap();
    let proxy = Proxy::start(&redis).unwrap();
    let port = proxy.port();
    assert_eq!(
        proxy.url_of_redis(&redis),
        format!("redis://:p%20w@127.0.0.1:{port}")
    );
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&proxy).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("AUTH \"p w\""), "+OK");
    }
    assert_eq!((proxy.accepted(), proxy.open()), (3, 3));
    clients.pop();
    wait_until("one is closed", || proxy.open() == 2);
    // The server's end reaches the client.
    redis.kill();
    assert_eq!(clients[0].receive(), "");
    wait_until("all are closed", || proxy.open() == 0);
    drop(proxy);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
}

#[test]
fn a_silent_proxy_keeps_connections_and_forwards_later() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(&redis).unwrap();
    let mut old = Client::connect(&proxy).unwrap();
    assert_eq!(old.ask("PING"), "+PONG");
    proxy.set(ProxyMode::Silent).unwrap();
    assert_eq!(proxy.mode(), ProxyMode::Silent);
    old.send("INCR n");
    let mut new = Client::connect(&proxy).unwrap();
    new.send("INCR n");
    old.receives_nothing();
    new.receives_nothing();
    // Though nothing is forwarded, an end is counted.
    let closed = Client::connect(&proxy).unwrap();
    wait_until("it is accepted", || proxy.open() == 3);
    drop(closed);
    wait_until("it is closed", || proxy.open() == 2);
    // The server's end is silent too.
    redis.kill();
    old.receives_nothing();
    redis.restart().unwrap();
    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(old.receive(), "", "its server is another one now");
    assert_eq!(new.receive(), ":1");
    assert_eq!(new.ask("PING"), "+PONG");
}

#[test]
fn a_refusing_proxy_listens_again_and_a_cut_ends_connections() {
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(&redis).unwrap();
    let mut old = Client::connect(&proxy).unwrap();
    assert_eq!(old.ask("PING"), "+PONG");
    for _ in 0..3 {
        proxy.set(ProxyMode::Refuse).unwrap();
        let error = Client::connect(&proxy).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(old.ask("PING"), "+PONG", "open connections go on");
        proxy.set(ProxyMode::Pass).unwrap();
        assert_eq!(Client::connect(&proxy).unwrap().ask("PING"), "+PONG");
    }
    proxy.set(ProxyMode::Silent).unwrap();
    let mut waiting = Client::connect(&proxy).unwrap();
    wait_until("it is accepted", || proxy.accepted() == 5);
    proxy.cut();
    assert_eq!(
        (old.receive(), waiting.receive()),
        (String::new(), String::new())
    );
    assert_eq!(proxy.open(), 0);
    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(Client::connect(&proxy).unwrap().ask("PING"), "+PONG");
    // A server that does not run ends a connection, which the client sees.
    redis.kill();
    assert_eq!(Client::connect(&proxy).unwrap().receive(), "");
}

#[test]
fn a_proxy_swallows_the_answer_to_a_commit() {
    let server = PostgresServer::shared().unwrap();
    let database = server.create_database().unwrap();
    query(server, &database.url(), "CREATE TABLE t (n int)").unwrap();
    let proxy = Proxy::start(&database).unwrap();
    proxy.set(ProxyMode::swallow_commit()).unwrap();
    let run = |end: &str| {
        let mut psql = server.command("psql");
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(proxy.url_of(&database));
        for statement in ["BEGIN", "INSERT INTO t VALUES (1)", end] {
            psql.args(["-c", statement]);
        }
        psql.output().unwrap().status.success()
    };
    assert!(run("ROLLBACK"));
    assert_eq!(proxy.swallowed(), 0);
    assert!(!run("COMMIT"));
    assert_eq!((proxy.swallowed(), proxy.open()), (1, 0));
    // The server had worked it off before the connection was closed.
    let rows = query(server, &database.url(), "SELECT count(*) FROM t");
    assert_eq!(rows.unwrap(), "1");

    // Also when the text comes in two parts.
    let redis = RedisServer::start().unwrap();
    let proxy = Proxy::start(&redis).unwrap();
    proxy
        .set(ProxyMode::SwallowAnswerTo("EXEC".to_owned()))
        .unwrap();
    let mut client = Client::connect(&proxy).unwrap();
    assert_eq!(client.ask("MULTI"), "+OK");
    assert_eq!(client.ask("INCR n"), "+QUEUED");
    write!(client.stream, "EX").unwrap();
    client.receives_nothing();
    assert_eq!(client.ask("EC"), "");
    proxy.set(ProxyMode::Pass).unwrap();
    assert_eq!(Client::connect(&proxy).unwrap().ask("INCR n"), ":2");
}

#[test]
fn a_proxy_tears_answers_into_pieces_and_changes_nothing() {
    let server = PostgresServer::shared().unwrap();
    let database = server.create_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let text = "SELECT string_agg(n::text, ' ') FROM generate_series(1, 20000) n";
    let whole = query(server, &database.url(), text).unwrap();
    for seed in 0..3 {
        let pause = Duration::from_micros(100);
        proxy.set(ProxyMode::Split { pause, seed }).unwrap();
        assert_eq!(
            query(server, &proxy.url_of(&database), text).unwrap(),
            whole
        );
    }
}

#[test]
fn a_proxy_leads_to_another_server() {
    let (one, two) = (RedisServer::start().unwrap(), RedisServer::start().unwrap());
    redis(&two, &["SET n 10"]).unwrap();
    let proxy = Proxy::start(&one).unwrap();
    let mut old = Client::connect(&proxy).unwrap();
    assert_eq!(old.ask("INCR n"), ":1");
    proxy.lead_to(&two);
    assert_eq!(Client::connect(&proxy).unwrap().ask("INCR n"), ":11");
    assert_eq!(old.ask("INCR n"), ":2");
    proxy.cut();
    assert_eq!(old.receive(), "");
}

#[test]
fn a_standby_follows_and_takes_over() {
    let pair = Pair::start().unwrap();
    let (primary, standby) = (pair.primary(), pair.standby());
    let database = pair.create_database().unwrap();
    let (url, standby_url) = (database.url(), pair.standby_url(&database));
    let write = |n: i32| query(primary, &url, &format!("INSERT INTO t VALUES ({n})")).unwrap();
    let numbers = "SELECT coalesce(string_agg(n::text, ' ' ORDER BY n), '') FROM t";
    let seen = || query(standby, &standby_url, numbers).unwrap();

    query(primary, &url, "CREATE TABLE t (n int)").unwrap();
    write(1);
    pair.wait_for_catch_up().unwrap();
    assert_eq!(seen(), "1");
    let refused = query(standby, &standby_url, "INSERT INTO t VALUES (0)").unwrap_err();
    assert!(refused.contains("read-only transaction"), "{refused}");

    pair.pause_replay().unwrap();
    write(2);
    assert_eq!(seen(), "1");
    pair.resume_replay().unwrap();
    pair.wait_for_catch_up().unwrap();
    assert_eq!(seen(), "1 2");

    pair.cut_replication().unwrap();
    write(3);
    pair.mend_replication().unwrap();
    pair.wait_for_catch_up().unwrap();
    assert_eq!(seen(), "1 2 3");

    pair.synchronous(true).unwrap();
    write(4);
    assert_eq!(seen(), "1 2 3 4");
    pair.synchronous(false).unwrap();

    pair.cut_replication().unwrap();
    write(5);
    pair.promote().unwrap();
    query(standby, &standby_url, "INSERT INTO t VALUES (6)").unwrap();
    assert_eq!(
        seen(),
        "1 2 3 4 6",
        "what was acknowledged after the cut is lost"
    );
    write(7);
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    assert_eq!(query(primary, &url, timeline).unwrap(), "1");
    assert!(matches!(pair.promote(), Err(ServerError::Statement { .. })));
    assert!(matches!(
        pair.pause_replay(),
        Err(ServerError::Statement { .. })
    ));

    let pids = [primary.pid().unwrap(), standby.pid().unwrap()];
    let directories = [
        primary.socket_dir().to_owned(),
        standby.socket_dir().to_owned(),
    ];
    drop(database);
    drop(pair);
    assert!(!pids.into_iter().any(runs));
    assert!(!directories.iter().any(|directory| directory.exists()));
}
