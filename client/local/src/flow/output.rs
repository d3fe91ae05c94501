//! One of several outputs of a stream, and the helper task that feeds them.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::stream::{Stream, StreamExt};
use tokio::sync::mpsc;

use crate::panic::message;

/// One output of [`fan_out`](super::fan_out) or [`distribute`](super::distribute). Ends after its last item. Dropping it tells the
/// source that nobody listens here any more.
#[derive(Debug)]
pub struct Output<T> {
    items: mpsc::Receiver<T>,
    panicked: Arc<OnceLock<Box<str>>>,
}

impl<T> Stream for Output<T> {
    type Item = T;

    /// # Panics
    /// After the last item, if the source panicked: a stream that was cut short must not look like one that ended.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let item = self.items.poll_recv(context);
        if let (Poll::Ready(None), Some(message)) = (&item, self.panicked.get()) {
            panic!("the source of this stream panicked: {message}");
        }
        item
    }
}

/// How one item reaches the outputs. Whoever is gone is removed from `outputs`.
pub(super) trait Deliver<T>: Send + 'static {
    fn deliver(
        &mut self,
        item: T,
        outputs: &mut Vec<mpsc::Sender<T>>,
    ) -> impl Future<Output = ()> + Send;
}

/// The outputs of `source`, fed by a task that ends with the source or with the last output, whichever is first.
pub(super) fn feed<S, D>(
    source: S,
    outputs: NonZeroUsize,
    capacity: NonZeroUsize,
    mut way: D,
) -> Vec<Output<S::Item>>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
    D: Deliver<S::Item>,
{
    let panicked = Arc::new(OnceLock::new());
    let channel = |_| {
        let (sender, items) = mpsc::channel(capacity.get());
        (sender, Output { items, panicked: Arc::clone(&panicked) })
    };
    let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..outputs.get()).map(channel).unzip();
    tokio::spawn(async move {
        let feeding = async {
            let mut source = pin!(source);
            while let Some(item) = next_or_all_gone(source.as_mut(), &senders).await {
                way.deliver(item, &mut senders).await;
            }
        };
        if let Err(panic) = AssertUnwindSafe(feeding).catch_unwind().await {
            // Set before the senders go: who sees the end sees the reason.
            panicked.get_or_init(|| message(&*panic).into());
        }
        drop(senders);
    });
    receivers
}

/// The next item, unless nobody is left to get it.
async fn next_or_all_gone<S: Stream>(
    mut source: Pin<&mut S>,
    outputs: &[mpsc::Sender<S::Item>],
) -> Option<S::Item> {
    let all_gone = async {
        for output in outputs {
            output.closed().await;
        }
    };
    tokio::select! {
        biased;
        () = all_gone => None,
        item = source.next() => item,
    }
}
