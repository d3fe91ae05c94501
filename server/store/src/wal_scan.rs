//! Reads a log directory before raft-log does, changes nothing, and decides: sound, repairable, or refused.
//!
//! raft-log cuts the last chunk at any unexpected end of file, so one flipped bit in a length would silently take
//! acknowledged entries away. Here only a tail that was never acknowledged may be cut: one that ends within a record
//! (or in zeros that the file system put there), with no complete record after its beginning.
//! See docs/decisions/0001-log-and-snapshot-store.md for what this can and cannot tell apart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use raft_log::ChunkId;
use raft_log::chunked_wal::Config;

use crate::limits::SEARCH_BYTES_MAX;
use crate::wal_record::{Parsed, has_one_changed_byte, other_version, parse};

/// What must happen before raft-log may open the directory. Empty for a sound log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repair {
    /// Chunk files that were begun and never got a record, the last one first.
    pub(crate) remove: Vec<PathBuf>,
    /// A chunk file that ends in a torn record, and the length to which it is cut.
    pub(crate) cut: Option<(PathBuf, u64)>,
}

/// Why a log is refused. Nothing was changed.
#[derive(Debug)]
pub(crate) enum Refusal {
    Damaged {
        file: PathBuf,
        offset: u64,
        reason: &'static str,
    },
    Gap {
        file: PathBuf,
        expected: u64,
    },
    Misnamed {
        file: PathBuf,
    },
    /// Written by a newer program.
    OtherVersion {
        file: PathBuf,
        found: u8,
    },
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct ChunkFile {
    start: u64,
    path: PathBuf,
}

pub(crate) fn scan(dir: &Path) -> Result<Repair, Refusal> {
    let mut chunks = chunk_files(dir)?;
    let mut repair = Repair::default();
    // Rotation creates a chunk file before its predecessor is synced, so the last ones may be begun and empty.
    while let Some(last) = chunks.last() {
        let bytes = fs::read(&last.path)?;
        if matches!(parse(&bytes), Parsed::Whole { .. }) {
            break;
        }
        same_version(last, &bytes)?;
        if !bytes.is_empty() {
            judge_tail(&bytes).map_err(|reason| damaged(last, 0, reason))?;
        }
        // The first chunk of a log starts at 0. Any other has a predecessor that is not removed before this one
        // is synced.
        if chunks.len() == 1 && last.start != 0 {
            return Err(damaged(last, 0, "its first record is missing and no chunk precedes it"));
        }
        repair.remove.extend(chunks.pop().map(|chunk| chunk.path));
    }
    let mut expected = chunks.first().map_or(0, |first| first.start);
    for (number, chunk) in chunks.iter().enumerate() {
        if chunk.start != expected {
            return Err(Refusal::Gap { file: chunk.path.clone(), expected });
        }
        let bytes = fs::read(&chunk.path)?;
        same_version(chunk, &bytes)?;
        let sound = sound_prefix(&bytes).map_err(|reason| damaged(chunk, 0, reason))?;
        if sound < bytes.len() {
            if number + 1 < chunks.len() {
                return Err(damaged(chunk, sound, "a later chunk has complete records"));
            }
            judge_tail(&bytes[sound..]).map_err(|reason| damaged(chunk, sound, reason))?;
            repair.cut = Some((chunk.path.clone(), sound as u64));
        }
        expected = chunk.start + sound as u64;
    }
    Ok(repair)
}

fn same_version(chunk: &ChunkFile, bytes: &[u8]) -> Result<(), Refusal> {
    match other_version(bytes) {
        None => Ok(()),
        Some(found) => Err(Refusal::OtherVersion { file: chunk.path.clone(), found }),
    }
}

fn damaged(chunk: &ChunkFile, offset: usize, reason: &'static str) -> Refusal {
    Refusal::Damaged { file: chunk.path.clone(), offset: offset as u64, reason }
}

/// The chunk files in order. A file that only looks like one is refused: raft-log would skip it.
fn chunk_files(dir: &Path) -> Result<Vec<ChunkFile>, Refusal> {
    let mut chunks = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        match Config::parse_chunk_file_name(&name) {
            Ok(start) if Config::chunk_file_name(ChunkId(start)) == name => {
                chunks.push(ChunkFile { start, path });
            }
            Ok(_) => return Err(Refusal::Misnamed { file: path }),
            Err(_) if name.starts_with("r-") => return Err(Refusal::Misnamed { file: path }),
            Err(_) => {}
        }
    }
    chunks.sort_by_key(|chunk| chunk.start);
    Ok(chunks)
}

/// How many bytes are complete records. The first must be the checkpoint that begins every chunk.
fn sound_prefix(bytes: &[u8]) -> Result<usize, &'static str> {
    let mut sound = 0;
    while let Parsed::Whole { len, checkpoint } = parse(&bytes[sound..]) {
        if sound == 0 && !checkpoint {
            return Err("it does not begin with a checkpoint");
        }
        sound += len;
    }
    Ok(sound)
}

/// `Ok` when bytes in which no sound record begins may be cut off: nothing of them was acknowledged.
fn judge_tail(tail: &[u8]) -> Result<(), &'static str> {
    let mut checked_bytes = 0;
    for at in 1..tail.len() {
        match parse(&tail[at..]) {
            Parsed::Whole { .. } => return Err("a complete record follows the damage"),
            Parsed::Mismatch { len } => checked_bytes += len,
            Parsed::Short | Parsed::Unknown => {}
        }
        if checked_bytes > SEARCH_BYTES_MAX {
            return Err("too much behind the damage looks like records to be sure of it");
        }
    }
    let zeros_from = tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match parse(tail) {
        Parsed::Short if has_one_changed_byte(tail) => Err("a byte of the last record changed"),
        Parsed::Short => Ok(()),
        // The file got its length and not all of its data: the checksum is among the missing bytes.
        Parsed::Mismatch { len } if zeros_from + 8 <= len => Ok(()),
        Parsed::Unknown if zeros_from == 0 => Ok(()),
        Parsed::Mismatch { .. } => Err("the last record does not match its checksum"),
        Parsed::Unknown => Err("no record begins like this"),
        Parsed::Whole { .. } => Err("a sound record is no damage"),
    }
}
