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
