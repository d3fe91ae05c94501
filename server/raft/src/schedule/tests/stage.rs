//! A leader's schedule, the machine, and a scripted majority: the words that the scripts are written in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use conclave_machine::{
    Acquire, Attach, Call, Command, Context, Demand, Due, Event, Labels, LossNumber, Machine, Name,
    Op, Open, Outcome, Revision, Secret, Seq, SessionId, SessionKey, Term, Timer, Token,
};

use crate::answer::{Decided, NotLeader, ProposeError};
use crate::clock::Moment;
use crate::counters::ClockCounters;
use crate::hub::Hub;
use crate::keepalive::{KeepAliveAck, KeepAliveError};
use crate::quorum::Confirmed;
use crate::schedule::{Action, STEP, Schedule};
use crate::vigil::Asked;

pub(super) const TERM: Term = Term(3);
pub(super) const ELECTION: Duration = Duration::from_millis(600);
pub(super) const TTL_MS: u64 = 10_000;
/// What a session has: 1.1 TTL.
pub(super) const PERIOD: Duration = Duration::from_millis(11_000);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) type Answer = Result<KeepAliveAck, KeepAliveError>;

/// The number of a keepalive.
pub(super) type Number = u32;

pub(super) struct Stage {
    pub(super) schedule: Schedule<Number>,
    pub(super) counters: Arc<ClockCounters>,
    pub(super) machine: Machine,
    pub(super) hub: Hub,
    pub(super) now: Moment,
    /// The term that entries are written in.
    pub(super) term: Term,
    /// Confirmations that were started and have no answer yet.
    pub(super) confirmations: VecDeque<u64>,
    /// Proposals under way.
    pub(super) proposals: VecDeque<(u64, Command)>,
    pub(super) answers: Vec<(Number, Answer)>,
    /// The keys of all sessions, also of those that ended.
    pub(super) opened: Vec<SessionKey>,
    /// Whose keepalive each number was, from 1.
    pub(super) asked_by: Vec<SessionId>,
    /// Of all sessions.
    attaches: u64,
}

impl Stage {
    /// A node that leads in `TERM` over an empty machine.
    pub(super) fn leading() -> Self {
        let mut stage = Self::following();
        stage.lead(TERM);
        stage
    }

    /// A node that does not lead yet.
    pub(super) fn following() -> Self {
        let counters = Arc::<ClockCounters>::default();
        Self {
            schedule: Schedule::new(ELECTION, counters.clone()),
            counters,
            machine: Machine::new(),
            hub: Hub::new(),
            now: Moment::ZERO + 1000 * SECOND,
            term: TERM,
            confirmations: VecDeque::new(),
            proposals: VecDeque::new(),
            answers: Vec::new(),
            opened: Vec::new(),
            asked_by: Vec::new(),
            attaches: 0,
        }
    }

    pub(super) fn lead(&mut self, term: Term) {
        self.term = term;
        self.hub.leadership_gained();
        self.hub.inbox().open();
        self.schedule.lead(self.now, term, &self.machine);
        self.collect();
    }

    pub(super) fn lose_leadership(&mut self) {
        self.hub.inbox().close();
        self.hub.leadership_lost(None);
        self.schedule.stop(None);
        self.collect();
    }

    // What clients do.

    /// Opens a session of `TTL_MS`.
    pub(super) fn open(&mut self) -> SessionKey {
        self.open_with(TTL_MS, 0)
    }

    pub(super) fn open_with(&mut self, ttl_ms: u64, lock_delay_ms: u64) -> SessionKey {
        let secret = Secret(1 + self.opened.len() as u128);
        let (name, labels) = (name("client"), Labels::default());
        let open = Open { secret, ttl_ms, lock_delay_ms, name, labels };
        match self.apply(Command::Open(open)) {
            Outcome::Opened { session: id, epoch, .. } => {
                let key = SessionKey { id, secret, epoch };
                self.opened.push(key);
                key
            }
            other => panic!("not opened: {other:?}"),
        }
    }

    pub(super) fn attach(&mut self, key: SessionKey) {
        self.attaches += 1;
        let number = self.attaches;
        let attach = Attach { key, number, held: vec![], waiting: vec![], next_seq: Seq(1) };
        let outcome = self.apply(Command::Attach(attach));
        assert!(matches!(outcome, Outcome::Attached(_)), "not attached: {outcome:?}");
    }

    pub(super) fn acquire(&mut self, key: SessionKey, seq: u64, max_hold_ms: u64) -> Outcome {
        let acquire = Acquire { max_hold_ms, ..Acquire::of(name("lock"), Demand::Mutex) };
        self.call(key, seq, Op::Acquire(acquire))
    }

    pub(super) fn call(&mut self, key: SessionKey, seq: u64, op: Op) -> Outcome {
        let (seq, seen_through) = (Seq(seq), Seq(0));
        self.apply(Command::Call(Call { key, seq, seen_through, op }))
    }

