//! What was decided: the committed log as the nodes have it, each entry once, applied to a machine of our own, by which the world knows
//! when a session ends and when everything has drained. What is right in it says the oracle, in the end.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_machine::{Context, Event, Machine, SessionEnd, Term};
use conclave_oracle::Logbook;
use conclave_raft::storage::decode_batch;
use conclave_store::LogEntry;

/// The kind of an entry that carries commands: its second byte.
const BATCH: u8 = 1;

#[derive(Default)]
pub struct Truth {
    book: Logbook,
    machine: Machine,
    /// Term and payload by index, of what is not applied yet.
    waiting: BTreeMap<u64, (u64, Bytes)>,
    applied: u64,
    /// The first entry that ends at a revision.
    ends: BTreeMap<u64, u64>,
    pub commands: u64,
}

/// A session ended by the log.
pub struct Ending {
    pub session: u64,
    pub end: SessionEnd,
}

impl Truth {
    /// A node says that this entry is committed.
    pub fn see(&mut self, node: &str, entry: LogEntry) -> Result<Vec<Ending>, String> {
        let LogEntry { position, payload } = entry;
        self.book.add(node, position, payload.clone()).map_err(|error| error.to_string())?;
        if position.index >= self.applied {
            self.waiting.insert(position.index, (position.term, payload));
        }
        let mut endings = Vec::new();
        while let Some((term, payload)) = self.waiting.remove(&self.applied) {
            self.apply(term, &payload, &mut endings)?;
            self.ends.entry(self.machine.revision().get()).or_insert(self.applied);
            self.applied += 1;
        }
        Ok(endings)
    }

    fn apply(
        &mut self,
        term: u64,
        payload: &Bytes,
        endings: &mut Vec<Ending>,
    ) -> Result<(), String> {
        if payload.get(1) != Some(&BATCH) {
            return Ok(());
        }
        let batch = decode_batch(payload).map_err(|error| error.to_string())?;
        let context = Context { term: Term(term), stamp_ms: batch.stamp_ms };
        for command in batch.commands {
            self.commands += 1;
            let mut events = Vec::new();
            self.machine.apply(&context, command, &mut events);
            for event in events {
                if let Event::SessionEnded { session, end } = event {
                    endings.push(Ending { session: session.get(), end });
                }
            }
        }
        Ok(())
    }

    /// The first entry after which a node is at that revision. None: no entry that is known ends there.
    #[must_use]
    pub fn entry_at(&self, revision: u64) -> Option<u64> {
        self.ends.get(&revision).copied()
    }

    #[must_use]
    pub fn book(&self) -> &Logbook {
        &self.book
    }

    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    #[must_use]
    pub fn entries(&self) -> u64 {
        self.applied
    }
}
