//! The committed log replayed through the reference model, and beside it through the machine, step by step.

use conclave_machine::{
    Command, Context, Event, Machine, Op, Outcome, Revision, Seq, SessionId, Term, Token,
};
use conclave_model::Model;

use crate::logbook::Log;
use crate::verdict::{Finding, Verdict};

/// One command of the log and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub revision: Revision,
    pub index: u64,
    pub term: u64,
    pub command: Command,
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

impl Step {
    /// The session that asked; none: an operator, or nobody yet.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        match &self.command {
            Command::Open(_) => {
                let Outcome::Opened { session, .. } = &self.outcome else { return None };
                Some(*session)
            }
            Command::Attach(attach) => Some(attach.key.id),
            Command::Resume(resume) => Some(resume.session),
            Command::Close { key } | Command::Cancel { key, .. } => Some(key.id),
            Command::Call(call) => Some(call.key.id),
            Command::TimeOut { session, .. }
            | Command::AckStopped { session, .. }
            | Command::ConfirmLosses { session, .. }
            | Command::Kill { session, .. } => Some(*session),
            Command::Due(_)
            | Command::ForceRelease { .. }
            | Command::Resize { .. }
            | Command::Transfer { .. }
            | Command::Delete { .. } => None,
        }
    }

    /// Of a call: which one.
    #[must_use]
    pub fn seq(&self) -> Option<Seq> {
        if let Command::Call(call) = &self.command { Some(call.seq) } else { None }
    }
}

/// What somebody wants to see while the log is replayed.
pub(crate) trait Visitor {
    /// After the entry with this index, or before the first (with none).
    fn after(&mut self, revision: Revision, model: &Model);
    fn after_entry(&mut self, index: u64, revision: Revision, machine: &Machine);
}

/// All steps of the log, in order: the step of revision r is number r - 1.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    pub steps: Vec<Step>,
    /// Index and term of every entry, those without commands included.
    pub entries: Vec<(u64, u64)>,
    /// The state after the last one.
    pub model: Model,
}

impl Replay {
    #[must_use]
    pub fn step(&self, revision: Revision) -> Option<&Step> {
        let at = usize::try_from(revision.get().checked_sub(1)?).ok()?;
        self.steps.get(at)
    }

    pub(crate) fn run(log: &Log, visitor: &mut dyn Visitor, verdict: &mut Verdict) -> Self {
        let mut replay = Self::default();
        let mut machine = Machine::new();
        visitor.after(Revision(0), &replay.model);
        for entry in &log.entries {
            replay.entries.push((entry.index, entry.term));
            let context = Context { term: Term(entry.term), stamp_ms: entry.stamp_ms };
            for command in &entry.commands {
                let step = replay.model.apply(&context, command);
                let mut events = Vec::new();
                let (revision, outcome) = machine.apply(&context, command.clone(), &mut events);
                verdict.judged("machine");
                if (revision, &outcome, &events) != (step.revision, &step.outcome, &step.events) {
                    let what = format!(
                        "the machine and the model differ\nmachine: {outcome:?} {events:?}\nmodel:   {:?} {:?}",
                        step.outcome, step.events
                    );
                    verdict.found(Finding::new("machine", what).at(step.revision));
                }
                replay.steps.push(Step {
                    revision: step.revision,
                    index: entry.index,
                    term: entry.term,
                    command: command.clone(),
                    outcome: step.outcome,
                    events: step.events,
                });
                visitor.after(revision, &replay.model);
            }
            visitor.after_entry(entry.index, machine.revision(), &machine);
        }
        replay
    }
}

/// The grants of a step: to whom, and under which token. Of an outcome only where it is new: a retry repeats what it was.
pub(crate) fn grants(step: &Step) -> Vec<(SessionId, Seq, Token)> {
    let mut found = Vec::new();
    if let (Command::Call(call), Outcome::Granted { token, .. }) = (&step.command, &step.outcome) {
        let grants = match &call.op {
            Op::Acquire(_) | Op::Adopt { .. } | Op::Upgrade { .. } => true,
            Op::Release { .. }
            | Op::Downgrade { .. }
            | Op::Proclaim { .. }
            | Op::SetEligible { .. }
            | Op::Complete { .. }
            | Op::Edit(_) => false,
        };
        if grants {
            found.push((call.key.id, call.seq, *token));
        }
    }
    found.extend(step.events.iter().filter_map(|event| {
        let Event::Granted { session, seq, token, .. } = event else { return None };
        Some((*session, *seq, *token))
    }));
    found
}
