//! Which node is dialled next, and after what delay: hints first, then everybody once, then a short pause and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use tokio::time::Instant;

use crate::directory::NodeIndex;
use crate::link::{self, DialError, Link};
use crate::reason::Hint;
use crate::rpc::{Rpc, round_delays};

/// Hints followed in one round: two nodes that point at each other must not keep a client busy.
const HINTS_MAX: u32 = 4;
/// Longest pause between rounds (before jitter): a fail-over must not wait for us.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// After this time without success the cluster is away, and pauses grow.
const PATIENT_AFTER: Duration = Duration::from_secs(5);

pub(crate) struct Route {
    rpc: Arc<Rpc>,
    /// How long one node may take to answer the first message.
    patience: Duration,
    begun: Instant,
    hint: Option<Hint>,
    hints_followed: u32,
    queue: VecDeque<NodeIndex>,
    /// Did not answer in this round.
    silent: Vec<NodeIndex>,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    last: String,
}

/// One attempt to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    delay: Duration,
    target: Target,
    silent: Vec<NodeIndex>,
}

#[derive(Debug)]
enum Target {
    Node(NodeIndex),
    Hint(Hint),
}

/// What an attempt came to.
pub(crate) struct Attempted {
    node: Option<NodeIndex>,
    pub(crate) result: Result<(Link, v1::StreamResponse), DialError>,
}

impl Route {
    pub(crate) fn new(rpc: Arc<Rpc>, ttl: Duration, hint: Option<Hint>) -> Self {
        let queue = rpc.directory.candidates().into();
        Self {
            rpc,
            patience: (ttl / 4).clamp(Duration::from_millis(500), Duration::from_secs(2)),
            begun: Instant::now(),
            hint,
            hints_followed: 0,
            queue,
            silent: Vec::new(),
            delays: Box::new(round_delays(PAUSE_MAX)),
            last: String::new(),
        }
    }

    /// What the last attempt met, for people.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    pub(crate) fn plan(&mut self) -> Plan {
        if let Some(hint) = self.hint.take()
            && self.hints_followed < HINTS_MAX
        {
            self.hints_followed += 1;
            return self.at_once(Target::Hint(hint));
        }
        if let Some(node) = self.queue.pop_front() {
            return self.at_once(Target::Node(node));
        }
        self.hints_followed = 0;
        self.silent.clear();
        self.queue = self.rpc.directory.candidates().into();
        let mut delay = self.delays.next().unwrap_or(PAUSE_MAX);
        if self.begun.elapsed() > PATIENT_AFTER {
            delay *= 5;
        }
        // There is at least one configured endpoint.
        let first = self.queue.pop_front();
        let node = first.unwrap_or_else(|| self.rpc.directory.configured()[0]);
        Plan { delay, target: Target::Node(node), silent: Vec::new() }
    }

    fn at_once(&self, target: Target) -> Plan {
        Plan { delay: Duration::ZERO, target, silent: self.silent.clone() }
    }

    /// Makes the attempt; borrows nothing, so that the session's task can do other things meanwhile.
    pub(crate) fn attempt(
        &self,
        plan: Plan,
        first: v1::stream_request::Message,
    ) -> impl Future<Output = Attempted> + Send + use<> {
        let rpc = Arc::clone(&self.rpc);
        let patience = self.patience;
        async move {
            if !plan.delay.is_zero() {
                tokio::time::sleep(plan.delay).await;
            }
            let node = match &plan.target {
                Target::Node(node) => Some(*node),
                Target::Hint(hint) => rpc.resolve(hint).await,
            };
            let result = match node {
                None => Err(DialError::Failed("the hint leads nowhere".to_owned())),
                Some(node) if plan.silent.contains(&node) => {
                    Err(DialError::Failed("did not answer a moment ago".to_owned()))
                }
                Some(node) => link::dial(rpc, node, first, patience).await,
            };
            Attempted { node, result }
        }
    }

    /// Learns from what an attempt came to.
    pub(crate) fn learn(&mut self, attempted: &Attempted) {
        let directory = &self.rpc.directory;
        let name =
            |node: Option<NodeIndex>| node.map_or_else(String::new, |node| directory.address(node));
        match &attempted.result {
            Ok((link, _)) => directory.set_leader(Some(link.node)),
            Err(DialError::Moved(hint)) => {
                self.last = format!("{}: another node leads", name(attempted.node));
                self.hint.clone_from(hint);
            }
            Err(DialError::Refused(refusal)) => {
                self.last = format!("{}: {refusal}", name(attempted.node));
            }
            Err(DialError::Failed(words)) => {
                self.last = format!("{}: {words}", name(attempted.node));
                self.silent.extend(attempted.node);
            }
        }
    }
}
