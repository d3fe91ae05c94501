//! Nothing is granted to a session that has ended, and none of its waits outlives it.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::{Command, Event, Outcome, Revision, Seq, SessionId};

use crate::answer::Answer;
use crate::history::History;
use crate::replay::{Step, grants};
use crate::story::session_of;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "dead sessions";

pub(crate) fn of_steps(steps: &[Step], verdict: &mut Verdict) {
    let mut ended: BTreeSet<SessionId> = BTreeSet::new();
    let mut waits: BTreeSet<(SessionId, Seq)> = BTreeSet::new();
    for step in steps {
        let dies: BTreeSet<_> = ends(step).collect();
        for (session, seq, token) in grants(step) {
            verdict.judged(CHECK);
            waits.remove(&(session, seq));
            if ended.contains(&session) || dies.contains(&session) {
                let what = format!("token {token} was granted to a session that had ended");
                verdict
                    .found(Finding::new(CHECK, what).at(step.revision).session(session).seq(seq));
            }
        }
        if let (Command::Call(call), Outcome::Queued { .. }) = (&step.command, &step.outcome) {
            waits.insert((call.key.id, call.seq));
        }
        for event in &step.events {
            if let Event::Passed { session, seq, .. } | Event::WaitEnded { session, seq, .. } =
                event
            {
                waits.remove(&(*session, *seq));
            }
        }
        for session in dies {
            let left = waits.range((session, Seq(0))..=(session, Seq(u64::MAX))).next().copied();
            if let Some((_, seq)) = left {
                let what = "the session ended and this wait of it was not told";
                verdict
                    .found(Finding::new(CHECK, what).at(step.revision).session(session).seq(seq));
            }
            ended.insert(session);
        }
    }
}

fn ends(step: &Step) -> impl Iterator<Item = SessionId> {
    let ended = step.events.iter().filter(|event| matches!(event, Event::SessionEnded { .. }));
    ended.filter_map(session_of)
}

/// The grants that clients heard of, against the ends that the log has.
pub(crate) fn of_clients(history: &History, steps: &[Step], verdict: &mut Verdict) {
    let mut ended: BTreeMap<SessionId, Revision> = BTreeMap::new();
    for step in steps {
        ended.extend(ends(step).map(|session| (session, step.revision)));
    }
    for call in &history.calls {
        let Some(end) = ended.get(&call.session) else { continue };
        for heard in &call.answers {
            verdict.judged(CHECK);
            if matches!(heard.answer, Answer::Granted { .. }) && heard.revision >= *end {
                let what =
                    format!("heard {:?}, but the session ended at revision {end}", heard.answer);
                let finding = Finding::new(CHECK, what).at(heard.revision).client(&call.client);
                verdict.found(finding.session(call.session).seq(call.seq));
            }
        }
    }
}
