//! Backups: a consistent cut of a running cluster as one stream of bytes, and reading one back with nothing believed before
//! every byte was checked.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use conclave_machine::Machine;
use conclave_store::{BackupEncoder, BackupFileError, BackupReader};

use crate::codec;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupInfo {
    /// The cluster that it was taken from.
    pub cluster_id: u128,
    /// Everything up to the entry of this term and index is in it, and perhaps a little more.
    pub term: u64,
    pub index: u64,
    /// Commands applied: exactly what is in it.
    pub revision: u64,
    /// By the clock of the node that took it, for people.
    pub taken_unix_ms: u64,
    /// The version of the program that took it.
    pub program: String,
    /// Live ones.
    pub sessions: u64,
    pub objects: u64,
    pub holds: u64,
    pub waiters: u64,
}

/// A cut of the state, to be written while the cluster goes on.
#[derive(Debug)]
pub struct Backup {
    machine: Machine,
    info: BackupInfo,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    File(#[from] BackupFileError),
    #[error(
        "the backup {path} holds what this program cannot read: {reason}; use the program that wrote it, or a newer one"
    )]
    Unreadable { path: String, reason: String },
    #[error("the backup {path} is not what a cluster writes: {reason}; use another one")]
    Inconsistent { path: String, reason: String },
}

/// A backup of which every byte was read and fits.
#[derive(Debug)]
pub struct CheckedBackup {
    pub info: BackupInfo,
    pub(crate) machine: Machine,
}

impl Backup {
    /// `at_least`: an entry that is surely in the state.
    pub(crate) fn new(machine: Machine, cluster_id: u128, at_least: (u64, u64)) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let counts = machine.counts();
        let info = BackupInfo {
            cluster_id,
            term: at_least.0,
            index: at_least.1,
            revision: counts.revision,
            taken_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            sessions: counts.sessions,
            objects: counts.objects,
            holds: counts.holds,
            waiters: counts.waiters,
        };
        Self { machine, info }
    }

    #[must_use]
    pub fn info(&self) -> &BackupInfo {
        &self.info
    }

    /// Hands out the bytes, in order, until there are no more or `take` wants none. Blocks as long as `take` does.
    ///
    /// # Errors
    /// Whatever `take` answers; what was handed out is no backup then, and says so to whoever reads it.
    pub fn write<E>(self, mut take: impl FnMut(Bytes) -> Result<(), E>) -> Result<(), E> {
        let (mut encoder, first) = BackupEncoder::begin(&codec::encode_backup_header(&self.info));
        take(first)?;
        for record in self.machine.records() {
            if let Some(piece) = encoder.push(&codec::encode_record(&record)) {
                take(piece)?;
            }
        }
        take(encoder.finish())
    }
}

impl CheckedBackup {
    /// Reads the whole file. Blocks.
    ///
    /// # Errors
    /// [`BackupError`]: whatever is wrong with it.
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let shown = || path.display().to_string();
        let unreadable = |error: codec::DecodeError| BackupError::Unreadable {
            path: shown(),
            reason: error.to_string(),
        };
        let reader = BackupReader::open(path)?;
        let info = codec::decode_backup_header(reader.header()).map_err(unreadable)?;
        let mut failure = None;
        let records = reader.map_while(|record| {
            let record = record.map_err(BackupError::from);
            let record = record.and_then(|it| codec::decode_record(&it).map_err(unreadable));
            record.map_err(|error| failure = Some(error)).ok()
        });
        let machine = Machine::from_records(records);
        if let Some(error) = failure {
            return Err(error);
        }
        let inconsistent = |reason| BackupError::Inconsistent { path: shown(), reason };
        let machine = machine.map_err(|error| inconsistent(error.to_string()))?;
        let found = machine.counts();
        let announced = (info.revision, info.sessions, info.objects, info.holds, info.waiters);
        if announced != (found.revision, found.sessions, found.objects, found.holds, found.waiters)
        {
            return Err(inconsistent("its header speaks of another state".to_owned()));
        }
        Ok(Self { info, machine })
    }
}
