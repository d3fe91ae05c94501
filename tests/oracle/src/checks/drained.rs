//! When the faults are over and the clients have let go, nobody waits and nothing is held: nothing was leaked.

use conclave_model::Model;

use crate::history::History;
use crate::replay::Replay;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "drained";
/// As many as anybody would read.
const SHOWN: usize = 64;

pub(crate) fn check(history: &History, replay: &Replay, verdict: &mut Verdict) {
    if !history.terms.drained {
        return;
    }
    verdict.judged(CHECK);
    let model: &Model = &replay.model;
    for (session, seq) in model.waits() {
        let what = "still waits at the end";
        verdict.found(Finding::new(CHECK, what).session(session).seq(seq));
    }
    for summary in model.list("", conclave_machine::Sort::Name, None, usize::MAX).items {
        let Some(view) = model.inspect(&summary.name, SHOWN) else { continue };
        for holder in view.holders {
            let what =
                format!("token {} is still held at the end: {:?}", holder.token, holder.state);
            let finding = Finding::new(CHECK, what).session(holder.session);
            verdict.found(finding.name(summary.name.as_str()));
        }
    }
}
