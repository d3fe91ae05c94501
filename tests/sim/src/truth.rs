//! What was decided: the committed log as the nodes have it, each entry once, applied to a machine of our own. Whatever a node or a
//! client says is held against it.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_machine::{Command, Context, Event, Machine, Outcome, SessionEnd, Term};
use conclave_raft::storage::decode_batch;
use conclave_store::LogEntry;

/// The kind of an entry that carries commands: its second byte.
const BATCH: u8 = 1;

#[derive(Default)]
pub struct Truth {
    machine: Machine,
    /// Term and payload by index, from the first entry that ever was.
    entries: BTreeMap<u64, (u64, Bytes)>,
    applied: u64,
    /// Session and seq by token.
    grants: BTreeMap<u64, (u64, u64)>,
    token_max: u64,
    ended: BTreeMap<u64, SessionEnd>,
    /// Digests by revision, where an entry ends.
    digests: BTreeMap<u64, u64>,
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
        let (index, term) = (entry.position.index, entry.position.term);
        if let Some((known_term, known)) = self.entries.get(&index) {
            if *known_term != term || *known != entry.payload {
                return Err(format!(
                    "{node} has committed another entry {index}, of term {term}; it was of term {known_term}"
                ));
            }
            return Ok(Vec::new());
        }
        self.entries.insert(index, (term, entry.payload));
        let mut endings = Vec::new();
        while let Some((term, payload)) = self.entries.get(&self.applied).cloned() {
            self.applied += 1;
            self.apply(term, &payload, &mut endings)?;
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
            let call = match &command {
                Command::Call(call) => Some((call.key.id.get(), call.seq.get())),
                _ => None,
            };
            let mut events = Vec::new();
            let (_, outcome) = self.machine.apply(&context, command, &mut events);
            if let (Outcome::Granted { token, .. }, Some((session, seq))) = (&outcome, call) {
                self.granted(token.get(), session, seq)?;
            }
            for event in events {
                match event {
                    Event::Granted { session, seq, token, .. } => {
                        self.granted(token.get(), session.get(), seq.get())?;
                    }
                    Event::SessionEnded { session, end } => {
                        self.ended.insert(session.get(), end.clone());
                        endings.push(Ending { session: session.get(), end });
                    }
                    _ => {}
                }
            }
        }
        self.digests.insert(self.machine.revision().get(), self.machine.digest());
        Ok(())
    }

    fn granted(&mut self, token: u64, session: u64, seq: u64) -> Result<(), String> {
        if let Some(known) = self.grants.get(&token) {
            // A retry is told the same.
            return match *known == (session, seq) {
                true => Ok(()),
                false => Err(format!("token {token} was given twice: {known:?}, {session}/{seq}")),
            };
        }
        if token <= self.token_max {
            return Err(format!("token {token} comes after {}", self.token_max));
        }
        if let Some(end) = self.ended.get(&session) {
            return Err(format!("session {session} was granted {token} after its end ({end:?})"));
        }
        self.token_max = token;
        self.grants.insert(token, (session, seq));
        Ok(())
    }

    /// A node's state at that revision.
    pub fn compare(&self, node: &str, revision: u64, digest: u64) -> Result<bool, String> {
        match self.digests.get(&revision) {
            Some(known) if *known != digest => {
                Err(format!("{node} has another state at {revision}"))
            }
            Some(_) => Ok(true),
            None => Ok(false),
        }
    }

    /// Whether the log has this grant.
    #[must_use]
    pub fn has_granted(&self, session: u64, token: u64) -> bool {
        self.grants.get(&token).is_some_and(|(holder, _)| *holder == session)
    }

    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    #[must_use]
    pub fn entries(&self) -> u64 {
        self.applied
    }

    #[must_use]
    pub fn grants(&self) -> u64 {
        self.grants.len() as u64
    }
}
