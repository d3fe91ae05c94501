//! The losses of sessions as lists that all their acknowledgements share: a session may have thousands, and a client that does
//! not read its acknowledgements must not multiply them.

use std::collections::HashMap;
use std::sync::Arc;

use conclave_machine::{Loss, Machine, SessionId};

#[derive(Debug, Default)]
pub(super) struct Told {
    lists: HashMap<SessionId, List>,
    /// Counts confirmations: a list is read from the machine once in each.
    round: u64,
    /// Losses that were read from the machine.
    read: usize,
}

#[derive(Debug)]
struct List {
    losses: Arc<[Loss]>,
    round: u64,
}

impl Told {
    /// What is read from now on was confirmed anew.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
        // Nobody holds it any more: it is made again when it is asked for.
        self.lists.retain(|_, list| Arc::strong_count(&list.losses) > 1);
    }

    /// How many losses were read from the machine so far.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// All losses that the client has not confirmed, complete up to the revision that this round confirmed.
    pub(super) fn losses(&mut self, session: SessionId, machine: &Machine) -> Arc<[Loss]> {
        let known = self.lists.get_mut(&session);
        if let Some(list) = known.as_ref().filter(|list| list.round == self.round) {
            return list.losses.clone();
        }
        let losses = machine.losses(session);
        self.read += losses.len();
        let round = self.round;
        match known {
            Some(list) if *list.losses == losses[..] => list.round = round,
            Some(_) | None if losses.is_empty() => return Arc::default(),
            Some(_) | None => {
                let list = List { losses: losses.into(), round };
                self.lists.insert(session, list);
            }
        }
        self.lists[&session].losses.clone()
    }
}
