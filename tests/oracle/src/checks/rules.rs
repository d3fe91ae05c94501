//! Everything else that may never be seen of outcomes and events, whoever decided them: the observer of the reference model
//! watches them (elections, upgrades, barriers, guards, who ends what, nobody waits for what is free).

use conclave_model::Observer;

use crate::replay::Step;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "rules";

pub(crate) fn of_steps(steps: &[Step], verdict: &mut Verdict) {
    let mut observer = Observer::new();
    for step in steps {
        verdict.judged(CHECK);
        if let Err(what) = observer.observe(&step.command, &step.outcome, &step.events) {
            let finding = Finding::new(CHECK, what).at(step.revision);
            verdict.found(match step.session() {
                Some(session) => finding.session(session),
                None => finding,
            });
            // What it knows is wrong from here on.
            return;
        }
    }
}
