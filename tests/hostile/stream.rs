//! A session stream whose messages are said one by one, by a client without any cleverness.

use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::call_answer::Result as Outcome;
use conclave_proto::v1::call_request::Op;
use conclave_proto::v1::stream_request::Message as Say;
use conclave_proto::v1::stream_response::Message as Said;
use conclave_tests::raw::{Raw, fresh_secret};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

/// On a machine that has other things to do.
const ANSWER_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Stream {
    to: mpsc::Sender<v1::StreamRequest>,
    from: tonic::Streaming<v1::StreamResponse>,
    pub(crate) key: v1::SessionKey,
}

impl Stream {
    /// One for a new session that lives for a minute without a keepalive.
    pub(crate) async fn open(node: &Raw) -> Self {
        let secret = fresh_secret();
        let first = Self::opening(&secret);
        let (mut stream, said) = Self::begin(node, Say::Open(first)).await;
        let Said::Opened(opened) = said else { panic!("it does not open: {said:?}") };
        stream.key = v1::SessionKey { session: opened.session, secret, epoch: opened.epoch };
        stream
    }

    pub(crate) fn opening(secret: &[u8]) -> v1::OpenRequest {
        v1::OpenRequest {
            secret: secret.to_vec(),
            ttl_ms: 60_000,
            name: "busy".to_owned(),
            ..Default::default()
        }
    }

    /// One with this first message, and what it is answered.
    pub(crate) async fn begin(node: &Raw, first: Say) -> (Self, Said) {
        let (to, said) = mpsc::channel(16);
        to.send(v1::StreamRequest { message: Some(first) }).await.expect("room");
        let said = tokio_stream::wrappers::ReceiverStream::new(said);
        let from = node.session().stream(said).await.expect("a stream").into_inner();
        let mut stream = Self { to, from, key: v1::SessionKey::default() };
        let said = stream.next().await;
        (stream, said)
    }

    pub(crate) async fn say(&self, say: Say) {
        let said = self.to.send(v1::StreamRequest { message: Some(say) });
        timeout(ANSWER_MAX, said).await.expect("it is listened to").expect("it stands");
    }

    pub(crate) async fn call(&self, seq: u64, seen_through: u64, op: Op) {
        self.say(Say::Call(v1::CallRequest { seq, seen_through, op: Some(op) })).await;
    }

    /// Another end for whoever says something while somebody else listens.
    pub(crate) fn mouth(&self) -> mpsc::Sender<v1::StreamRequest> {
        self.to.clone()
    }

    pub(crate) async fn next(&mut self) -> Said {
        self.hear().await.expect("no status").expect("no end")
    }

    /// None: the stream ended without a word.
    pub(crate) async fn hear(&mut self) -> Result<Option<Said>, Status> {
        let next = timeout(ANSWER_MAX, self.from.message()).await.expect("in time")?;
        Ok(next.map(|next| next.message.expect("a message")))
    }

    /// What the next call is answered that is answered at all; events are passed over.
    pub(crate) async fn answer(&mut self) -> (u64, Outcome) {
        loop {
            if let Said::Answer(answer) = self.next().await {
                return (answer.seq, answer.result.expect("an answer"));
            }
        }
    }

    /// Whether the session is alive on this very stream.
    pub(crate) async fn is_kept_alive(&mut self, number: u64) -> bool {
        let beat = v1::StreamKeepAlive { number, losses_seen_through: 0 };
        let beat = v1::StreamRequest { message: Some(Say::KeepAlive(beat)) };
        // An error: it ended, and reading it says so.
        let _gone = self.to.send(beat).await;
        loop {
            match self.hear().await {
                Ok(Some(Said::KeepAlive(ack))) if ack.number == number => return true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}
