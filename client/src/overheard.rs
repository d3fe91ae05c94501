//! An ear at the streams of sessions, for tests that hold what went over the wire against the cluster's log. Nobody else may use
//! it, so it is no part of what this crate promises.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use conclave_proto::v1;
use futures::Stream;
use tonic::{Status, Streaming};

/// One message of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Word<'a> {
    /// About to be sent.
    Said(&'a v1::StreamRequest),
    /// Just taken from the connection.
    Heard(&'a v1::StreamResponse),
}

/// Is told every message of every stream, with a number that the stream has for itself in this process. Whoever listens holds the
/// session up.
#[derive(Clone)]
pub struct Ear(Arc<dyn Fn(u64, Word<'_>) + Send + Sync>);

impl Ear {
    /// An ear that does this with each message.
    pub fn new(listen: impl Fn(u64, Word<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Tells it one message of that stream.
    pub fn hears(&self, stream: u64, word: Word<'_>) {
        (self.0)(stream, word);
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// One stream, as it is listened to; mostly nobody does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Option<(Ear, u64)>);

impl Line {
    pub(crate) fn new(ear: Option<&Ear>) -> Self {
        static LINES: AtomicU64 = AtomicU64::new(0);
        Self(ear.map(|ear| (ear.clone(), LINES.fetch_add(1, Ordering::Relaxed))))
    }

    pub(crate) fn said(&self, request: &v1::StreamRequest) {
        if let Self(Some((ear, number))) = self {
            ear.hears(*number, Word::Said(request));
        }
    }

    fn heard(&self, response: &v1::StreamResponse) {
        if let Self(Some((ear, number))) = self {
            ear.hears(*number, Word::Heard(response));
        }
    }
}

/// The answers of a stream.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) inbound: Streaming<v1::StreamResponse>,
    pub(crate) line: Line,
}

impl Answers {
    pub(crate) async fn message(&mut self) -> Result<Option<v1::StreamResponse>, Status> {
        let answer = self.inbound.message().await?;
        answer.iter().for_each(|answer| self.line.heard(answer));
        Ok(answer)
    }
}

impl Stream for Answers {
    type Item = Result<v1::StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.inbound).poll_next(cx);
        if let Poll::Ready(Some(Ok(answer))) = &next {
            self.line.heard(answer);
        }
        next
    }
}
