//! A node of the cluster: the one handle through which the floors above agree, read and look.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use conclave_machine::{Command, LossNumber, Machine, SessionKey};
use conclave_proto::internal::v1::peer_service_server::PeerServiceServer;
use openraft::Raft;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::{Decided, LeaderHint, Leadership, ProposeError};
use crate::apply_times::ApplyTimes;
use crate::clock::Clock;
use crate::config::{NodeConfig, Timing};
use crate::deadlines::Deadlines;
use crate::failure::{Fatal, StartError, StepDownError};
use crate::feed::FeedSender;
use crate::formation::Formation;
use crate::hub::{Hub, Reply};
use crate::identity::Myself;
use crate::keepalive::{KeepAliveAck, KeepAliveError};
use crate::keeper::Keeper;
use crate::launch::{Launched, Place, launch};
use crate::leadership::Watcher;
use crate::membership::{Attendance, MemberError, Membership, MustHandOver, Steward, has_joined};
use crate::network::{Heard, PeerEndpoint};
use crate::proposer::{Mandate, Proposer};
use crate::read::{Consistency, ReadAnswer, ReadError};
use crate::reader::Reader;
use crate::snapshots::Snapshots;
use crate::state_machine::StateMachine;
use crate::status::ClusterStatus;
use crate::survey::Survey;
use crate::types::TypeConfig;
use crate::view::View;
use crate::watchdog::Watchdog;

/// A cheap handle; all clones are the same node. [`Node::shutdown`] or [`Node::halt`] ends it.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    myself: Myself,
    timing: Timing,
    raft: Raft<TypeConfig, StateMachine>,
    hub: Hub,
    view: View,
    proposer: Proposer,
    reader: Arc<Reader>,
    deadlines: Deadlines,
    leadership: watch::Receiver<Leadership>,
    survey: Survey,
    failure: watch::Receiver<Option<Fatal>>,
    snapshots: Snapshots,
    heard: Heard,
    membership: Membership,
    stopping: CancellationToken,
    /// Everything that holds a file open.
    tasks: TaskTracker,
    /// Goes last: another process may come in then.
    place: Place,
}

impl Node {
    /// Opens the data directory and starts. Returns at once, also when the cluster has not formed yet: peers must be able
    /// to reach [`Self::peer_service`] for that. A node alone forms before it returns; one without data that is to join returns
    /// once the cluster has given it a place.
    pub async fn start(config: NodeConfig) -> Result<Self, StartError> {
        Self::start_with_clock(config, Clock::real()).await
    }

    /// As [`Self::start`], with the clock by which the leader measures sessions and holds.
    pub async fn start_with_clock(config: NodeConfig, clock: Clock) -> Result<Self, StartError> {
        let hub = Hub::new();
        let tasks = TaskTracker::new();
        let launched = launch(&config, &hub, &tasks).await?;
        let formation = Formation {
            myself: launched.myself.clone(),
            connections: launched.connections.clone(),
            raft: launched.raft.clone(),
        };
        let joined = has_joined(launched.myself.id());
        if launched.myself.members().len() == 1 && !joined {
            let begun = formation.begin_alone().await;
            begun.map_err(|fatal| StartError::Core { reason: fatal.to_string() })?;
        }
        Ok(Self::run(&config, clock, hub, tasks, launched, formation))
    }

