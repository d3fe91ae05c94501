//! Who came first is served first: within one priority nobody is granted a mutex, a write lock or permits before somebody who
//! waited for it longer. Upgrades (which go before everybody) and elections (where operators and eligibility have a say) are
//! left to `rules`.

use std::collections::BTreeSet;

use conclave_machine::{Acquire, Command, Demand, Event, Mode, Op, Outcome, Seq, SessionId, Token};

use crate::replay::{Step, grants};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "fifo";

struct Wait<'a> {
    session: SessionId,
    seq: Seq,
    acquire: &'a Acquire,
}

pub(crate) fn of_steps(steps: &[Step], verdict: &mut Verdict) {
    // In order of arrival.
    let mut queue: Vec<Wait<'_>> = Vec::new();
    let mut met: BTreeSet<(SessionId, Seq)> = BTreeSet::new();
    for step in steps {
        // A retry is told again what it got: that is no grant. What was refused may leave its seq to another call.
        let taken = matches!(step.outcome, Outcome::Queued { .. } | Outcome::Granted { .. });
        let call = step.session().zip(step.seq()).filter(|_| taken);
        let is_new = call.is_some_and(|call| met.insert(call));
        let newcomer = asked(step).filter(|_| is_new);
        for (granted, at, seq, token) in leave(&mut queue, step, newcomer) {
            verdict.judged(CHECK);
            if let Some((other, name)) = overtaken(&queue[..at], granted.acquire) {
                let what = format!(
                    "token {token} was granted before session {} seq {}, who waited for it longer",
                    other.session, other.seq
                );
                let finding = Finding::new(CHECK, what).at(step.revision).session(granted.session);
                verdict.found(finding.seq(seq).name(name));
            }
        }
        if let (Some(acquire), Outcome::Queued { .. }) = (newcomer, &step.outcome) {
            let Command::Call(call) = &step.command else { continue };
            queue.push(Wait { session: call.key.id, seq: call.seq, acquire });
        }
    }
}

/// Takes out who does not wait any more after this step. Returned is who was granted, with how many of those who still wait
/// had come before.
fn leave<'a>(
    queue: &mut Vec<Wait<'a>>,
    step: &Step,
    newcomer: Option<&'a Acquire>,
) -> Vec<(Wait<'a>, usize, Seq, Token)> {
    let mut granted = Vec::new();
    for event in &step.events {
        if let Event::Passed { session, seq, .. } | Event::WaitEnded { session, seq, .. } = event {
            queue.retain(|wait| (wait.session, wait.seq) != (*session, *seq));
        }
    }
    for (session, seq, token) in grants(step) {
        let at = queue.iter().position(|wait| (wait.session, wait.seq) == (session, seq));
        match (at, newcomer) {
            (Some(at), _) => {
                let wait = queue.remove(at);
                // Of those who left in this step before, some had stood behind it.
                granted.iter_mut().for_each(|(_, before, ..): &mut (_, usize, _, _)| {
                    *before -= usize::from(*before > at);
                });
                granted.push((wait, at, seq, token));
            }
            // At once: everybody who waits came before.
            (None, Some(acquire)) if step.seq() == Some(seq) => {
                granted.push((Wait { session, seq, acquire }, queue.len(), seq, token));
            }
            (None, Some(_) | None) => {}
        }
    }
    granted
}

fn asked(step: &Step) -> Option<&Acquire> {
    let Command::Call(call) = &step.command else { return None };
    let Op::Acquire(acquire) = &call.op else { return None };
    Some(acquire)
}

/// The first who waits for the same with at least this priority and whom this grant keeps waiting.
fn overtaken<'a>(ahead: &'a [Wait<'a>], granted: &'a Acquire) -> Option<(&'a Wait<'a>, &'a str)> {
    ahead.iter().filter(|wait| wait.acquire.priority >= granted.priority).find_map(|wait| {
        let mut items = granted.items.iter();
        let item = items.find(|item| {
            let wanted = wait.acquire.items.iter().find(|wanted| wanted.name == item.name);
            wanted.is_some_and(|wanted| in_line(item.demand, wanted.demand))
        });
        item.map(|item| (wait, item.name.as_str()))
    })
}

/// Whether of these two the first must not go before the second.
const fn in_line(granted: Demand, waits: Demand) -> bool {
    match (granted, waits) {
        (Demand::Mutex, Demand::Mutex) | (Demand::Permits { .. }, Demand::Permits { .. }) => true,
        (Demand::RwLock(one), Demand::RwLock(other)) => {
            matches!(one, Mode::Write) || matches!(other, Mode::Write)
        }
        (
            Demand::Mutex
            | Demand::Permits { .. }
            | Demand::RwLock(_)
            | Demand::Lead
            | Demand::Run { .. }
            | Demand::Latch
            | Demand::Gate
            | Demand::Arrive { .. },
            _,
        ) => false,
    }
}
