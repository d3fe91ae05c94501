//! The signals of a run, and how many have come: the first asks, the second insists.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct Signals {
    streams: Vec<(SignalKind, Signal)>,
    seen: usize,
}

impl Signals {
    /// Catches them from here on. None that comes later is lost, whether somebody waits or not.
    pub(super) fn install(kinds: &[SignalKind]) -> io::Result<Self> {
        let streams =
            kinds.iter().map(|kind| Ok((*kind, signal(*kind)?))).collect::<io::Result<_>>();
        Ok(Self { streams: streams?, seen: 0 })
    }

    /// The next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> SignalKind {
        let kind = poll_fn(|context| {
            let came = self
                .streams
                .iter_mut()
                .find_map(|(kind, stream)| stream.poll_recv(context).is_ready().then_some(*kind));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        self.seen += 1;
        kind
    }

    /// The second signal of the run. Cancel safe.
    pub(super) async fn insisting(&mut self) -> SignalKind {
        loop {
            let kind = self.next().await;
            if self.seen >= 2 {
                return kind;
            }
        }
    }
}
