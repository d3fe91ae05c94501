//! After the end of a session: its task tells those who still ask, and tells the cluster, as well as it can, which lost holds
//! are no longer used, so that the next holder need not wait for the full time.

use std::sync::Arc;

use conclave_proto::v1;
use conclave_proto::v1::session_service_client::SessionServiceClient;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::rpc::{Repeat, Rpc};
use crate::session::command::{Answer, Command};
use crate::session::core::{Core, Release};
use crate::session::shared::Identity;
use crate::state::SessionEnd;

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
                    if let Some((token, release)) = core.call_after_end(call) {
                        sayings.push(say(token, release));
                    }
                }
            },
            Some(()) = sayings.next() => {}
        }
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
            // Whoever dropped the other end does not want to know.
            let _ = reply.send(Answer::Lost(lost));
        }
    }
}
