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

/// How long one node is waited for in the first round, at most.
const PATIENCE_FIRST_MAX: Duration = Duration::from_secs(3);
/// Hints followed in one round: two nodes that point at each other must not keep a client busy.
const HINTS_MAX: u32 = 4;
/// Longest pause between rounds (before jitter): a fail-over must not wait for us.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// After this time without success the cluster is away, and pauses grow.
const PATIENT_AFTER: Duration = Duration::from_secs(5);
/// A leader that goes leaves all its sessions at the same instant: they come to the next one over so long a time.
const SPREAD: Duration = Duration::from_millis(100);

pub(crate) struct Route {
    rpc: Arc<Rpc>,
    /// How long one node may take to answer the first message, in the first round;
    patience: Duration,
    /// twice that, four times, ... after each round in which one did not.
    futile_rounds: u32,
    begun: Instant,
    hint: Option<Hint>,
    hints_followed: u32,
    queue: VecDeque<NodeIndex>,
    /// Did not answer in this round, or did not know who leads.
    avoided: Vec<NodeIndex>,
    someone_was_silent: bool,
    /// Another node than the lost one said something in this round.
    someone_answered: bool,
    /// The node whose stream broke or fell silent. While the others answer, it is asked only if they say that it leads: if it
    /// hangs, waiting for it would take longer than they need to agree on another one.
    lost: Option<NodeIndex>,
    /// The node of a stream that stands: it is not dialled, and if it is the one that leads, the stream is the right one.
    spared: Option<NodeIndex>,
    /// Of the next attempt.
    first_delay: Duration,
    delays: Box<dyn Iterator<Item = Duration> + Send>,
    last: String,
}

