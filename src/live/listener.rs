//! The listener, for both engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::live::Line;
use super::repository;
use crate::Result;
use crate::live::{
    FAILOVER, FIRST_WAIT, Follow, GLANCE, Inbox, LONGEST_WAIT, LONGEST_WAIT_LATER, LiveAnalysis,
    REST, StatesOf, TURN, Todo, Unheard,
};

/// Listens on an open line until the reader has gone.
#[repository]
pub(super) async fn listen(mut line: Line, follow: Follow, inbox: Arc<Inbox>) {
    let mut todo = Todo::new(follow);
    let mut wait = FIRST_WAIT;
    // Since when there is no server that keeps its connection.
    let mut lost_at = Instant::now();
    loop {
        let opened = Instant::now();
        let Err(lost) = serve(&mut line, &mut todo, &inbox).await else {
            return;
        };
        todo.resume(inbox.missed(lost.to_string()));
        if opened.elapsed() > LONGEST_WAIT_LATER {
            wait = FIRST_WAIT;
            lost_at = Instant::now();
        }
        loop {
            line.pause(wait).await;
            wait = (wait * 2).min(if lost_at.elapsed() < FAILOVER {
                LONGEST_WAIT
            } else {
                LONGEST_WAIT_LATER
            });
            if inbox.is_closed() {
                return;
            }
            if line.open().await.is_ok() {
                break;
            }
        }
    }
}

/// Tells the reader what becomes of the analyses, until the connection is lost.
#[repository]
async fn serve(line: &mut Line, todo: &mut Todo, inbox: &Inbox) -> Result<()> {
    // First the ear, then the eye: what changes while the rows are read is heard.
    line.listen().await?;
    let began = line.now().await?;
    todo.resume(Unheard::default());
    todo.listening_to(line.timeline().await?);
    let heartbeat = line.heartbeat();
    let mut sign_of_life = Instant::now();
    let mut next_glance = Instant::now() + GLANCE;
    while !inbox.is_closed() {
        if todo.is_overrun() {
            let reason = "more has changed than could be kept for a slow reader";
            todo.resume(inbox.missed(reason.to_owned()));
        }
        let has_room = inbox.has_room();
        if has_room {
            if let Some(page) = todo.next_page() {
                todo.listed(line.followed(page).await?);
            }
            let ids = todo.take();
            if !ids.is_empty() {
                let states = todo.states_of(&ids);
                let found = read(line, todo, states).await?;
                let deleted = todo.told(&ids, &found);
                inbox.put(found, deleted);
            }
            if todo.has_resumed() {
                todo.seen_at = Some(began);
                inbox.resumed();
            }
        }
        if has_room && todo.is_done() && Instant::now() >= next_glance {
            let took = glance(line, todo, inbox).await?;
            next_glance = Instant::now() + GLANCE.max(took * REST);
        }
        if sign_of_life.elapsed() >= heartbeat {
            let now = line.now().await?;
            sign_of_life = Instant::now();
            if todo.is_resumed() {
                todo.seen_at = Some(now);
            }
        }
        let next_heartbeat = heartbeat.saturating_sub(sign_of_life.elapsed());
        let patience = match (todo.is_done(), has_room) {
            (true, true) if todo.is_anything_open() => {
                next_heartbeat.min(next_glance.saturating_duration_since(Instant::now()))
            }
            (true, _) => next_heartbeat,
            (false, true) => Duration::ZERO,
            (false, false) => TURN,
        };
        for payload in line.notifications(patience).await? {
            todo.note(&payload);
        }
    }
    Ok(())
}

/// Reads what analyses are now. A read that fails after the whole limit is taken up again with fewer.
#[repository]
async fn read(line: &mut Line, todo: &mut Todo, states: StatesOf) -> Result<Vec<LiveAnalysis>> {
    let began = Instant::now();
    let found = line.states(states).await;
    todo.took(began.elapsed(), line.heartbeat() * 2);
    found
}

/// Looks what those that run have found since, of which no notification tells, and tells how long that took.
#[repository]
async fn glance(line: &mut Line, todo: &mut Todo, inbox: &Inbox) -> Result<Duration> {
    let began = Instant::now();
    let ids = todo.running();
    if !ids.is_empty() {
        let states = todo.states_of(&ids);
        let mut found = read(line, todo, states).await?;
        todo.only_news(&mut found);
        let ids: Vec<_> = found.iter().map(|row| row.id).collect();
        let deleted = todo.told(&ids, &found);
        inbox.put(found, deleted);
    }
    Ok(began.elapsed())
}
