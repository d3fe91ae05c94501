//! The way to a finding: what the log says of the object and the session concerned, up to there and no further.

use std::fmt::Write as _;

use conclave_machine::{Event, Name, SessionId};

use crate::answer::Answer;
use crate::asked::Asked;
use crate::replay::Step;
use crate::verdict::Finding;

/// The last steps that are told.
const STEPS_MAX: usize = 40;

pub(crate) fn of(finding: &Finding, steps: &[Step]) -> String {
    let last = finding.revision.map_or(u64::MAX, |revision| revision.get());
    let prefix = steps.iter().take_while(|step| step.revision.get() <= last);
    let concerned: Vec<_> =
        prefix.filter(|step| concerns(step, finding.session, finding.name.as_deref())).collect();
    let mut text = String::new();
    let from = concerned.len().saturating_sub(STEPS_MAX);
    let _ = writeln!(text, "the log up to there, as far as it is about that:");
    if from > 0 {
        let _ = writeln!(text, "  ({from} steps before these)");
    }
    for step in &concerned[from..] {
        let _ = writeln!(text, "  {}", line(step));
    }
    if concerned.is_empty() {
        let _ = writeln!(text, "  (nothing)");
    }
    text
}

/// One step as one line, without secrets.
pub(crate) fn line(step: &Step) -> String {
    let who = match (step.session(), step.seq()) {
        (Some(session), Some(seq)) => format!("session {session} seq {seq} "),
        (Some(session), None) => format!("session {session} "),
        (None, _) => String::new(),
    };
    let mut text = format!(
        "revision {} (entry {}, term {}): {who}{:?} -> {:?}",
        step.revision,
        step.index,
        step.term,
        Asked::of(&step.command),
        Answer::of(&step.outcome)
    );
    for event in &step.events {
        if let Some(told) = told(event) {
            let _ = write!(text, "; {told}");
        }
    }
    text
}

fn told(event: &Event) -> Option<String> {
    match event {
        Event::Granted { session, seq, name, token, .. } => {
            Some(format!("{name} granted to session {session} seq {seq} under {token}"))
        }
        Event::Passed { session, seq, name, passed } => {
            Some(format!("session {session} seq {seq} passed {name} under {}", passed.version))
        }
        Event::WaitEnded { session, seq, name, .. } => {
            let end = Answer::of_event(event)?;
            Some(format!("session {session} seq {seq} waits for {name} no more: {end:?}"))
        }
        Event::Lost { session, loss } => {
            Some(format!("session {session} lost {}: {:?}", loss.token, loss.reason))
        }
        Event::HoldEnded { session, name, token } => {
            Some(format!("hold {token} of {name} by session {session} ended"))
        }
        Event::SessionEnded { session, end } => Some(format!("session {session} ended: {end:?}")),
        Event::Contended { .. }
        | Event::TimerSet(_)
        | Event::TimerStopped { .. }
        | Event::Noted { .. } => None,
    }
}

/// Whether a step is about the session or the object. With neither, all are.
fn concerns(step: &Step, session: Option<SessionId>, name: Option<&str>) -> bool {
    if session.is_none() && name.is_none() {
        return true;
    }
    let of_session = session.is_some_and(|session| {
        step.session() == Some(session)
            || step.events.iter().any(|event| session_of(event) == Some(session))
    });
    let of_name = name.is_some_and(|name| {
        Asked::of(&step.command).names().contains(&name)
            || step
                .events
                .iter()
                .any(|event| object_of(event).is_some_and(|of| of.as_str() == name))
    });
    of_session || of_name
}

pub(crate) fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::Granted { session, .. }
        | Event::Passed { session, .. }
        | Event::WaitEnded { session, .. }
        | Event::Lost { session, .. }
        | Event::Contended { session, .. }
        | Event::HoldEnded { session, .. }
        | Event::SessionEnded { session, .. } => Some(*session),
        Event::TimerSet(_) | Event::TimerStopped { .. } | Event::Noted { .. } => None,
    }
}

fn object_of(event: &Event) -> Option<&Name> {
    match event {
        Event::Granted { name, .. }
        | Event::Passed { name, .. }
        | Event::WaitEnded { name, .. }
        | Event::HoldEnded { name, .. }
        | Event::Noted { name, .. } => Some(name),
        Event::Lost { loss, .. } => Some(&loss.name),
        Event::Contended { .. }
        | Event::SessionEnded { .. }
        | Event::TimerSet(_)
        | Event::TimerStopped { .. } => None,
    }
}
