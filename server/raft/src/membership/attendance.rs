//! How a running node learns that it was taken out of its cluster. Nobody sends it anything then, and what its own log says of
//! the members is old, so only the word of a leader that a majority confirms counts. It asks when it starts, whenever it hears
//! no leader, and as long as the cluster knows it under other addresses than it has.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use conclave_proto::internal::v1::attend_response::Result as Answer;
use futures::future::join_all;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tokio::sync::watch;

use crate::answer::Leadership;
use crate::failure::Fatal;
use crate::identity::Myself;
use crate::network::{Connections, Heard, Lane};
use crate::state_machine::StateMachine;
use crate::types::TypeConfig;

/// Between two looks.
const STEP: Duration = Duration::from_millis(500);
/// The leader asks its majority before it answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Attendance {
    pub(crate) myself: Myself,
    pub(crate) connections: Connections,
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) heard: Heard,
    /// Silence after which the leader counts as not heard.
    pub(crate) silence_max: Duration,
    /// Where the mark of a node that was taken out belongs.
    pub(crate) mark: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Member,
    Removed,
    Unknown,
}

impl Attendance {
    /// Ends when this node was taken out: it must stop for good.
    pub(crate) async fn run(&self) -> Fatal {
        let mut attended = false;
        loop {
            if !self.is_fine(attended) {
                match self.ask_all().await {
                    Verdict::Member => attended = true,
                    Verdict::Removed => return self.removed().await,
                    Verdict::Unknown => {}
                }
            }
            tokio::time::sleep(STEP).await;
        }
    }

    fn is_fine(&self, attended: bool) -> bool {
        if self.leadership.borrow().leading {
            return true;
        }
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        let hears = metrics.current_leader.is_some_and(|leader| {
            self.heard.silence_of(leader).is_some_and(|silence| silence < self.silence_max)
        });
        let own = self.myself.node();
        let known = metrics.membership_config.membership().get_node(&self.myself.id()).cloned();
        // One that is not in it has not caught up yet, or was taken out: the leader is not heard then.
        let is_known = known.is_none_or(|known| {
            known.peer_address == own.peer_address && known.client_address == own.client_address
        });
        attended && hears && is_known
    }

    async fn ask_all(&self) -> Verdict {
        let mut asked = BTreeSet::new();
        let mut next = peers(&self.myself, &self.raft);
        // Once more, where the leaders are that were named.
        for _ in 0..2 {
            let answers = join_all(next.iter().map(|address| self.ask(address))).await;
            asked.append(&mut next);
            for answer in answers.into_iter().flatten() {
                match answer {
                    Answer::Member(_) => return Verdict::Member,
                    Answer::Removed(_) => return Verdict::Removed,
                    Answer::Leader(leader) => drop(next.insert(leader.peer_address)),
                    Answer::Unknown(_) => {}
                }
            }
            next.retain(|address| !asked.contains(address));
        }
        Verdict::Unknown
    }

    /// None: no answer, which is asked for again soon.
    async fn ask(&self, address: &str) -> Option<Answer> {
        let node = self.myself.node();
        let request = proto::AttendRequest {
            cluster_id: self.myself.cluster()?.to_be_bytes().to_vec().into(),
            id: self.myself.id(),
            name: node.name,
            peer_address: node.peer_address,
            client_address: node.client_address,
            token: self.myself.token().to_owned(),
        };
        let mut client = self.connections.client(address, Lane::Control).ok()?;
        let answer = tokio::time::timeout(ANSWER_PATIENCE, client.attend(request)).await;
        answer.ok()?.ok()?.into_inner().result
    }

    async fn removed(&self) -> Fatal {
        let (name, id) = (self.myself.name().to_owned(), self.myself.id());
        let (mark, why) = (self.mark.clone(), format!("node {id}, {name}, was taken out"));
        let marked =
            tokio::task::spawn_blocking(move || conclave_store::mark_removed(&mark, &why)).await;
        // It stops all the same, and is told the same when it is started again.
        if let Ok(Err(error)) = marked {
            tracing::warn!(%error, "cannot mark the data directory of a node that was taken out");
        }
        Fatal::Removed { name }
    }
}

/// Where the other nodes may be: as the operator says, as the members say, and whom a node that joined was told to ask.
pub(crate) fn peers(myself: &Myself, raft: &Raft<TypeConfig, StateMachine>) -> BTreeSet<String> {
    let metrics = raft.server_metrics().borrow_watched().clone();
    let members = metrics.membership_config.membership().nodes();
    let members = members.filter(|(id, _)| **id != myself.id());
    let listed = myself.members().iter().filter(|member| member.name != myself.name());
    let mut addresses: BTreeSet<_> =
        members.map(|(_, node)| myself.dial(node).to_owned()).collect();
    addresses.extend(listed.map(|member| member.peer_address.clone()));
    addresses.extend(myself.join_addresses().iter().cloned());
    addresses.remove(&myself.node().peer_address);
    addresses
}
