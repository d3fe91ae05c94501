//! What every service needs: the node, the way to the leader, and the rules of routing. Only a leader decides; a unary call
//! that reaches another node is forwarded once, whole.

use std::sync::Arc;
use std::time::Duration;

use conclave_machine::{Command, LossNumber, Machine, SessionKey};
use conclave_raft::{
    ClusterStatus, Consistency, Decided, Dial, FeedSender, Hub, KeepAliveAck, Leadership, Node,
    ProposeError, ReadAnswer, Reply,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::deadline;
use crate::forward::{Forwarder, is_forwarded};
use crate::metrics::Metrics;
use crate::status::Failure;

/// A cheap handle; all clones are the same edge.
#[derive(Clone)]
pub(crate) struct Edge {
    shared: Arc<Shared>,
}

struct Shared {
    node: Node,
    /// The name of this node.
    name: String,
    forwarder: Forwarder,
    ttl_floor: Duration,
    metrics: Metrics,
    stopping: watch::Sender<bool>,
}

impl Edge {
    pub(crate) fn new(
        node: Node,
        name: String,
        ttl_floor: Duration,
        metrics: Metrics,
        dial: Dial,
    ) -> Self {
        let forwarder = Forwarder::new(&name, dial);
        let stopping = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { node, name, forwarder, ttl_floor, metrics, stopping }) }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.shared.node
    }

    pub(crate) fn hub(&self) -> &Hub {
        self.shared.node.hub()
    }

    pub(crate) fn ttl_floor(&self) -> Duration {
        self.shared.ttl_floor
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn leadership(&self) -> Leadership {
        self.shared.node.leadership().borrow().clone()
    }

    /// A leader is known, and it was heard from a moment ago: a node that is cut off still remembers one.
    pub(crate) fn hears_leader(status: &ClusterStatus) -> bool {
        let leader = status.leader.as_ref().map(|leader| leader.id);
        status.nodes.iter().any(|node| Some(node.id) == leader && node.reachable)
    }

    /// From now on new calls are told to go elsewhere.
    pub(crate) fn stop(&self) {
        self.shared.stopping.send_replace(true);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        *self.shared.stopping.borrow()
    }

    /// Resolves when this node begins to stop.
    pub(crate) async fn stopping(&self) {
        let mut stopping = self.shared.stopping.subscribe();
        // An error: the edge is gone, and with it whoever waits here.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// Answers a call here if this node leads, else forwards it to the leader, once.
    pub(crate) async fn serve<Q, A, L, LocalAnswer, R, RemoteAnswer>(
        &self,
        request: Request<Q>,
        local: L,
        remote: R,
    ) -> Result<Response<A>, Status>
    where
        Q: Clone + Send,
        L: FnOnce(Q, Option<Instant>) -> LocalAnswer,
        LocalAnswer: Future<Output = Result<A, Failure>> + Send,
        R: FnOnce(Channel, Request<Q>) -> RemoteAnswer,
        RemoteAnswer: Future<Output = Result<Response<A>, Status>> + Send,
    {
        if self.is_stopping() {
            return Err(Failure::ShuttingDown.status());
        }
        let deadline = deadline::of(request.metadata());
        let forwarded = is_forwarded(request.metadata());
        let message = request.into_inner();
        let Leadership { leading, leader, .. } = self.leadership();
        let leader = if leading {
            match local(message.clone(), deadline).await {
                Ok(answer) => return Ok(Response::new(answer)),
                // Surely not proposed: there is a leader elsewhere that can be asked.
                Err(Failure::NotLeader { leader }) => leader,
                Err(failure) => return Err(failure.status()),
            }
        } else {
            leader
        };
        match leader {
            Some(leader) if !forwarded && *leader.name != self.shared.name => {
                let request = self.shared.forwarder.mark(message, deadline);
                let channel =
                    self.shared.forwarder.channel(&leader).map_err(|failure| failure.status())?;
                remote(channel, request).await.map_err(Forwarder::told)
            }
            leader => Err(Failure::NotLeader { leader }.status()),
        }
    }

    /// A read: answered here, whoever leads, when it may be stale.
    pub(crate) fn consistency(stale: bool) -> Consistency {
        if stale { Consistency::Stale } else { Consistency::Linearizable }
    }

    pub(crate) async fn read<T: Send>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Machine) -> T + Send,
    ) -> Result<ReadAnswer<T>, Failure> {
        self.shared.node.read(consistency, query).await.map_err(Failure::from)
    }

    /// The same for a long query, which must not hold up apply: on a snapshot of the state, off the runtime's threads.
    pub(crate) async fn read_at_length<T: Send + 'static>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let snapshot = self.read(consistency, Machine::clone).await?.value;
        let answer = self.shared.node.blocking().run(move || query(&snapshot)).await;
        // It panicked, or the runtime is being shut down.
        answer.map_err(|_| Failure::ShuttingDown)
    }

    pub(crate) async fn propose(&self, command: Command) -> Result<Decided, Failure> {
        self.shared.metrics.proposal();
        self.shared.node.propose(command).await.map_err(Failure::from)
    }

    /// The decision goes into the feed, under the tag.
    pub(crate) fn propose_to(
        &self,
        command: Command,
        feed: FeedSender,
        tag: u64,
    ) -> Result<(), ProposeError> {
        self.shared.metrics.proposal();
        self.shared.node.propose_to(command, Reply::Feed { feed, tag })
    }

    pub(crate) async fn keep_alive(
        &self,
        key: SessionKey,
        losses_seen_through: LossNumber,
    ) -> Result<KeepAliveAck, Failure> {
        self.shared.node.keep_alive(key, losses_seen_through).await.map_err(Failure::from)
    }

    /// The acknowledgement goes into the feed, under the tag.
    pub(crate) fn keep_alive_to(
        &self,
        key: SessionKey,
        losses_seen_through: LossNumber,
        feed: FeedSender,
        tag: u64,
    ) {
        self.shared.node.keep_alive_to(key, losses_seen_through, feed, tag);
    }
}
