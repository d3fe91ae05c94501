//! One execution for all who ask for the same thing at the same time. Shares a result; never keeps one.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{borrow::Borrow, fmt};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use thiserror::Error;

use crate::panic::message;
use crate::sync::{Mutex, lock};

/// Merges concurrent calls for one key into one execution.
///
/// The first call for a key starts the work; calls that come while it runs join it. All get the same value, or the same error.
/// When the work is done it is forgotten: the next call starts anew. For a cache, use a cache (`moka`'s `get_with`).
///
/// Every participant drives the same future, so no caller is special: if the first one is dropped the others carry on, and when
/// the last one is dropped the work is dropped with it. No task is spawned.
///
/// # Can single-flight merge writes?
/// Only if they are interchangeable: the same key must mean the same effect, and once must do for all ("refresh", "delete session
/// X"). Otherwise no: who joins is told "done" although its own payload was never written. The key must hold every input of
/// the work. Nothing here hides that.
///
/// # Limits
/// Work that calls the group again with its own key waits for itself, for ever. Each wake of the work wakes all its
/// participants.
///
/// Idea: Go's `x/sync/singleflight`, with the trap of "the context of the first caller" closed.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use conclave_local::SingleFlight;
///
/// let flights: SingleFlight<&str, u32> = SingleFlight::new();
/// let (one, other) = tokio::join!(
///     flights.run("answer", || async { tokio::task::yield_now().await; 42 }),
///     flights.run("answer", || async { unreachable!("joined the first") }),
/// );
/// assert_eq!((one?.value, other?.value), (42, 42));
/// # Ok::<(), conclave_local::FlightError<std::convert::Infallible>>(()) }).unwrap();
/// ```
pub struct SingleFlight<K, V, E = Infallible, S = RandomState> {
    flights: Arc<Flights<K, V, E, S>>,
}

/// A result, and whether others got it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flight<V> {
    /// What the work returned.
    pub value: V,
    /// Whether at least two calls took part. The same for all of them.
    pub shared: bool,
}

/// Why there is no value. All participants get the same.
#[derive(Error)]
#[non_exhaustive]
pub enum FlightError<E> {
    /// The work returned this error.
    #[error("{0}")]
    Failed(#[source] Arc<E>),
    /// The work panicked with this message.
    #[error("the work panicked: {0}")]
    Panicked(Arc<str>),
}

impl<E> Clone for FlightError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Panicked(message) => Self::Panicked(Arc::clone(message)),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for FlightError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            Self::Panicked(message) => f.debug_tuple("Panicked").field(message).finish(),
        }
    }
}

type Outcome<V, E> = Result<V, FlightError<E>>;
type Work<V, E> = Shared<BoxFuture<'static, Outcome<V, E>>>;
type Flights<K, V, E, S> = Mutex<Board<K, V, E, S>>;

/// One execution, as the participants know it.
struct Ticket<V, E> {
    id: FlightId,
    work: Work<V, E>,
    /// How many calls ever took part. Final once the entry is gone from the board.
    joined: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FlightId(u64);

struct Entry<V, E> {
    id: FlightId,
    work: Work<V, E>,
    joined: Arc<AtomicUsize>,
    /// How many participants are still there. At 0 the entry goes.
    present: usize,
}

/// What is in the air. An entry is removed by name only, so an old flight never removes a newer one.
struct Board<K, V, E, S> {
    entries: HashMap<K, Entry<V, E>, S>,
    next: FlightId,
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Board<K, V, E, S> {
    fn join(&mut self, key: &K) -> Option<Ticket<V, E>> {
        let entry = self.entries.get_mut(key)?;
        entry.present += 1;
        entry.joined.fetch_add(1, Ordering::Relaxed);
        let (work, joined) = (entry.work.clone(), Arc::clone(&entry.joined));
        Some(Ticket { id: entry.id, work, joined })
    }

    fn start(&mut self, key: K, id: FlightId, work: Work<V, E>) -> Ticket<V, E> {
        let joined = Arc::new(AtomicUsize::new(1));
        let ticket = Ticket { id, work: work.clone(), joined: Arc::clone(&joined) };
        let previous = self.entries.insert(key, Entry { id, work, joined, present: 1 });
        assert!(previous.is_none(), "a flight is started only where there is none");
        ticket
    }

    /// What comes back is dropped by the caller, outside the lock.
    #[must_use]
    fn remove(&mut self, key: &K, id: FlightId) -> Option<(K, Entry<V, E>)> {
        if self.entries.get(key)?.id != id {
            return None;
        }
        self.entries.remove_entry(key)
    }

    #[must_use]
    fn leave(&mut self, key: &K, id: FlightId) -> Option<(K, Entry<V, E>)> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.id == id)?;
        entry.present -= 1;
        if entry.present > 0 {
            return None;
        }
        self.entries.remove_entry(key)
    }
}

impl<K, V, E> SingleFlight<K, V, E> {
    /// A group with nothing in the air.
    pub fn new() -> Self {
        Self::with_hasher(RandomState::new())
    }
}

