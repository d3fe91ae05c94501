//! A cluster of one machine without a network: whatever a test lets clients ask is applied at once, and told with the times
//! at which it was asked and heard. What it writes is a good history, until a test spoils it.

use bytes::Bytes;
use conclave_machine::{
    Acquire, Call as MachineCall, Command, Context, Demand, Event, Labels, Machine, Name, Op, Open,
    Outcome, Revision, Secret, Seq, SessionId, SessionKey, Term, Token,
};
use conclave_oracle::{
    Answer, Applied, Asked, Call, Heard, History, Log, Logbook, Micros, Verdict, Witnessed, judge,
};
use conclave_raft::storage::{BatchBuilder, encode_command};
use conclave_store::LogPosition;

/// Between two commands.
pub(crate) const STEP_US: Micros = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) history: History,
    pub(crate) book: Logbook,
    pub(crate) now_us: Micros,
    pub(crate) term: u64,
    index: u64,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            machine: Machine::new(),
            history: History::default(),
            book: Logbook::new(),
            now_us: 0,
            term: 1,
            index: 0,
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context { term: Term(self.term), stamp_ms: 1 }
    }

    /// Applies a command in an entry of its own, on a node that is watched.
    pub(crate) fn apply(
        &mut self,
        context: &Context,
        command: &Command,
    ) -> (Revision, Outcome, Vec<Event>) {
        self.now_us += STEP_US;
        self.index += 1;
        let mut batch = BatchBuilder::new(context.stamp_ms);
        batch.push(&encode_command(command));
        let position = LogPosition { term: context.term.get(), index: self.index };
        self.book.add("a", position, batch.finish()).expect("one log");
        let mut events = Vec::new();
        let (revision, outcome) = self.machine.apply(context, command.clone(), &mut events);
        for node in ["a", "b"] {
            self.history.applied.push(Applied {
                node: node.into(),
                index: self.index,
                at_us: self.now_us,
                revision: Some(revision),
                digest: Some(self.machine.digest()),
            });
        }
        self.history.witnessed.push(Witnessed {
            node: "a".into(),
            revision,
            outcome: outcome.clone(),
            events: events.clone(),
        });
        (revision, outcome, events)
    }

    /// A new leader's first entry.
    pub(crate) fn new_leader(&mut self) {
        self.term += 1;
        self.index += 1;
        let position = LogPosition { term: self.term, index: self.index };
        self.book.add("a", position, Bytes::from_static(&[1, 0])).expect("one log");
        self.history.applied.push(Applied {
            node: "a".into(),
            index: self.index,
            at_us: self.now_us,
            revision: None,
            digest: None,
        });
    }

    /// Asks, applies and hears; events go to whoever waits for them.
    pub(crate) fn ask(&mut self, client: &str, command: &Command) -> Outcome {
        let invoked_us = self.now_us + 1;
        let (session, seq) = who(command);
        let (revision, outcome, events) = self.apply(&self.context(), command);
        self.history.calls.push(Call {
            client: client.into(),
            session,
            seq,
            asked: Asked::of(command),
            invoked_us,
            answers: vec![Heard { at_us: self.now_us + 1, revision, answer: Answer::of(&outcome) }],
        });
        self.tell(revision, &events);
        self.now_us += 2;
        outcome
    }

    /// Nobody's command: of a leader's clock, or of who serves a wait.
    pub(crate) fn happens(&mut self, command: &Command) -> Outcome {
        let (revision, outcome, events) = self.apply(&self.context(), command);
        self.tell(revision, &events);
        outcome
    }

    fn tell(&mut self, revision: Revision, events: &[Event]) {
        for event in events {
            let Some(answer) = Answer::of_event(event) else { continue };
            let (Event::Granted { session, seq, .. }
            | Event::Passed { session, seq, .. }
            | Event::WaitEnded { session, seq, .. }) = event
            else {
                continue;
            };
            let waits = |call: &&mut Call| {
                (call.session, call.seq) == (*session, *seq) && call.decided().is_none()
            };
            if let Some(call) = self.history.calls.iter_mut().find(waits) {
                call.answers.push(Heard { at_us: self.now_us + 1, revision, answer });
            }
        }
    }

    pub(crate) fn open(&mut self, client: &str, ttl_ms: u64) -> SessionKey {
        let secret = Secret(u128::from(self.now_us) + 1);
        let open = Open {
            secret,
            ttl_ms,
            lock_delay_ms: 0,
            name: name(client),
            labels: Labels::default(),
        };
        let outcome = self.ask(client, &Command::Open(open));
        let Outcome::Opened { session, epoch, .. } = outcome else { panic!("{outcome:?}") };
        SessionKey { id: session, secret, epoch }
    }

    pub(crate) fn call(&mut self, client: &str, key: SessionKey, seq: u64, op: Op) -> Outcome {
        self.ask(
            client,
            &Command::Call(MachineCall { key, seq: Seq(seq), seen_through: Seq(0), op }),
        )
    }

    pub(crate) fn acquire(
        &mut self,
        client: &str,
        key: SessionKey,
        seq: u64,
        of: &str,
        demand: Demand,
    ) -> Outcome {
        self.call(client, key, seq, Op::Acquire(Acquire::of(name(of), demand)))
    }

    /// One that is granted at once.
    pub(crate) fn granted(
        &mut self,
        client: &str,
        key: SessionKey,
        seq: u64,
        of: &str,
        demand: Demand,
    ) -> Token {
        let outcome = self.acquire(client, key, seq, of, demand);
        let Outcome::Granted { token, .. } = outcome else { panic!("{outcome:?}") };
        token
    }

    pub(crate) fn log(&self) -> Log {
        self.book.log().expect("a whole log")
    }

    pub(crate) fn judged(&self) -> Verdict {
        judge(&self.history, &self.log())
    }

    /// The report, which says all of this. Nothing else may be wrong.
    pub(crate) fn caught(&self, check: &str, words: &[&str]) {
        let verdict = self.judged();
        let found = verdict.findings.iter().filter(|finding| finding.check == check);
        let said = |text: &String| words.iter().all(|word| text.contains(word));
        let found = found.map(ToString::to_string).find(said);
        assert!(found.is_some(), "no finding of {check} says {words:?}: {verdict}");
        assert!(verdict.require(&[]).is_err());
    }

    pub(crate) fn good(&self, checks: &[&str]) {
        if let Err(report) = self.judged().require(checks) {
            panic!("{report}");
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Zero: nobody, or no call.
pub(crate) fn who(command: &Command) -> (SessionId, Seq) {
    match command {
        Command::Call(call) => (call.key.id, call.seq),
        Command::Attach(attach) => (attach.key.id, Seq(0)),
        Command::Resume(resume) => (resume.session, Seq(0)),
        Command::Close { key } | Command::Cancel { key, .. } => (key.id, Seq(0)),
        Command::AckStopped { session, .. }
        | Command::ConfirmLosses { session, .. }
        | Command::TimeOut { session, .. } => (*session, Seq(0)),
        Command::Open(_)
        | Command::Due(_)
        | Command::Kill { .. }
        | Command::ForceRelease { .. }
        | Command::Resize { .. }
        | Command::Transfer { .. }
        | Command::Delete { .. } => (SessionId(0), Seq(0)),
    }
}