    fn run(
        config: &NodeConfig,
        clock: Clock,
        hub: Hub,
        tasks: TaskTracker,
        launched: Launched,
        formation: Formation,
    ) -> Self {
        let Launched { myself, connections, raft, view, log, growth, snapshots, place } = launched;
        let stopping = CancellationToken::new();
        let timing = config.timing;

        let mandate = watch::Sender::new(Mandate { term: None, leader: None });
        let (proposer, proposing) = Proposer::start(raft.clone(), hub.clone(), mandate.subscribe());
        let leadership = watch::Sender::new(Leadership::unknown());
        let led = leadership.subscribe();
        let watcher = Watcher {
            raft: raft.clone(),
            view: view.clone(),
            hub: hub.clone(),
            proposer: proposer.clone(),
            leadership,
            mandate,
            step: timing.heartbeat,
            silence_max: 3 * timing.election_max,
            stopping: stopping.clone(),
        };
        let watching = tasks.spawn(watcher.run());

        let reader =
            Arc::new(Reader::new(raft.clone(), view.clone(), proposer.clone(), timing.read));
        let (deadlines, clock_task) =
            Deadlines::start(clock, reader.clone(), hub.clone(), led.clone(), timing.election_max);

        let heard = Heard::default();
        let survey = Survey::new(myself.clone(), raft.clone(), view.clone(), heard.clone(), timing);
        tasks.spawn(survey.clone().recover(stopping.clone()));
        let keeper = Keeper {
            raft: raft.clone(),
            snapshots: snapshots.clone(),
            growth,
            retention: config.retention,
            stopping: stopping.clone(),
        };
        let keeping = tasks.spawn(keeper.run());
        let membership =
            Membership::new(myself.clone(), raft.clone(), reader.clone(), led.clone(), timing);
        let steward = Steward {
            membership: membership.clone(),
            leadership: led.clone(),
            stopping: stopping.clone(),
        };
        let caring = tasks.spawn(steward.run());
        let attendance = Attendance {
            myself: myself.clone(),
            connections,
            raft: raft.clone(),
            leadership: led.clone(),
            heard: heard.clone(),
            silence_max: 2 * timing.election_max,
            mark: place.removed(),
        };
        let failure = watch::Sender::new(None);
        let failed = failure.subscribe();
        let watchdog = Watchdog { raft: raft.clone(), log, failure, stopping: stopping.clone() };
        let vital = vec![
            ("the watch over who leads", watching),
            ("the queue of proposals", proposing),
            ("the clock", clock_task),
            ("the keeper of the log", keeping),
            ("the steward of the members", caring),
        ];
        tasks.spawn(watchdog.run(formation, attendance, vital));
        tasks.close();

        let inner = Inner {
            myself,
            timing,
            raft,
            hub,
            view,
            proposer,
            reader,
            deadlines,
            leadership: led,
            survey,
            failure: failed,
            snapshots,
            heard,
            membership,
            stopping,
            tasks,
            place,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Answers the peers; to be served on the peer listener of the address that was configured.
    #[must_use]
    pub fn peer_service(&self) -> PeerServiceServer<PeerEndpoint> {
        let Inner { myself, raft, snapshots, heard, membership, stopping, .. } = &*self.inner;
        PeerEndpoint::server(
            myself.clone(),
            raft.clone(),
            snapshots.downgrade(),
            heard.clone(),
            membership.clone(),
            stopping.clone(),
        )
    }

    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Only on the leader; waits for room in the queue and then for the decision.
    ///
    /// # Cancel safety
    /// A dropped call may still be applied.
    pub async fn propose(&self, command: Command) -> Result<Decided, ProposeError> {
        self.inner.proposer.propose_and_wait(&command).await
    }

    /// The same without a future: the reply is told later, exactly once. Never waits: a full queue is `Overloaded`. On an
    /// error nothing was proposed and the reply is dropped untold.
    pub fn propose_to(&self, command: Command, reply: Reply) -> Result<(), ProposeError> {
        self.inner.proposer.try_propose(&command, reply)
    }

    /// What held up apply so far, on this node.
    #[must_use]
    pub fn apply_times(&self) -> &ApplyTimes {
        self.inner.view.apply_times()
    }

    /// Asks the machine. Keep the query short: apply waits meanwhile.
    pub async fn read<T>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&Machine) -> T + Send,
    ) -> Result<ReadAnswer<T>, ReadError> {
        match consistency {
            Consistency::Linearizable => drop(self.inner.reader.index().await?),
            Consistency::Stale => {}
        }
        let answer =
            |machine: &Machine| ReadAnswer { revision: machine.revision(), value: query(machine) };
        Ok(self.inner.view.look(answer))
    }

    /// Keeps the session alive: acknowledged once a majority confirmed, after this call began, that this node leads.
    pub async fn keep_alive(
        &self,
        key: SessionKey,
        losses_seen_through: LossNumber,
    ) -> Result<KeepAliveAck, KeepAliveError> {
        self.inner.deadlines.keep_alive(key, losses_seen_through).await
    }

    /// The same for a feed of the session: answered by a `Notice::KeptAlive` with this tag.
    pub fn keep_alive_to(
        &self,
        key: SessionKey,
        losses_seen_through: LossNumber,
        feed: FeedSender,
        tag: u64,
    ) {
        self.inner.deadlines.keep_alive_to(key, losses_seen_through, feed, tag);
    }

    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    /// What the clock did, for metrics.
    #[must_use]
    pub fn deadlines(&self) -> &Deadlines {
        &self.inner.deadlines
    }

