//! What clients heard is what the log says at the revision that they heard it of.

use crate::answer::Answer;
use crate::asked::Asked;
use crate::history::{Call, Heard, History};
use crate::replay::{Replay, Step};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "answers";

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    for call in &history.calls {
        if matches!(call.asked, Asked::Read(_)) {
            continue;
        }
        for heard in &call.answers {
            // Decided at the edge, which knows no state: a malformed request.
            if heard.revision.get() == 0 {
                continue;
            }
            verdict.judged(CHECK);
            // What is missing from the log is told by `durable`.
            let Some(step) = replay.step(heard.revision) else { continue };
            if let Err(what) = same(call, heard, step) {
                verdict.found(of(call, heard, what));
            }
        }
    }
}

pub(crate) fn of(call: &Call, heard: &Heard, what: String) -> Finding {
    let finding = Finding::new(CHECK, what).at(heard.revision).client(&call.client);
    let finding = finding.session(call.session).seq(call.seq);
    match call.asked.names().first() {
        Some(name) => finding.name(name),
        None => finding,
    }
}

/// The answer of the command itself, or of an event that this command sent to the wait.
fn same(call: &Call, heard: &Heard, step: &Step) -> Result<(), String> {
    let mut possible = Vec::new();
    if is_of(call, step) {
        possible.push(Answer::of(&step.outcome));
    }
    if call.seq.get() > 0 {
        let to_it = step.events.iter().filter(|event| is_for(call, event));
        possible.extend(to_it.filter_map(Answer::of_event));
    }
    if possible.contains(&heard.answer) {
        return Ok(());
    }
    let asked = &call.asked;
    let heard = &heard.answer;
    if possible.is_empty() {
        let there = Asked::of(&step.command);
        return Err(format!(
            "asked {asked:?} and heard {heard:?}, but what was decided there is {there:?} of session {:?} seq {:?}",
            step.session(),
            step.seq()
        ));
    }
    Err(format!("asked {asked:?} and heard {heard:?}, but the log says {possible:?}"))
}

/// Whether a step of the log is an attempt of this call.
pub(crate) fn is_of(call: &Call, step: &Step) -> bool {
    if !call.asked.is_also(&Asked::of(&step.command)) {
        return false;
    }
    match step.seq() {
        Some(seq) => (step.session(), seq) == (Some(call.session), call.seq),
        None => call.session.get() == 0 || step.session() == Some(call.session),
    }
}

fn is_for(call: &Call, event: &conclave_machine::Event) -> bool {
    use conclave_machine::Event;
    match event {
        Event::Granted { session, seq, .. }
        | Event::Passed { session, seq, .. }
        | Event::WaitEnded { session, seq, .. } => (*session, *seq) == (call.session, call.seq),
        Event::Lost { .. }
        | Event::Contended { .. }
        | Event::HoldEnded { .. }
        | Event::SessionEnded { .. }
        | Event::TimerSet(_)
        | Event::TimerStopped { .. }
        | Event::Noted { .. } => false,
    }
}
