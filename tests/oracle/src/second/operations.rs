//! From the calls of a history to operations on one name each.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::{Seq, SessionId, Token};

use super::ByName;
use super::checker::Seen;
use super::counter::CounterOp;
use super::mutex::MutexOp;
use super::register::RegisterOp;
use crate::answer::{Answer, Holding};
use crate::asked::{Asked, Change, Reading};
use crate::history::{Call, Heard, History, Micros};

/// Each seq once: several records of one are one call.
pub(super) fn once_each(history: &History) -> Vec<Call> {
    let mut by_seq: BTreeMap<(SessionId, Seq), usize> = BTreeMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for call in &history.calls {
        if call.seq.get() == 0 {
            calls.push(call.clone());
            continue;
        }
        let at = *by_seq.entry((call.session, call.seq)).or_insert(calls.len());
        match calls.get_mut(at) {
            None => calls.push(call.clone()),
            Some(known) => {
                known.invoked_us = known.invoked_us.min(call.invoked_us);
                if decided(known).is_none() {
                    known.answers.clone_from(&call.answers);
                }
            }
        }
    }
    calls
}

/// Reasons that say nothing of what became of an earlier attempt.
const SAYS_NOTHING: &[&str] = &["SEQ_REUSED", "SEQ_GONE", "SESSION_EXPIRED", "SESSION_FENCED"];

/// None: unknown.
fn decided(call: &Call) -> Option<&Heard> {
    call.decided().filter(|heard| {
        let Answer::Refused { reason } = &heard.answer else { return true };
        !SAYS_NOTHING.contains(&&**reason)
    })
}

fn seen<O>(call: &Call, operation: O) -> Seen<'_, O> {
    let returned_us = decided(call).map(|heard| heard.at_us);
    Seen { client: &call.client, operation, invoked_us: call.invoked_us, returned_us }
}

fn answer(call: &Call) -> Option<&Answer> {
    decided(call).map(|heard| &heard.answer)
}

pub(super) fn counters(calls: &[Call]) -> ByName<'_, CounterOp> {
    let mut by_name = ByName::new();
    for call in calls {
        let (name, operation) = match (&call.asked, answer(call)) {
            (Asked::Edit { name, change: Change::AddCounter { delta }, .. }, None) => {
                (name, CounterOp::Add { delta: *delta, value: None })
            }
            (
                Asked::Edit { name, change: Change::AddCounter { delta }, .. },
                Some(Answer::Counted { value }),
            ) => (name, CounterOp::Add { delta: *delta, value: Some(*value) }),
            (Asked::Read(Reading::Counter { name }), Some(Answer::Counter { value })) => {
                (name, CounterOp::Read { value: *value })
            }
            (Asked::Delete { name }, None | Some(Answer::Deleted)) => (name, CounterOp::Deleted),
            (_, _) => continue,
        };
        by_name.entry(&**name).or_default().push(seen(call, operation));
    }
    by_name
}

pub(super) fn registers(calls: &[Call]) -> ByName<'_, RegisterOp> {
    let mut by_name = ByName::new();
    for call in calls {
        let (name, operation) = match (&call.asked, answer(call)) {
            (Asked::Edit { name, change, .. }, answer) => match edited(change, answer) {
                Some(operation) => (name, operation),
                None => continue,
            },
            (Asked::Read(Reading::Register { name }), Some(Answer::Register { found })) => {
                (name, RegisterOp::Read { found: found.clone() })
            }
            (Asked::Delete { name }, None | Some(Answer::Deleted)) => (name, RegisterOp::Deleted),
            (_, _) => continue,
        };
        by_name.entry(&**name).or_default().push(seen(call, operation));
    }
    by_name
}

