//! What happened in one step besides the names of its outcome and events: combinations that must be met as well.

use conclave_machine::{
    Call, Command, Demand, Edit, Event, Kind, Mode, Note, Op, Outcome, Refusal, Token,
};
use conclave_model::{Model, Step};

/// All of them, to be met often.
pub(crate) const CIRCUMSTANCES: &[&str] = &[
    "several granted at once",
    "several granted from the queue",
    "several queued",
    "several adopted",
    "upgraded at once",
    "upgraded from the queue",
    "an upgrade queued",
    "released in part",
    "a cycle of several owners",
    "a guarded edit done",
    "a register gone with its session",
    "passed at once: Once",
    "passed at once: Latch",
    "passed at once: Gate",
    "passed at once: Barrier",
    "passed from the queue: Once",
    "passed from the queue: Latch",
    "passed from the queue: Gate",
    "passed from the queue: Barrier",
    "a chain of grants in one entry",
    "one who may lead leads at once",
    "a wait behind two others",
    "a crowd",
];

/// Those of this step. The model has taken it already.
pub(crate) fn met(model: &Model, command: &Command, step: &Step) -> Vec<&'static str> {
    let mut met = Vec::new();
    if let Command::Call(call) = command {
        met.extend(called(call, step));
    }
    let granted = step.events.iter().filter_map(|event| {
        if let Event::Granted { token, .. } = event { Some(*token) } else { None }
    });
    let granted: Vec<_> = granted.collect();
    met.extend((granted.len() > 1).then_some("a chain of grants in one entry"));
    for token in granted {
        met.extend((noted(step, token) > 1).then_some("several granted from the queue"));
        met.extend(replaces(step, token).then_some("upgraded from the queue"));
    }
    let ended = step.events.iter().any(|event| matches!(event, Event::SessionEnded { .. }));
    for event in &step.events {
        match event {
            Event::Noted { note: Note::Gone { kind: Kind::Register }, .. } if ended => {
                met.push("a register gone with its session");
            }
            Event::Passed { name, .. } => met.push(match model.kind(name) {
                Some(Kind::Once) => "passed from the queue: Once",
                Some(Kind::Latch) => "passed from the queue: Latch",
                Some(Kind::Gate) => "passed from the queue: Gate",
                // A barrier is gone once all have passed.
                Some(_) | None => "passed from the queue: Barrier",
            }),
            Event::Noted { note: Note::Waiting { queue_len: 300.. }, .. } => met.push("a crowd"),
            Event::Granted { .. }
            | Event::WaitEnded { .. }
            | Event::Lost { .. }
            | Event::Contended { .. }
            | Event::HoldEnded { .. }
            | Event::SessionEnded { .. }
            | Event::TimerSet(_)
            | Event::TimerStopped { .. }
            | Event::Noted { .. } => {}
        }
    }
    met
}

fn called(call: &Call, step: &Step) -> Option<&'static str> {
    match (&call.op, &step.outcome) {
        (Op::Acquire(acquire), Outcome::Granted { .. }) => {
            (acquire.items.count() > 1).then_some("several granted at once")
        }
        (Op::Acquire(acquire), Outcome::Queued { .. }) if acquire.items.count() > 1 => {
            Some("several queued")
        }
        (Op::Acquire(_), Outcome::Queued { position: 3.. }) => Some("a wait behind two others"),
        (Op::Acquire(acquire), Outcome::Passed(_)) => match acquire.items.first().demand.kind() {
            Kind::Once => Some("passed at once: Once"),
            Kind::Latch => Some("passed at once: Latch"),
            Kind::Gate => Some("passed at once: Gate"),
            Kind::Barrier => Some("passed at once: Barrier"),
            Kind::Mutex
            | Kind::RwLock
            | Kind::Semaphore
            | Kind::Election
            | Kind::Register
            | Kind::Counter => None,
        },
        (Op::Acquire(_), Outcome::Refused(Refusal::Deadlock { cycle })) => {
            (cycle.len() > 1).then_some("a cycle of several owners")
        }
        (Op::Adopt { .. }, Outcome::Granted { token, .. }) => {
            (noted(step, *token) > 1).then_some("several adopted")
        }
        (Op::Upgrade { .. }, Outcome::Granted { .. }) => Some("upgraded at once"),
        (Op::Upgrade { .. }, Outcome::Queued { .. }) => Some("an upgrade queued"),
        (Op::Release { .. }, Outcome::Released) => {
            let changed =
                |event: &Event| matches!(event, Event::Noted { note: Note::Changed { .. }, .. });
            step.events.iter().any(changed).then_some("released in part")
        }
        (Op::SetEligible { .. }, Outcome::EligibleSet) => {
            let granted = |event: &Event| matches!(event, Event::Granted { .. });
            step.events.iter().any(granted).then_some("one who may lead leads at once")
        }
        (Op::Edit(Edit { guard: Some(_), .. }), Outcome::Edited(_)) => Some("a guarded edit done"),
        (_, _) => None,
    }
}

/// At how many objects it was noted as a new holder.
fn noted(step: &Step, of: Token) -> usize {
    let notes = step.events.iter().filter(
        |event| matches!(event, Event::Noted { note: Note::Granted { token, .. }, .. } if *token == of),
    );
    notes.count()
}

/// A writer right after an end of another token of the same session: it was upgraded.
fn replaces(step: &Step, of: Token) -> bool {
    step.events.windows(2).any(|pair| {
        let [
            Event::Noted { note: Note::Ended { session: before, lost: false, .. }, name: left },
            Event::Noted { note: Note::Granted { session, token, demand, .. }, name },
        ] = pair
        else {
            return false;
        };
        let writes = *demand == Demand::RwLock(Mode::Write);
        *token == of && writes && (before, left) == (session, name)
    })
}
