//! Requests to end a statement whose future was dropped.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::observer::Observer;
use crate::pgbouncer::{PgBouncer, SERVER_CONNECTIONS};
use wundr_db::Result;
use wundr_db::testing::PostgresServer;

const SLEEPS: &str = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid() AND query = 'SELECT pg_sleep(300)' AND state = 'active')";

/// A statement that ends after a while, if a request to end it overtook it.
async fn sleep_for_a_while(db: &Db) -> Result<()> {
    db.transaction(async |tx| -> Result<()> {
        let sleep = "SET LOCAL statement_timeout = '5s'; SELECT pg_sleep(300)";
        Ok(tx.connection_mut().batch_execute(sleep).await?)
    })
    .await
}

async fn sleep(db: &Db) -> Result<()> {
    db.transaction(async |tx| -> Result<()> {
        let sleep = diesel::sql_query("SELECT pg_sleep(300)");
        sleep.execute(tx.connection_mut()).await?;
        Ok(())
    })
    .await
}

fn copy(mut from: impl Read + Send + 'static, mut to: impl Write + Send + 'static) {
    std::thread::spawn(move || io::copy(&mut from, &mut to));
}

/// Forwards a connection to the server. Reports of a request to end a statement whether the client
/// closes it before the server does.
fn forward(mut client: TcpStream, server: &std::path::Path, closed_first: &Sender<bool>) {
    const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();
    let mut head = [0; 8];
    client.read_exact(&mut head).unwrap();
    if head[4..] == CANCEL {
        client.read_exact(&mut [0; 8]).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let read = client.read(&mut [0; 1]);
        let is_open = read.is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        });
        closed_first.send(!is_open).unwrap();
        return;
    }
    let mut server = UnixStream::connect(server).unwrap();
    server.write_all(&head).unwrap();
    copy(client.try_clone().unwrap(), server.try_clone().unwrap());
    copy(server, client);
}

/// A port at which the server is reached, and what is reported of requests to end a statement.
fn forwarded(server: &PostgresServer) -> (u16, Receiver<bool>) {
    let socket = format!(".s.PGSQL.{}", server.port());
    let socket = server.socket_dir().join(socket);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed_first, reports) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            forward(client, &socket, &closed_first);
        }
    });
    (port, reports)
}

/// A PgBouncer forwards no request whose client has closed its connection.
#[tokio::test]
async fn a_request_to_end_a_statement_is_not_closed_before_the_server_has_read_it() {
    let database = migrated_database().unwrap();
    let (port, reports) = forwarded(PostgresServer::shared().unwrap());
    let url = format!(
        "postgres://postgres@127.0.0.1:{port}/{}?sslmode=disable",
        database.name()
    );
    let config = Config::new(&url).unwrap().max_connections(1);
    let db = Db::connect(config).await.unwrap();
    let mut observer = Observer::of(&database.url());
    {
        let sleeping = Box::pin(sleep(&db));
        let begun = Box::pin(observer.eventually(SLEEPS));
        drop(futures_util::future::select(sleeping, begun).await);
    }
    let reported =
        tokio::task::spawn_blocking(move || reports.recv_timeout(Duration::from_secs(20)));
    assert!(!reported.await.unwrap().expect("no request"));
}

/// Before version 1.19, a PgBouncer closed the connection of another client if the client of such a
/// request had closed first: "successfully sent cancel request". No version forwards the request if
/// the client of the statement has closed its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_statement_behind_a_pgbouncer_ends_and_harms_no_other() {
    for mode in ["session", "transaction"] {
        statements_are_dropped_behind(&PgBouncer::start(mode)).await;
    }
}

async fn statements_are_dropped_behind(bouncer: &PgBouncer) {
    const DROPPED: u64 = 60;
    let database = migrated_database().unwrap();
    let config = bouncer.config(&database).behind_pgbouncer();
    let connections = u32::try_from(SERVER_CONNECTIONS).unwrap();
    let db = Db::connect(config.max_connections(connections))
        .await
        .unwrap();
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let others = (0..2).map(|_| {
        let (db, is_over) = (db.clone(), std::sync::Arc::clone(&is_over));
        tokio::spawn(async move {
            while !AtomicBool::load(&is_over, Ordering::Relaxed) {
                db.users().count(&UserFilter::new()).await?;
            }
            Ok::<_, Error>(())
        })
    });
    let others: Vec<_> = others.collect();
    for round in 0..DROPPED {
        let moment = Duration::from_millis(round % 20);
        let dropped = (0..2).map(|_| tokio::time::timeout(moment, sleep_for_a_while(&db)));
        for outcome in futures_util::future::join_all(dropped).await {
            assert!(outcome.is_err(), "round {round}: {outcome:?}");
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap().unwrap();
    }
    let mut observer = Observer::of(&database.url());
    {
        let sleeping = Box::pin(sleep(&db));
        let begun = Box::pin(observer.eventually(SLEEPS));
        drop(futures_util::future::select(sleeping, begun).await);
    }
    observer.eventually(&format!("NOT {SLEEPS}")).await;
}
