//! The committed log, put together from what nodes have of it. Where two nodes committed different entries at one index,
//! nothing else is worth judging: that is the violation.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use conclave_machine::Command;
use conclave_raft::storage::{DecodeError, decode_batch};
use conclave_store::{LogPosition, LogStore, Wal, WalOpenError, WalOptions};

/// The first byte of a payload is the version, the second says what follows; an entry with commands has this one.
const KIND_BATCH: u8 = 1;
/// What lies in memory at once while a log is read.
const READ_BYTES_MAX: usize = 8 << 20;

/// An entry as a node has it on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    term: u64,
    payload: Bytes,
    /// Who had it first.
    node: String,
}

/// Collects committed entries from nodes, again and again if they purge theirs meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Logbook {
    entries: BTreeMap<u64, Stored>,
}

/// One committed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub stamp_ms: u64,
    /// Empty: a new leader's first entry, or a membership.
    pub commands: Vec<Command>,
}

/// The whole committed log from its beginning, without a hole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    pub entries: Vec<Entry>,
}

/// Why there is no log to judge by.
#[derive(Debug, thiserror::Error)]
pub enum LogbookError {
    #[error(
        "at index {index} node {one} committed an entry of term {one_term}, node {other} another one of term {other_term}"
    )]
    Forked { index: u64, one: String, one_term: u64, other: String, other_term: u64 },
    #[error("the log has a hole: entry {index} is missing (purged before it was read?)")]
    Hole { index: u64 },
    #[error("entry {index}: {source}")]
    Decode { index: u64, source: DecodeError },
    #[error("cannot read the log of node {node}: {source}")]
    Read { node: String, source: io::Error },
    #[error("cannot open the log {path}: {source}")]
    Open { path: PathBuf, source: WalOpenError },
}

impl Logbook {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One committed entry, with its payload as the log has it.
    pub fn add(
        &mut self,
        node: &str,
        position: LogPosition,
        payload: Bytes,
    ) -> Result<(), LogbookError> {
        let stored = Stored { term: position.term, payload, node: node.to_owned() };
        let known = self.entries.entry(position.index).or_insert_with(|| stored.clone());
        if (known.term, &known.payload) == (stored.term, &stored.payload) {
            return Ok(());
        }
        Err(LogbookError::Forked {
            index: position.index,
            one: known.node.clone(),
            one_term: known.term,
            other: stored.node,
            other_term: stored.term,
        })
    }

    /// What a node has and knows to be committed: by its own log, or (where that is written without a flush and may be
    /// older) by `applied`, the last entry that it was seen to apply.
    pub fn read(
        &mut self,
        node: &str,
        log: &impl LogStore,
        applied: Option<u64>,
    ) -> Result<(), LogbookError> {
        let failed = |source| LogbookError::Read { node: node.to_owned(), source };
        let state = log.state();
        let committed = state.committed.map(|position| position.index);
        let Some(last) = committed.max(applied) else { return Ok(()) };
        let mut next = state.purged.map_or(0, |purged| purged.index + 1);
        while next <= last {
            let piece = log.read(next..last + 1, READ_BYTES_MAX).map_err(failed)?;
            let Some(end) = piece.last() else { break };
            next = end.position.index + 1;
            for entry in piece {
                self.add(node, entry.position, entry.payload)?;
            }
        }
        Ok(())
    }

    /// The same from the data directory of a process that has ended. A torn tail is cut off, as a start would do.
    pub fn read_directory(
        &mut self,
        node: &str,
        data: &Path,
        applied: Option<u64>,
    ) -> Result<(), LogbookError> {
        let path = data.join("wal");
        let open = Wal::open(&path, &WalOptions::default());
        let wal = open.map_err(|source| LogbookError::Open { path, source })?;
        self.read(node, &wal, applied)
    }

    /// The last index that is known.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.entries.last_key_value().map(|(index, _)| *index)
    }

    /// All of it, decoded.
    pub fn log(&self) -> Result<Log, LogbookError> {
        // The first entry is the membership that formed the cluster; index 0 is left out where tests begin at 1.
        let first = u64::from(!self.entries.contains_key(&0));
        let numbered = (first..).zip(&self.entries);
        let decoded = numbered.map(|(expected, (index, stored))| match expected == *index {
            true => decode(*index, stored),
            false => Err(LogbookError::Hole { index: expected }),
        });
        Ok(Log { entries: decoded.collect::<Result<_, _>>()? })
    }
}

fn decode(index: u64, stored: &Stored) -> Result<Entry, LogbookError> {
    let term = stored.term;
    if stored.payload.get(1) != Some(&KIND_BATCH) {
        return Ok(Entry { index, term, stamp_ms: 0, commands: Vec::new() });
    }
    let batch =
        decode_batch(&stored.payload).map_err(|source| LogbookError::Decode { index, source })?;
    Ok(Entry { index, term, stamp_ms: batch.stamp_ms, commands: batch.commands })
}
