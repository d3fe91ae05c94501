//! Entries on their way and their answers, kept in step so that openraft never takes an answer for one that has not come.
//!
//! openraft notes when it hands out each request, and an answer that matched up to some entry confirms the leadership at the
//! time of the *last* request that ends there, whether that one was answered or not. When the commit index moves it sends a
//! request without entries, which ends where the one before it ended. So the answer to the first would confirm a leadership
//! at the time of the second, and a read or a keepalive could be served without any majority (docs/decisions/0003).
//!
//! What must hold: when openraft hears of an answer, no request that this answer reaches is unanswered, until openraft asks
//! for the next one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use futures::{Stream, StreamExt as _, stream};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use tonic::Status;

use super::rest::Rest;
use super::wire;
use crate::types::{LogId, TypeConfig};

type Request = AppendEntriesRequest<TypeConfig>;
type Answer = StreamAppendResult<TypeConfig>;

/// Why no more answers come.
#[derive(Debug)]
pub(super) enum Broken {
    /// Something was asked, and nothing came in time.
    Late,
    Status(Status),
}

/// What openraft wants to send, as far as it may be sent now.
pub(super) struct Requests<S> {
    shared: Arc<Mutex<Shared<S>>>,
}

/// The other end: what openraft may hear of, and when. Dropping it ends the requests.
pub(super) struct Answered<S> {
    shared: Arc<Mutex<Shared<S>>>,
    patience: Duration,
}

struct Shared<S> {
    /// None: it ended, or nobody hears the answers any more.
    input: Option<S>,
    /// Whether it may have something to send that cannot wait.
    rest: Rest,
    /// Handed out by openraft and not answered, in order.
    unanswered: VecDeque<Reach>,
    /// openraft was given an answer and may not have looked at it yet.
    handed_out: bool,
    /// Whoever wants a request in the meantime.
    waiting: Option<Waker>,
}

/// The entries of a request: after `previous`, up to `last`.
struct Reach {
    previous: Option<LogId>,
    last: Option<LogId>,
}

impl<S> Requests<S> {
    pub(super) fn new(input: S, rest: Rest) -> Self {
        let shared = Shared {
            input: Some(input),
            rest,
            unanswered: VecDeque::new(),
            handed_out: false,
            waiting: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// The other end, of which there is one; `patience` is for each answer.
    pub(super) fn answered_by(&self, patience: Duration) -> Answered<S> {
        Answered { shared: self.shared.clone(), patience }
    }
}

impl<S: Stream<Item = Request> + Unpin> Stream for Requests<S> {
    type Item = Request;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Request>> {
        let mut shared = lock(&self.shared);
        if shared.handed_out {
            shared.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let Shared { input, rest, unanswered, .. } = &mut *shared;
        let Some(input) = input else { return Poll::Ready(None) };
        ready!(rest.poll_over(context));
        // openraft notes the request within this poll: nothing is decided about an answer between that and this note.
        let request = ready!(input.poll_next_unpin(context));
        if let Some(reach) = request.as_ref().map(Reach::of) {
            rest.begin(reach.last.map_or(0, |last| last.index()));
            unanswered.push_back(reach);
        }
        Poll::Ready(request)
    }
}

impl<S> Answered<S> {
    /// The answers that openraft hears of; it must look at each before it asks for the next one. Ends with the first error.
    pub(super) fn over<A>(self, answers: A) -> impl Stream<Item = Result<Answer, Broken>>
    where
        A: Stream<Item = Result<proto::AppendStreamResponse, Status>> + Unpin,
    {
        stream::unfold(Some((self, answers)), |state| async move {
            let (answered, mut answers) = state?;
            match answered.next(&mut answers).await? {
                Ok(answer) => Some((Ok(answer), Some((answered, answers)))),
                Err(broken) => Some((Err(broken), None)),
            }
        })
    }

    /// None: no more answers come.
    async fn next<A>(&self, answers: &mut A) -> Option<Result<Answer, Broken>>
    where
        A: Stream<Item = Result<proto::AppendStreamResponse, Status>> + Unpin,
    {
        lock(&self.shared).resume();
        loop {
            let answer = match tokio::time::timeout(self.patience, answers.next()).await {
                Ok(answer) => answer?.and_then(wire::from_stream_response),
                // Nothing was asked: nothing is late.
                Err(_) if lock(&self.shared).unanswered.is_empty() => continue,
                Err(_) => return Some(Err(Broken::Late)),
            };
            let heard = answer.and_then(|answer| {
                let hear = lock(&self.shared).answered(&answer)?;
                Ok(hear.then_some(answer))
            });
            match heard {
                Ok(Some(answer)) => return Some(Ok(answer)),
                Ok(None) => {}
                Err(status) => return Some(Err(Broken::Status(status))),
            }
        }
    }
}

impl<S> Shared<S> {
    /// openraft asks for the next answer, so it is done with the one before.
    fn resume(&mut self) {
        self.handed_out = false;
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// The oldest request is answered. True: openraft is to hear of it. False: a later answer says the same and more.
    fn answered(&mut self, answer: &Answer) -> Result<bool, Status> {
        if self.unanswered.pop_front().is_none() {
            return Err(Status::internal("an answer that nothing was asked for"));
        }
        let reaches =
            |matched| self.unanswered.front().is_some_and(|next| next.is_reached(matched));
        // A conflict confirms the oldest request that begins there, which is answered; and it ends the stream.
        self.handed_out = !answer.as_ref().is_ok_and(reaches);
        Ok(self.handed_out)
    }
}

impl<S> Drop for Answered<S> {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        let input = shared.input.take();
        shared.resume();
        drop(shared);
        drop(input);
    }
}

impl Reach {
    fn of(request: &Request) -> Self {
        let last = request.entries.last().map(|entry| entry.log_id);
        Self { previous: request.prev_log_id, last: last.or(request.prev_log_id) }
    }

    /// Would openraft take this match for an answer to this request, in full or in part?
    fn is_reached(&self, matched: &Option<LogId>) -> bool {
        *matched >= self.last || *matched > self.previous
    }
}

fn lock<S>(shared: &Mutex<Shared<S>>) -> MutexGuard<'_, Shared<S>> {
    // Every change above is a single step.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
