//! What many tests need: futures polled by hand, a count of what is alive, and a clock that only says how often.

use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// One poll with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls once and demands that the future waits.
#[track_caller]
pub(crate) fn waits<F: Future + Unpin>(future: &mut F) {
    assert!(poll_once(future).is_pending(), "it should wait");
}

/// Polls once and demands a result.
#[track_caller]
pub(crate) fn ready<F: Future + Unpin>(future: &mut F) -> F::Output {
    match poll_once(future) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it should be ready"),
    }
}

/// What must come without further ado. A minute is for slow machines; on a paused clock a hang is found at once.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let minute = std::time::Duration::from_secs(60);
    tokio::time::timeout(minute, future).await.expect("it hangs")
}

pub(crate) fn at_least_one(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("not zero")
}

/// Lets every other task of a single-threaded runtime run until all of them wait.
pub(crate) async fn let_others_run() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// How many of something there are now, and how many there ever were at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Census {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    ever: Arc<AtomicUsize>,
}

/// One of them, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Census);

impl Census {
    pub(crate) fn one(&self) -> Counted {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn ever(&self) -> usize {
        self.ever.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}
