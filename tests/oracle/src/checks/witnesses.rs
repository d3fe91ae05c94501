//! What the machines of nodes really did, where a test could see it: the same as the model, step by step, and within every
//! rule by itself. Each node is judged on its own.

use std::collections::BTreeMap;

use conclave_machine::Revision;

use super::{dead_sessions, fifo, holders, rules, tokens};
use crate::history::{History, Witnessed};
use crate::replay::{Replay, Step};
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "witnesses";

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut nodes: BTreeMap<&str, BTreeMap<Revision, &Witnessed>> = BTreeMap::new();
    for seen in &history.witnessed {
        let of_node = nodes.entry(&seen.node).or_default();
        // A node that restarted applies the same again: it must do the same again.
        if let Some(before) = of_node.insert(seen.revision, seen)
            && before != seen
        {
            let what = format!(
                "node {} did {:?} {:?} when it applied this again, and {:?} {:?} before",
                seen.node, seen.outcome, seen.events, before.outcome, before.events
            );
            verdict.found(Finding::new(CHECK, what).at(seen.revision));
        }
    }
    for (node, seen) in nodes {
        of_node(node, &seen, replay, verdict);
    }
}

fn of_node(
    node: &str,
    seen: &BTreeMap<Revision, &Witnessed>,
    replay: &Replay,
    verdict: &mut Verdict,
) {
    let mut steps = replay.steps.clone();
    let mut differs = false;
    for (revision, seen) in seen {
        verdict.judged(CHECK);
        let at = usize::try_from(revision.get()).ok().and_then(|at| at.checked_sub(1));
        let Some(step) = at.and_then(|at| steps.get_mut(at)) else {
            let what = format!("node {node} applied what the committed log does not have");
            verdict.found(Finding::new(CHECK, what).at(*revision));
            continue;
        };
        if (&seen.outcome, &seen.events) == (&step.outcome, &step.events) {
            continue;
        }
        differs = true;
        let what = format!(
            "node {node} did {:?} {:?}, the log says {:?} {:?}",
            seen.outcome, seen.events, step.outcome, step.events
        );
        let finding = Finding::new(CHECK, what).at(*revision);
        verdict.found(match step.session() {
            Some(session) => finding.session(session),
            None => finding,
        });
        (step.outcome, step.events) = (seen.outcome.clone(), seen.events.clone());
    }
    if differs {
        by_rules(&steps, verdict);
    }
}

/// Every rule that can be told from outcomes and events alone.
pub(crate) fn by_rules(steps: &[Step], verdict: &mut Verdict) {
    tokens::of_steps(steps, verdict);
    holders::of_steps(steps, verdict);
    fifo::of_steps(steps, verdict);
    dead_sessions::of_steps(steps, verdict);
    rules::of_steps(steps, verdict);
}
