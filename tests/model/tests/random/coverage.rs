//! The test of the test: the model alone keeps the promises that the observer knows, and the generator reaches every
//! outcome, refusal and event that a mutex can give. A generator that stops reaching one is a hidden gap.

use std::collections::BTreeSet;

use conclave_machine::{
    Event, Invalid, Limit, LossReason, Outcome, Refusal, SessionEnd, Timer, WaitEnd,
};
use conclave_model::{Generator, Model, Observer, Profile, Rng};

const CASES: u64 = 60;
const STEPS: u64 = 10_000;

#[test]
fn the_generator_reaches_everything_and_the_model_keeps_its_promises() {
    let mut met = BTreeSet::new();
    for case in 0..CASES {
        let mut rng = Rng::new(case);
        let mut generator = Generator::new(Profile::draw(&mut rng));
        let (mut model, mut observer) = (Model::new(), Observer::new());
        for _ in 0..STEPS {
            let (context, command) = generator.command(rng.draw());
            let step = model.apply(&context, &command);
            let seen = observer.observe(&command, &step.outcome, &step.events);
            assert_eq!(seen, Ok(()), "case {case}: {context:?} {command:?} gave {step:?}");
            met.insert(outcome_name(&step.outcome));
            met.extend(step.events.iter().map(event_name));
            generator.learn(&command, &step.outcome, &step.events);
        }
    }
    let missing: Vec<_> = EVERYTHING.iter().filter(|name| !met.contains(**name)).collect();
    assert!(missing.is_empty(), "never reached: {missing:?}");
}

/// All but what takes another kind (`WrongKind`) or millions of objects (the other limits).
const EVERYTHING: &[&str] = &[
    "opened",
    "attached",
    "resumed",
    "ended",
    "granted",
    "queued",
    "held",
    "timed out",
    "cancelled",
    "released",
    "stopped",
    "confirmed",
    "forced to revoked",
    "forced at once",
    "done",
    "refused SessionExpired",
    "refused Fenced",
    "refused NotHolder",
    "refused AlreadyHeld",
    "refused SeqReused",
    "refused Gone",
    "refused Limit of Window",
    "refused NotFound",
    "refused Stale",
    "refused Invalid Ttl",
    "refused Invalid LockDelay",
    "refused Invalid MaxHold",
    "refused Invalid Seq",
    "event granted",
    "event wait timed out",
    "event wait cancelled",
    "event wait's session ended",
    "event wait fenced",
    "event lost by MaxHold",
    "event lost by force",
    "event lost, not adopted",
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
];

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Opened { .. } => "opened",
        Outcome::Attached(_) => "attached",
        Outcome::Resumed { .. } => "resumed",
        Outcome::Ended => "ended",
        Outcome::Granted { .. } => "granted",
        Outcome::Queued { .. } => "queued",
        Outcome::Held(_) => "held",
        Outcome::TimedOut(_) => "timed out",
        Outcome::Cancelled => "cancelled",
        Outcome::Released => "released",
        Outcome::Stopped => "stopped",
        Outcome::Confirmed => "confirmed",
        Outcome::Forced { revoked: true } => "forced to revoked",
        Outcome::Forced { revoked: false } => "forced at once",
        Outcome::Done => "done",
        Outcome::Refused(refusal) => refusal_name(refusal),
    }
}

fn refusal_name(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::SessionExpired => "refused SessionExpired",
        Refusal::Fenced { .. } => "refused Fenced",
        Refusal::NotHolder => "refused NotHolder",
        Refusal::AlreadyHeld { .. } => "refused AlreadyHeld",
        Refusal::WrongKind { .. } => "refused WrongKind",
        Refusal::SeqReused => "refused SeqReused",
        Refusal::Gone => "refused Gone",
        Refusal::Limit { what: Limit::Window, .. } => "refused Limit of Window",
        Refusal::Limit { .. } => "refused Limit",
        Refusal::NotFound => "refused NotFound",
        Refusal::Stale => "refused Stale",
        Refusal::Invalid { what: Invalid::Ttl } => "refused Invalid Ttl",
        Refusal::Invalid { what: Invalid::LockDelay } => "refused Invalid LockDelay",
        Refusal::Invalid { what: Invalid::MaxHold } => "refused Invalid MaxHold",
        Refusal::Invalid { what: Invalid::Seq } => "refused Invalid Seq",
    }
}

fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Granted { .. } => "event granted",
        Event::WaitEnded { end: WaitEnd::TimedOut(_), .. } => "event wait timed out",
        Event::WaitEnded { end: WaitEnd::Cancelled, .. } => "event wait cancelled",
        Event::WaitEnded { end: WaitEnd::SessionEnded(_), .. } => "event wait's session ended",
        Event::WaitEnded { end: WaitEnd::Fenced, .. } => "event wait fenced",
        Event::Lost { loss, .. } => match loss.reason {
            LossReason::MaxHold => "event lost by MaxHold",
            LossReason::ForceReleased { .. } => "event lost by force",
            LossReason::NotAdopted => "event lost, not adopted",
        },
        Event::Contended { waiting: 0, .. } => "event contended no more",
        Event::Contended { .. } => "event contended",
        Event::HoldEnded { .. } => "event hold ended",
        Event::SessionEnded { end: SessionEnd::Closed, .. } => "event session closed",
        Event::SessionEnded { end: SessionEnd::Expired, .. } => "event session expired",
        Event::SessionEnded { end: SessionEnd::Killed { .. }, .. } => "event session killed",
        Event::TimerSet(set) => match set.timer {
            Timer::Session(_) => "event timer of a session",
            Timer::Adoption(_) => "event timer of an adoption",
            Timer::HoldEnd(..) => "event timer of a hold's end",
            Timer::MaxHold(..) => "event timer of max_hold",
        },
    }
}