impl<K, V, E> Default for SingleFlight<K, V, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V, E, S> SingleFlight<K, V, E, S> {
    /// As [`new`](SingleFlight::new), with a hasher of one's own for the keys.
    pub fn with_hasher(hasher: S) -> Self {
        let board = Board { entries: HashMap::with_hasher(hasher), next: FlightId(0) };
        Self { flights: Arc::new(Mutex::new(board)) }
    }

    /// How many keys have work under way that new calls would join.
    pub fn in_flight(&self) -> usize {
        lock(&self.flights).entries.len()
    }
}

impl<K, V, E, S> SingleFlight<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + 'static,
{
    /// Runs `work` for `key`, or joins the run that is under way, whose value it then gets; its own `work` is dropped unused.
    ///
    /// The work must own what it needs (`'static`), because it may outlive the call that started it.
    ///
    /// # Errors
    /// [`FlightError::Panicked`] for every participant if the work panicked. (Also [`FlightError::Failed`], if the run that was
    /// joined is one of [`try_run`](Self::try_run).)
    ///
    /// # Cancel safety
    /// Dropping the future leaves the run to the other participants; the last one to leave cancels the work, and a later call
    /// starts anew.
    pub async fn run<F, Fut>(&self, key: K, work: F) -> Result<Flight<V>, FlightError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = V> + Send + 'static,
    {
        self.try_run(key, || async move { Ok(work().await) }).await
    }

    /// As [`run`](Self::run), for work that can fail. An error is shared like a value, and like a value it is not kept.
    ///
    /// # Errors
    /// [`FlightError::Failed`] with the error of the work, for every participant; [`FlightError::Panicked`] if it panicked.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn try_run<F, Fut>(&self, key: K, work: F) -> Result<Flight<V>, FlightError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut participant = self.take_part(key, work);
        let outcome = (&mut participant.ticket.work).await;
        let shared = participant.ticket.joined.load(Ordering::Relaxed) >= 2;
        outcome.map(|value| Flight { value, shared })
    }

    /// Detaches the run that is under way: who takes part in it still gets its result, and the next call starts another.
    /// Whether there was one.
    pub fn forget<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let detached = lock(&self.flights).entries.remove_entry(key);
        detached.is_some()
    }

    /// As [`forget`](Self::forget), but only if a single call takes part so far. Whether it was detached.
    pub fn forget_unshared<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut board = lock(&self.flights);
        let alone = |entry: &Entry<V, E>| entry.joined.load(Ordering::Relaxed) == 1;
        let detached =
            board.entries.get(key).is_some_and(alone).then(|| board.entries.remove_entry(key));
        drop(board);
        detached.flatten().is_some()
    }

    fn take_part<F, Fut>(&self, key: K, work: F) -> Participant<'_, K, V, E, S>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let (joined, id) = {
            let mut board = lock(&self.flights);
            let joined = board.join(&key);
            let id = board.next;
            if joined.is_none() {
                board.next = FlightId(id.0 + 1);
            }
            (joined, id)
        };
        if let Some(ticket) = joined {
            return Participant { flights: &self.flights, key, ticket };
        }
        // Keys are cloned and the work is boxed outside the lock; whoever was faster meanwhile is joined.
        let work = self.flight(key.clone(), id, work);
        let own_key = key.clone();
        let (ticket, _unused) = {
            let mut board = lock(&self.flights);
            match board.join(&key) {
                Some(ticket) => (ticket, Some((own_key, work))),
                None => (board.start(own_key, id, work), None),
            }
        };
        Participant { flights: &self.flights, key, ticket }
    }

    /// The work as all participants poll it: its last step takes the entry away, before anybody has the result.
    fn flight<F, Fut>(&self, key: K, id: FlightId, work: F) -> Work<V, E>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
    {
        let flights = Arc::clone(&self.flights);
        async move {
            // A panic must not reach `Shared`: it would poison it, and say nothing useful to the others.
            let outcome = AssertUnwindSafe(async move { work().await }).catch_unwind().await;
            let removed = lock(&flights).remove(&key, id);
            drop(removed);
            match outcome {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(FlightError::Failed(Arc::new(error))),
                Err(panic) => Err(FlightError::Panicked(message(&*panic).into())),
            }
        }
        .boxed()
        .shared()
    }
}

/// One call that takes part. Dropping it is how it leaves, with the result or without.
struct Participant<'a, K: Hash + Eq, V, E, S: BuildHasher> {
    flights: &'a Flights<K, V, E, S>,
    key: K,
    ticket: Ticket<V, E>,
}

impl<K: Hash + Eq, V, E, S: BuildHasher> Drop for Participant<'_, K, V, E, S> {
    fn drop(&mut self) {
        let left = lock(self.flights).leave(&self.key, self.ticket.id);
        drop(left);
    }
}

impl<K, V, E, S> fmt::Debug for SingleFlight<K, V, E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
