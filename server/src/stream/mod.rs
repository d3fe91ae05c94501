//! The session stream: one client session, all its calls, cancels, keepalives and events on one stream, in one order.
//!
//! There is no task and no channel of its own: the stream is polled by its connection, reads many messages a wake, proposes
//! them without waiting, and takes outcomes and events from one feed. Dropping it detaches the waits of the session.

mod asked;
mod opening;
mod serving;
mod waits;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use conclave_proto::v1;
use conclave_proto::v1::stream_response::Message;
use conclave_raft::LeaderHint;
use futures::Stream;
use futures::future::BoxFuture;
use tonic::{Status, Streaming};

use crate::convert::answer;
use crate::edge::Edge;
use crate::status::Failure;
use serving::Serving;

/// What a client sends.
type Inbound = Streaming<v1::StreamRequest>;

/// The answers of one session stream.
pub(crate) struct SessionStream {
    phase: Phase,
}

enum Phase {
    Opening(BoxFuture<'static, Result<(Serving, v1::StreamResponse), Farewell>>),
    Serving(Box<Serving>),
    /// Nothing left but how it ends.
    Ending(Farewell),
    Ended,
}

/// The last thing that a stream says.
#[derive(Debug)]
enum Farewell {
    Message(v1::StreamResponse),
    Status(Status),
    Silence,
}

impl SessionStream {
    pub(crate) fn new(edge: Edge, inbound: Inbound) -> Self {
        Self { phase: Phase::Opening(Box::pin(opening::open(edge, inbound))) }
    }
}

impl Stream for SessionStream {
    type Item = Result<v1::StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.phase {
                Phase::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok((serving, first)) => {
                        self.phase = Phase::Serving(Box::new(serving));
                        return Poll::Ready(Some(Ok(first)));
                    }
                    Err(farewell) => self.phase = Phase::Ending(farewell),
                },
                Phase::Serving(serving) => match ready!(serving.poll_next(context)) {
                    Ok(message) => return Poll::Ready(Some(Ok(message))),
                    // The feed is dropped with it: the waits are detached before the client hears of the end.
                    Err(farewell) => self.phase = Phase::Ending(farewell),
                },
                Phase::Ending(_) => {
                    return match std::mem::replace(&mut self.phase, Phase::Ended) {
                        Phase::Ending(Farewell::Message(message)) => Poll::Ready(Some(Ok(message))),
                        Phase::Ending(Farewell::Status(status)) => Poll::Ready(Some(Err(status))),
                        _ => Poll::Ready(None),
                    };
                }
                Phase::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// An answer that stands at no revision: of this node, not of the machine.
fn of_no_revision(message: Message) -> v1::StreamResponse {
    v1::StreamResponse { revision: 0, n: 0, message: Some(message) }
}

/// This node does not lead, or not any more.
fn moved(leader: Option<&LeaderHint>) -> Farewell {
    let moved = v1::Moved { leader: leader.map(answer::leader) };
    Farewell::Message(of_no_revision(Message::Moved(moved)))
}

/// Why there is no session on this stream.
fn refused(failure: &Failure) -> Farewell {
    Farewell::Message(of_no_revision(Message::Refused(failure.problem())))
}
