//! After the end of a session: its task tells those who still ask, and tells the cluster, as well as it can, which lost holds
//! are no longer used, so that the next holder need not wait for the full time.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Refusal};
use crate::rpc::{Repeat, Rpc};
use crate::session::command::{Answer, Command, Op};
use crate::session::core::{Core, Release};
use crate::session::shared::Identity;
use crate::state::{LostReason, SessionEnd};

/// The unary close.
pub(super) async fn close(rpc: &Rpc, key: v1::SessionKey) -> Result<(), Error> {
    rpc.call(Repeat::Freely, |channel| {
        let request = v1::CloseRequest { key: Some(key.clone()) };
        async move { SessionServiceClient::new(channel).close(request).await }
    })
    .await
    .map(|_| ())
}

/// Runs until the last handle and the last guard are gone and what was to be said was said.
pub(super) async fn run(
    mut core: Core,
    rpc: Arc<Rpc>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    core.check_end();
    let identity = core.identity();
    let end = core.ended();
    let mut sayings = FuturesUnordered::new();
    let say = |token, release| say_stopped(&rpc, identity, &end, token, release);
    for (token, release) in core.take_stopped() {
        sayings.push(say(token, release));
    }
    let mut open = true;
    while open || !sayings.is_empty() {
        tokio::select! {
            command = commands.recv(), if open => match command {
                None => open = false,
                Some(Command::Cancel { .. }) => {}
                Some(Command::Close { reply }) => {
                    let _ = reply.send(Err(Error::SessionEnded(end.clone())));
                }
                Some(Command::Call { call, .. }) => {
                    let (token, reply) = match (call.op, call.reply) {
                        (Op::Release { token }, reply) => (token, reply),
                        (Op::Acquire(_) | Op::Adopt { .. }, reply) => {
                            tell(reply, Answer::Ended(end.clone()));
                            continue;
                        }
                    };
                    match core.dropped_after_end(token) {
                        None => tell(reply, Answer::Refused(Refusal::NotHolder)),
                        // A close frees its holds by itself.
                        Some(lost)
                            if *lost.reason() == LostReason::SessionEnded(SessionEnd::Closed) =>
                        {
                            tell(reply, Answer::Lost(lost));
                        }
                        Some(lost) => sayings.push(say(token, reply.map(|reply| (reply, lost)))),
                    }
                }
            },
            Some(()) = sayings.next() => {}
        }
    }
}

fn tell(reply: Option<oneshot::Sender<Answer>>, answer: Answer) {
    if let Some(reply) = reply {
        // Whoever dropped the other end does not want to know.
        let _ = reply.send(answer);
    }
}

/// The cluster expires a session later than its client does, and only then there is a cooling hold to end: said again then.
async fn say_stopped(
    rpc: &Rpc,
    identity: Identity,
    end: &SessionEnd,
    token: u64,
    mut release: Option<Release>,
) {
    let times = if *end == SessionEnd::Expired { 3 } else { 1 };
    for time in 0..times {
        if time > 0 {
            tokio::time::sleep(identity.ttl / 4).await;
        }
        let said = rpc
            .call(Repeat::Freely, |channel| {
                let secret = identity.secret.to_bytes().to_vec();
                let session = identity.id.get();
                let request = v1::AckStoppedRequest { session, secret, token };
                async move { SessionServiceClient::new(channel).ack_stopped(request).await }
            })
            .await;
        if let Err(error) = said {
            tracing::debug!(token, "the end of a lost hold's use was not heard: {error}");
        }
        if let Some((reply, lost)) = release.take() {
            tell(Some(reply), Answer::Lost(lost));
        }
    }
}
