//! What was acknowledged is in the log, and what is in the log somebody asked for.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::{Command, Revision};

use super::answers;
use crate::asked::Asked;
use crate::history::{Call, History};
use crate::replay::Replay;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "durable";

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let last = Revision(replay.steps.len() as u64);
    for call in &history.calls {
        for heard in call.answers.iter().filter(|heard| heard.revision.get() > 0) {
            verdict.judged(CHECK);
            if heard.revision > last {
                let what = format!(
                    "asked {:?} and heard {:?}, but the committed log ends at revision {last}: it was lost",
                    call.asked, heard.answer
                );
                verdict.found(Finding { check: CHECK, ..answers::of(call, heard, what) });
            }
        }
    }
    for applied in &history.applied {
        verdict.judged(CHECK);
        let reached = applied.revision.unwrap_or(Revision(0));
        if reached > last {
            let what = format!(
                "node {} applied entry {} up to revision {reached}, but the committed log ends at revision {last}",
                applied.node, applied.index
            );
            verdict.found(Finding::new(CHECK, what));
        }
    }
    if history.terms.all_calls_recorded {
        nobody_asked(history, replay, verdict);
    }
}

/// Every call of the log was asked by some client, in these words.
fn nobody_asked(history: &History, replay: &Replay, verdict: &mut Verdict) {
    let mut by_seq: BTreeMap<_, Vec<&Call>> = BTreeMap::new();
    for call in &history.calls {
        by_seq.entry((call.session, call.seq)).or_default().push(call);
    }
    let clients: BTreeSet<_> = history.calls.iter().map(|call| call.session).collect();
    for step in &replay.steps {
        let Command::Call(call) = &step.command else { continue };
        verdict.judged(CHECK);
        let known = by_seq.get(&(call.key.id, call.seq));
        if known.is_some_and(|calls| calls.iter().any(|call| answers::is_of(call, step))) {
            continue;
        }
        let whose = if clients.contains(&call.key.id) { "" } else { ", whose client is not known" };
        let what = format!(
            "the log has {:?}, which nobody asked for{whose}; asked was {:?}",
            Asked::of(&step.command),
            known.map_or(Vec::new(), |calls| calls.iter().map(|call| &call.asked).collect())
        );
        let finding = Finding::new(CHECK, what).at(step.revision);
        verdict.found(finding.session(call.key.id).seq(call.seq));
    }
}
