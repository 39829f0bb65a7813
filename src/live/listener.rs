//! The listener of live progress.

use std::time::{Duration, Instant};

use super::live::ListenerConnection;
use super::repository;
use crate::live::{
    Backlog, EventQueue, FAILOVER_WINDOW, FINDINGS_POLL, FIRST_RECONNECT_DELAY, LiveAnalysis,
    MAX_RECONNECT_DELAY, MAX_RECONNECT_DELAY_IN_FAILOVER, POLL_BACKOFF_FACTOR, SLOW_READER_RECHECK,
    StatesOf, Undelivered,
};
use crate::{Error, Result};

/// Listens until the reader is dropped. Connects again as often as the connection is lost, and at
/// first if it is lost already.
#[repository]
pub(in super::super) async fn listen(
    connection: &mut ListenerConnection,
    backlog: &mut Backlog,
    queue: &EventQueue,
    mut is_lost: Option<Error>,
) {
    let mut delay = FIRST_RECONNECT_DELAY;
    // The time since which no connection has lasted.
    let mut lost_at = Instant::now();
    loop {
        let opened = Instant::now();
        let lost = match is_lost.take() {
            Some(lost) => lost,
            None => match deliver(connection, backlog, queue).await {
                Ok(()) => return,
                Err(lost) => lost,
            },
        };
        backlog.restart(queue.missed(lost.to_string()));
        if opened.elapsed() > MAX_RECONNECT_DELAY {
            delay = FIRST_RECONNECT_DELAY;
            lost_at = Instant::now();
        }
        loop {
            connection.pause(delay).await;
            delay = (delay * 2).min(if lost_at.elapsed() < FAILOVER_WINDOW {
                MAX_RECONNECT_DELAY_IN_FAILOVER
            } else {
                MAX_RECONNECT_DELAY
            });
            if queue.is_closed() {
                return;
            }
            if connection.open().await.is_ok() {
                break;
            }
        }
    }
}

/// Delivers the states of analyses until the connection is lost or the reader is dropped.
#[repository]
async fn deliver(
    connection: &mut ListenerConnection,
    backlog: &mut Backlog,
    queue: &EventQueue,
) -> Result<()> {
    // The connection has subscribed already, so that changes made during the read are not missed.
    let began = connection.now().await?;
    backlog.restart(Undelivered::default());
    backlog.connected_to(connection.timeline().await?);
    let heartbeat = connection.heartbeat();
    let mut last_response = Instant::now();
    let mut next_poll = Instant::now() + FINDINGS_POLL;
    while !queue.is_closed() {
        if backlog.is_overrun() {
            let reason = "more has changed than could be kept for a slow reader";
            backlog.restart(queue.missed(reason.to_owned()));
        }
        let has_room = queue.has_room();
        if has_room {
            if let Some(page) = backlog.next_page() {
                backlog.page_loaded(connection.followed(page).await?);
            }
            let ids = backlog.next_batch();
            if !ids.is_empty() {
                let states = backlog.states_of(&ids);
                let found = read(connection, backlog, states).await?;
                let deleted = backlog.mark_delivered(&ids, &found);
                queue.put(found, deleted);
            }
            if backlog.finish_catch_up() {
                backlog.seen_at = Some(began);
                queue.resumed();
            }
        }
        if has_room && backlog.is_done() && Instant::now() >= next_poll {
            let took = poll_findings(connection, backlog, queue).await?;
            next_poll = Instant::now() + FINDINGS_POLL.max(took * POLL_BACKOFF_FACTOR);
        }
        if last_response.elapsed() >= heartbeat {
            let now = connection.now().await?;
            last_response = Instant::now();
            if backlog.is_caught_up() {
                backlog.seen_at = Some(now);
            }
        }
        let next_heartbeat = heartbeat.saturating_sub(last_response.elapsed());
        let timeout = match (backlog.is_done(), has_room) {
            (true, true) if backlog.is_anything_open() => {
                next_heartbeat.min(next_poll.saturating_duration_since(Instant::now()))
            }
            (true, _) => next_heartbeat,
            (false, true) => Duration::ZERO,
            (false, false) => SLOW_READER_RECHECK,
        };
        for payload in connection.notifications(timeout).await? {
            backlog.record_notification(&payload);
        }
    }
    Ok(())
}

/// Reads the states of analyses. After a read that took the whole limit and failed, the next one is
/// smaller.
#[repository]
async fn read(
    connection: &mut ListenerConnection,
    backlog: &mut Backlog,
    states: StatesOf,
) -> Result<Vec<LiveAnalysis>> {
    let began = Instant::now();
    let found = connection.states(states).await;
    backlog.record_duration(began.elapsed(), connection.heartbeat() * 2);
    found
}

/// Counts the findings of running analyses, for which there are no notifications. Returns the time
/// that it took.
#[repository]
async fn poll_findings(
    connection: &mut ListenerConnection,
    backlog: &mut Backlog,
    queue: &EventQueue,
) -> Result<Duration> {
    let began = Instant::now();
    let ids = backlog.findings_to_poll();
    if !ids.is_empty() {
        let states = backlog.states_of(&ids);
        let mut found = read(connection, backlog, states).await?;
        backlog.retain_changed(&mut found);
        let ids: Vec<_> = found.iter().map(|row| row.id).collect();
        let deleted = backlog.mark_delivered(&ids, &found);
        queue.put(found, deleted);
    }
    Ok(began.elapsed())
}
