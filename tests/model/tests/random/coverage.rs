//! The test of the test: the model alone keeps the promises that the observer knows, and the generator reaches every
//! outcome, refusal, event and note often enough to mean something. A generator that stops reaching one is a hidden gap.

use std::collections::BTreeMap;

use conclave_machine::{
    Demand, Edited, Event, Invalid, Kind, Limit, LossReason, Mode, Note, Outcome, Refusal,
    SessionEnd, Timer, WaitEnd,
};
use conclave_model::{Generator, Model, Observer, Profile, Rng};

use crate::circumstances::{self, CIRCUMSTANCES};

const CASES: u64 = 60;
const STEPS: u64 = 10_000;
/// Met less often than this in all cases together, a thing is as good as never met.
const OFTEN: u64 = 25;

#[test]
fn the_generator_reaches_everything_and_the_model_keeps_its_promises() {
    let mut met = BTreeMap::new();
    let mut meet = |what: String| *met.entry(what).or_insert(0_u64) += 1;
    for case in 0..CASES {
        let mut rng = Rng::new(case);
        let mut generator = Generator::new(Profile::draw(&mut rng));
        let (mut model, mut observer) = (Model::new(), Observer::new());
        for _ in 0..STEPS {
            let (context, command) = generator.command(rng.draw());
            let step = model.apply(&context, &command);
            let seen = observer.observe(&command, &step.outcome, &step.events);
            assert_eq!(seen, Ok(()), "case {case}: {context:?} {command:?} gave {step:?}");
            meet(outcome_name(&step.outcome));
            step.events.iter().map(event_name).for_each(&mut meet);
            let circumstances = circumstances::met(&model, &command, &step);
            circumstances.into_iter().map(str::to_owned).for_each(&mut meet);
            generator.learn(&command, &step.outcome, &step.events);
        }
    }
    let names = everything();
    let rarely: Vec<_> = names
        .iter()
        .map(|name| (name, met.get(name).copied().unwrap_or(0)))
        .filter(|(_, times)| *times < OFTEN)
        .collect();
    assert!(rarely.is_empty(), "rarely or never reached: {rarely:?}");
    let unknown: Vec<_> = met.keys().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "reached, and not asked for: {unknown:?}");
}

const KINDS: &[Kind] = &[
    Kind::Mutex,
    Kind::RwLock,
    Kind::Semaphore,
    Kind::Election,
    Kind::Once,
    Kind::Latch,
    Kind::Gate,
    Kind::Barrier,
    Kind::Register,
    Kind::Counter,
];

/// All but what takes thousands or millions of things (most limits).
fn everything() -> Vec<String> {
    let fixed = OUTCOMES.iter().chain(REFUSALS).chain(EVENTS).chain(NOTES);
    let fixed = fixed.chain(CIRCUMSTANCES);
    let mut names: Vec<_> = fixed.map(|name| (*name).to_owned()).collect();
    names.extend(KINDS.iter().map(|kind| format!("refused WrongKind {kind:?}")));
    let goes =
        |kind: &&Kind| !matches!(kind, Kind::Mutex | Kind::RwLock | Kind::Election | Kind::Barrier);
    names.extend(KINDS.iter().filter(goes).map(|kind| format!("note gone {kind:?}")));
    let held = [
        "Mutex",
        "RwLock Read",
        "RwLock Upgradable",
        "RwLock Write",
        "Semaphore",
        "Election",
        "Once",
    ];
    names.extend(held.map(|what| format!("note granted {what}")));
    let changed = ["RwLock Read", "RwLock Upgradable", "Semaphore"];
    names.extend(changed.map(|what| format!("note changed to {what}")));
    names
}

const OUTCOMES: &[&str] = &[
    "opened",
    "attached",
    "resumed",
    "ended",
    "granted",
    "passed",
    "queued",
    "queued aside",
    "held",
    "timed out",
    "cancelled",
    "released",
    "downgraded",
    "proclaimed",
    "eligible set",
    "completed",
    "edited latch",
    "edited gate",
    "edited register",
    "edited register away",
    "edited conflict",
    "edited counter",
    "resized",
    "transferred",
    "deleted",
    "stopped",
    "confirmed",
    "forced to revoked",
    "forced at once",
    "done",
];