    /// Where its bytes are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.inner.place.path().to_path_buf()
    }

    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        self.inner.survey.status(&self.inner.leadership.borrow())
    }

    /// The members are between two sets of voters, or a change of them is not decided yet.
    #[must_use]
    pub fn is_changing_members(&self) -> bool {
        self.inner.membership.is_changing()
    }

    /// Resolves when this node cannot go on: the process must exit non-zero. Never after an orderly stop.
    pub async fn failed(&self) -> Fatal {
        let mut failure = self.inner.failure.clone();
        let failed = failure.wait_for(Option::is_some).await.ok().and_then(|fatal| fatal.clone());
        match failed {
            Some(fatal) => fatal,
            None if self.inner.stopping.is_cancelled() => std::future::pending().await,
            None => Fatal::Task { task: "the watchdog", reason: "it panicked".to_owned() },
        }
    }

    /// Makes another voter lead: the named one, or the one whose log is the longest. Resolves when it does.
    pub async fn step_down(&self, to: Option<&str>) -> Result<LeaderHint, StepDownError> {
        let mut leadership = self.leadership();
        let before = leadership.borrow().clone();
        if !before.leading {
            return Err(StepDownError::NotLeader { leader: before.leader });
        }
        let heir = self.inner.survey.heir(to)?;
        let sent = self.inner.raft.trigger().transfer_leader(heir).await;
        sent.map_err(|_| StepDownError::Stopped)?;
        let another = |now: &Leadership| {
            now.leader.as_ref().is_some_and(|leader| leader.id != self.inner.myself.id())
        };
        let patience = 3 * self.inner.timing.election_max;
        match tokio::time::timeout(patience, leadership.wait_for(another)).await {
            Ok(Ok(now)) => now.leader.clone().ok_or(StepDownError::TimedOut),
            Ok(Err(_)) => Err(StepDownError::Stopped),
            Err(_) => Err(StepDownError::TimedOut),
        }
    }

    /// Prepares a place under a fresh id for a node that is to join: the id. A learner until it has caught up; with
    /// `stays_learner` until it is promoted.
    ///
    /// # Cancel safety
    /// A dropped call, here and of the next two, may still be decided.
    pub async fn add_member(
        &self,
        name: &str,
        peer_address: &str,
        stays_learner: bool,
    ) -> Result<u64, MemberError> {
        self.inner.membership.add(name, peer_address, stays_learner).await
    }

    /// Makes a learner that has caught up a voter.
    pub async fn promote_member(&self, name: &str) -> Result<(), MemberError> {
        self.inner.membership.promote(name).await
    }

    /// Takes a member out for good: the id that it had. Of itself this node hands leadership over first, and answers who leads
    /// then: to be asked again there.
    pub async fn remove_member(&self, name: &str) -> Result<u64, MemberError> {
        match self.inner.membership.remove(name).await? {
            Ok(id) => Ok(id),
            Err(MustHandOver) => match self.step_down(None).await {
                Ok(leader) => Err(MemberError::NotLeader { leader: Some(leader) }),
                Err(error) => Err(MemberError::NotHandedOver { reason: error.to_string() }),
            },
        }
    }

    /// For tests of crashes: the first half of taking a member out is decided, and this node never begins the second.
    #[doc(hidden)]
    pub async fn leave_removal_half_done(&self, name: &str) -> Result<(), MemberError> {
        self.inner.membership.leave_half_done(name).await
    }

    /// Hands over leadership if there is somebody to take it, answers everybody who still waits, and closes the files once
    /// the last handle is gone. Takes no longer than the configured time.
    pub async fn shutdown(&self) {
        let patience = self.inner.timing.shutdown;
        if self.inner.leadership.borrow().leading {
            let handed = tokio::time::timeout(patience / 2, self.step_down(None)).await;
            match handed {
                Ok(Ok(leader)) => tracing::info!(?leader, "leadership is handed over"),
                Ok(Err(StepDownError::Alone)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "leadership is not handed over"),
                Err(_) => tracing::warn!("leadership is not handed over in time"),
            }
        }
        self.stop(patience / 2).await;
    }

    /// Stops at once, without handing over leadership: what is left to do when the node failed.
    pub async fn halt(&self) {
        self.stop(self.inner.timing.shutdown).await;
    }

    async fn stop(&self, patience: Duration) {
        self.inner.stopping.cancel();
        let stop = async {
            // An error: the core has stopped before.
            let _ = self.inner.raft.shutdown().await;
            self.inner.tasks.wait().await;
        };
        if tokio::time::timeout(patience, stop).await.is_err() {
            tracing::warn!("the Raft core does not stop in time");
        }
    }
}

impl Proposer {
    /// Waits for the decision as well.
    pub(crate) async fn propose_and_wait(
        &self,
        command: &Command,
    ) -> Result<Decided, ProposeError> {
        let (sender, receiver) = oneshot::channel();
        self.propose(command, Reply::Once(sender)).await;
        receiver.await.unwrap_or(Err(ProposeError::Unknown { leader: None }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.inner.myself.name()).finish_non_exhaustive()
    }
}
