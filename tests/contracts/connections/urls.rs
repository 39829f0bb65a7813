//! One URL, one meaning: both engines are held against libpq itself, that is psql.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use diesel::QueryableByName;
use diesel::sql_types::Text;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wundr_db::testing::PostgresServer;
use wundr_db::{Config, Error, blocking};

use crate::observer::Observer;

/// The state of a session: the server, the way there, and what was asked for.
const WHERE: &str = "SELECT concat_ws('|', current_setting('cluster_name'), \
     CASE WHEN inet_server_addr() IS NULL THEN 'socket' ELSE host(inet_server_addr()) END, session_user, \
     current_database(), regexp_replace(current_setting('application_name'), '^(psql|wundr-db)$', 'usual'), \
     current_setting('work_mem'), current_setting('client_encoding'), current_setting('DateStyle'), \
     current_setting('geqo')) AS said";

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    said: String,
}

/// A password with everything that a URL gives a meaning to.
const PASSWORD: &str = "p/a@s#s:w%o?r&d=+ '\\";

struct Servers {
    alpha: PostgresServer,
    beta: PostgresServer,
    read_only: PostgresServer,
    home: tempfile::TempDir,
}

fn system_user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn server(name: &str, settings: &[(&str, &str)]) -> PostgresServer {
    let mut builder = PostgresServer::builder()
        .listen_tcp()
        .setting("cluster_name", name);
    for (name, value) in settings {
        builder = builder.setting(*name, *value);
    }
    let server = builder.start().unwrap();
    let mut observer = Observer::of(&server.url("postgres"));
    observer.run("SET default_transaction_read_only = off");
    let ada = format!(
        "CREATE ROLE ada LOGIN PASSWORD '{}'",
        PASSWORD.replace('\'', "''")
    );
    observer.run(&ada);
    observer.run("CREATE ROLE bob LOGIN PASSWORD 'secret'");
    observer.run(&format!(
        "CREATE ROLE \"{}\" LOGIN PASSWORD 'home'",
        system_user()
    ));
    for database in ["wundr", "d@x", "d ö'\\", "ada", "bob", &system_user()] {
        observer.run(&format!("CREATE DATABASE \"{database}\""));
    }
    let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(server.data_dir().join("pg_hba.conf"), rules).unwrap();
    observer.run("SELECT pg_reload_conf()");
    observer
        .until("(SELECT auth_method = 'scram-sha-256' FROM pg_hba_file_rules WHERE type = 'host')");
    server
}

impl Servers {
    fn start() -> Self {
        let servers = Self {
            alpha: server("alpha", &[]),
            beta: server("beta", &[]),
            read_only: server("gamma", &[("default_transaction_read_only", "on")]),
            home: tempfile::tempdir().unwrap(),
        };
        let (alpha, beta) = (servers.alpha.port(), servers.beta.port());
        let lines = format!(
            "# passwords\n\
             127.0.0.1:{alpha}:wundr:bob:wrong\\:one\n\
             localhost:{alpha}:*:bob:secret\n\
             *:{beta}:*:bob:secret\n\
             127.0.0.1:*:bob:bob:secret\n\
             *:*:d@x:ada:p/a@s#s\\:w%o?r&d=+ '\\\\\n\
             *:*:*:{}:home\n",
            system_user()
        );
        servers.file(".pgpass", &lines, 0o600);
        servers.file("open.pgpass", &lines, 0o644);
        servers.file("other.pgpass", "*:*:*:*:secret", 0o600);
        servers.file(
            ".pg_service.conf",
            &format!(
                "[one]\nhost=127.0.0.1\nport={beta}\nuser=bob\npassword=secret\ndbname=wundr\n\
                 [broken]\nhots=127.0.0.1\n[one]\nuser=ada\n"
            ),
            0o600,
        );
        servers
    }