const REFUSALS: &[&str] = &[
    "refused SessionExpired",
    "refused Fenced",
    "refused NotHolder",
    "refused AlreadyHeld",
    "refused SeqReused",
    "refused Gone",
    "refused Limit of Window",
    "refused NotFound",
    "refused Mismatch",
    "refused Weight",
    "refused NotUpgradable",
    "refused WouldDeadlock",
    "refused Deadlock",
    "refused Guard",
    "refused BelowZero",
    "refused Overflow",
    // Of these three, a retry of a wait that ended so.
    "refused Broken",
    "refused AttemptsExhausted",
    "refused HoldLost",
    "refused Conflict",
    "refused Busy",
    "refused Stale",
    "refused Invalid Ttl",
    "refused Invalid LockDelay",
    "refused Invalid MaxHold",
    "refused Invalid Seq",
    "refused Invalid Items",
    "refused Invalid Campaign",
    "refused Invalid Value",
    "refused Invalid Zero",
    "refused Invalid Retention",
    "refused Invalid Mode",
];

const EVENTS: &[&str] = &[
    "event granted",
    "event passed",
    "event wait timed out",
    "event wait cancelled",
    "event wait's session ended",
    "event wait fenced",
    "event wait refused Weight",
    "event wait refused Broken",
    "event wait refused AttemptsExhausted",
    "event wait refused HoldLost",
    "event lost by MaxHold",
    "event lost by force",
    "event lost, not adopted",
    "event lost by preemption",
    "event lost by transfer",
    "event contended",
    "event contended no more",
    "event hold ended",
    "event session closed",
    "event session expired",
    "event session killed",
    "event timer of a session",
    "event timer of an adoption",
    "event timer of a hold's end",
    "event timer of max_hold",
    "event timer of a preemption",
    "event timer of a retention",
    "event timer of a preemption stopped",
    "event timer of a retention stopped",
];

const NOTES: &[&str] = &[
    "note ended",
    "note ended, lost",
    "note revoked",
    "note cooling",
    "note proclaimed",
    "note waiting",
    "note nobody waiting",
    "note resized",
    "note edited latch",
    "note edited gate",
    "note edited register",
    "note edited counter",
    "note passed",
];

fn outcome_name(outcome: &Outcome) -> String {
    let name = match outcome {
        Outcome::Opened { .. } => "opened",
        Outcome::Attached(_) => "attached",
        Outcome::Resumed { .. } => "resumed",
        Outcome::Ended => "ended",
        Outcome::Granted { .. } => "granted",
        Outcome::Passed(_) => "passed",
        Outcome::Queued { position: 0 } => "queued aside",
        Outcome::Queued { .. } => "queued",
        Outcome::Held(_) => "held",
        Outcome::TimedOut(_) => "timed out",
        Outcome::Cancelled => "cancelled",
        Outcome::Released => "released",
        Outcome::Downgraded => "downgraded",
        Outcome::Proclaimed => "proclaimed",
        Outcome::EligibleSet => "eligible set",
        Outcome::Completed { .. } => "completed",
        Outcome::Edited(edited) => return format!("edited {}", edited_name(edited)),
        Outcome::Resized { .. } => "resized",
        Outcome::Transferred => "transferred",
        Outcome::Deleted => "deleted",
        Outcome::Stopped => "stopped",
        Outcome::Confirmed => "confirmed",
        Outcome::Forced { revoked: true } => "forced to revoked",
        Outcome::Forced { revoked: false } => "forced at once",
        Outcome::Done => "done",
        Outcome::Refused(refusal) => return refusal_name(refusal),
    };
    name.to_owned()
}

fn edited_name(edited: &Edited) -> &'static str {
    match edited {
        Edited::Latch { .. } => "latch",
        Edited::Gate { .. } => "gate",
        Edited::Register { .. } => "register",
        Edited::RegisterDeleted => "register away",
        Edited::Conflict { .. } => "conflict",
        Edited::Counter { .. } => "counter",
    }
}

