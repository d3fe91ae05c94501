//! A dead session is gone within 1.1 TTL (by a clock that may be 10 % slow) of its last sign of life, or of the last change of
//! the leader, or of the end of all faults, and the time of a fail-over. Judged only where the run was healed and long enough.

use std::collections::BTreeMap;

use conclave_machine::{Command, Event, Outcome, SessionId};

use super::moments::Moments;
use crate::history::{History, Micros};
use crate::replay::{Replay, Step};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "bounded expiry";

struct Session {
    ttl_ms: u64,
    /// The last sign of life, whether anybody heard of it or not.
    sign_us: Micros,
    ended: bool,
}

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let Some(healed_us) = history.terms.healed_us else { return };
    let moments = Moments::of(history);
    let mut sessions: BTreeMap<SessionId, Session> = BTreeMap::new();
    for step in &replay.steps {
        let at_us = moments.of_entry(step.index);
        signs(step, at_us, &mut sessions);
        for event in &step.events {
            if let Event::SessionEnded { session, .. } = event
                && let Some(session) = sessions.get_mut(session)
            {
                session.ended = true;
            }
        }
    }
    for renewal in &history.renewals {
        if let Some(session) = sessions.get_mut(&renewal.session) {
            session.sign_us = session.sign_us.max(renewal.sent_us);
        }
    }
    let led_us = last_change(replay, history, &moments);
    for (id, session) in sessions.iter().filter(|(_, session)| !session.ended) {
        verdict.judged(CHECK);
        let from_us = session.sign_us.max(healed_us).max(led_us);
        let ttl_us = session.ttl_ms * 1_000;
        // 1.1 x 1.1
        let bound_us = from_us + ttl_us + ttl_us * 21 / 100 + history.terms.fail_over_us;
        if history.terms.ended_us > bound_us {
            let what = format!(
                "the session with a TTL of {} ms gave its last sign of life at {} us and should have expired by {bound_us} us; the run ended at {} us (healed at {healed_us} us, last leader from {led_us} us)",
                session.ttl_ms, session.sign_us, history.terms.ended_us
            );
            verdict.found(Finding::new(CHECK, what).session(*id));
        }
    }
}

/// Opens, attaches and resumes renew as well, whoever heard of them.
fn signs(step: &Step, at_us: Option<Micros>, sessions: &mut BTreeMap<SessionId, Session>) {
    let at_us = at_us.unwrap_or(0);
    match (&step.command, &step.outcome) {
        (Command::Open(_), Outcome::Opened { session, ttl_ms, .. }) => {
            let new = Session { ttl_ms: *ttl_ms, sign_us: at_us, ended: false };
            sessions.entry(*session).or_insert(new);
        }
        (Command::Attach(_), Outcome::Attached(_))
        | (Command::Resume(_), Outcome::Resumed { .. }) => {
            let session = step.session().and_then(|session| sessions.get_mut(&session));
            session.into_iter().for_each(|session| session.sign_us = session.sign_us.max(at_us));
        }
        (_, _) => {}
    }
}

/// When the last leader's first entry took effect.
fn last_change(replay: &Replay, history: &History, moments: &Moments) -> Micros {
    let last = replay.entries.last().map(|(_, term)| *term);
    let first = replay.entries.iter().find(|(_, term)| Some(*term) == last);
    let at_us = first.and_then(|(index, _)| moments.of_entry(*index));
    at_us.unwrap_or(history.terms.ended_us)
}
