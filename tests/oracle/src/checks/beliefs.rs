//! What clients believed that they held, at the same time: never more than may be held together. And nobody believes longer
//! than the log lets it.

use std::collections::BTreeMap;

use conclave_machine::{Event, SessionId, Token};

use super::moments::Moments;
use crate::asked::Demand;
use crate::history::{Belief, History, Micros};
use crate::replay::{Replay, Step, grants};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "beliefs";

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut by_name: BTreeMap<&str, Vec<&Belief>> = BTreeMap::new();
    for belief in history.beliefs.iter().filter(|belief| belief.from_us < belief.to_us) {
        verdict.judged(CHECK);
        by_name.entry(&belief.name).or_default().push(belief);
    }
    for (name, mut beliefs) in by_name {
        beliefs.sort_by_key(|belief| belief.from_us);
        together(name, &beliefs, verdict);
    }
    of_grants_in_the_log(history, replay, verdict);
    not_beyond_the_hold(history, replay, verdict);
}

/// Whatever somebody believes to hold, the log granted to that session, under that token.
fn of_grants_in_the_log(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut granted: BTreeMap<Token, SessionId> = BTreeMap::new();
    for step in &replay.steps {
        granted.extend(grants(step).into_iter().map(|(session, _, token)| (token, session)));
    }
    for belief in &history.beliefs {
        let known = granted.get(&belief.token);
        // A client that does not tell its session has zero.
        let is_own = |session: &SessionId| belief.session.get() == 0 || *session == belief.session;
        if known.is_some_and(is_own) {
            continue;
        }
        let whose = known.map_or("nobody".to_owned(), |session| format!("session {session}"));
        let what = format!(
            "believed from {} us to hold it under token {}, which the log granted to {whose}",
            belief.from_us, belief.token
        );
        let finding = Finding::new(CHECK, what).client(&belief.client);
        verdict.found(finding.session(belief.session).name(&belief.name));
    }
}

/// Goes through the beliefs in order of their beginning, with those that still last.
fn together(name: &str, beliefs: &[&Belief], verdict: &mut Verdict) {
    let mut lasting: Vec<&Belief> = Vec::new();
    for belief in beliefs {
        lasting.retain(|other| other.to_us > belief.from_us);
        if let Some(what) = excludes(belief, &lasting) {
            let finding = Finding::new(CHECK, what).client(&belief.client);
            verdict.found(finding.session(belief.session).name(name));
        }
        lasting.push(belief);
    }
}

fn excludes(belief: &Belief, lasting: &[&Belief]) -> Option<String> {
    let others = lasting.iter().filter(|other| other.token != belief.token);
    if let Demand::Permits { weight, limit } = belief.demand {
        let used: u64 = others.clone().map(|other| weight_of(other.demand)).sum();
        // Who was granted before the limit shrank goes by the limit that it was granted under.
        let limits = others.filter_map(|other| limit_of(other.demand));
        let limit = limits.fold(limit, u32::max);
        return (used + u64::from(weight) > u64::from(limit)).then(|| {
            format!(
                "believed from {} us to hold {weight} permits, while others believed to hold {used} of {limit}",
                belief.from_us
            )
        });
    }
    let mut others = others.filter(|other| !beside(belief.demand, other.demand));
    let other = others.next()?;
    Some(format!(
        "believed from {} to {} us to hold it under token {}, while client {} session {} believed so from {} to {} us under token {}",
        belief.from_us,
        belief.to_us,
        belief.token,
        other.client,
        other.session,
        other.from_us,
        other.to_us,
        other.token
    ))
}

const fn weight_of(demand: Demand) -> u64 {
    if let Demand::Permits { weight, .. } = demand { weight as u64 } else { 0 }
}

const fn limit_of(demand: Demand) -> Option<u32> {
    if let Demand::Permits { limit, .. } = demand { Some(limit) } else { None }
}

const fn beside(one: Demand, other: Demand) -> bool {
    matches!(
        (one, other),
        (Demand::Read, Demand::Read | Demand::Upgradable) | (Demand::Upgradable, Demand::Read)
    )
}

/// When the log ended a hold, its client had stopped believing.
fn not_beyond_the_hold(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let moments = Moments::of(history);
    let mut ended: BTreeMap<Token, (&Step, Micros)> = BTreeMap::new();
    for step in &replay.steps {
        let Some(at) = moments.of_entry(step.index) else { continue };
        for event in &step.events {
            if let Event::HoldEnded { token, .. } = event {
                ended.insert(*token, (step, at));
            }
        }
    }
    for belief in &history.beliefs {
        let Some((step, at)) = ended.get(&belief.token) else { continue };
        if belief.to_us > *at {
            let what = format!(
                "believed until {} us to hold it under token {}, which had ended at {at} us",
                belief.to_us, belief.token
            );
            let finding = Finding::new(CHECK, what).at(step.revision).client(&belief.client);
            verdict.found(finding.session(belief.session).name(&belief.name));
        }
    }
}
