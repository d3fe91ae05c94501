//! No session expires early: a whole TTL passes after the last sign of life that was acknowledged was sent. The server waits
//! 1.1 TTL by a clock that may be 10 % fast, so this holds in the time of the history.

use std::collections::BTreeMap;

use conclave_machine::{Command, Event, Outcome, SessionEnd, SessionId};

use super::moments::Moments;
use crate::history::{History, Renewal};
use crate::replay::Replay;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "early expiry";

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let moments = Moments::of(history);
    let mut renewals: BTreeMap<SessionId, Vec<&Renewal>> = BTreeMap::new();
    for renewal in history.renewals.iter().filter(|one| one.acknowledged_us.is_some()) {
        renewals.entry(renewal.session).or_default().push(renewal);
    }
    let mut ttls_ms: BTreeMap<SessionId, u64> = BTreeMap::new();
    for step in &replay.steps {
        if let (Command::Open(_), Outcome::Opened { session, ttl_ms, .. }) =
            (&step.command, &step.outcome)
        {
            ttls_ms.insert(*session, *ttl_ms);
        }
        for event in &step.events {
            let Event::SessionEnded { session, end: SessionEnd::Expired } = event else { continue };
            let (Some(at_us), Some(ttl_ms)) = (moments.of_entry(step.index), ttls_ms.get(session))
            else {
                continue;
            };
            let of_session = renewals.get(session).into_iter().flatten();
            let Some(last) = of_session.max_by_key(|renewal| renewal.sent_us) else { continue };
            verdict.judged(CHECK);
            if at_us < last.sent_us.saturating_add(ttl_ms * 1_000) {
                let what = format!(
                    "the session with a TTL of {ttl_ms} ms had expired at {at_us} us, though its sign of life, sent at {} us, was acknowledged",
                    last.sent_us
                );
                let finding = Finding::new(CHECK, what).at(step.revision).client(&last.client);
                verdict.found(finding.session(*session));
            }
        }
    }
}
