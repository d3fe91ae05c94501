//! What readers saw is the state at the revision that they were told.

use conclave_machine::Revision;
use conclave_model::Model;

use super::answers;
use crate::answer::{Answer, Found};
use crate::asked::{Asked, Reading};
use crate::history::{Call, Heard, History, name_of};
use crate::replay::Replay;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "reads";
/// Waiters that an inspection would list: none, only their number counts.
const QUEUE_SHOWN: usize = 0;

/// Reads in order of revision, each asked of the model when the replay gets there.
pub(crate) struct Reads<'a> {
    reads: Vec<(&'a Call, &'a Reading, &'a Heard)>,
    /// The next one.
    next: usize,
    judged: u64,
    found: Vec<Finding>,
}

impl<'a> Reads<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let read = |call: &'a Call| {
            let Asked::Read(reading) = &call.asked else { return Vec::new() };
            call.answers.iter().map(|heard| (call, reading, heard)).collect()
        };
        let mut reads: Vec<_> = history.calls.iter().flat_map(read).collect();
        reads.sort_by_key(|(_, _, heard)| heard.revision);
        Self { reads, next: 0, judged: 0, found: Vec::new() }
    }

    /// What is left was read at a revision that the log does not have.
    pub(crate) fn conclude(self, replay: &Replay, verdict: &mut Verdict) {
        for (call, _, heard) in &self.reads[self.next..] {
            let what = format!(
                "read at revision {}, but the log ends at revision {}",
                heard.revision,
                replay.steps.len()
            );
            verdict.found(Finding { check: CHECK, ..answers::of(call, heard, what) });
        }
        (0..self.judged).for_each(|_| verdict.judged(CHECK));
        self.found.into_iter().for_each(|finding| verdict.found(finding));
    }
}

impl Reads<'_> {
    /// The replay has got to this revision.
    pub(crate) fn after(&mut self, revision: Revision, model: &Model) {
        while let Some((call, reading, heard)) = self.reads.get(self.next)
            && heard.revision <= revision
        {
            self.next += 1;
            self.judged += 1;
            let expected = expected(reading, model);
            if expected.as_ref() != Some(&heard.answer) {
                let what = format!("saw {:?}, but the state there is {expected:?}", heard.answer);
                self.found.push(Finding { check: CHECK, ..answers::of(call, heard, what) });
            }
        }
    }
}

/// None: the name is none.
fn expected(reading: &Reading, model: &Model) -> Option<Answer> {
    Some(match reading {
        Reading::Check { name, token } => {
            Answer::Checked { state: model.check(&name_of(name)?, *token).into() }
        }
        Reading::Register { name } => Answer::Register {
            found: model.register_value(&name_of(name)?).map(|found| Found {
                version: found.version,
                value: found.value.as_bytes().to_vec(),
            }),
        },
        Reading::Counter { name } => {
            Answer::Counter { value: model.counter_value(&name_of(name)?) }
        }
        Reading::Holders { name } => {
            let view = model.inspect(&name_of(name)?, QUEUE_SHOWN);
            let holders = view.as_ref().map(|view| &*view.holders).unwrap_or_default();
            let mut tokens: Vec<_> = holders.iter().map(|holder| holder.token.get()).collect();
            tokens.sort_unstable();
            Answer::Holders { tokens, queue_len: view.map_or(0, |view| view.queue_len) }
        }
    })
}
