//! A follower of a hub as a stream.

use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::Stream;

use super::following::Inside;
use crate::live::{Follower, LiveEvent};

/// A stream of the changes that one follower of a [`LiveHub`](super::LiveHub) receives. It does not
/// end.
///
/// Events are those of [`Live`](super::Live), with two differences. At most 1,000 wait for a slow
/// reader: then they are discarded, [`LiveEvent::Missed`] has their number, and the follower reads
/// all states again. And an analysis that was created and has ended before the follower began is
/// not delivered, but its deletion may be.
///
/// No follower waits for another. A stream that is kept without being polled does not delay the
/// others.
pub struct LiveFollower {
    pub(super) follower: Arc<Follower>,
    pub(super) inside: Arc<Inside>,
}

impl Stream for LiveFollower {
    type Item = LiveEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LiveEvent>> {
        let next = self.follower.poll(&self.inside.hub, context);
        if next.is_pending() {
            // The waker is registered: a listener whose runtime ends from here on calls it.
            let live = self.inside.live.lock();
            live.unwrap_or_else(PoisonError::into_inner).go_on();
        }
        next.map(Some)
    }
}
