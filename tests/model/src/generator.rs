//! Draws the next command: mostly what an honest client would send, often late, repeated, out of order or wrong.
//!
//! Each step has a seed of its own and depends otherwise only on what was told before, so that a failing case can be made
//! smaller by leaving steps out: the rest stays meaningful.

use conclave_machine::{
    Attach, Call, Command, Context, Due, Epoch, Event, Generation, Kind, LossNumber, Name, Nonce,
    Op, Open, Outcome, Resume, Secret, Seq, SessionId, SessionKey, Term, Timer, Token,
    limits::{LOCK_DELAY_MS_MAX, TTL_MS_MAX, TTL_MS_MIN},
};

use crate::memory::{Client, KnownWait, Memory, keep};
use crate::profile::{Action, CROWD_MAX, CROWD_MIN, Profile};
use crate::rng::Rng;
use crate::wish::{able, labels, name};

/// One random case.
#[derive(Debug)]
pub struct Generator {
    pub(crate) profile: Profile,
    pub(crate) memory: Memory,
    term: u64,
    stamp_ms: u64,
    /// The crowd goes home.
    draining: bool,
}

impl Generator {
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            memory: Memory::default(),
            term: 1,
            stamp_ms: 1_700_000_000_000,
            draining: false,
        }
    }

    /// The next command, by this step's seed and all that was learnt.
    pub fn command(&mut self, seed: u64) -> (Context, Command) {
        let rng = &mut Rng::new(seed);
        if rng.below(200) == 0 {
            // A new leader; its wall clock may be behind.
            self.term += 1;
            self.stamp_ms -= rng.below(5_000);
        }
        self.stamp_ms += rng.below(3);
        let context = Context { term: Term(self.term), stamp_ms: self.stamp_ms };
        (context, self.draw(rng))
    }

    /// Takes in what the command did.
    pub fn learn(&mut self, command: &Command, outcome: &Outcome, events: &[Event]) {
        self.memory.learn(command, outcome, events);
    }

    /// A timer runs that no event told of.
    pub fn learn_timer(&mut self, set: conclave_machine::TimerSet) {
        self.memory.timers.push(set);
    }

    /// The names that may occur.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        (0..self.profile.places.len()).map(name).collect()
    }

    /// Sessions, keys, tokens and timers to ask about: known, and known to be gone.
    #[must_use]
    pub fn keys(&self) -> Vec<SessionKey> {
        self.memory.clients.iter().map(|client| client.key).collect()
    }

    /// The seq that a client will use next.
    #[must_use]
    pub fn seq_next(&self, id: SessionId) -> u64 {
        let clients = self.memory.clients.iter();
        clients
            .filter(|client| client.key.id == id)
            .map(|client| client.next_seq)
            .next()
            .unwrap_or(1)
    }

    #[must_use]
    pub fn tokens(&self) -> Vec<Token> {
        let memory = &self.memory;
        memory.holds.iter().chain(&memory.holds_gone).map(|hold| hold.token).collect()
    }

    #[must_use]
    pub fn timers(&self) -> Vec<Timer> {
        let memory = &self.memory;
        memory.timers.iter().chain(&memory.timers_gone).map(|set| set.timer.clone()).collect()
    }

    fn draw(&mut self, rng: &mut Rng) -> Command {
        let mut action = self.profile.action(rng);
        let live = self.memory.live();
        if live == 0 || (live < self.profile.clients && rng.chance(10)) {
            action = Action::Open;
        } else if action == Action::Open && live >= self.profile.clients && rng.chance(90) {
            action = Action::Acquire;
        }
        let action = self.crowded(action, rng);
        let senseless = rng.chance(90) && !self.makes_sense(action);
        match if senseless { Action::Acquire } else { action } {
            Action::Open => Command::Open(self.open(rng)),
            call @ (Action::Acquire
            | Action::Release
            | Action::Adopt
            | Action::Downgrade
            | Action::Upgrade
            | Action::Proclaim
            | Action::SetEligible
            | Action::Complete
            | Action::Edit) => self.call(rng, call),
            Action::Retry => self.retry(rng),
            Action::Cancel => self.cancel(rng),
            Action::TimeOut => self.time_out(rng),
            Action::Attach => self.attach(rng),
            Action::Resume => Command::Resume(self.resume(rng)),
            Action::Close => Command::Close { key: self.key(rng) },
            Action::Kill => {
                let (by, reason) = ("operator".into(), "by chance".into());
                Command::Kill { session: self.key(rng).id, by, reason }
            }
            Action::ForceRelease => self.force_release(rng),
            Action::Resize => self.resize(rng),
            Action::Transfer => self.transfer(rng),
            Action::Delete => self.delete(rng),
            Action::AckStopped => self.ack_stopped(rng),
            Action::ConfirmLosses => {
                let client = self.client(rng);
                let through = LossNumber(client.losses_told.saturating_sub(rng.below(3)));
                Command::ConfirmLosses { session: client.key.id, through }
            }
            Action::Due => Command::Due(self.due(rng)),
        }
    }

    /// Is there anything to do this with?
    fn makes_sense(&self, action: Action) -> bool {
        let memory = &self.memory;
        match action {
            Action::Release
            | Action::Adopt
            | Action::Downgrade
            | Action::Upgrade
            | Action::Proclaim
            | Action::Complete
            | Action::Transfer => memory.holds.iter().any(|hold| able(hold, action)),
            Action::SetEligible => memory.waits.iter().any(KnownWait::is_campaign),
            Action::Cancel | Action::TimeOut => !memory.waits.is_empty(),
            Action::ForceRelease => !memory.holds.is_empty(),
            Action::AckStopped => memory.holds.iter().any(|hold| hold.lost),
            Action::Retry => memory.clients.iter().any(|client| client.live),
            Action::Edit => {
                self.has_place(&[Kind::Latch, Kind::Gate, Kind::Register, Kind::Counter])
            }
            Action::Resize => self.has_place(&[Kind::Semaphore]),
            Action::Due => memory.timers.iter().any(|set| !matches!(set.timer, Timer::Session(_))),
            Action::Open
            | Action::Acquire
            | Action::Attach
            | Action::Resume
            | Action::Close
            | Action::Kill
            | Action::Delete
            | Action::ConfirmLosses => true,
        }
    }

    fn has_place(&self, kinds: &[Kind]) -> bool {
        self.profile.places.iter().any(|place| kinds.contains(&place.kind))
    }

    /// A crowd gathers, then goes home, then gathers again.
    fn crowded(&mut self, action: Action, rng: &mut Rng) -> Action {
        let waiting = self.memory.waits.len();
        self.draining = waiting > if self.draining { CROWD_MIN } else { CROWD_MAX };
        let going = [Action::Release, Action::Cancel, Action::TimeOut];
        match action {
            Action::Acquire if self.draining => *rng.pick(&going).expect("some"),
            Action::Release | Action::Cancel | Action::TimeOut
                if self.profile.crowd && !self.draining =>
            {
                Action::Acquire
            }
            other => other,
        }
    }

    /// Should this one carry something wrong?
    pub(crate) fn wrong(&self, rng: &mut Rng) -> bool {
        rng.chance(self.profile.wrong_percent)
    }

    fn open(&self, rng: &mut Rng) -> Open {
        if rng.chance(20)
            && let Some(open) = rng.pick(&self.memory.opens)
        {
            let mut again = open.clone();
            if self.wrong(rng) {
                again.ttl_ms += 1;
            }
            return again;
        }
        let mut open = Open {
            secret: Secret(u128::from(rng.draw())),
            ttl_ms: *rng.pick(&[TTL_MS_MIN, 1_001, 10_000, TTL_MS_MAX]).expect("some"),
            lock_delay_ms: *rng.pick(&[0, 0, 1, 15_000, LOCK_DELAY_MS_MAX]).expect("some"),
            name: name(rng.index(3)),
            labels: labels(rng),
        };
        if self.wrong(rng) {
            match rng.below(3) {
                0 => open.ttl_ms = *rng.pick(&[0, TTL_MS_MIN - 1]).expect("some"),
                1 => open.ttl_ms = *rng.pick(&[TTL_MS_MAX + 1, u64::MAX]).expect("some"),
                _ => open.lock_delay_ms = LOCK_DELAY_MS_MAX + 1 + rng.below(2),
            }
        }
        open
    }

    /// A client that lives, or now and then one that does not.
    pub(crate) fn client(&self, rng: &mut Rng) -> &Client {
        let dead = self.wrong(rng) || self.memory.live() == 0;
        let some: Vec<_> =
            self.memory.clients.iter().filter(|client| client.live || dead).collect();
        rng.pick(&some).expect("the first action opens a session")
    }

    fn key(&self, rng: &mut Rng) -> SessionKey {
        let key = self.client(rng).key;
        self.spoilt(rng, key)
    }

    fn spoilt(&self, rng: &mut Rng, mut key: SessionKey) -> SessionKey {
        if self.wrong(rng) {
            match rng.below(4) {
                0 => key.secret = Secret(key.secret.0 ^ 1),
                1 => key.epoch = Epoch(key.epoch.get().saturating_sub(1)),
                2 => key.epoch = Epoch(key.epoch.get() + 1),
                _ => key.id = SessionId(key.id.get() + rng.below(9)),
            }
        }
        key
    }

    fn call(&mut self, rng: &mut Rng, action: Action) -> Command {
        let client = self.caller(rng, action);
        let id = client.key.id;
        let mut call = Call {
            key: self.spoilt(rng, client.key),
            seq: Seq(client.next_seq),
            seen_through: Seq(client.seen_through),
            op: self.op(rng, action, id),
        };
        if self.wrong(rng) {
            match rng.below(5) {
                0 => call.seq = *rng.pick(&[Seq(0), Seq(u64::MAX)]).expect("some"),
                1 => call.seq = Seq(1 + rng.below(call.seq.get())),
                2 => call.seq = Seq(call.seq.get() + rng.below(4)),
                3 => call.seen_through = Seq(call.seen_through.get() / 2),
                // A stubborn client confirms nothing, not even in error.
                _ if self.profile.stubborn => {}
                _ => call.seen_through = Seq(call.seq.get() + rng.below(3)),
            }
        }
        let confirm = rng.chance(self.profile.confirm_percent);
        let client = self.memory.client_mut(id).expect("a known client");
        let sent = call.seq.get();
        if sent < u64::MAX {
            client.next_seq = client.next_seq.max(sent + 1);
        }
        if confirm && sent < u64::MAX {
            // Commands are decided one by one here: all that was sent was answered.
            client.seen_through = sent;
        }
        keep(&mut client.calls, call.clone());
        Command::Call(call)
    }

    fn retry(&self, rng: &mut Rng) -> Command {
        let clients = self.memory.clients.iter();
        let told_no: Vec<_> =
            clients.filter(|client| client.live && !client.refused.is_empty()).collect();
        let client = match rng.pick(&told_no) {
            Some(client) if rng.chance(80) => *client,
            Some(_) | None => self.client(rng),
        };
        let call = match client.refused.last() {
            Some(call) if rng.chance(80) => call,
            Some(_) | None => match rng.pick(&client.calls) {
                Some(call) => call,
                None => return self.cancel(rng),
            },
        };
        let mut call = call.clone();
        if rng.chance(50) {
            call.key = client.key;
        }
        if rng.chance(50) {
            call.seen_through = Seq(client.seen_through);
        }
        if rng.chance(20) {
            match &mut call.op {
                Op::Acquire(acquire) => acquire.wait = !acquire.wait,
                Op::Upgrade { wait, .. } => *wait = !*wait,
                Op::Release { .. }
                | Op::Adopt { .. }
                | Op::Downgrade { .. }
                | Op::Proclaim { .. }
                | Op::SetEligible { .. }
                | Op::Complete { .. }
                | Op::Edit(_) => {}
            }
        }
        if self.wrong(rng) {
            let actions = [Action::Acquire, Action::Release, Action::Adopt, Action::Edit];
            let action = *rng.pick(&actions).expect("some");
            call.op = self.op(rng, action, client.key.id);
        }
        Command::Call(call)
    }

    /// A seq that waits, or that was answered, or that is still to come.
    fn seq(&self, rng: &mut Rng, client: &Client) -> Seq {
        let waiting: Vec<_> =
            self.memory.waits.iter().filter(|wait| wait.session == client.key.id).collect();
        match rng.pick(&waiting) {
            Some(wait) if rng.chance(80) => wait.seq,
            _ => match rng.below(8) {
                0 => Seq(client.next_seq + rng.below(3)),
                1 if self.wrong(rng) => Seq(0),
                _ => Seq(client.next_seq.saturating_sub(1 + rng.below(12)).max(1)),
            },
        }
    }

    fn cancel(&self, rng: &mut Rng) -> Command {
        let client = self.client(rng);
        Command::Cancel { key: self.spoilt(rng, client.key), seq: self.seq(rng, client) }
    }

    fn time_out(&self, rng: &mut Rng) -> Command {
        let client = self.client(rng);
        Command::TimeOut { session: client.key.id, seq: self.seq(rng, client) }
    }

    /// Mostly all that stands, sometimes less, sometimes as it was long ago.
    fn attach(&mut self, rng: &mut Rng) -> Command {
        let client = self.client(rng);
        let id = client.key.id;
        let claimed_percent = *rng.pick(&[100, 100, 80, 0]).expect("some");
        let memory = &self.memory;
        let holds = memory.holds.iter().filter(|hold| hold.session == id).map(|hold| hold.token);
        let waits = memory.waits.iter().filter(|wait| wait.session == id).map(|wait| wait.seq);
        let mut attach = Attach {
            key: self.spoilt(rng, client.key),
            number: client.attach_number + 1,
            held: holds.filter(|_| rng.chance(claimed_percent)).collect(),
            waiting: waits.filter(|_| rng.chance(claimed_percent)).collect(),
            next_seq: Seq(client.next_seq),
        };
        if rng.chance(20) {
            attach.next_seq = Seq(client.next_seq.saturating_sub(rng.below(9)));
            attach.waiting.extend((0..3).map(|_| self.seq(rng, client)));
        }
        if rng.chance(15) {
            // Overtaken on the wire, or one of those between was lost.
            attach.number = (attach.number + rng.below(3)).saturating_sub(1);
        }
        let number = attach.number;
        if let Some(client) = self.memory.client_mut(id) {
            client.attach_number = client.attach_number.max(number);
        }
        Command::Attach(attach)
    }

    fn resume(&self, rng: &mut Rng) -> Resume {
        let client = self.client(rng);
        if rng.chance(30)
            && let Some(resumed) = &client.resumed
        {
            return resumed.clone();
        }
        let key = self.spoilt(rng, client.key);
        let nonce = match &client.resumed {
            Some(resumed) if self.wrong(rng) => resumed.nonce,
            Some(_) | None => Nonce(u128::from(rng.draw())),
        };
        Resume { session: key.id, secret: key.secret, expected: key.epoch, nonce }
    }

    fn ack_stopped(&self, rng: &mut Rng) -> Command {
        let (_, token, session) = self.hold(rng, |hold| hold.lost);
        let client = self.memory.clients.iter().find(|client| client.key.id == session);
        let key = match client {
            Some(client) => client.key,
            None => self.client(rng).key,
        };
        let key = self.spoilt(rng, key);
        Command::AckStopped { session: key.id, secret: key.secret, token }
    }

    /// A running timer, but sessions expire more rarely than the rest; sometimes one that is gone.
    fn due(&self, rng: &mut Rng) -> Due {
        let memory = &self.memory;
        let running: Vec<_> = memory
            .timers
            .iter()
            .filter(|set| {
                !matches!(set.timer, Timer::Session(_)) || rng.chance(self.profile.expire_percent)
            })
            .collect();
        // Leaders that would give way are rare.
        let giving_way: Vec<_> = running
            .iter()
            .filter(|set| matches!(set.timer, Timer::Preempt(..)) && rng.chance(30))
            .copied()
            .collect();
        let running = if giving_way.is_empty() { running } else { giving_way };
        let gone: Vec<_> = memory.timers_gone.iter().collect();
        let late = self.wrong(rng) || rng.chance(10);
        let set = rng.pick(if late { &gone } else { &running });
        let mut due = match set {
            Some(set) => {
                Due { timer: set.timer.clone(), generation: set.generation, term: Term(self.term) }
            }
            None => Due {
                timer: Timer::Session(SessionId(rng.below(9))),
                generation: Generation(rng.below(9)),
                term: Term(self.term),
            },
        };
        if self.wrong(rng) {
            match rng.below(3) {
                0 => due.term = Term(self.term - 1),
                1 => due.term = Term(self.term + 1),
                _ => due.generation = Generation(due.generation.get() + 1),
            }
        }
        due
    }
}
