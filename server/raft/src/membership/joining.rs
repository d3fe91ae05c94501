//! How a node without data gets a place in a running cluster, before it starts: it asks whom it was told to ask until the
//! leader has written down a fresh id for it. It never begins a cluster of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::join_response::Result as Answer;

use crate::config::NodeConfig;
use crate::failure::StartError;
use crate::network::{Connections, Lane, Patience};

/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(300);
/// The leader commits it before it answers, and may be busy with another change first.
const ANSWER_PATIENCE: Duration = Duration::from_secs(12);
/// Addresses asked in one round: those that were given, and the leaders that they name.
const ASKED_MAX: usize = 64;

/// What the leader gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: u64,
    pub(crate) cluster: u128,
}

/// Asks until there is a place, a refusal, or the patience of `config` is over.
pub(crate) async fn ask_for_a_place(
    config: &NodeConfig,
    patience: Patience,
) -> Result<Place, StartError> {
    let connections = Connections::new(patience);
    // Not zero, which means nobody.
    let claim = rand::random::<u64>().max(1);
    let started = Instant::now();
    let mut said = String::new();
    loop {
        match ask_all(config, &connections, claim).await? {
            Round::Place(place) => {
                tracing::info!(id = place.id, "the cluster has a place for this node");
                return Ok(place);
            }
            Round::Nothing(reason) => {
                if reason != said {
                    tracing::info!(reason, "no place in the cluster yet");
                    said = reason;
                }
            }
        }
        if started.elapsed() >= config.join_patience {
            return Err(StartError::NoPlace { peers: config.join.join(", "), reason: said });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Round {
    Place(Place),
    /// And why.
    Nothing(String),
}

/// Everybody that was named, and whoever leads according to them.
async fn ask_all(
    config: &NodeConfig,
    connections: &Connections,
    claim: u64,
) -> Result<Round, StartError> {
    let mut queue: VecDeque<_> = config.join.iter().cloned().collect();
    let mut asked = Vec::new();
    let mut reasons = Vec::new();
    while let Some(address) = queue.pop_front() {
        if asked.len() >= ASKED_MAX || asked.contains(&address) {
            continue;
        }
        match ask(config, connections, &address, claim).await {
            Ok(Answer::Place(place)) => match place.cluster_id[..].try_into() {
                Ok(cluster) => {
                    let cluster = u128::from_be_bytes(cluster);
                    return Ok(Round::Place(Place { id: place.id, cluster }));
                }
                Err(_) => reasons.push(format!("{address}: its cluster id is none")),
            },
            // It leads, so nobody else is to be asked.
            Ok(Answer::Refused(proto::Refused { reason })) => {
                return Err(StartError::NotAdmitted { name: config.name.clone(), reason });
            }
            Ok(Answer::Leader(leader)) => queue.push_front(leader.peer_address),
            Ok(Answer::Later(proto::Later { reason })) => {
                reasons.push(format!("{address}: {reason}"));
            }
            Err(reason) => reasons.push(format!("{address}: {reason}")),
        }
        asked.push(address);
    }
    Ok(Round::Nothing(reasons.join(", ")))
}

async fn ask(
    config: &NodeConfig,
    connections: &Connections,
    address: &str,
    claim: u64,
) -> Result<Answer, String> {
    let client = connections.client(address, Lane::Control);
    let mut client = client.map_err(|error| error.to_string())?;
    let request = proto::JoinRequest {
        name: config.name.clone(),
        peer_address: config.peer_address.clone(),
        client_address: config.client_address.clone(),
        token: config.token.clone(),
        claim,
    };
    let answer = tokio::time::timeout(ANSWER_PATIENCE, client.join(request)).await;
    let answer = answer.map_err(|_| "no answer".to_owned())?;
    let answer = answer.map_err(|status| format!("{:?} {}", status.code(), status.message()))?;
    answer.into_inner().result.ok_or_else(|| "an empty answer".to_owned())
}