    fn file(&self, name: &str, content: &str, mode: u32) {
        let path = self.home.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Fills in what only this run has.
    fn fill(&self, text: &str) -> String {
        let encoded = |path: &Path| {
            let text = path.to_str().unwrap();
            utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
        };
        let password = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC).to_string();
        [
            ("{A}", self.alpha.port().to_string()),
            ("{B}", self.beta.port().to_string()),
            ("{C}", self.read_only.port().to_string()),
            ("{adir}", encoded(self.alpha.socket_dir())),
            ("{bdir}", encoded(self.beta.socket_dir())),
            ("{rawdir}", self.alpha.socket_dir().display().to_string()),
            ("{home}", self.home.path().display().to_string()),
            ("{pw}", password),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(name, &value)
        })
    }

    fn psql(&self, variables: &[(&str, String)], url: &str) -> Option<String> {
        let program = self.alpha.command("psql").get_program().to_owned();
        let mut psql = Command::new(program);
        clean(&mut psql, self.home.path(), variables);
        let output = psql
            .args(["-X", "-w", "-A", "-t", "-q", "-c", WHERE, url])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| said.trim().to_owned())
    }

    /// The outcome of each engine in a process of its own, by URL.
    fn engines(
        &self,
        variables: &[(&str, String)],
        urls: &[String],
        reader: &str,
    ) -> Vec<(Option<String>, Option<String>)> {
        let (_program, module) = module_path!().split_once("::").unwrap();
        let test = format!("{module}::answers_another_process");
        let mut child = Command::new(std::env::current_exe().unwrap());
        clean(&mut child, self.home.path(), variables);
        let output = child
            .env("WUNDR_TEST_URLS", urls.join("\n"))
            .env("WUNDR_TEST_READER", reader)
            .args(["--exact", &*test, "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let mut answers = BTreeMap::new();
        for line in said.lines() {
            // The harness's own words may stand before it on the line.
            let Some((_, line)) = line.split_once("ANSWER ") else {
                continue;
            };
            let mut parts = line.splitn(3, ' ');
            let key = (
                parts.next().unwrap().parse().unwrap(),
                parts.next().unwrap(),
            );
            let said = parts.next().unwrap();
            let said = said.strip_prefix("ok ").map(str::to_owned);
            answers.insert((key.0, key.1.to_owned()), said);
        }
        (0..urls.len())
            .map(|index| {
                let mut of = |engine: &str| {
                    let answer = answers.remove(&(index, engine.to_owned()));
                    answer.unwrap_or_else(|| panic!("no answer to {}: {said}", urls[index]))
                };
                (of("async"), of("blocking"))
            })
            .collect()
    }
}

fn clean(command: &mut Command, home: &Path, variables: &[(&str, String)]) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("HOME", home);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
}

/// No test of its own: connects by the URLs that [`Servers::engines`] gives it.
#[test]
fn answers_another_process() {
    let Ok(urls) = std::env::var("WUNDR_TEST_URLS") else {
        return;
    };
    let reads_all = std::env::var("WUNDR_TEST_READER").unwrap() == "new";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (index, url) in urls.split('\n').enumerate() {
        let config = if reads_all {
            Config::new(url)
        } else {
            Config::without_environment(url)
        };
        let config = config.map(|config| config.max_connections(1));
        let (asked, blocked) = match config {
            Err(error) => (Err(error.to_string()), Err(error.to_string())),
            Ok(config) => (
                runtime
                    .block_on(said_to_async(config.clone()))
                    .map_err(|error| error.to_string()),
                said_to_blocking(config).map_err(|error| error.to_string()),
            ),
        };
        for (engine, outcome) in [("async", asked), ("blocking", blocked)] {
            match outcome {
                Ok(said) => println!("ANSWER {index} {engine} ok {said}"),
                Err(error) => println!("ANSWER {index} {engine} no {}", error.replace('\n', " ")),
            }
        }
    }
}