fn refusal_name(refusal: &Refusal) -> String {
    let name = match refusal {
        Refusal::SessionExpired => "SessionExpired",
        Refusal::Fenced { .. } => "Fenced",
        Refusal::NotHolder => "NotHolder",
        Refusal::AlreadyHeld { .. } => "AlreadyHeld",
        Refusal::WrongKind { kind } => return format!("refused WrongKind {kind:?}"),
        Refusal::SeqReused => "SeqReused",
        Refusal::Gone => "Gone",
        Refusal::Limit { what: Limit::Window, .. } => "Limit of Window",
        Refusal::Limit { .. } => "Limit",
        Refusal::NotFound => "NotFound",
        Refusal::Mismatch { .. } => "Mismatch",
        Refusal::Weight { .. } => "Weight",
        Refusal::NotUpgradable => "NotUpgradable",
        Refusal::WouldDeadlock => "WouldDeadlock",
        Refusal::Deadlock { .. } => "Deadlock",
        Refusal::Guard => "Guard",
        Refusal::BelowZero { .. } => "BelowZero",
        Refusal::Overflow { .. } => "Overflow",
        Refusal::Broken => "Broken",
        Refusal::AttemptsExhausted { .. } => "AttemptsExhausted",
        Refusal::HoldLost => "HoldLost",
        Refusal::Conflict { .. } => "Conflict",
        Refusal::Busy => "Busy",
        Refusal::Stale => "Stale",
        Refusal::Invalid { what } => match what {
            Invalid::Ttl => "Invalid Ttl",
            Invalid::LockDelay => "Invalid LockDelay",
            Invalid::MaxHold => "Invalid MaxHold",
            Invalid::Seq => "Invalid Seq",
            Invalid::Items => "Invalid Items",
            Invalid::Campaign => "Invalid Campaign",
            Invalid::Value => "Invalid Value",
            Invalid::Zero => "Invalid Zero",
            Invalid::Retention => "Invalid Retention",
            Invalid::Mode => "Invalid Mode",
        },
    };
    format!("refused {name}")
}

fn event_name(event: &Event) -> String {
    let name = match event {
        Event::Granted { .. } => "granted",
        Event::Passed { .. } => "passed",
        Event::WaitEnded { end: WaitEnd::TimedOut(_), .. } => "wait timed out",
        Event::WaitEnded { end: WaitEnd::Cancelled, .. } => "wait cancelled",
        Event::WaitEnded { end: WaitEnd::SessionEnded(_), .. } => "wait's session ended",
        Event::WaitEnded { end: WaitEnd::Fenced, .. } => "wait fenced",
        Event::WaitEnded { end: WaitEnd::Refused(refusal), .. } => {
            return format!("event wait {}", refusal_name(refusal));
        }
        Event::Lost { loss, .. } => match loss.reason {
            LossReason::MaxHold => "lost by MaxHold",
            LossReason::ForceReleased { .. } => "lost by force",
            LossReason::NotAdopted => "lost, not adopted",
            LossReason::Preempted => "lost by preemption",
            LossReason::Transferred { .. } => "lost by transfer",
        },
        Event::Contended { waiting: 0, .. } => "contended no more",
        Event::Contended { .. } => "contended",
        Event::HoldEnded { .. } => "hold ended",
        Event::SessionEnded { end: SessionEnd::Closed, .. } => "session closed",
        Event::SessionEnded { end: SessionEnd::Expired, .. } => "session expired",
        Event::SessionEnded { end: SessionEnd::Killed { .. }, .. } => "session killed",
        Event::TimerSet(set) => timer_name(&set.timer),
        Event::TimerStopped { timer } => return format!("event {} stopped", timer_name(timer)),
        Event::Noted { note, .. } => return note_name(note),
    };
    format!("event {name}")
}

fn timer_name(timer: &Timer) -> &'static str {
    match timer {
        Timer::Session(_) => "timer of a session",
        Timer::Adoption(_) => "timer of an adoption",
        Timer::HoldEnd(..) => "timer of a hold's end",
        Timer::MaxHold(..) => "timer of max_hold",
        Timer::Preempt(..) => "timer of a preemption",
        Timer::Retention(_) => "timer of a retention",
        Timer::Quiet => "timer of the quiet time",
    }
}

fn note_name(note: &Note) -> String {
    let name = match note {
        Note::Granted { demand, .. } => return format!("note granted {}", demand_name(*demand)),
        Note::Ended { lost: false, .. } => "ended",
        Note::Ended { lost: true, .. } => "ended, lost",
        Note::Revoked { .. } => "revoked",
        Note::Cooling { .. } => "cooling",
        Note::Changed { demand, .. } => {
            return format!("note changed to {}", demand_name(*demand));
        }
        Note::Proclaimed { .. } => "proclaimed",
        Note::Waiting { queue_len: 0 } => "nobody waiting",
        Note::Waiting { .. } => "waiting",
        Note::Resized { .. } => "resized",
        Note::Edited(edited) => return format!("note edited {}", edited_name(edited)),
        Note::Passed { .. } => "passed",
        Note::Gone { kind } => return format!("note gone {kind:?}"),
    };
    format!("note {name}")
}

fn demand_name(demand: Demand) -> String {
    match demand {
        Demand::RwLock(Mode::Read) => "RwLock Read".to_owned(),
        Demand::RwLock(Mode::Upgradable) => "RwLock Upgradable".to_owned(),
        Demand::RwLock(Mode::Write) => "RwLock Write".to_owned(),
        other => format!("{:?}", other.kind()),
    }
}
