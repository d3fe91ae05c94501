//! Every output gets every item.

use std::num::NonZeroUsize;

use futures::future::join_all;
use futures::stream::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::output::{Deliver, Output, feed};

/// Copies each item to each of `outputs` streams, in order.
///
/// Each output buffers up to `capacity` items; then the slowest one holds up the source, and nothing is lost or grows without
/// bound. An output that is dropped is skipped from then on. The outputs end after the last item, not before, and when all of
/// them are dropped the source is dropped too. ([`tokio::sync::broadcast`] is not equal: who lags there loses items.)
///
/// # Panics
/// Outside a tokio runtime. A panic of the source is thrown again by every output, after the items before it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::num::NonZeroUsize;
/// use futures::StreamExt;
/// use conclave_local::flow;
///
/// let two = NonZeroUsize::new(2).expect("not zero");
/// let mut outputs = flow::fan_out(futures::stream::iter(0..2), two, two);
/// let (b, a) = (outputs.pop().expect("two"), outputs.pop().expect("two"));
/// let both = tokio::join!(a.collect::<Vec<_>>(), b.collect::<Vec<_>>());
/// assert_eq!(both, (vec![0, 1], vec![0, 1]));
/// # });
/// ```
pub fn fan_out<S>(source: S, outputs: NonZeroUsize, capacity: NonZeroUsize) -> Vec<Output<S::Item>>
where
    S: Stream<Item: Clone + Send + 'static> + Send + 'static,
{
    feed(source, outputs, capacity, Everybody)
}

struct Everybody;

impl<T: Clone + Send + 'static> Deliver<T> for Everybody {
    async fn deliver(&mut self, item: T, outputs: &mut Vec<mpsc::Sender<T>>) {
        let mut full = Vec::new();
        outputs.retain(|output| match output.try_send(item.clone()) {
            Ok(()) => true,
            Err(TrySendError::Full(item)) => {
                full.push((output.clone(), item));
                true
            }
            Err(TrySendError::Closed(_)) => false,
        });
        // Who goes while this waits is found gone with the next item.
        join_all(full.into_iter().map(async |(output, item)| drop(output.send(item).await))).await;
    }
}
