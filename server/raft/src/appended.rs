//! Up to where the log of this node was given entries, for whoever waits for more to send.

use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

/// A cheap handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct Appended {
    last: watch::Sender<u64>,
}

impl Appended {
    /// Entries up to this one were appended; below an earlier one, when those were cut off.
    pub(crate) fn up_to(&self, last: u64) {
        self.last.send_replace(last);
    }

    /// What is the last one now, and each time that it changes.
    pub(crate) fn follow(&self) -> WatchStream<u64> {
        WatchStream::new(self.last.subscribe())
    }
}
