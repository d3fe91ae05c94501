//! The second opinion: is there an order, within what each client saw of real time, in which all answers about one name make
//! sense? It knows neither the log nor the revisions nor the model, so a log that was made up to fit does not fool it.
//!
//! For mutexes, registers and counters, one name at a time, and small histories: the search may take exponential time where
//! much was never answered. What it gave up is counted as `undecided`, never as good.

mod checker;
mod counter;
mod mutex;
mod operations;
mod register;

use std::collections::BTreeMap;

use crate::asked::{Asked, Change, Demand};
use crate::history::{Call, History};
use crate::verdict::{Finding, Verdict};
use checker::{Opinion, Seen, Spec, opinion};
use counter::CounterSpec;
use mutex::MutexSpec;
use register::RegisterSpec;

const CHECK: &str = "second opinion";

/// Operations about one name.
type ByName<'a, O> = BTreeMap<&'a str, Vec<Seen<'a, O>>>;

/// Judges a history by itself.
#[must_use]
pub fn second_opinion(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let calls = operations::once_each(history);
    let uses = uses(&calls);
    let of = |kind| {
        let uses = &uses;
        move |name: &str| uses.get(name) == Some(&Some(kind))
    };
    each::<CounterSpec>(operations::counters(&calls), of(Use::Counter), &mut verdict);
    each::<RegisterSpec>(operations::registers(&calls), of(Use::Register), &mut verdict);
    each::<MutexSpec>(operations::mutexes(&calls), of(Use::Mutex), &mut verdict);
    verdict.conclude(&[])
}

fn each<S: Spec>(
    by_name: ByName<'_, S::Operation>,
    is_of_kind: impl Fn(&str) -> bool,
    verdict: &mut Verdict,
) {
    for (name, mut seen) in by_name {
        if !is_of_kind(name) {
            continue;
        }
        seen.sort_by_key(|one| one.invoked_us);
        match opinion::<S>(&seen) {
            Opinion::Linearizable => verdict.judged(CHECK),
            Opinion::Undecided => verdict.judged("undecided"),
            Opinion::Impossible { ordered, stuck } => {
                let Seen { client, operation, invoked_us, returned_us } = &seen[stuck];
                let what = format!(
                    "no order of these {} operations makes sense; with {ordered} of them in order, {operation:?} (asked at {invoked_us} us, answered at {returned_us:?} us) fits no more",
                    seen.len()
                );
                verdict.found(Finding::new(CHECK, what).client(client).name(name));
            }
        }
    }
}

/// What a name is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Mutex,
    Counter,
    Register,
    Other,
}

/// None: for several kinds of things, so that it may stand for one after the other.
fn uses(calls: &[Call]) -> BTreeMap<&str, Option<Use>> {
    let mut uses: BTreeMap<&str, Option<Use>> = BTreeMap::new();
    for call in calls {
        let mut used = |name, as_what| {
            let known = uses.entry(name).or_insert(Some(as_what));
            *known = known.filter(|known| *known == as_what);
        };
        if let Asked::Acquire { items, .. } = &call.asked {
            for item in items {
                let alone = items.len() == 1 && item.demand == Demand::Mutex;
                used(&*item.name, if alone { Use::Mutex } else { Use::Other });
            }
        }
        if let Asked::Edit { name, change, .. } = &call.asked {
            used(&**name, use_of(change));
        }
    }
    uses
}

const fn use_of(change: &Change) -> Use {
    match change {
        Change::SetRegister { bound: false, .. } | Change::DeleteRegister { .. } => Use::Register,
        Change::AddCounter { .. } => Use::Counter,
        // One that vanishes with a session does so at a time that no client knows.
        Change::SetRegister { bound: true, .. }
        | Change::CreateLatch { .. }
        | Change::CountDown { .. }
        | Change::ResetLatch
        | Change::SetGate { .. } => Use::Other,
    }
}