    /// An acquire that is granted at once.
    pub(super) fn hold(&mut self, key: SessionKey, seq: u64, max_hold_ms: u64) -> Token {
        match self.acquire(key, seq, max_hold_ms) {
            Outcome::Granted { token, .. } => token,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// An acquire that must wait.
    pub(super) fn queue(&mut self, key: SessionKey, seq: u64) {
        let outcome = self.acquire(key, seq, 0);
        assert!(matches!(outcome, Outcome::Queued { .. }), "not queued: {outcome:?}");
    }

    pub(super) fn force_release(&mut self, token: Token) {
        let (name, by) = (name("lock"), "operator".into());
        let outcome = self.apply(Command::ForceRelease { name, token, now: false, by });
        assert_eq!(outcome, Outcome::Forced { revoked: true });
    }

    /// A keepalive arrives; it is considered at once.
    pub(super) fn keep_alive(&mut self, key: SessionKey) -> Number {
        self.keep_alive_seen(key, 0)
    }

    pub(super) fn keep_alive_seen(&mut self, key: SessionKey, through: u64) -> Number {
        self.asked_by.push(key.id);
        let reply = self.asked_by.len() as Number;
        let losses_seen_through = LossNumber(through);
        let asked = Asked { key, losses_seen_through, reply, counted: false };
        self.schedule.keep_alive(asked, &self.machine);
        self.collect();
        reply
    }

    // What the cluster does.

    /// Writes and applies a command in the present term, and delivers what follows.
    pub(super) fn apply(&mut self, command: Command) -> Outcome {
        let decided = self.apply_in(self.term, command);
        self.heed_tidings();
        decided.outcome
    }

    /// The same; the schedule has not heard of it yet.
    pub(super) fn apply_in(&mut self, term: Term, command: Command) -> Decided {
        let mut events: Vec<Event> = Vec::new();
        let context = Context { term, stamp_ms: 0 };
        let (revision, outcome) = self.machine.apply(&context, command, &mut events);
        self.hub.deliver(revision, None, outcome.clone(), &events);
        Decided { revision, outcome }
    }

    pub(super) fn heed_tidings(&mut self) {
        for (revision, tiding) in self.hub.inbox().take().items {
            self.schedule.tiding(self.now, revision, tiding, &self.machine);
        }
        self.collect();
    }

    /// The majority answers the oldest confirmation.
    pub(super) fn confirm(&mut self) {
        let (term, revision) = (self.term, self.machine.revision());
        self.confirm_as(Ok(Confirmed { term, revision }));
    }

    pub(super) fn confirm_as(&mut self, result: Result<Confirmed, NotLeader>) {
        let number = self.confirmations.pop_front().expect("a confirmation was started");
        let delivered = self.hub.delivered();
        self.schedule.confirmed(self.now, number, result, delivered, &self.machine);
        self.collect();
    }

    /// The oldest proposal is applied and answered.
    pub(super) fn decide(&mut self) -> Outcome {
        let (number, command) = self.proposals.pop_front().expect("something was proposed");
        let decided = self.apply_in(self.term, command);
        let outcome = decided.outcome.clone();
        self.heed_tidings();
        self.schedule.decided(self.now, number, Ok(decided), &self.machine);
        self.collect();
        outcome
    }

    /// The oldest proposal is answered with an error; nothing is applied.
    pub(super) fn fail_proposal(&mut self, error: ProposeError) -> Command {
        let (number, command) = self.proposals.pop_front().expect("something was proposed");
        self.schedule.decided(self.now, number, Err(error), &self.machine);
        self.collect();
        command
    }

    // Time.

    /// The clock looks around.
    pub(super) fn look(&mut self) {
        self.heed_tidings();
        self.schedule.look(self.now, &self.machine, &self.hub);
        self.collect();
    }

    /// Time passes in steps, and nobody answers anything.
    pub(super) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            let left = until - self.now;
            self.now = self.now + left.min(STEP);
            self.look();
        }
    }

    /// The process stands still, then looks around.
    pub(super) fn stall(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.look();
    }

    /// Time passes in steps, and the majority answers everything at once.
    pub(super) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        self.settle();
        while self.now < until {
            let left = until - self.now;
            self.now = self.now + left.min(STEP);
            self.settle();
        }
    }

    /// The majority answers everything, until there is nothing left to do now.
    pub(super) fn settle(&mut self) {
        loop {
            self.look();
            if self.confirmations.is_empty() && self.proposals.is_empty() {
                return;
            }
            while !self.confirmations.is_empty() {
                self.confirm();
            }
            while !self.proposals.is_empty() {
                self.decide();
            }
        }
    }

    fn collect(&mut self) {
        for action in self.schedule.take_actions() {
            match action {
                Action::Confirm { number } => self.confirmations.push_back(number),
                Action::Propose { number, command } => self.proposals.push_back((number, command)),
                Action::Answer { reply, answer } => self.answers.push((reply, answer)),
            }
        }
    }

    // What can be seen.

    pub(super) fn answer(&self, number: Number) -> Option<&Answer> {
        let mut answers = self.answers.iter().filter(|(asked, _)| *asked == number);
        let first = answers.next();
        assert!(answers.next().is_none(), "keepalive {number} was answered twice");
        first.map(|(_, answer)| answer)
    }

    pub(super) fn is_acknowledged(&self, number: Number) -> bool {
        self.answer(number).is_some_and(Result::is_ok)
    }

    pub(super) fn lives(&self, key: SessionKey) -> bool {
        self.machine.authenticate(&key).is_ok()
    }

    /// The timers whose `Due` is under way.
    pub(super) fn dues(&self) -> Vec<Due> {
        let due = |(_, command): &(u64, Command)| match command {
            Command::Due(due) => Some(due.clone()),
            _ => None,
        };
        self.proposals.iter().filter_map(due).collect()
    }

    pub(super) fn is_expiring(&self, key: SessionKey) -> bool {
        self.dues().iter().any(|due| due.timer == Timer::Session(key.id))
    }

    /// The waits whose `TimeOut` is under way.
    pub(super) fn timeouts(&self) -> Vec<(SessionId, Seq)> {
        let timeout = |(_, command): &(u64, Command)| match command {
            Command::TimeOut { session, seq } => Some((*session, *seq)),
            _ => None,
        };
        self.proposals.iter().filter_map(timeout).collect()
    }

    /// Timers that the schedule knows.
    pub(super) fn schedule_len(&self) -> usize {
        self.schedule.alarms.len()
    }

    pub(super) fn revision(&self) -> Revision {
        self.machine.revision()
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}
