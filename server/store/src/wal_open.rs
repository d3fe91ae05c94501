//! Opening a log directory: lock, scan, cut what may be cut, then let raft-log replay it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use raft_log::{Config, RaftLog};

use crate::directory::{create_durably, lock_file};
use crate::limits::{
    CACHE_BYTES, CACHE_ITEMS, CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, READ_BUFFER_BYTES,
};
use crate::wal::Wal;
use crate::wal_record::CHECKPOINT_VERSION;
use crate::wal_scan::{Refusal, Repair, scan};

/// What a caller may choose about its log. The defaults are right for a server.
#[derive(Debug, Clone)]
pub struct WalOptions {
    /// Size at which a chunk file is closed; purging removes whole chunks.
    pub chunk_bytes_max: usize,
    /// Records after which a chunk file is closed.
    pub chunk_records_max: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { chunk_bytes_max: CHUNK_BYTES_MAX, chunk_records_max: CHUNK_RECORDS_MAX }
    }
}

/// Why a log directory does not open. Whatever the reason, nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum WalOpenError {
    #[error("the log {dir} is open in another process")]
    Locked { dir: PathBuf },
    #[error(
        "the log file {file} is damaged at byte {offset}: {reason}; entries that were acknowledged may be affected, \
         so nothing was cut off; with peers, set this data directory aside and join the node again under a new id; \
         alone, restore a backup with `conclave snapshot restore`"
    )]
    Damaged { file: PathBuf, offset: u64, reason: String },
    #[error(
        "the log file {file} should begin at {expected}: a file before it is missing or cut; with peers, set this \
         data directory aside and join the node again under a new id; alone, restore the missing file or a backup"
    )]
    Gap { file: PathBuf, expected: u64 },
    #[error(
        "the file {file} is named like a log file and is none; move it out of the log directory"
    )]
    Misnamed { file: PathBuf },
    #[error(
        "the log file {file} has version {found}, this program reads {CHECKPOINT_VERSION}; it was written by a newer program: \
         start that one, nothing was changed"
    )]
    OtherVersion { file: PathBuf, found: u8 },
    #[error("the log {dir} does not replay: {reason}")]
    Replay { dir: PathBuf, reason: String },
    #[error("cannot use the log directory {dir}: {source}")]
    Io { dir: PathBuf, source: io::Error },
}

impl Wal {
    /// Opens the log in `dir`, creating it when it is missing. A torn tail is cut off; any other damage is refused.
    pub fn open(dir: &Path, options: &WalOptions) -> Result<Self, WalOpenError> {
        let io_error = |source| WalOpenError::Io { dir: dir.to_path_buf(), source };
        create_durably(dir).map_err(io_error)?;
        // Beside the directory, for raft-log warns of files it does not know.
        let mut lock_path = dir.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = lock_file(Path::new(&lock_path)).map_err(io_error)?;
        let lock = lock.ok_or_else(|| WalOpenError::Locked { dir: dir.to_path_buf() })?;
        settle(dir).map_err(io_error)?;
        let repair = scan(dir).map_err(|refusal| explain(refusal, dir))?;
        carry_out(&repair, dir).map_err(io_error)?;
        let config = config(dir, options).map_err(io_error)?;
        let files =
            RaftLog::open(Arc::new(config)).map_err(|error| match error.raw_os_error() {
                // A disk that is full, say: nothing is wrong with the log.
                Some(_) => io_error(error),
                None => WalOpenError::Replay { dir: dir.to_path_buf(), reason: error.to_string() },
            })?;
        Self::start(files, options, lock).map_err(io_error)
    }
}

fn explain(refusal: Refusal, dir: &Path) -> WalOpenError {
    match refusal {
        Refusal::Damaged { file, offset, reason } => {
            WalOpenError::Damaged { file, offset, reason: reason.to_owned() }
        }
        Refusal::Gap { file, expected } => WalOpenError::Gap { file, expected },
        Refusal::Misnamed { file } => WalOpenError::Misnamed { file },
        Refusal::OtherVersion { file, found } => WalOpenError::OtherVersion { file, found },
        Refusal::Io(source) => WalOpenError::Io { dir: dir.to_path_buf(), source },
    }
}

/// Makes what the last process wrote, and perhaps never synced, durable before anybody is told that it is there, and
/// drops it from the page cache, so that the scan sees what the disk has: after a failed fsync the two can differ.
/// Only the last two chunks can be unsynced, for a chunk gets its first record when the one before it is synced.
fn settle(dir: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wal") {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths.iter().rev().take(2) {
        let file = File::open(path)?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    File::open(dir)?.sync_all()
}

fn carry_out(repair: &Repair, dir: &Path) -> io::Result<()> {
    for path in &repair.remove {
        tracing::warn!(file = %path.display(), "removing a log file that never got a record");
        std::fs::remove_file(path)?;
    }
    if !repair.remove.is_empty() {
        File::open(dir)?.sync_all()?;
    }
    if let Some((path, len)) = &repair.cut {
        let file = File::options().write(true).open(path)?;
        let torn_bytes = file.metadata()?.len() - len;
        tracing::warn!(file = %path.display(), at = len, torn_bytes, "cutting a torn record off");
        file.set_len(*len)?;
        file.sync_all()?;
    }
    Ok(())
}

fn config(dir: &Path, options: &WalOptions) -> io::Result<Config> {
    let dir = dir.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path of the log is not UTF-8")
    })?;
    let mut config = Config::new(dir);
    config.log_cache_max_items = Some(CACHE_ITEMS.max(3 * options.chunk_records_max));
    config.log_cache_capacity = Some(CACHE_BYTES.max(3 * options.chunk_bytes_max));
    config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    config.wal.chunk_max_records = Some(options.chunk_records_max);
    config.wal.chunk_max_size = Some(options.chunk_bytes_max);
    // What may be cut off was cut off by our own scan; whatever raft-log still finds torn is damage.
    config.wal.truncate_incomplete_record = Some(false);
    // Our writer never has two flushes outstanding, so there is nothing to wait for.
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    Ok(config)
}
