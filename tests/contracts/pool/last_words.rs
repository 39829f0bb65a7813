//! The reason that a server sends before it closes a connection is reported, although a write
//! fails before it is read.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use wundr_db::{Advice, Config, Error, Fate, Result, UserFilter};

/// A socket in front of the server, which ends sessions as the server does.
///
/// A client that writes to a Unix socket after its other end was closed receives an error at once,
/// whether or not it has read everything.
struct Gate {
    directory: tempfile::TempDir,
    clients: Arc<Mutex<Vec<UnixStream>>>,
    /// The reason for which new connections are refused.
    refusal: Arc<Mutex<Option<Vec<u8>>>>,
}

/// The message with which the server ends a session.
fn fatal(code: &str, message: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

fn end(mut client: UnixStream, reason: &[u8]) {
    // The client may have gone.
    let _ = client.write_all(reason);
    let _ = client.shutdown(Shutdown::Both);
}

fn pump(mut from: UnixStream, mut to: UnixStream) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn forward(client: UnixStream, target: &PathBuf) {
    let server = UnixStream::connect(target).unwrap();
    let (other_client, other_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || pump(client, server));
    thread::spawn(move || pump(other_server, other_client));
}

impl Gate {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let (clients, refusal) = (Arc::default(), Arc::<Mutex<Option<Vec<u8>>>>::default());
        let gate = Self {
            directory,
            clients: Arc::clone(&clients),
            refusal: Arc::clone(&refusal),
        };
        let target = wundr_db::testing::PostgresServer::shared()
            .unwrap()
            .socket();
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                if let Some(reason) = &*refusal.lock().unwrap() {
                    end(client, reason);
                    continue;
                }
                clients.lock().unwrap().push(client.try_clone().unwrap());
                forward(client, &target);
            }
        });
        gate
    }

    fn url(&self, database: &TestDatabase) -> String {
        let directory = self.directory.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://postgres@{directory}:5432/{}", database.name())
    }

    /// Ends all sessions for a reason. When it returns, the clients can only fail to write.
    fn end_sessions(&self, code: &str, message: &str) {
        for client in self.clients.lock().unwrap().drain(..) {
            end(client, &fatal(code, message));
        }
    }

    /// Refuses new connections for a reason, before it reads what the client sends.
    fn refuse(&self, code: &str, message: &str) {
        *self.refusal.lock().unwrap() = Some(fatal(code, message));
    }
}

const SHUT_DOWN: &str = "terminating connection due to administrator command";

#[both_engines]
#[case]
async fn the_reason_for_the_end_of_a_session_is_reported_although_a_write_fails() {
    let database = migrated_database().unwrap();
    let gate = Gate::start();
    let config = Config::new(&gate.url(&database)).unwrap();
    let db = Db::connect(config.max_connections(1)).await.unwrap();
    let all = UserFilter::new();
    for (code, message) in [
        ("57P01", SHUT_DOWN),
        (
            "57P02",
            "terminating connection because of crash of another server process",
        ),
        (
            "25P03",
            "terminating connection due to idle-in-transaction timeout",
        ),
        ("08P01", "server conn crashed?"),
    ] {
        let lost = db
            .transaction(async |tx| -> Result<u64> {
                tx.users().count(&all).await?;
                gate.end_sessions(code, message);
                tx.users().count(&all).await
            })
            .await
            .unwrap_err();
        assert!(lost.to_string().contains(message), "{code}: {lost:?}");
        match code {
            "25P03" => assert!(matches!(lost, Error::Timeout(_)), "{lost:?}"),
            _ => assert_eq!(lost.fate(), Some(Fate::NotSent), "{lost:?}"),
        }
        db.users().count(&all).await.unwrap();
        // A message that is not written at once.
        let long = UserFilter::new().search("x".repeat(1 << 20));
        let lost = db
            .transaction(async |tx| -> Result<u64> {
                tx.users().count(&all).await?;
                gate.end_sessions(code, message);
                tx.users().count(&long).await
            })
            .await
            .unwrap_err();
        assert!(lost.to_string().contains(message), "{code}: {lost:?}");
        db.users().count(&all).await.unwrap();
    }
}

#[both_engines]
#[case]
async fn the_reason_for_a_refused_connection_is_reported_although_a_write_fails() {
    let database = migrated_database().unwrap();
    let gate = Gate::start();
    for (code, message, advice) in [
        (
            "53300",
            "sorry, too many clients already",
            Advice::AgainElsewhere,
        ),
        (
            "57P03",
            "the database system is starting up",
            Advice::AgainElsewhere,
        ),
        (
            "28000",
            "role \"x\" is not permitted to log in",
            Advice::Never,
        ),
    ] {
        gate.refuse(code, message);
        for _ in 0..20 {
            let refused = Db::connect_to(&gate.url(&database)).await.unwrap_err();
            assert!(refused.to_string().contains(message), "{code}: {refused:?}");
            assert_eq!(refused.fate(), Some(Fate::NotSent), "{refused:?}");
            assert_eq!(refused.advice(), advice, "{refused:?}");
        }
    }
}
