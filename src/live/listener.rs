//! The listener, for both engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::live::Line;
use super::repository;
use crate::Result;
use crate::live::{FIRST_WAIT, Follow, GLANCE, HEARTBEAT, Inbox, LONGEST_WAIT, REST, TURN, Todo};

/// Listens on an open line until the reader has gone.
#[repository]
pub(super) async fn listen(mut line: Line, follow: Follow, inbox: Arc<Inbox>) {
    let mut todo = Todo::new(follow);
    let mut wait = FIRST_WAIT;
    loop {
        let opened = Instant::now();
        let Err(lost) = serve(&mut line, &mut todo, &inbox).await else {
            return;
        };
        todo.resume(inbox.missed(lost.to_string()));
        if opened.elapsed() > LONGEST_WAIT {
            wait = FIRST_WAIT;
        }
        loop {
            line.pause(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
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
    todo.resume(Vec::new());
    let mut sign_of_life: Option<Instant> = None;
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
                let found = line.states(&ids).await?;
                todo.told(&ids, &found);
                inbox.put(&ids, found);
            }
            if todo.has_resumed() {
                inbox.resumed();
            }
        }
        if has_room && todo.is_done() && Instant::now() >= next_glance {
            let took = glance(line, todo, inbox).await?;
            next_glance = Instant::now() + GLANCE.max(took * REST);
        }
        if sign_of_life.is_none_or(|at| at.elapsed() >= HEARTBEAT) && todo.is_resumed() {
            todo.seen_at = Some(line.now().await?);
            sign_of_life = Some(Instant::now());
        }
        let patience = match (todo.is_done(), has_room) {
            (true, true) if todo.is_anything_open() => {
                next_glance.saturating_duration_since(Instant::now())
            }
            (true, _) => HEARTBEAT,
            (false, true) => Duration::ZERO,
            (false, false) => TURN,
        };
        for payload in line.notifications(patience).await? {
            todo.note(&payload);
        }
    }
    Ok(())
}

/// Looks what those that run have found since, of which no notification tells, and tells how long that took.
#[repository]
async fn glance(line: &mut Line, todo: &mut Todo, inbox: &Inbox) -> Result<Duration> {
    let began = Instant::now();
    let ids = todo.running();
    if !ids.is_empty() {
        let mut found = line.states(&ids).await?;
        todo.only_news(&mut found);
        let ids: Vec<_> = found.iter().map(|row| row.id).collect();
        todo.told(&ids, &found);
        inbox.put(&ids, found);
    }
    Ok(began.elapsed())
}