/// None: it says nothing of a register.
fn edited(change: &Change, answer: Option<&Answer>) -> Option<RegisterOp> {
    match (change, answer) {
        (
            Change::SetRegister { expect, .. } | Change::DeleteRegister { expect },
            Some(Answer::Conflict { version }),
        ) => Some(RegisterOp::Conflict { expect: *expect, version: *version }),
        (Change::SetRegister { value, expect, bound: _ }, Some(Answer::Written { version })) => {
            let version = Some(*version);
            Some(RegisterOp::Write { value: value.clone(), expect: *expect, version })
        }
        (Change::SetRegister { value, expect, bound: _ }, None) => {
            Some(RegisterOp::Write { value: value.clone(), expect: *expect, version: None })
        }
        (Change::DeleteRegister { expect }, None | Some(Answer::RegisterDeleted)) => {
            Some(RegisterOp::Delete { expect: *expect })
        }
        (_, _) => None,
    }
}

pub(super) fn mutexes(calls: &[Call]) -> ByName<'_, MutexOp> {
    let mut by_name: ByName<'_, MutexOp> = ByName::new();
    let mut names: BTreeMap<Token, (&str, Micros)> = BTreeMap::new();
    // Where an acquire was never answered somebody may hold it whose token nobody knows.
    let mut ghosts: BTreeSet<&str> = BTreeSet::new();
    for call in calls {
        let Asked::Acquire { items, .. } = &call.asked else { continue };
        let Some(name) = items.first().map(|item| &*item.name) else { continue };
        match answer(call) {
            Some(Answer::Granted { token }) => {
                names.insert(*token, (name, call.invoked_us));
                let operation = MutexOp::Granted { token: *token };
                by_name.entry(name).or_default().push(seen(call, operation));
            }
            None => drop(ghosts.insert(name)),
            Some(_) => {}
        }
    }
    adopted(calls, &mut names, &mut by_name);
    for call in calls {
        if let (Asked::Adopt { token }, None) = (&call.asked, answer(call))
            && let Some((name, _)) = names.get(token)
        {
            ghosts.insert(name);
        }
    }
    let mut released: BTreeSet<Token> = BTreeSet::new();
    for call in calls {
        let (name, operation) = match (&call.asked, answer(call)) {
            (Asked::Release { token, .. }, Some(Answer::Released)) => {
                let Some((name, _)) = names.get(token) else { continue };
                released.insert(*token);
                (*name, MutexOp::Released { token: *token })
            }
            (Asked::Acquire { items, .. }, Some(Answer::Held)) => {
                let Some(name) = items.first().map(|item| &*item.name) else { continue };
                if ghosts.contains(name) {
                    continue;
                }
                (name, MutexOp::Held)
            }
            (Asked::Read(Reading::Check { name, token }), Some(Answer::Checked { state })) => {
                let holds = *state != Holding::NotHeld;
                // A token of a grant that nobody heard of.
                if holds && !names.contains_key(token) {
                    continue;
                }
                (&**name, MutexOp::Checked { token: *token, holds })
            }
            (_, _) => continue,
        };
        by_name.entry(name).or_default().push(seen(call, operation));
    }
    for (token, (name, invoked_us)) in names.iter().filter(|(token, _)| !released.contains(token)) {
        let operation = MutexOp::Ended { token: *token };
        let ended = Seen { client: "", operation, invoked_us: *invoked_us, returned_us: None };
        by_name.entry(*name).or_default().push(ended);
    }
    by_name
}

/// Holds that came back under another token, however often.
fn adopted<'a>(
    calls: &'a [Call],
    names: &mut BTreeMap<Token, (&'a str, Micros)>,
    by_name: &mut ByName<'a, MutexOp>,
) {
    let adopts = calls.iter().filter_map(|call| match (&call.asked, answer(call)) {
        (Asked::Adopt { token: old }, Some(Answer::Granted { token })) => {
            Some((*token, *old, call))
        }
        (_, _) => None,
    });
    // The old token was granted first.
    let adopts: BTreeMap<_, _> = adopts.map(|(token, old, call)| (token, (old, call))).collect();
    for (token, (old, call)) in adopts {
        let Some((name, _)) = names.get(&old).copied() else { continue };
        names.insert(token, (name, call.invoked_us));
        by_name.entry(name).or_default().push(seen(call, MutexOp::Adopted { old, token }));
    }
}
