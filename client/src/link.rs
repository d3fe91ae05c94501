//! One stream of one session, over a connection of its own: dialling it, and nothing else. Knows no session state.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use conclave_proto::v1::stream_response::Message;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::directory::NodeIndex;
use crate::error::Refusal;
use crate::overheard::{Answers, Line};
use crate::reason::{self, Hint, Verdict};
use crate::rpc::Rpc;

/// Largest message taken from a server: the standing of a session with 100,000 holds and names of 100 bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// An open stream whose first message was answered.
#[derive(Debug)]
pub(crate) struct Link {
    /// Unbounded, but every call in it is one that somebody waits for, and the window of a session bounds those.
    pub(crate) out: mpsc::UnboundedSender<v1::StreamRequest>,
    pub(crate) inbound: Answers,
    pub(crate) node: NodeIndex,
}

/// The requests of a stream, as tonic wants them.
struct Requests {
    said: mpsc::UnboundedReceiver<v1::StreamRequest>,
    line: Line,
}

impl Stream for Requests {
    type Item = v1::StreamRequest;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.said.poll_recv(cx);
        if let Poll::Ready(Some(request)) = &next {
            self.line.said(request);
        }
        next
    }
}

/// Why there is no link.
#[derive(Debug)]
pub(crate) enum DialError {
    /// Another node leads; or nobody is known to.
    Moved(Option<Hint>),
    /// The cluster decided against it.
    Refused(Refusal),
    /// Nothing was learned.
    Failed(String),
    /// Not dialled: the node is said to lead whose stream stands.
    Spared,
}

/// Opens a stream to `node` and sends `first`; the answer to it comes with the link.
pub(crate) async fn dial(
    rpc: Arc<Rpc>,
    node: NodeIndex,
    first: v1::stream_request::Message,
    patience: Duration,
) -> Result<(Link, v1::StreamResponse), DialError> {
    match timeout(patience, dial_patiently(&rpc, node, first)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::Failed("no answer in time".to_owned())),
    }
}

async fn dial_patiently(
    rpc: &Rpc,
    node: NodeIndex,
    first: v1::stream_request::Message,
) -> Result<(Link, v1::StreamResponse), DialError> {
    let connected = rpc.directory.connect(node).await;
    let channel = connected.map_err(|error| DialError::Failed(words(&error)))?;
    let (out, said) = mpsc::unbounded_channel();
    let line = Line::new(rpc.ear.as_ref());
    // The receiver is at hand, so this cannot fail.
    let _ = out.send(v1::StreamRequest { message: Some(first) });
    let mut client =
        SessionServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let opened = client.stream(Requests { said, line: line.clone() }).await;
    let inbound = opened.map_err(|status| of_status(&status))?.into_inner();
    let mut inbound = Answers { inbound, line };
    let answer = inbound.message().await.map_err(|status| of_status(&status))?;
    let answer =
        answer.ok_or_else(|| DialError::Failed("the stream ended without a word".to_owned()))?;
    match answer.message {
        Some(Message::Moved(moved)) => Err(DialError::Moved(Hint::from_wire(moved.leader))),
        Some(Message::Refused(problem)) => Err(of_verdict(reason::of_problem(problem))),
        _ => Ok((Link { out, inbound, node }, answer)),
    }
}

fn of_status(status: &tonic::Status) -> DialError {
    of_verdict(reason::of_status(status))
}

fn of_verdict(verdict: Verdict) -> DialError {
    match verdict {
        Verdict::Refused(refusal) => DialError::Refused(refusal),
        Verdict::Again(again) if again.leader.is_some() => DialError::Moved(again.leader),
        Verdict::Again(again) => DialError::Failed(again.message),
    }
}

/// An error with its causes, since tonic's own words are only "transport error".
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
