//! Opening a log directory: lock, scan, repair what may be repaired, then let raft-log replay it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft_log::{Config, RaftLog};

use crate::directory::create_durably;
use crate::limits::{
    CACHE_BYTES, CACHE_ITEMS, CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, READ_BUFFER_BYTES,
};
use crate::wal::Wal;

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

/// Why a log directory does not open.
#[derive(Debug, thiserror::Error)]
pub enum WalOpenError {
    #[error("cannot use the log directory {dir}: {source}")]
    Io { dir: String, source: io::Error },
}

impl Wal {
    /// Opens the log in `dir`, creating it when it is missing.
    pub fn open(dir: &Path, options: &WalOptions) -> Result<Self, WalOpenError> {
        Self::open_files(dir, options)
            .map_err(|source| WalOpenError::Io { dir: dir.display().to_string(), source })
    }

    fn open_files(dir: &Path, options: &WalOptions) -> io::Result<Self> {
        create_durably(dir)?;
        Self::start(RaftLog::open(Arc::new(config(dir, options)?))?)
    }
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