/// One attempt to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    delay: Duration,
    target: Target,
    patience: Duration,
    avoided: Vec<NodeIndex>,
    spared: Option<NodeIndex>,
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
    /// To whoever leads, for the first time.
    pub(crate) fn new(rpc: Arc<Rpc>, ttl: Duration) -> Self {
        let queue = rpc.directory.candidates().into();
        let (someone_answered, lost) = (false, None);
        let shortest = rpc.dial_patience_min;
        Self {
            rpc,
            patience: (ttl * 3 / 10).min(PATIENCE_FIRST_MAX).max(shortest),
            futile_rounds: 0,
            begun: Instant::now(),
            hint: None,
            hints_followed: 0,
            queue,
            avoided: Vec::new(),
            someone_was_silent: false,
            someone_answered,
            lost,
            spared: None,
            first_delay: Duration::ZERO,
            delays: Box::new(round_delays(PAUSE_MAX)),
            last: String::new(),
        }
    }

    /// After the stream of `lost` broke.
    pub(crate) fn after(rpc: Arc<Rpc>, ttl: Duration, lost: NodeIndex, hint: Option<Hint>) -> Self {
        let mut route = Self::new(rpc, ttl);
        route.hint = hint;
        route.avoid(lost);
        route.first_delay = SPREAD.mul_f64(rand::random());
        route
    }

    /// Beside a stream that is silent. With `sparing` only to find out whether another node leads.
    pub(crate) fn beside(rpc: Arc<Rpc>, ttl: Duration, silent: NodeIndex, sparing: bool) -> Self {
        let mut route = Self::new(rpc, ttl);
        if sparing {
            route.spared = Some(silent);
            route.queue.retain(|node| *node != silent);
        } else {
            route.avoid(silent);
        }
        route
    }

    fn avoid(&mut self, lost: NodeIndex) {
        self.lost = Some(lost);
        // Of the others it is not known yet whether they answer.
        self.someone_answered = true;
        self.fill_queue();
    }

    /// Everybody for one round; the lost node last, if at all.
    fn fill_queue(&mut self) {
        self.queue = self.rpc.directory.candidates().into();
        let others_answer = std::mem::take(&mut self.someone_answered);
        let Some(lost) = self.lost else { return };
        self.queue.retain(|node| *node != lost);
        if !others_answer || self.queue.is_empty() || self.begun.elapsed() > PATIENT_AFTER {
            self.queue.push_back(lost);
        }
    }

    /// The stream beside which a new one was looked for is gone.
    pub(crate) fn spare_nobody(&mut self, hint: Option<Hint>) {
        if let Some(node) = self.spared.take() {
            self.lost = Some(node);
        }
        if hint.is_some() {
            self.hint = hint;
        }
    }

    /// What the last attempt met, for people.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    /// The next attempt, with `left` of time for all of them; none when only the spared node is left.
    pub(crate) fn plan(&mut self, left: Duration) -> Option<Plan> {
        if let Some(hint) = self.hint.take()
            && self.hints_followed < HINTS_MAX
        {
            self.hints_followed += 1;
            return Some(self.planned(Target::Hint(hint), Duration::ZERO, left));
        }
        if let Some(node) = self.queue.pop_front() {
            return Some(self.planned(Target::Node(node), Duration::ZERO, left));
        }
        if self.spared.is_some() {
            return None;
        }
        self.hints_followed = 0;
        self.avoided.clear();
        if std::mem::take(&mut self.someone_was_silent) {
            self.futile_rounds = (self.futile_rounds + 1).min(8);
        }
        self.fill_queue();
        let mut delay = self.delays.next().unwrap_or(PAUSE_MAX);
        if self.begun.elapsed() > PATIENT_AFTER {
            delay *= 5;
        }
        // There is at least one configured endpoint.
        let first = self.queue.pop_front();
        let node = first.unwrap_or_else(|| self.rpc.directory.configured()[0]);
        Some(self.planned(Target::Node(node), delay, left))
    }

    /// One node gets more patience with each futile round, but never more than two thirds of what is left for all.
    fn planned(&mut self, target: Target, delay: Duration, left: Duration) -> Plan {
        let patience = self.patience.saturating_mul(1 << self.futile_rounds);
        Plan {
            delay: delay.max(std::mem::take(&mut self.first_delay)),
            target,
            patience: patience.min(left * 2 / 3).max(self.rpc.dial_patience_min),
            avoided: self.avoided.clone(),
            spared: self.spared,
        }
    }

    /// Makes the attempt; borrows nothing, so that the session's task can do other things meanwhile.
    pub(crate) fn attempt(
        &self,
        plan: Plan,
        first: v1::stream_request::Message,
    ) -> impl Future<Output = Attempted> + Send + use<> {
        let rpc = Arc::clone(&self.rpc);
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
                Some(node) if plan.spared == Some(node) => Err(DialError::Spared),
                Some(node) if plan.avoided.contains(&node) => {
                    Err(DialError::Failed("was of no use a moment ago".to_owned()))
                }
                Some(node) => link::dial(rpc, node, first, plan.patience).await,
            };
            Attempted { node, result }
        }
    }

    /// Learns from what an attempt came to. Whoever was asked is not asked again in this round.
    pub(crate) fn learn(&mut self, attempted: &Attempted) {
        let directory = &self.rpc.directory;
        let name =
            |node: Option<NodeIndex>| node.map_or_else(String::new, |node| directory.address(node));
        if !matches!(attempted.result, Err(DialError::Spared)) {
            self.queue.retain(|node| Some(*node) != attempted.node);
        }
        match &attempted.result {
            Ok((link, _)) => directory.set_leader(link.node),
            Err(DialError::Moved(hint)) => {
                self.last = format!("{}: another node leads", name(attempted.node));
                self.someone_answered |= attempted.node != self.lost;
                self.hint.clone_from(hint);
                if hint.is_none() {
                    self.avoided.extend(attempted.node);
                }
            }
            Err(DialError::Refused(refusal)) => {
                self.last = format!("{}: {refusal}", name(attempted.node));
            }
            Err(DialError::Failed(words)) => {
                self.last = format!("{}: {words}", name(attempted.node));
                self.avoided.extend(attempted.node);
                self.someone_was_silent = true;
            }
            Err(DialError::Spared) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    const LEFT: Duration = Duration::from_secs(3600);

    fn rpc(nodes: usize) -> Arc<Rpc> {
        let endpoints = (1..=nodes).map(|node| format!("10.0.0.{node}:1"));
        let directory = Arc::new(Directory::new(endpoints).expect("addresses"));
        let (request_timeout, dial_patience_min) = (LEFT, Duration::from_millis(500));
        Arc::new(Rpc { directory, request_timeout, dial_patience_min, ear: None })
    }

    fn nodes(rpc: &Rpc) -> Vec<NodeIndex> {
        rpc.directory.configured()
    }

    fn came_to(node: NodeIndex, error: DialError) -> Attempted {
        Attempted { node: Some(node), result: Err(error) }
    }

    fn target(plan: &Plan) -> NodeIndex {
        match &plan.target {
            Target::Node(node) => *node,
            Target::Hint(hint) => panic!("a hint: {hint:?}"),
        }
    }

    #[test]
    fn a_node_that_knows_no_leader_is_asked_once_in_a_round() {
        let rpc = rpc(3);
        let all = nodes(&rpc);
        let mut route = Route::new(Arc::clone(&rpc), Duration::from_secs(10));
        let first = route.plan(LEFT).expect("a plan");
        assert_eq!(target(&first), all[0]);
        route.learn(&came_to(all[0], DialError::Moved(None)));
        // A hint leads to the second before its turn; it knows no leader either.
        route.queue = [all[1], all[2]].into();
        route.learn(&came_to(all[1], DialError::Moved(None)));
        assert_eq!(target(&route.plan(LEFT).expect("a plan")), all[2]);
        let hint = Hint::new("", "10.0.0.2:1");
        route.learn(&came_to(all[2], DialError::Moved(hint)));
        let plan = route.plan(LEFT).expect("a plan");
        assert!(matches!(plan.target, Target::Hint(_)));
        assert_eq!(plan.avoided, [all[0], all[1]], "the hint is not followed back");
        let next = route.plan(LEFT).expect("the next round");
        assert!(next.delay > Duration::ZERO && next.avoided.is_empty());
    }

    #[test]
    fn the_node_whose_stream_broke_is_not_asked_while_the_others_answer() {
        let rpc = rpc(3);
        let all = nodes(&rpc);
        rpc.directory.set_leader(all[1]);
        let mut delays = Vec::new();
        for _ in 0..20 {
            let mut route = Route::after(Arc::clone(&rpc), Duration::from_secs(10), all[1], None);
            let plan = route.plan(LEFT).expect("a plan");
            assert_eq!(target(&plan), all[0]);
            assert!(plan.delay <= SPREAD);
            delays.push(plan.delay);
            route.learn(&came_to(all[0], DialError::Moved(None)));
            assert_eq!(target(&route.plan(LEFT).expect("a plan")), all[2]);
            route.learn(&came_to(all[2], DialError::Failed("no answer in time".to_owned())));
            // One of them answered, so they will agree on somebody.
            for node in [all[0], all[2]] {
                assert_eq!(target(&route.plan(LEFT).expect("a plan")), node);
                route.learn(&came_to(node, DialError::Failed("no answer in time".to_owned())));
            }
            // None of them did.
            for node in [all[0], all[2], all[1]] {
                assert_eq!(target(&route.plan(LEFT).expect("a plan")), node);
            }
        }
        delays.sort_unstable();
        delays.dedup();
        assert!(delays.len() > 1, "all sessions at the same instant");
        assert_eq!(rpc.directory.candidates()[0], all[1], "others are not told to look elsewhere");
    }

    #[test]
    fn patience_grows_with_each_futile_round_up_to_two_thirds_of_what_is_left() {
        let rpc = rpc(1);
        let node = nodes(&rpc)[0];
        let mut route = Route::new(Arc::clone(&rpc), Duration::from_secs(600));
        let mut patience = Vec::new();
        for left in [540, 540, 540, 30, 3, 0] {
            let plan = route.plan(Duration::from_secs(left)).expect("a plan");
            patience.push(plan.patience.as_millis());
            route.learn(&came_to(node, DialError::Failed("no answer in time".to_owned())));
        }
        assert_eq!(patience, [3_000, 6_000, 12_000, 20_000, 2_000, 500]);
    }

    #[test]
    fn beside_a_stream_that_stands_only_others_are_asked() {
        let rpc = rpc(3);
        let all = nodes(&rpc);
        let ttl = Duration::from_secs(10);
        let mut route = Route::beside(Arc::clone(&rpc), ttl, all[0], true);
        assert_eq!(target(&route.plan(LEFT).expect("a plan")), all[1]);
        assert_eq!(target(&route.plan(LEFT).expect("a plan")), all[2]);
        assert!(route.plan(LEFT).is_none());
        route.spare_nobody(None);
        // None of the others has answered.
        for node in [all[1], all[2], all[0]] {
            assert_eq!(target(&route.plan(LEFT).expect("a plan")), node);
        }
        let alone = self::rpc(1);
        let mut route = Route::beside(Arc::clone(&alone), ttl, nodes(&alone)[0], false);
        assert_eq!(target(&route.plan(LEFT).expect("a plan")), nodes(&alone)[0]);
    }
}
