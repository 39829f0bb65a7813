use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use crate::observer::{Observer, SOMEBODY_WAITS};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use wundr_db::testing::PostgresServer;
use wundr_db::{Config, Db, Error, UserId, UserRepository, blocking};

/// A server that takes connections over TLS alone, with a certificate for the name `localhost`.
struct TlsServer {
    server: PostgresServer,
    directory: TempDir,
}

fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate for its own issuer if both have the same name.
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "the tests' authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

impl TlsServer {
    fn start() -> Self {
        let server = PostgresServer::builder().listen_tcp().start().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let (root, issuer) = authority();
        fs::write(directory.path().join("root.pem"), root).unwrap();
        fs::write(directory.path().join("other.pem"), authority().0).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();

        let data = server.data_dir();
        let owner = fs::metadata(data).unwrap();
        for (name, content) in [
            ("server.crt", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let path = data.join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let rules = "local all all trust\nhostssl all all all trust\n";
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut observer = Observer::of(&server.url("postgres"));
        observer.run("ALTER SYSTEM SET ssl = on");
        observer.run("SELECT pg_reload_conf()");
        observer.until("current_setting('ssl') = 'on'");
        Self { server, directory }
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self, host: &str, mode: &str, root: Option<&str>) -> Config {
        let url = self.server.tcp_url("postgres").unwrap();
        let mut url = format!("{}?sslmode={mode}", url.replace("127.0.0.1", host));
        if let Some(root) = root {
            url += &format!("&sslrootcert={}", self.certificate(root).display());
        }
        Config::new(&url).unwrap()
    }
}

#[tokio::test]
async fn the_modes_trust_whom_libpq_trusts() {
    let server = TlsServer::start();
    let (right, other) = (Some("root.pem"), Some("other.pem"));
    for (host, mode, root, expected) in [
        ("localhost", "disable", None, false),
        ("localhost", "prefer", None, true),
        ("127.0.0.1", "require", None, true),
        ("127.0.0.1", "require", right, true),
        ("127.0.0.1", "require", other, false),
        ("127.0.0.1", "verify-ca", right, true),
        ("localhost", "verify-ca", other, false),
        ("localhost", "verify-full", right, true),
        ("127.0.0.1", "verify-full", right, false),
        ("localhost", "verify-full", other, false),
    ] {
        let config = server.config(host, mode, root);
        let outcomes = [
            Db::connect(config.clone()).await.map(drop),
            blocking::Db::connect(config).map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => assert!(expected, "{mode} to {host} with {root:?}"),
                Err(Error::Connection { message, .. }) => {
                    assert!(!expected, "{mode} to {host} with {root:?}: {message}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_socket_of_this_machine_needs_no_tls_whatever_the_mode() {
    let server = PostgresServer::shared().unwrap();
    let config = Config::new(&format!("{}?sslmode=require", server.url("postgres"))).unwrap();
    Db::connect(config.clone()).await.unwrap();
    blocking::Db::connect(config).unwrap();
}

#[tokio::test]
async fn a_dropped_statement_ends_in_a_server_that_demands_tls() {
    let server = TlsServer::start();
    let socket = Config::new(&server.server.url("postgres")).unwrap();
    blocking::migrations::up(&socket).unwrap();
    let mut observer = Observer::of(&server.server.url("postgres"));
    let mut lock = Observer::of(&server.server.url("postgres"));
    lock.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");
    let config = server.config("localhost", "verify-full", Some("root.pem"));
    let db = Db::connect(config).await.unwrap();

    let waiting = tokio::spawn(async move { db.users().find(UserId::new()).await });
    observer.eventually(SOMEBODY_WAITS).await;
    waiting.abort();

    observer.eventually(&format!("NOT {SOMEBODY_WAITS}")).await;
}

/// A server with a certificate and rules of its own.
struct Server {
    server: PostgresServer,
    files: TempDir,
}

/// Runs openssl, which makes what rcgen does not.
fn openssl(directory: &std::path::Path, arguments: &str) {
    let output = std::process::Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("the tests of TLS need openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}

/// An authority (`root.pem`, `root.key`), and a certificate (`server.crt`, `server.key`) that
/// `make` has made.
fn certificates(make: impl FnOnce(&std::path::Path)) -> TempDir {
    let files = tempfile::tempdir().unwrap();
    let path = files.path();
    openssl(
        path,
        "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -days 9 -subj /CN=authority",
    );
    make(path);
    fs::set_permissions(path.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    files
}

/// A certificate for a key, signed by the authority, with these extensions; of version 1 without
/// any.
fn signed(path: &std::path::Path, name: &str, key: &str, extensions: &str) {
    openssl(
        path,
        &format!("req -newkey {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN=localhost"),
    );
    let with = if extensions.is_empty() {
        ""
    } else {
        fs::write(path.join("extensions"), extensions).unwrap();
        "-extfile extensions"
    };
    openssl(
        path,
        &format!(
            "x509 -req -in {name}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -out {name}.crt {with}"
        ),
    );
}

const NAMED: &str = "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n";

impl Server {
    /// Without TLS if there are no certificates.
    fn start(files: Option<TempDir>, rules: &str) -> Self {
        let server = PostgresServer::builder().listen_tcp().start().unwrap();
        let data = server.data_dir();
        let owner = fs::metadata(data).unwrap();
        let mut observer = Observer::of(&server.url("postgres"));
        observer.run("CREATE ROLE ada LOGIN PASSWORD 'secret'");
        if let Some(files) = &files {
            for name in ["server.crt", "server.key", "root.pem"] {
                let path = data.join(name);
                fs::copy(files.path().join(name), &path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
            observer.run("ALTER SYSTEM SET ssl = on");
            observer.run("ALTER SYSTEM SET ssl_ca_file = 'root.pem'");
        }
        fs::write(
            data.join("pg_hba.conf"),
            format!("local all all trust\n{rules}\n"),
        )
        .unwrap();
        let wanted = files.is_some();
        observer.run("SELECT pg_reload_conf()");
        let count = rules.lines().count() + 1;
        observer.until(&format!(
            "current_setting('ssl')::bool = {wanted} AND (SELECT count(*) FROM pg_hba_file_rules) = {count}"
        ));
        let files = files.unwrap_or_else(|| tempfile::tempdir().unwrap());
        // A session that begins later has read the new rules.
        drop(Observer::of(&server.url("postgres")));
        Self { server, files }
    }

    fn file(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    fn url(&self, query: &str) -> String {
        let port = self.server.port();
        let query = query.replace("{}", &self.files.path().display().to_string());
        format!("postgres://ada:secret@localhost:{port}/postgres?{query}")
    }

    /// Returns whether libpq opens a connection, and whether that has TLS.
    fn psql(&self, url: &str) -> Option<bool> {
        let program = self.server.command("psql").get_program().to_owned();
        let output = std::process::Command::new(program)
            .args(["-X", "-w", "-A", "-t", "-c", HAS_TLS, url])
            .env("HOME", "/nowhere")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        output.status.success().then(|| said.trim() == "t")
    }

    async fn engines(&self, url: &str) -> [Result<bool, Error>; 2] {
        let config = Config::without_environment(url).map(|config| config.max_connections(1));
        let config = match config {
            Ok(config) => config,
            Err(error) => return [Err(error), Config::without_environment(url).map(|_| false)],
        };
        let asked = async {
            use diesel_async::RunQueryDsl;
            let db = Db::lazy(config.clone())?;
            db.transaction(async |tx| -> wundr_db::Result<bool> {
                let said: Said = diesel::sql_query(HAS_TLS)
                    .get_result(tx.connection_mut())
                    .await?;
                Ok(said.ssl)
            })
            .await
        };
        let asked = asked.await;
        let blocked = blocking::Db::lazy(config).and_then(|db| {
            use diesel::RunQueryDsl;
            db.transaction(|tx| -> wundr_db::Result<bool> {
                let said: Said = diesel::sql_query(HAS_TLS).get_result(tx.connection_mut())?;
                Ok(said.ssl)
            })
        });
        [asked, blocked]
    }

    /// Both engines do what libpq does.
    async fn same(&self, query: &str, expected: Option<bool>) {
        let url = self.url(query);
        assert_eq!(self.psql(&url), expected, "libpq, {query}");
        for (engine, outcome) in ["async", "blocking"].iter().zip(self.engines(&url).await) {
            assert_eq!(
                outcome.as_ref().ok(),
                expected.as_ref(),
                "{engine}, {query}: {outcome:?}"
            );
        }
    }
}

const HAS_TLS: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[derive(diesel::QueryableByName)]
struct Said {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    ssl: bool,
}

const ALL: &str = "host all all all scram-sha-256";

#[tokio::test]
async fn a_server_without_tls_is_reached_where_the_mode_allows_it() {
    let server = Server::start(None, ALL);
    for (mode, expected) in [
        ("disable", Some(false)),
        ("allow", Some(false)),
        ("prefer", Some(false)),
        ("require", None),
    ] {
        server.same(&format!("sslmode={mode}"), expected).await;
    }
}

#[tokio::test]
async fn the_other_way_is_tried_where_the_server_refuses_one() {
    let files = || {
        Some(certificates(|path| {
            signed(path, "server", "rsa:2048", NAMED)
        }))
    };
    let server = Server::start(files(), "hostssl all all all scram-sha-256");
    for (mode, expected) in [
        ("disable", None),
        ("allow", Some(true)),
        ("prefer", Some(true)),
        ("require", Some(true)),
    ] {
        server.same(&format!("sslmode={mode}"), expected).await;
    }
    let server = Server::start(files(), "hostnossl all all all scram-sha-256");
    for (query, expected) in [
        ("sslmode=disable", Some(false)),
        ("sslmode=allow", Some(false)),
        ("sslmode=prefer", Some(false)),
        ("sslmode=require", None),
    ] {
        server.same(query, expected).await;
    }
    // A certificate that cannot be verified is no reason to do without a connection, for this mode.
    let server = Server::start(files(), ALL);
    let other = certificates(|path| signed(path, "server", "rsa:2048", NAMED));
    fs::copy(other.path().join("root.pem"), server.file("other.pem")).unwrap();
    server
        .same("sslmode=prefer&sslrootcert={}/other.pem", Some(false))
        .await;
    server
        .same("sslmode=require&sslrootcert={}/other.pem", None)
        .await;
    server
        .same("sslmode=prefer&sslrootcert={}/root.pem", Some(true))
        .await;
}

#[tokio::test]
async fn verification_needs_something_to_verify_with() {
    let files = certificates(|path| signed(path, "server", "rsa:2048", NAMED));
    let server = Server::start(Some(files), ALL);
    for (query, expected) in [
        ("sslmode=verify-ca", None),
        ("sslmode=verify-full", None),
        ("sslmode=verify-ca&sslrootcert=/nowhere.pem", None),
        ("sslmode=require&sslrootcert=/nowhere.pem", Some(true)),
        ("sslmode=verify-ca&sslrootcert={}/root.pem", Some(true)),
        ("sslmode=verify-full&sslrootcert={}/root.pem", Some(true)),
        // Through a socket's directory goes TCP if there is an address.
        ("sslmode=require&host=/tmp&hostaddr=127.0.0.1", Some(true)),
        (
            "sslmode=verify-full&sslrootcert={}/root.pem&host=/tmp&hostaddr=127.0.0.1",
            None,
        ),
        (
            "sslmode=verify-ca&sslrootcert={}/root.pem&host=/tmp&hostaddr=127.0.0.1",
            Some(true),
        ),
        (
            "sslmode=verify-full&sslrootcert={}/root.pem&hostaddr=127.0.0.1",
            Some(true),
        ),
        (
            "sslmode=verify-full&sslrootcert={}/root.pem&host=other.example&hostaddr=127.0.0.1",
            None,
        ),
        (
            "sslmode=require&ssl_min_protocol_version=TLSv1.3",
            Some(true),
        ),
        (
            "sslmode=require&ssl_max_protocol_version=TLSv1.2",
            Some(true),
        ),
        ("sslmode=require&sslsni=0", Some(true)),
    ] {
        server.same(query, expected).await;
    }
    // No authority of the public's has signed it.
    let [asked, blocked] = server.engines(&server.url("sslrootcert=system")).await;
    assert!(asked.is_err() && blocked.is_err(), "{asked:?} {blocked:?}");
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let files = certificates(|path| {
        signed(path, "server", "rsa:2048", NAMED);
        for (name, key) in [
            ("rsa", "rsa:2048"),
            ("ec", "ec -pkeyopt ec_paramgen_curve:P-256"),
        ] {
            openssl(
                path,
                &format!(
                    "req -newkey {key} -nodes -keyout {name}.pk8 -out {name}.csr -subj /CN=ada"
                ),
            );
            openssl(
                path,
                &format!(
                    "x509 -req -in {name}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -out {name}.crt"
                ),
            );
        }
        openssl(path, "rsa -traditional -in rsa.pk8 -out rsa.pk1");
        openssl(path, "ec -in ec.pk8 -out ec.sec1");
        openssl(
            path,
            "pkcs8 -topk8 -in rsa.pk8 -out sealed.key -passout pass:word",
        );
        fs::copy(path.join("rsa.pk8"), path.join("open.key")).unwrap();
        for name in ["rsa.pk8", "rsa.pk1", "ec.pk8", "ec.sec1", "sealed.key"] {
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(path.join("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    });
    let server = Server::start(Some(files), "hostssl all all all cert");
    let base = "sslmode=verify-full&sslrootcert={}/root.pem";
    for (certificate, key, expected) in [
        ("rsa.crt", "rsa.pk8", Some(true)),
        ("rsa.crt", "rsa.pk1", Some(true)),
        ("ec.crt", "ec.pk8", Some(true)),
        ("ec.crt", "ec.sec1", Some(true)),
        ("none.crt", "rsa.pk8", None),
        ("rsa.crt", "none.key", None),
        ("rsa.crt", "ec.pk8", None),
        ("rsa.crt", "open.key", None),
        ("rsa.crt", "sealed.key", None),
    ] {
        let query = format!("{base}&sslcert={{}}/{certificate}&sslkey={{}}/{key}");
        server.same(&query, expected).await;
    }
    server.same(base, None).await;
    let query = format!("{base}&sslcert={{}}/rsa.crt&sslkey={{}}/sealed.key&sslpassword=word");
    let [asked, blocked] = server.engines(&server.url(&query)).await;
    assert!(blocked.is_ok(), "{blocked:?}");
    let message = asked.unwrap_err().to_string();
    assert!(message.contains("encrypted"), "{message}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let files = certificates(|path| {
        signed(path, "server", "rsa:2048", NAMED);
        fs::write(path.join("index"), "").unwrap();
        fs::write(path.join("index.attr"), "").unwrap();
        fs::write(path.join("number"), "01").unwrap();
        let settings = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=9\n";
        fs::write(path.join("ca"), settings).unwrap();
        let list = "ca -config ca -gencrl -keyfile root.key -cert root.pem -out";
        openssl(path, &format!("{list} none.crl"));
        openssl(
            path,
            "ca -config ca -keyfile root.key -cert root.pem -revoke server.crt",
        );
        openssl(path, &format!("{list} server.crl"));
        // Without the certificate, and out of date.
        fs::write(path.join("index"), "").unwrap();
        let dates = "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z";
        openssl(path, &format!("{list} old.crl {dates}"));
    });
    let server = Server::start(Some(files), ALL);
    let base = "sslmode=verify-ca&sslrootcert={}/root.pem&sslcrl={}";
    server.same(&format!("{base}/none.crl"), Some(true)).await;
    server.same(&format!("{base}/server.crl"), None).await;
    server.same(&format!("{base}/old.crl"), None).await;
    server
        .same(&format!("{base}/nowhere.crl"), Some(true))
        .await;
}

/// A certificate that rustls cannot read is accepted if nothing is verified, and otherwise rejected
/// with an explanation.
#[tokio::test]
async fn certificates_that_rustls_does_not_read_are_no_obstacle_or_are_named() {
    // Of version 1, and with a common name only.
    let files = certificates(|path| signed(path, "server", "rsa:2048", ""));
    let server = Server::start(Some(files), ALL);
    for query in [
        "sslmode=require",
        "sslmode=require&ssl_max_protocol_version=TLSv1.2",
        "sslmode=prefer",
    ] {
        server.same(query, Some(true)).await;
    }
    let verified = server.url("sslmode=verify-ca&sslrootcert={}/root.pem");
    assert_eq!(server.psql(&verified), Some(true));
    let [asked, blocked] = server.engines(&verified).await;
    assert!(blocked.is_ok(), "{blocked:?}");
    let message = asked.unwrap_err().to_string();
    assert!(message.contains("version 1"), "{message}");

    // A common name, without any other.
    let files =
        certificates(|path| signed(path, "server", "rsa:2048", "basicConstraints=CA:FALSE\n"));
    let server = Server::start(Some(files), ALL);
    for query in [
        "sslmode=require",
        "sslmode=verify-ca&sslrootcert={}/root.pem",
        "sslmode=verify-full&sslrootcert={}/root.pem",
    ] {
        server.same(query, Some(true)).await;
    }
    let other = "sslmode=verify-full&sslrootcert={}/root.pem&host=other.example&hostaddr=127.0.0.1";
    server.same(other, None).await;

    // Its own authority, as the manual of PostgreSQL makes it.
    let files = certificates(|path| {
        openssl(
            path,
            "req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.crt -days 9 -subj /CN=localhost",
        );
    });
    let server = Server::start(Some(files), ALL);
    for (query, expected) in [
        ("sslmode=require", Some(true)),
        (
            "sslmode=require&ssl_max_protocol_version=TLSv1.2",
            Some(true),
        ),
        ("sslmode=verify-ca&sslrootcert={}/server.crt", Some(true)),
        ("sslmode=verify-full&sslrootcert={}/server.crt", Some(true)),
        ("sslmode=verify-ca&sslrootcert={}/root.pem", None),
    ] {
        server.same(query, expected).await;
    }

    // An authority's own certificate, signed by another one.
    let marked = "subjectAltName=DNS:localhost\nbasicConstraints=CA:TRUE\n";
    let files = certificates(|path| signed(path, "server", "rsa:2048", marked));
    let server = Server::start(Some(files), ALL);
    server.same("sslmode=require", Some(true)).await;
    let verified = server.url("sslmode=verify-full&sslrootcert={}/root.pem");
    let [asked, blocked] = server.engines(&verified).await;
    assert!(blocked.is_ok(), "{blocked:?}");
    let message = asked.unwrap_err().to_string();
    assert!(message.contains("CA:TRUE"), "{message}");

    // A key that ring does not know.
    let curve = "ec -pkeyopt ec_paramgen_curve:P-521";
    let files = certificates(|path| signed(path, "server", curve, NAMED));
    let server = Server::start(Some(files), ALL);
    let required = server.url("sslmode=require");
    let [asked, blocked] = server.engines(&required).await;
    assert!(blocked.is_ok(), "{blocked:?}");
    let message = asked.unwrap_err().to_string();
    assert!(message.contains("P-521"), "{message}");
}

#[tokio::test]
async fn a_password_is_bound_to_the_certificate_where_that_is_asked_for() {
    let files = certificates(|path| signed(path, "server", "rsa:2048", NAMED));
    let server = Server::start(Some(files), ALL);
    for (query, expected) in [
        ("sslmode=require&channel_binding=require", Some(true)),
        ("sslmode=require&channel_binding=disable", Some(true)),
        ("sslmode=disable&channel_binding=require", None),
        ("sslmode=disable&channel_binding=prefer", Some(false)),
    ] {
        server.same(query, expected).await;
    }
}

/// The common name counts where there is no other name of the host's kind.
#[tokio::test]
async fn a_certificate_has_the_names_that_libpq_finds_in_it() {
    let hosts = ["localhost", "127.0.0.1"];
    for (common, others, taken) in [
        ("localhost", "IP:127.0.0.1", hosts.as_slice()),
        ("localhost", "email:a@b.example", &["localhost"]),
        ("localhost", "DNS:other.example", &[]),
        (
            "localhost",
            "DNS:other.example,IP:127.0.0.1",
            &["127.0.0.1"],
        ),
        ("127.0.0.1", "DNS:localhost", &hosts),
        ("127.0.0.1", "IP:10.0.0.1", &[]),
        ("127.0.0.1", "email:a@b.example", &["127.0.0.1"]),
    ] {
        let files = certificates(|path| {
            let request = "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj";
            openssl(path, &format!("{request} /CN={common}"));
            let extensions = format!("subjectAltName={others}\nbasicConstraints=CA:FALSE\n");
            fs::write(path.join("extensions"), extensions).unwrap();
            openssl(
                path,
                "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 \
                 -out server.crt -extfile extensions",
            );
        });
        let server = Server::start(Some(files), ALL);
        for host in hosts {
            let query = "sslmode=verify-full&sslrootcert={}/root.pem&hostaddr=127.0.0.1&host=";
            let expected = taken.contains(&host).then_some(true);
            server.same(&format!("{query}{host}"), expected).await;
        }
        server
            .same(
                "sslmode=require&ssl_min_protocol_version=tlsv1.3",
                Some(true),
            )
            .await;
    }
}
