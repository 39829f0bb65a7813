//! Streams that are longer than what a connection holds in memory.

use core::prelude::v1::test;

use super::beside::user;
use super::*;
use std::sync::mpsc::channel;
use std::time::Duration;

use tokio::task::coop::consume_budget;

/// The units of work for which a task may run before it has to yield to others.
const BUDGET: usize = 128;

/// The rows of a stream are passed on within the task that reads them. It may use up its budget at
/// any step of that.
#[test]
fn a_stream_goes_on_whenever_its_task_has_to_yield() {
    const ROWS: usize = 20_000;
    let (over, result) = channel();
    let read = async {
        let (db, _observer, _database) = database().await;
        let many: Vec<_> = (0..ROWS).map(user).collect();
        db.users().create_many(&many).await.unwrap();
        let (users, filter) = (db.users(), UserFilter::new());
        let mut stream = users.stream(&filter);
        let mut read = 0;
        while stream.next().await.transpose().unwrap().is_some() {
            read += 1;
            if read % 16 == 0 {
                tokio::task::yield_now().await;
                // Each number of units is what is left at some time.
                for _ in 0..BUDGET.saturating_sub(read / 16 % 12) {
                    consume_budget().await;
                }
            }
        }
        read
    };
    // A task that does not yield cannot be ended.
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        over.send(runtime.block_on(read))
    });
    let read = result.recv_timeout(Duration::from_secs(60));
    assert_eq!(read, Ok(ROWS));
}
