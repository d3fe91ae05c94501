//! How some empty nodes become one cluster, once, and how a node notices that it does not belong.
//!
//! Only the first name of the sorted list begins, and only when every listed node answers that it belongs to no cluster (or
//! was told of this very one before) and was given the same list and token. It draws the cluster id, writes it down, has
//! everybody write it down, and only then initializes Raft. An empty node that finds its peers in a cluster that has begun
//! lost its data; it must never answer under its old id again.

use std::collections::BTreeMap;
use std::time::Duration;

use conclave_proto::internal::v1 as proto;
use futures::future::join_all;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver as _;
use tonic::Status;

use crate::config::Member;
use crate::failure::Fatal;
use crate::identity::{JoinError, Myself, id_in};
use crate::membership::{has_joined, peers};
use crate::network::{Connections, Lane};
use crate::state_machine::StateMachine;
use crate::types::{MemberNode, TypeConfig};

/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_millis(100);

/// What a node says of itself.
pub(crate) fn introduction(myself: &Myself, begun: bool) -> proto::IntroduceResponse {
    let MemberNode { name, peer_address, client_address, .. } = myself.node();
    proto::IntroduceResponse {
        id: myself.id(),
        name,
        client_address,
        peer_address,
        token: myself.token().to_owned(),
        list: listed(myself.members()),
        cluster_id: myself.cluster().map(|id| id.to_be_bytes().to_vec().into()),
        begun,
    }
}

/// The first of the list said which cluster this is.
pub(crate) async fn form(myself: &Myself, request: proto::FormRequest) -> Result<(), Status> {
    let cluster = cluster_of(&request.cluster_id)
        .ok_or_else(|| Status::invalid_argument("a cluster id has 16 bytes"))?;
    if request.token != myself.token() || request.list != listed(myself.members()) {
        return Err(Status::failed_precondition(format!(
            "{} was given another token or list of nodes; all nodes need the same",
            myself.name()
        )));
    }
    let myself = myself.clone();
    let joined = myself.blocking().run(move || myself.join(cluster)).await;
    match joined.map_err(|error| Status::internal(error.to_string()))? {
        Ok(()) => Ok(()),
        Err(error @ JoinError::Other { .. }) => Err(Status::failed_precondition(error.to_string())),
        Err(JoinError::Identity(error)) => Err(Status::internal(error.to_string())),
    }
}

/// Whether anything was ever agreed upon here: a vote was given. A log alone is a beginning that nobody has built upon.
pub(crate) async fn begun(
    raft: &Raft<TypeConfig, StateMachine>,
) -> Result<bool, openraft::errors::Fatal<TypeConfig>> {
    raft.with_raft_state(|state| state.vote_ref().leader_id.term > 0).await
}

/// Everything that forming needs.
#[derive(Debug, Clone)]
pub(crate) struct Formation {
    pub(crate) myself: Myself,
    pub(crate) connections: Connections,
    pub(crate) raft: Raft<TypeConfig, StateMachine>,
}

/// What the others answered. None: nobody did at that address.
type Answers = Vec<(Member, Option<proto::IntroduceResponse>)>;

