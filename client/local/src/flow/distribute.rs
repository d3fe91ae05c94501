//! One output gets each item.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::num::NonZeroUsize;

use futures::FutureExt;
use futures::future::select_all;
use futures::stream::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::output::{Deliver, Output, feed};

/// Which output gets an item.
pub enum Distribute<T> {
    /// One after the other. An output that is full holds up the others.
    RoundRobin,
    /// Whichever has room first.
    FirstReady,
    /// Always the same for equal keys, as long as no output is dropped; see [`by_key`](Self::by_key).
    ByKey(Box<dyn FnMut(&T) -> u64 + Send>),
}

impl<T> Distribute<T> {
    /// By the hash of a key, which is the same in every run.
    pub fn by_key<K: Hash>(mut key: impl FnMut(&T) -> K + Send + 'static) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        Self::ByKey(Box::new(move |item| hasher.hash_one(key(item))))
    }
}

impl<T> fmt::Debug for Distribute<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "RoundRobin",
            Self::FirstReady => "FirstReady",
            Self::ByKey(_) => "ByKey(..)",
        })
    }
}

/// Hands each item to one of `outputs` streams.
///
/// Each output buffers up to `capacity` items. When an output is dropped, what it had buffered is lost with it; its share goes to
/// the others from then on (with [`Distribute::ByKey`], keys move). When all are dropped the source is dropped too.
///
/// # Panics
/// Outside a tokio runtime. A panic of the source is thrown again by every output, after the items before it.
pub fn distribute<S>(
    source: S,
    outputs: NonZeroUsize,
    capacity: NonZeroUsize,
    how: Distribute<S::Item>,
) -> Vec<Output<S::Item>>
where
    S: Stream<Item: Send + 'static> + Send + 'static,
{
    feed(source, outputs, capacity, OneOf { how, next: 0 })
}

struct OneOf<T> {
    how: Distribute<T>,
    /// Whose turn it is; taken modulo how many there are.
    next: usize,
}

impl<T: Send + 'static> Deliver<T> for OneOf<T> {
    async fn deliver(&mut self, item: T, outputs: &mut Vec<mpsc::Sender<T>>) {
        let turn = self.next;
        self.next = turn.wrapping_add(1);
        match &mut self.how {
            Distribute::RoundRobin => to_one(item, outputs, turn).await,
            Distribute::FirstReady => to_first_ready(item, outputs, turn).await,
            Distribute::ByKey(key) => {
                // The remainder is below the number of outputs, so it is a place among them.
                let at = key(&item) % u64::try_from(outputs.len()).expect("fewer than 2^64").max(1);
                to_one(item, outputs, usize::try_from(at).expect("a place")).await;
            }
        }
    }
}

/// To the output at `at`, or to the next one that is still there.
async fn to_one<T>(mut item: T, outputs: &mut Vec<mpsc::Sender<T>>, at: usize) {
    while !outputs.is_empty() {
        let at = at % outputs.len();
        match outputs[at].send(item).await {
            Ok(()) => return,
            Err(gone) => {
                item = gone.0;
                outputs.remove(at);
            }
        }
    }
}

/// To whichever has room first; among those that have room now, they take turns.
async fn to_first_ready<T: Send>(mut item: T, outputs: &mut Vec<mpsc::Sender<T>>, turn: usize) {
    while !outputs.is_empty() {
        let len = outputs.len();
        for at in (0..len).map(|step| (turn.wrapping_add(step)) % len) {
            match outputs[at].try_send(item) {
                Ok(()) => return,
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => item = back,
            }
        }
        let gone = {
            let room = outputs.iter().map(|output| output.reserve().boxed());
            let (first, at, _others) = select_all(room).await;
            match first {
                Ok(permit) => return permit.send(item),
                Err(_gone) => at,
            }
        };
        outputs.remove(gone);
    }
}
