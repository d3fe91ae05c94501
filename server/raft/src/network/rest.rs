//! When openraft is asked for the next request to a follower: at once if the log has entries that were not sent, else after a
//! pause.
//!
//! Without entries there is only one thing that openraft has to say on a stream: that the commit index moved. It says so in a
//! request of its own, which costs each node as much as one with entries, and the next entries say the same. So it waits for
//! them a little. Nobody who was promised anything waits with it: the leader answers by what it committed itself, and a
//! follower needs the commit index only to apply what it has.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream as _;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::wrappers::WatchStream;

use crate::appended::Appended;

/// How long a commit index waits for entries to ride with: longer than a client in a loop takes for its next command, shorter
/// than anybody notices who watches at a follower.
const RIDE_MAX: Duration = Duration::from_millis(5);

pub(super) struct Rest {
    appended: WatchStream<u64>,
    /// The log of this node ends here.
    last: u64,
    /// Where the last request ended, and until when there is a pause behind it. None: nothing was sent.
    sent: Option<(u64, Instant)>,
    /// Set for an instant that is not later than the end of the pause, so that it is seldom set anew.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Rest {
    pub(super) fn new(appended: &Appended) -> Self {
        Self { appended: appended.follow(), last: 0, sent: None, alarm: None }
    }

    /// A request was sent that ends with this entry.
    pub(super) fn begin(&mut self, end: u64) {
        self.sent = Some((end, Instant::now() + RIDE_MAX));
    }

    pub(super) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((end, until)) = self.sent else { return Poll::Ready(()) };
        while let Poll::Ready(Some(last)) = Pin::new(&mut self.appended).poll_next(context) {
            self.last = last;
        }
        if self.last > end {
            return Poll::Ready(());
        }
        loop {
            if Instant::now() >= until {
                self.alarm = None;
                return Poll::Ready(());
            }
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            alarm.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests;