impl Formation {
    /// Ends when this node follows or leads in its cluster, or with the reason why it never will.
    pub(crate) async fn run(&self) -> Result<(), Fatal> {
        let mut said = String::new();
        loop {
            let answers = self.ask_all().await;
            let mut answered: Vec<_> =
                answers.iter().filter_map(|(_, answer)| answer.clone()).collect();
            answered.extend(self.ask_members().await);
            let begun = begun(&self.raft).await.map_err(|error| core(&error))?;
            self.check_belonging(&answered, begun)?;
            // A restarted node remembers a leader; that it still belongs there, only a peer can say.
            if self.is_settled() && (self.is_alone() || self.is_among_its_own(&answered)) {
                return Ok(());
            }
            if !begun && self.is_first() {
                match self.other_beginning().or_else(|| obstacle(&self.myself, &answers)) {
                    None => self.begin(&answers).await?,
                    Some(obstacle) if obstacle != said => {
                        tracing::info!(obstacle, "the cluster cannot form yet");
                        said = obstacle;
                    }
                    Some(_) => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A cluster of one needs to ask nobody.
    pub(crate) async fn begin_alone(&self) -> Result<(), Fatal> {
        match self.raft.is_initialized().await {
            Ok(true) => Ok(()),
            Ok(false) => self.begin(&[]).await,
            Err(error) => Err(core(&error)),
        }
    }

    fn is_settled(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.current_leader.is_some() && metrics.vote.committed
    }

    /// Nobody else votes, so there is nobody to ask.
    fn is_alone(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().voter_ids().all(|voter| voter == self.myself.id())
    }

    /// Somebody is of the same cluster.
    fn is_among_its_own(&self, answered: &[proto::IntroduceResponse]) -> bool {
        let own = self.myself.cluster();
        let same = |answer: &proto::IntroduceResponse| {
            own.is_some() && answer.cluster_id.as_ref().and_then(|id| cluster_of(id)) == own
        };
        answered.iter().any(same)
    }

    /// A node that joined never begins anything.
    fn is_first(&self) -> bool {
        let first = self.myself.members().first();
        !has_joined(self.myself.id()) && first.is_some_and(|first| first.name == self.myself.name())
    }

    /// What was begun here, by a restore most likely, is for other nodes than the list names. Those of the list that are not
    /// members would be told that they were taken out.
    fn other_beginning(&self) -> Option<String> {
        let metrics = self.raft.server_metrics().borrow_watched().clone();
        let members = metrics.membership_config.membership().nodes();
        let mut members: Vec<_> = members.map(|(_, node)| node.name.clone()).collect();
        members.sort();
        let list: Vec<_> = self.myself.members().iter().map(|member| &*member.name).collect();
        (!members.is_empty() && members != list).then(|| {
            format!(
                "what is in the data directory was made for the nodes {}, and the list names {}; give --cluster as \
                 `conclave snapshot restore` was given it",
                members.join(", "),
                list.join(", ")
            )
        })
    }

    async fn ask_all(&self) -> Answers {
        let others = self.myself.members().iter();
        let others = others.filter(|member| member.name != self.myself.name());
        let asked =
            others.map(async |member| (member.clone(), self.ask(&member.peer_address).await));
        join_all(asked).await
    }

    /// Those that are on no list: whom the log names, and whom a node that joined was told of.
    async fn ask_members(&self) -> Vec<proto::IntroduceResponse> {
        let mut addresses = peers(&self.myself, &self.raft);
        for member in self.myself.members() {
            addresses.remove(&member.peer_address);
        }
        let answers = join_all(addresses.iter().map(|address| self.ask(address))).await;
        answers.into_iter().flatten().collect()
    }

    async fn ask(&self, address: &str) -> Option<proto::IntroduceResponse> {
        let mut client = self.connections.client(address, Lane::Control).ok()?;
        let call = client.introduce(proto::IntroduceRequest {});
        let answer = tokio::time::timeout(self.connections.patience().call, call).await;
        // Not there yet, or not one of us: asked again soon.
        Some(answer.ok()?.ok()?.into_inner())
    }

    fn check_belonging(
        &self,
        answered: &[proto::IntroduceResponse],
        begun: bool,
    ) -> Result<(), Fatal> {
        let own = self.myself.cluster();
        let mut theirs = BTreeMap::<u128, usize>::new();
        for answer in answered {
            let Some(cluster) = answer.cluster_id.as_ref().and_then(|id| cluster_of(id)) else {
                continue;
            };
            *theirs.entry(cluster).or_default() += 1;
            // The first of the list begins; whoever else has begun before it got the beginning from it.
            let lost = match own {
                None => true,
                Some(own) => own == cluster && !begun && self.is_first(),
            };
            if answer.begun && lost {
                return Err(self.wiped(&answer.name));
            }
        }
        let Some(own) = own else { return Ok(()) };
        let most = theirs.iter().max_by_key(|(_, count)| **count);
        match most {
            Some((cluster, count))
                if *cluster != own
                    && !theirs.contains_key(&own)
                    && *count > self.myself.members().len() / 2 =>
            {
                Err(Fatal::OtherCluster {
                    own: format!("{own:032x}"),
                    theirs: format!("{cluster:032x}"),
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn wiped(&self, peer: &str) -> Fatal {
        Fatal::Wiped { peer: peer.to_owned(), name: self.myself.name().to_owned() }
    }

    async fn begin(
        &self,
        answers: &[(Member, Option<proto::IntroduceResponse>)],
    ) -> Result<(), Fatal> {
        let cluster = self.myself.cluster().unwrap_or_else(rand::random);
        let myself = self.myself.clone();
        let joined = myself.blocking().run(move || myself.join(cluster)).await;
        let failed = |reason: String| Fatal::Identity { reason };
        joined
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;

        for (member, _) in answers {
            match self.tell(member, cluster).await {
                Ok(false) => {}
                Ok(true) => return Err(self.wiped(&member.name)),
                Err(status) => {
                    tracing::warn!(member = member.name, %status, "does not take the cluster id");
                    return Ok(());
                }
            }
        }
        let mut nodes = BTreeMap::from([(self.myself.id(), self.myself.node())]);
        for (member, answer) in answers {
            let Some(id) = id_in(self.myself.members(), &member.name) else { continue };
            let client_address = answer.as_ref().map(|answer| answer.client_address.clone());
            let node = MemberNode {
                name: member.name.clone(),
                peer_address: member.peer_address.clone(),
                client_address: client_address.unwrap_or_default(),
                ..MemberNode::default()
            };
            nodes.insert(id, node);
        }
        let names = nodes.values().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        let cluster_id = format!("{cluster:032x}");
        tracing::info!(cluster = cluster_id, nodes = names, "the cluster begins");
        if self.raft.is_initialized().await.map_err(|error| core(&error))? {
            // Its log has a beginning: of a backup that was restored, or of a formation that a crash broke off.
            self.raft.runtime_config().elect(true);
            return Ok(());
        }
        self.raft.initialize(nodes).await.map_err(|error| core(&error))
    }

    /// True: that node has begun already.
    async fn tell(&self, member: &Member, cluster: u128) -> Result<bool, Status> {
        let client = self.connections.client(&member.peer_address, Lane::Control);
        let mut client = client.map_err(|error| Status::unavailable(error.to_string()))?;
        let request = proto::FormRequest {
            cluster_id: cluster.to_be_bytes().to_vec().into(),
            token: self.myself.token().to_owned(),
            list: listed(self.myself.members()),
        };
        let call = tokio::time::timeout(self.connections.patience().call, client.form(request));
        let answer = call.await.map_err(|_| Status::deadline_exceeded("no answer"))?;
        Ok(answer?.into_inner().begun)
    }
}

/// Why the cluster cannot form now. None: it can.
fn obstacle(myself: &Myself, answers: &Answers) -> Option<String> {
    for (member, answer) in answers {
        let Member { name, peer_address } = member;
        let Some(answer) = answer else {
            return Some(format!("{name} does not answer at {peer_address}"));
        };
        if answer.name != *name {
            return Some(format!("at {peer_address} answers {}, not {name}", answer.name));
        }
        if answer.token != myself.token() {
            return Some(format!("{name} was given another token"));
        }
        if answer.list != listed(myself.members()) {
            return Some(format!("{name} was given another list of nodes"));
        }
        if let Some(cluster) = answer.cluster_id.as_ref().and_then(|id| cluster_of(id))
            && Some(cluster) != myself.cluster()
        {
            return Some(format!("{name} belongs to the cluster {cluster:032x} already"));
        }
    }
    None
}

fn listed(members: &[Member]) -> Vec<proto::ListedMember> {
    let wire = |member: &Member| proto::ListedMember {
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
    };
    members.iter().map(wire).collect()
}

fn cluster_of(bytes: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(bytes.try_into().ok()?))
}

fn core(error: &impl std::fmt::Display) -> Fatal {
    Fatal::Core { reason: error.to_string() }
}
