//! The data directory of a node: who may use it, and names in it that survive a power cut.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An open data directory, locked for this process. Dropping it lets another process in, so it must be kept until
/// the log and the snapshot store in it are closed.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the data directory {path} is in use by another process; stop it, or name another one")]
    Locked { path: String },
    #[error("cannot use the data directory {path}: {source}")]
    Io { path: String, source: io::Error },
}

impl DataDir {
    /// Creates the directory when it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let shown = || path.display().to_string();
        let lock = create_durably(path).and_then(|()| lock_file(&path.join("LOCK")));
        match lock {
            Ok(Some(lock)) => Ok(Self { path: path.to_path_buf(), _lock: lock }),
            Ok(None) => Err(DataDirError::Locked { path: shown() }),
            Err(source) => Err(DataDirError::Io { path: shown(), source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where `Wal::open` belongs.
    pub fn wal(&self) -> PathBuf {
        self.path.join("wal")
    }

    /// Where `SnapshotStore::open` belongs.
    pub fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// Where `Identity` belongs.
    pub fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    /// Where the mark of a node that was taken out of its cluster belongs.
    pub fn removed(&self) -> PathBuf {
        self.path.join("removed")
    }
}

/// A lock is waited for this long: a process that was killed a moment ago, or a child between fork and exec, still has it.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Takes the lock of a file until it is closed; `None` when another open file keeps it.
pub(crate) fn lock_file(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Creates a directory, and its parents, so that their names survive a power cut.
pub(crate) fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent()
        && parent != Path::new("")
    {
        create_durably(parent)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => sync_parent(path),
    }
}

/// Makes the name of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

/// Replaces a file: after a crash it has the old bytes or the new ones.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&temporary, path)?;
    sync_parent(path)
}
