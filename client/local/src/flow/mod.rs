//! Channel patterns that streams do not have. Most of Go's are one word of `futures::StreamExt` or `tokio_stream`: the table in the
//! crate's documentation says which.

mod distribute;
mod fan_out;
mod output;

use std::num::NonZeroUsize;

use futures::stream::{FuturesUnordered, Stream, StreamExt};

pub use self::distribute::{Distribute, distribute};
pub use self::fan_out::fan_out;
pub use self::output::Output;

/// The first of many to finish; none if there is nobody to wait for. The others are dropped.
///
/// What `or`, `or-done` and `reflect.Select` are for: thousands of futures, known only at run time.
/// (`futures::future::select_all` panics on an empty list.)
///
/// # Cancel safety
/// Dropping the future drops all of them.
pub async fn first_done<T, I>(futures: I) -> Option<T>
where
    I: IntoIterator<Item: Future<Output = T>>,
{
    futures.into_iter().collect::<FuturesUnordered<_>>().next().await
}

/// Maps up to `concurrency` items at once, inside the calling task, and folds the results in the order of the items.
///
/// Idea: the course's `mapReduce`, which is sequential and takes `nil` for zero.
///
/// # Cancel safety
/// Dropping the future drops the stream and all maps under way; the accumulated value is lost.
pub async fn map_reduce<S, Fut, A>(
    items: S,
    concurrency: NonZeroUsize,
    map: impl FnMut(S::Item) -> Fut,
    init: A,
    mut reduce: impl FnMut(A, Fut::Output) -> A,
) -> A
where
    S: Stream,
    Fut: Future,
{
    let mapped = items.map(map).buffered(concurrency.get());
    mapped.fold(init, |sum, item| std::future::ready(reduce(sum, item))).await
}
