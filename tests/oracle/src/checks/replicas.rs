//! Nodes that applied the same entries have the same state: the one that the log gives.

use std::collections::{BTreeMap, BTreeSet};

use conclave_machine::{Machine, Revision};

use crate::history::History;
use crate::verdict::{Finding, Verdict};

const CHECK: &str = "replicas";

/// The states of the replay at the entries that some node told the digest of.
#[derive(Default)]
pub(crate) struct Replicas {
    wanted: BTreeSet<u64>,
    expected: BTreeMap<u64, (Revision, u64)>,
}

impl Replicas {
    pub(crate) fn of(history: &History) -> Self {
        let told = history.applied.iter().filter(|at| at.digest.is_some() || at.revision.is_some());
        Self { wanted: told.map(|applied| applied.index).collect(), ..Self::default() }
    }

    pub(crate) fn after_entry(&mut self, index: u64, revision: Revision, machine: &Machine) {
        if self.wanted.contains(&index) {
            self.expected.insert(index, (revision, machine.digest()));
        }
    }

    pub(crate) fn conclude(&self, history: &History, verdict: &mut Verdict) {
        for applied in &history.applied {
            let Some((revision, digest)) = self.expected.get(&applied.index) else {
                if applied.digest.is_some() {
                    let what = format!(
                        "node {} applied entry {}, which the committed log does not have",
                        applied.node, applied.index
                    );
                    verdict.found(Finding::new(CHECK, what));
                }
                continue;
            };
            verdict.judged(CHECK);
            if let Some(other) = applied.revision.filter(|other| other != revision) {
                let what = format!(
                    "node {} is at revision {other} after entry {}, where the log is at {revision}",
                    applied.node, applied.index
                );
                verdict.found(Finding::new(CHECK, what).at(*revision));
            }
            if let Some(other) = applied.digest.filter(|other| other != digest) {
                let what = format!(
                    "node {} has state {other:016x} after entry {}, the log gives {digest:016x}",
                    applied.node, applied.index
                );
                verdict.found(Finding::new(CHECK, what).at(*revision));
            }
        }
    }
}
