//! A call without time limits on a server that stands still ends, and one that takes long does not.

use std::process::Command;
use std::time::Duration;

use tokio::task::JoinHandle;
use wundr_db::admin::{self, Output};
use wundr_db::testing::{Pair, PostgresServer, Proxy, ProxyMode, migrated_database};
use wundr_db::{Config, Db, Error, NewUser, Result, UserId, UserRepository as _};

use crate::observer::{Observer, SOMEBODY_WAITS};

/// Far longer than the limits of the tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pool whose requests may take half a second.
async fn hasty(url: &str) -> (Db, UserId) {
    let config = Config::new(url)
        .unwrap()
        .response_timeout(Duration::from_millis(500))
        .health_timeout(Duration::from_millis(400));
    let db = Db::connect(config).await.unwrap();
    let new = NewUser::new("ada@example.org", "Ada");
    let user = db.users().create(new).await.unwrap().id;
    (db, user)
}

/// An export that waits for a lock of the holder's transaction.
async fn waiting_export(db: &Db, user: UserId, url: &str) -> (JoinHandle<Result<()>>, Observer) {
    let mut holder = Observer::of(url);
    holder.run("BEGIN; LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE");
    let db = db.clone();
    let export = tokio::spawn(async move {
        let output = Output::immediate(Vec::new());
        admin::export_user(&db, user, output).await.map(drop)
    });
    // In the transaction of the holder, the activity would stay as it was.
    Observer::of(url).eventually(SOMEBODY_WAITS).await;
    (export, holder)
}

#[tokio::test]
async fn a_call_that_takes_longer_than_a_request_may_is_not_ended() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let (db, user) = hasty(&proxy.url_of(&database)).await;
    let (export, mut holder) = waiting_export(&db, user, &database.url()).await;
    // The server is asked on other connections.
    let before = proxy.accepted();
    let asked = async {
        while proxy.accepted() < before + 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    holder.run("COMMIT");
    export.await.unwrap().unwrap();
}

async fn ends(export: JoinHandle<Result<()>>) {
    let ended = tokio::time::timeout(PATIENCE, export).await;
    let ended = ended.expect("the call has no end").unwrap();
    assert!(matches!(ended, Err(Error::Connection { .. })), "{ended:?}");
}

#[tokio::test]
async fn a_call_without_time_limits_ends_when_the_network_is_silent() {
    let database = migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let (db, user) = hasty(&proxy.url_of(&database)).await;
    let (export, _holder) = waiting_export(&db, user, &database.url()).await;
    proxy.set(ProxyMode::Silent).unwrap();
    ends(export).await;
}

/// The processes of a server, stopped until it is dropped.
struct Stopped(String);

impl Stopped {
    fn all_of(server: &PostgresServer) -> Self {
        let pid = server.pid().unwrap();
        let children = Command::new("pgrep")
            .args(["-P", &pid.to_string()])
            .output();
        let children = String::from_utf8(children.unwrap().stdout).unwrap();
        let all = format!("{pid} {}", children.replace('\n', " "));
        let stopped = Self(all);
        stopped.signal("STOP");
        stopped
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}")).args(self.0.split_whitespace());
        // A process may have ended since.
        let _ = kill.output();
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("CONT");
    }
}

#[tokio::test]
async fn a_call_without_time_limits_ends_when_its_server_is_stopped() {
    let server = PostgresServer::start().unwrap();
    let database = server.create_database().unwrap();
    let config = Config::new(&database.url()).unwrap();
    wundr_db::migrations::up(&config).await.unwrap();
    let (db, user) = hasty(&database.url()).await;
    let (export, _holder) = waiting_export(&db, user, &database.url()).await;
    let stopped = Stopped::all_of(&server);
    ends(export).await;
    drop(stopped);
}

/// A proxy keeps the connection to the server that stands still. Another one responds in its place.
#[tokio::test]
async fn a_call_ends_when_another_server_has_taken_the_place_of_its_own() {
    let pair = Pair::start().unwrap();
    let database = pair.migrated_database().unwrap();
    let proxy = Proxy::start(&database).unwrap();
    let (db, user) = hasty(&proxy.url_of(&database)).await;
    pair.wait_for_catch_up().unwrap();
    let (export, _holder) = waiting_export(&db, user, &database.url()).await;
    let stopped = Stopped::all_of(pair.primary());
    proxy.lead_to(pair.standby());
    ends(export).await;
    drop(stopped);
}