async fn said_to_async(config: Config) -> wundr_db::Result<String> {
    use diesel_async::RunQueryDsl;
    let db = wundr_db::Db::lazy(config)?;
    let mut answers = Vec::new();
    // The second time on a connection whose session was restored.
    for _ in 0..2 {
        let answer = db.transaction(async |tx| -> wundr_db::Result<String> {
            let said: Said = diesel::sql_query(WHERE)
                .get_result(tx.connection_mut())
                .await?;
            Ok(said.said)
        });
        answers.push(answer.await?);
    }
    answers.dedup();
    Ok(answers.join(" and then "))
}

fn said_to_blocking(config: Config) -> wundr_db::Result<String> {
    use diesel::RunQueryDsl;
    let db = blocking::Db::lazy(config)?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(db.transaction(|tx| -> wundr_db::Result<String> {
            let said: Said = diesel::sql_query(WHERE).get_result(tx.connection_mut())?;
            Ok(said.said)
        })?);
    }
    answers.dedup();
    Ok(answers.join(" and then "))
}

type Case = (&'static [(&'static str, &'static str)], &'static str);

/// `{A}` and `{B}` are ports of two servers, `{C}` that of a read-only one, `{adir}` and `{bdir}`
/// the directories of their sockets.
const CASES: &[Case] = &[
    // The parts of a URL.
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr"),
    (&[], "postgresql://bob:secret@127.0.0.1:{A}/wundr"),
    (&[], "postgres://bob:secret@localhost:{A}/wundr"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}?dbname=wundr"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/?dbname=wundr&"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?dbname=bob"),
    (&[], "postgres://bob:wrong@127.0.0.1:{A}/wundr"),
    (
        &[],
        "postgres://bob:wrong@127.0.0.1:{A}/wundr?password=secret",
    ),
    (&[], "postgres://eve:secret@127.0.0.1:{A}/wundr"),
    (&[], "postgres://ada:secret@127.0.0.1:{A}/wundr?user=bob"),
    (&[], "postgres://ada:{pw}@127.0.0.1:{A}/wundr"),
    (&[], "postgres://127.0.0.1:{A}/wundr?user=ada&password={pw}"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/d%40x"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/d%20%C3%B6%27%5C"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/missing"),
    (&[], "postgres://%62ob:%73ecret@127.0.0.1:{A}/%77undr"),
    (&[], "postgres://bob:secret@%31%32%37.0.0.1:{A}/wundr"),
    (
        &[],
        "postgres://127.0.0.1:{A}/wundr?us%65r=bob&password=secret",
    ),
    // Which server.
    (&[], "postgres://bob@/wundr?host={adir}&port={A}"),
    (&[], "postgres://bob@{adir}:{A}/wundr"),
    (&[], "postgres:///wundr?user=bob&host={rawdir}&port={A}"),
    (
        &[],
        "postgres://bob@localhost:{B}/wundr?host={adir}&port={A}",
    ),
    (&[], "postgres://bob:secret@localhost:{A}/wundr?host={bdir}"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?port={B}"),
    (&[], "postgres://bob:secret@127.0.0.1/wundr?port={B}"),
    (
        &[],
        "postgres://bob:secret@nowhere.invalid:{A}/wundr?host=127.0.0.1",
    ),
    (
        &[],
        "postgres://bob:secret@nowhere.invalid:{A}/wundr?hostaddr=127.0.0.1",
    ),
    (
        &[],
        "postgres://bob:secret@/wundr?hostaddr=127.0.0.1&port={B}",
    ),
    (&[], "postgres://bob:secret@:{A}/wundr?hostaddr=127.0.0.1"),
    (
        &[],
        "postgres://bob:secret@{adir}:{B}/wundr?hostaddr=127.0.0.1",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?hostaddr=nowhere",
    ),
    (
        &[],
        "postgres://bob:secret@/wundr?host=127.0.0.1,127.0.0.1&port={A},{B}",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:1,127.0.0.1:{B}/wundr"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1,127.0.0.1/wundr?port=1,{A}",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1,127.0.0.1/wundr?port={A}",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1,127.0.0.1,127.0.0.1/wundr?port=1,{A}",
    ),
    (&[], "postgres://bob:secret@127.0.0.1/wundr?port=1,{A}"),
    (
        &[],
        "postgres://bob:secret@/wundr?host=127.0.0.1&hostaddr=127.0.0.1,127.0.0.1&port={A}",
    ),
    (
        &[],
        "postgres://bob:secret@nowhere.invalid:1,127.0.0.1:{A}/wundr",
    ),
    (&[], "postgres://bob:secret@{bdir}:{A},{adir}:{A}/wundr"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{C},127.0.0.1:{A}/wundr?target_session_attrs=any",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{C},127.0.0.1:{A}/wundr?target_session_attrs=read-write",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A},127.0.0.1:{C}/wundr?target_session_attrs=read-only",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{C}/wundr?target_session_attrs=read-write",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{C}/wundr?target_session_attrs=primary",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?target_session_attrs=standby",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?target_session_attrs=prefer-standby",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?target_session_attrs=master",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:0/wundr?hostaddr=127.0.0.1",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:65536/wundr"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}x/wundr"),
    (&[], "postgres://bob:secret@[127.0.0.1/wundr"),
    (&[], "postgres://bob:secret@[]:{A}/wundr"),
    (&[], "postgres://bob:secret@[127.0.0.1]:{A}/wundr"),
    (&[], "postgres://bob:secret@[127.0.0.1]x:{A}/wundr"),
    // Other parameters.
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?application_name=my%20app",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?application_name=a&application_name=b%26c",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20work_mem%3D5MB",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20no_such%3D1",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=0",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=-1",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=5",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=%205%20",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=5s",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?connect_timeout=99999999999",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?keepalives=1&keepalives_idle=7&keepalives_interval=2&keepalives_count=4",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?keepalives=0&tcp_user_timeout=2000",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?keepalives=yes",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?keepalives_count=128",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?tcp_user_timeout=0",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?tcp_user_timeout=-1",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?tcp_user_timeout=2s",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?channel_binding=disable",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?channel_binding=require",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?channel_binding=maybe",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?client_encoding=utf8&gssencmode=disable&sslcompression=0",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=disable",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=allow",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=prefer",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=require",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=PREFER",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode="),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?ssl=true"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?ssl=false"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=verify-ca",
    ),
    (&[], "postgres://bob@{adir}:{A}/wundr?sslmode=verify-full"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2",
    ),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?ssl_min_protocol_version=SSLv3",
    ),
    // What is no URL.
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?unknown=1"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?SSLMODE=disable",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?user"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20work_mem=5MB",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr?&user=ada"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?application_name=a&&user=bob",
    ),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr%"),
    (&[], "postgres://bob:secret@127.0.0.1:{A}/wundr%00x"),
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?application_name=%zz",
    ),
    // The environment.
    (
        &[],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20datestyle%3DSQL,\\%20DMY%20--geqo%3Doff",
    ),
    (
        &[("PGDATESTYLE", "German, DMY"), ("PGGEQO", "off")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGDATESTYLE", "German, DMY"), ("PGGEQO", "off")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20datestyle%3DSQL%20-cgeqo%3Don",
    ),
    (
        &[("PGDATESTYLE", "Default"), ("PGGEQO", "default")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20datestyle%3DSQL%20-cgeqo%3Doff",
    ),
    (
        &[("PGDATESTYLE", "it's \\ none")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGGEQO", "perhaps")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGGEQO", "")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGTZ", "Asia/Tokyo")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGUSER", "bob"), ("PGPASSWORD", "secret")],
        "postgres://127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGUSER", "ada"), ("PGPASSWORD", "wrong")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGHOST", "127.0.0.1"), ("PGPORT", "{B}")],
        "postgres://bob:secret@/wundr",
    ),
    (
        &[("PGHOST", "nowhere.invalid"), ("PGPORT", "{B}")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGHOST", "nowhere.invalid"), ("PGPORT", "{B}")],
        "postgres://bob:secret@127.0.0.1/wundr",
    ),
    (
        &[("PGHOST", "{rawdir}"), ("PGPORT", "{A}")],
        "postgres://bob@/wundr",
    ),
    (
        &[("PGHOST", "127.0.0.1,127.0.0.1"), ("PGPORT", "1,{B}")],
        "postgres://bob:secret@/wundr",
    ),
    (
        &[("PGHOSTADDR", "127.0.0.1"), ("PGPORT", "{B}")],
        "postgres://bob:secret@nowhere.invalid/wundr",
    ),
    (
        &[("PGPORT", "{B}x")],
        "postgres://bob:secret@127.0.0.1/wundr",
    ),
    (
        &[("PGPORT", "{B}x")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGDATABASE", "wundr")],
        "postgres://bob:secret@127.0.0.1:{A}",
    ),
    (
        &[("PGDATABASE", "missing")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGAPPNAME", "of the environment")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGAPPNAME", "of the environment")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?application_name=own",
    ),
    (
        &[("PGOPTIONS", "-c work_mem=6MB")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGOPTIONS", "-c work_mem=6MB")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?options=-c%20work_mem%3D7MB",
    ),
    (
        &[("PGSSLMODE", "require")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGSSLMODE", "verify-full")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGSSLMODE", "verify-full")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr?sslmode=prefer",
    ),
    (
        &[("PGSSLMODE", "strict")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGCONNECT_TIMEOUT", "soon")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGCONNECT_TIMEOUT", "9")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGTARGETSESSIONATTRS", "read-write")],
        "postgres://bob:secret@127.0.0.1:{C}/wundr",
    ),
    (
        &[("PGCHANNELBINDING", "require")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (&[("PGSERVICE", "one")], "postgres://"),
    (
        &[("PGSERVICE", "one"), ("PGUSER", "ada")],
        "postgres:///bob",
    ),
    (
        &[("PGSERVICE", "two")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGSERVICE", "broken")],
        "postgres://bob:secret@127.0.0.1:{A}/wundr",
    ),
    (&[], "postgres://?service=one"),
    (&[], "postgres:///bob?service=one"),
    // The password file.
    (&[], "postgres://bob@localhost:{A}/wundr"),
    (&[], "postgres://bob@127.0.0.1:{A}/wundr"),
    (&[], "postgres://bob@127.0.0.1:{B}/wundr"),
    (&[], "postgres://bob@127.0.0.1:{A}/bob"),
    (&[], "postgres://ada@127.0.0.1:{A}/d%40x"),
    (&[], "postgres://ada@127.0.0.1:{A}/wundr"),
    (&[], "postgres://127.0.0.1:{A}/wundr"),
    (&[], "postgres://127.0.0.1:{A}"),
    (&[], "postgres://bob@127.0.0.1:1,localhost:{A}/wundr"),
    (
        &[],
        "postgres://bob@nowhere.invalid:{A}/bob?hostaddr=127.0.0.1",
    ),
    (&[], "postgres://bob:@127.0.0.1:{B}/wundr"),
    (
        &[],
        "postgres://bob@127.0.0.1:{A}/wundr?passfile={home}/other.pgpass",
    ),
    (
        &[],
        "postgres://bob@127.0.0.1:{B}/wundr?passfile={home}/open.pgpass",
    ),
    (&[], "postgres://bob@127.0.0.1:{B}/wundr?passfile=/nowhere"),
    (
        &[("PGPASSFILE", "{home}/other.pgpass")],
        "postgres://bob@127.0.0.1:{A}/wundr",
    ),
    (
        &[("PGPASSWORD", "wrong")],
        "postgres://bob@127.0.0.1:{B}/wundr",
    ),
];

#[test]
fn both_engines_read_a_url_as_libpq_does() {
    let servers = Servers::start();
    let mut by_environment: BTreeMap<Vec<(&str, String)>, Vec<String>> = BTreeMap::new();
    for (variables, url) in CASES {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| (*name, servers.fill(value)));
        let urls = by_environment.entry(variables.collect()).or_default();
        urls.push(servers.fill(url));
    }
    let mut wrong = Vec::new();
    let mut reached = 0;
    for (variables, urls) in &by_environment {
        let answers = servers.engines(variables, urls, "new");
        for (url, (asked, blocked)) in urls.iter().zip(answers) {
            let libpq = servers.psql(variables, url);
            reached += usize::from(libpq.is_some());
            if asked != libpq || blocked != libpq {
                wrong.push(format!(
                    "{url} with {variables:?}\n  libpq {libpq:?}\n  async {asked:?}\n  blocking {blocked:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        CASES.len() >= 60 && reached >= 60,
        "{reached} of {}",
        CASES.len()
    );
}

#[test]
fn without_the_environment_a_url_stands_alone() {
    let servers = Servers::start();
    let variables = [
        ("PGHOST", "nowhere.invalid".to_owned()),
        ("PGHOSTADDR", "127.0.0.9".to_owned()),
        ("PGPORT", "1".to_owned()),
        ("PGUSER", "ada".to_owned()),
        ("PGPASSWORD", "wrong".to_owned()),
        ("PGDATABASE", "missing".to_owned()),
        ("PGAPPNAME", "of the environment".to_owned()),
        ("PGOPTIONS", "-c work_mem=6MB".to_owned()),
        ("PGSSLMODE", "verify-full".to_owned()),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.3".to_owned()),
        ("PGCHANNELBINDING", "require".to_owned()),
        ("PGTARGETSESSIONATTRS", "standby".to_owned()),
        ("PGCONNECT_TIMEOUT", "soon".to_owned()),
        ("PGCLIENTENCODING", "LATIN1".to_owned()),
        ("PGREQUIREPEER", "nobody".to_owned()),
        ("PGGSSENCMODE", "require".to_owned()),
        ("PGPASSFILE", servers.fill("{home}/other.pgpass")),
        ("PGDATESTYLE", "German".to_owned()),
        ("PGTZ", "Asia/Tokyo".to_owned()),
        ("PGGEQO", "off".to_owned()),
        ("PGREQUIREAUTH", "none".to_owned()),
        ("PGLOADBALANCEHOSTS", "random".to_owned()),
    ];
    let urls = [
        servers.fill("postgres://bob:secret@127.0.0.1:{A}/wundr"),
        servers.fill("postgres://bob@{adir}:{A}/wundr"),
        servers.fill("postgres://bob:secret@127.0.0.1:{A}"),
        // The password file and the environment's password are not read.
        servers.fill("postgres://bob@127.0.0.1:{B}/wundr"),
        servers.fill(
            "postgres://bob@{adir}:{A}/wundr?options=-cDateStyle%3DSQL%20-c%20geqo%3Doff%20--geqo%3Dno",
        ),
    ];
    let usual = |place: &str| Some(format!("alpha|{place}|usual|4MB|UTF8|ISO, MDY|on"));
    let expected = [
        usual("127.0.0.1|bob|wundr"),
        usual("socket|bob|wundr"),
        usual("127.0.0.1|bob|bob"),
        None,
        Some("alpha|socket|bob|wundr|usual|4MB|UTF8|SQL, MDY|off".to_owned()),
    ];
    let answers = servers.engines(&variables, &urls, "without_environment");
    for ((url, expected), (asked, blocked)) in urls.iter().zip(expected).zip(answers) {
        assert_eq!((&asked, &blocked), (&expected, &expected), "{url}");
    }
}

/// The documented differences to libpq.
#[test]
fn what_one_engine_could_not_follow_is_refused_in_both() {
    for query in [
        "unknown=1",
        "ssl=yes",
        "gssencmode=require",
        "requirepeer=postgres",
        "require_auth=scram-sha-256",
        "replication=database",
        "client_encoding=LATIN1",
        "sslrootcert=system&sslmode=verify-ca",
        "sslrootcert=system&sslmode=require",
        "load_balance_hosts=sometimes",
        "keepalives_idle=32768",
        "keepalives_interval=40000",
    ] {
        let url = format!("postgres://u:hidden@h/d?{query}");
        match Config::new(&url) {
            Err(error @ Error::InvalidInput { .. }) => {
                assert!(!error.to_string().contains("hidden"), "{error}");
            }
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[test]
fn a_password_is_neither_repeated_nor_looked_up_whatever_is_in_it() {
    // Taken as it is: the host is the last part.
    for url in [
        "postgres://u:kel@pie@h.example/d",
        "postgres://u:kel#pie@h.example/d",
        "postgres://u:kel?pie=@h.example/d",
        "postgres://u:kel:pie@h.example/d",
        "postgres://u:kel@pie@pie#kel@h.example:5432/d?sslmode=disable",
    ] {
        let shown = format!("{:?}", Config::without_environment(url).unwrap());
        assert!(shown.contains("h.example:5432/d"), "{shown}");
        assert!(!shown.contains("kel") && !shown.contains("pie"), "{shown}");
    }
    // Refused: a host, a port, a database or a parameter would be a part of it.
    for url in [
        "postgres://u:kel/pie@h.example/d",
        "postgres://u:12/pie@h.example/d",
        "postgres://u:/kelpie@h.example/d",
        "postgres://kel/pie@h.example/d",
        "postgres://u:kel@pie/kel@h.example/d",
        "postgres://u:12/kel?pie=kel@h.example/d",
        "postgres://u:12/kel?sslmode=pie@h.example/d",
        "postgres://u:12/kel?port=pie@h.example/d",
        "postgres://u:12/kel?connect_timeout=pie@h.example/d",
        "postgres://u:12/kel?target_session_attrs=pie@h.example/d",
        "postgres://u:kel%pie@h.example/d",
        "postgres://u:12/kel?host=pie@h.example",
        "postgres://u:12/kel?sslmode=pie&user=kel@h.example",
        "postgres://u:12/kel?user=pie@h.example/d",
        "postgres://u:12@kel/pie?user=pie@h.example/d",
        "postgres://u:kelpie@h.example/d?pie=kel@x",
    ] {
        let Err(error) = Config::without_environment(url) else {
            panic!("{url} is taken");
        };
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("kel") && !shown.contains("pie"),
            "{url}: {shown}"
        );
    }
}

#[tokio::test]
async fn settings_out_of_their_range_are_refused_by_both_engines() {
    let base = || Config::without_environment("postgres://u@127.0.0.1:1/d").unwrap();
    let day = Duration::from_secs(24 * 3600);
    type Change = fn(Config, Duration) -> Config;
    let times: [(&str, Change); 7] = [
        ("acquire_timeout", |config, time| {
            config.acquire_timeout(time)
        }),
        ("connect_timeout", |config, time| {
            config.connect_timeout(time)
        }),
        ("statement_timeout", |config, time| {
            config.statement_timeout(time)
        }),
        ("idle_in_transaction_timeout", |config, time| {
            config.idle_in_transaction_timeout(time)
        }),
        ("idle_timeout", |config, time| config.idle_timeout(time)),
        ("max_lifetime", |config, time| config.max_lifetime(time)),
        ("unacknowledged_timeout", |config, time| {
            config.unacknowledged_timeout(time)
        }),
    ];
    let mut refused: Vec<(&str, Config)> = vec![
        ("max_connections", base().max_connections(0)),
        ("max_connections", base().max_connections(u32::MAX)),
        ("min_idle", base().min_idle(11)),
        ("min_idle", base().min_idle(u32::MAX)),
    ];
    let keepalives = |idle, interval, count| {
        base().keepalives(wundr_db::Keepalives::new(
            Duration::from_millis(idle),
            Duration::from_millis(interval),
            count,
        ))
    };
    for (idle, interval, count) in [
        (0, 1_000, 3),
        (1_500, 1_000, 3),
        (1_000, 32_768_000, 3),
        (1_000, 1_000, 0),
        (1_000, 1_000, 128),
    ] {
        refused.push(("keepalives", keepalives(idle, interval, count)));
    }
    for (name, change) in times {
        for time in [
            Duration::ZERO,
            Duration::from_nanos(1),
            day * 24 + Duration::from_millis(1),
            Duration::MAX,
        ] {
            refused.push((name, change(base(), time)));
        }
        for time in [Duration::from_millis(1), day * 24] {
            let config = change(base(), time);
            wundr_db::Db::lazy(config.clone()).unwrap();
            blocking::Db::lazy(config).unwrap();
        }
    }
    for (name, config) in refused {
        let outcomes = [
            wundr_db::Db::lazy(config.clone()).map(drop),
            blocking::Db::lazy(config.clone()).map(drop),
            wundr_db::Live::follow(&config, wundr_db::Follow::All)
                .await
                .map(drop),
            blocking::Live::follow(&config, wundr_db::Follow::All).map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Err(Error::InvalidInput { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// 24 days are the most that a server counts, and more was a connection that could not be opened.
#[tokio::test]
async fn the_longest_times_open_connections() {
    let server = PostgresServer::shared().unwrap();
    let longest = Duration::from_secs(24 * 24 * 3600);
    let config = Config::new(&server.url("postgres"))
        .unwrap()
        .acquire_timeout(longest)
        .connect_timeout(longest)
        .statement_timeout(longest)
        .idle_in_transaction_timeout(longest)
        .idle_timeout(longest)
        .max_lifetime(longest)
        .unacknowledged_timeout(longest);
    wundr_db::Db::connect(config.clone()).await.unwrap();
    blocking::Db::connect(config).unwrap();
}

#[tokio::test]
async fn settings_of_the_cache_out_of_their_range_are_refused_by_both_engines() {
    use wundr_db::cache::{CacheConfig, CachedKind};
    let day = Duration::from_secs(24 * 3600);
    let config = || Config::without_environment("postgres://u@127.0.0.1:1/d").unwrap();
    type Change = fn(CacheConfig, Duration) -> CacheConfig;
    let times: [(&str, bool, Change); 9] = [
        ("connect_timeout", true, |cache, time| {
            cache.connect_timeout(time)
        }),
        ("response_timeout", true, |cache, time| {
            cache.response_timeout(time)
        }),
        ("retry_after", false, |cache, time| cache.retry_after(time)),
        ("lifetime", true, |cache, time| {
            cache.lifetime(CachedKind::User, time)
        }),
        ("lifetime", true, |cache, time| {
            cache.lifetime(CachedKind::Trend, time)
        }),
        ("negative_ttl", true, |cache, time| cache.negative_ttl(time)),
        ("lease", true, |cache, time| cache.lease(time)),
        ("lease_wait", false, |cache, time| cache.lease_wait(time)),
        ("near", true, |cache, time| cache.near(10, time)),
    ];
    for (name, has_least, change) in times {
        for (time, is_refused) in [
            (Duration::ZERO, has_least),
            (Duration::from_nanos(1), has_least),
            (Duration::from_millis(1), false),
            (day * 25, true),
            (Duration::MAX, true),
        ] {
            let cache = change(CacheConfig::new("redis://127.0.0.1:1").unwrap(), time);
            let db = wundr_db::Db::lazy(config()).unwrap();
            let by_blocking = blocking::Db::lazy(config()).unwrap();
            let outcomes = [
                wundr_db::Cached::new(db, cache.clone()).map(drop),
                blocking::Cached::new(by_blocking, cache).map(drop),
            ];
            for outcome in outcomes {
                match outcome {
                    Ok(()) => assert!(!is_refused, "{name} of {time:?}"),
                    Err(Error::InvalidInput { field, .. }) => {
                        assert_eq!((&*field, is_refused), (name, true), "{time:?}");
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
}
