//! Snapshots in sled. A snapshot is a tree of blocks and exists once its catalogue entry, the final key, is on disk.
//!
//! sled's `flush` issues `sync_file_range` and no fsync (sled#1452), so it never counts as durable here: `barrier`
//! syncs sled's files through handles of our own. Nothing here keeps more than the two snapshots that reach furthest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sled::{Db, Tree};

use crate::directory::{LOCK_PATIENCE, sync_parent};
use crate::limits::{
    SEGMENT_BYTES, SLED_CACHE_BYTES, SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX,
    SNAPSHOTS_KEPT,
};
use crate::snapshot_info::{SnapshotId, SnapshotInfo};
use crate::snapshot_manifest::{HEADER, Manifest};
use crate::snapshot_reader::SnapshotReader;
use crate::snapshot_writer::SnapshotWriter;

const CATALOGUE: &str = "catalogue";
const TREE_PREFIX: &[u8] = b"snapshot-";

/// Why a snapshot store does not open. With peers the node may rejoin empty under a new id; alone it must be restored.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotOpenError {
    #[error("the snapshot store {dir} is open in another process")]
    Locked { dir: String },
    #[error("the snapshot store {dir} is damaged: {reason}")]
    Damaged { dir: String, reason: String },
    #[error("the list of snapshots {file} says {found:?}, this program reads {HEADER:?}")]
    OtherVersion { file: String, found: String },
    #[error("cannot use the snapshot store {dir}: {source}")]
    Io { dir: String, source: io::Error },
}

/// Why an operation on snapshots failed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("a snapshot record has {bytes} bytes, the limit is {SNAPSHOT_RECORD_BYTES_MAX}")]
    RecordTooLarge { bytes: usize },
    #[error("snapshot metadata has {bytes} bytes, the limit is {SNAPSHOT_META_BYTES_MAX}")]
    MetaTooLarge { bytes: usize },
    #[error("a snapshot up to {reach} is older than the two that are kept")]
    Superseded { reach: u64 },
    #[error("there is no snapshot {id}")]
    NotFound { id: SnapshotId },
    #[error("snapshot {id} is damaged: {reason}")]
    Damaged { id: SnapshotId, reason: String },
    #[error("the snapshot store failed: {0}")]
    Io(#[from] io::Error),
}

impl From<sled::Error> for SnapshotError {
    fn from(error: sled::Error) -> Self {
        Self::Io(io::Error::from(error))
    }
}

/// The snapshot store. Clones share it. Every call blocks: call it where blocking is allowed.
#[derive(Clone)]
pub struct SnapshotStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    db: Db,
    catalogue: Tree,
    dir: PathBuf,
    /// Our own handle of sled's only data file, open from the start so that no write error can pass unseen.
    db_file: File,
    directory: File,
    manifest: Manifest,
    shelf: Mutex<Shelf>,
}

/// What is on the shelf and who is looking at it.
struct Shelf {
    snapshots: BTreeMap<SnapshotId, SnapshotInfo>,
    /// Committed snapshots that did not verify: the first to go.
    damaged: BTreeSet<SnapshotId>,
    readers: BTreeMap<SnapshotId, usize>,
    /// Out of the catalogue, but still being read.
    condemned: BTreeSet<SnapshotId>,
    next_id: u64,
}

impl SnapshotStore {
    /// Opens the store in `dir`, creating it when it is missing. Snapshots that were never committed are removed.
    pub fn open(dir: &Path) -> Result<Self, SnapshotOpenError> {
        let shown = dir.display().to_string();
        Self::check_version(dir)?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(SLED_CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            // Its background flush would fsync twice a second and disturb the log; we flush by ourselves.
            .flush_every_ms(None);
        // sled reports some damage by panicking.
        let started = Instant::now();
        let opened = loop {
            match std::panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
                Ok(Err(sled::Error::Io(error)))
                    if is_lock_error(&error) && started.elapsed() < LOCK_PATIENCE =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened,
            }
        };
        // From here on sled may already have cut its file; the manifest still says what was in it.
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(sled::Error::Io(source))) if is_lock_error(&source) => {
                return Err(SnapshotOpenError::Locked { dir: shown });
            }
            Ok(Err(sled::Error::Io(source))) => {
                return Err(SnapshotOpenError::Io { dir: shown, source });
            }
            Ok(Err(error)) => {
                return Err(SnapshotOpenError::Damaged { dir: shown, reason: error.to_string() });
            }
            Err(panic) => {
                let reason = panic_text(panic.as_ref());
                return Err(SnapshotOpenError::Damaged { dir: shown, reason });
            }
        };
        Self::with_db(db, dir).map_err(|error| match error {
            SnapshotError::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
                SnapshotOpenError::Io { dir: shown, source }
            }
            other => SnapshotOpenError::Damaged { dir: shown, reason: other.to_string() },
        })
    }

    /// Refuses what a newer program wrote, and changes nothing: sled would, as soon as it is opened.
    ///
    /// # Errors
    /// [`SnapshotOpenError::OtherVersion`] only.
    pub fn check_version(dir: &Path) -> Result<(), SnapshotOpenError> {
        let manifest = Manifest::beside(dir);
        match manifest.other_version() {
            None => Ok(()),
            Some(found) => {
                let file = manifest.path().display().to_string();
                Err(SnapshotOpenError::OtherVersion { file, found })
            }
        }
    }

    fn with_db(db: Db, dir: &Path) -> Result<Self, SnapshotError> {
        let catalogue = db.open_tree(CATALOGUE)?;
        let db_file = File::open(dir.join("db"))?;
        let directory = File::open(dir)?;
        let manifest = Manifest::beside(dir);
        let mut shelf = Shelf::of(&catalogue)?;
        shelf.miss(&manifest.load()?)?;
        for name in db.tree_names() {
            let Some(id) = name.strip_prefix(TREE_PREFIX).and_then(id_of) else {
                continue;
            };
            shelf.next_id = shelf.next_id.max(id + 1);
            if !shelf.snapshots.contains_key(&SnapshotId(id)) {
                db.drop_tree(&name)?;
            }
        }
        let dir = dir.to_path_buf();
        let shelf = Mutex::new(shelf);
        let inner = Inner { db, catalogue, dir, db_file, directory, manifest, shelf };
        inner.barrier()?;
        inner.directory.sync_all()?;
        sync_parent(&inner.dir)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts a snapshot that reaches up to index `reach`. It does not exist until `SnapshotWriter::commit` is `Ok`.
    pub fn begin(&self, reach: u64, meta: Bytes) -> Result<SnapshotWriter, SnapshotError> {
        if meta.len() > SNAPSHOT_META_BYTES_MAX {
            return Err(SnapshotError::MetaTooLarge { bytes: meta.len() });
        }
        let mut shelf = self.inner.shelf();
        let id = SnapshotId(shelf.next_id);
        shelf.next_id += 1;
        drop(shelf);
        let tree = self.inner.db.open_tree(tree_name(id))?;
        Ok(SnapshotWriter::new(self.clone(), tree, id, reach, meta))
    }

    /// Every committed snapshot, the furthest reaching first.
    pub fn list(&self) -> Vec<SnapshotInfo> {
        let mut list: Vec<_> = self.inner.shelf().snapshots.values().cloned().collect();
        list.sort_by_key(|info| std::cmp::Reverse((info.reach, info.id)));
        list
    }

    /// The committed snapshot that reaches furthest, not verified again.
    pub fn latest(&self) -> Option<SnapshotInfo> {
        self.list().into_iter().next()
    }

    /// The furthest reaching snapshot that verifies from its first byte to its last; the next one when it does not.
    /// `None` only when nothing was ever committed; an error when something was and nothing of it verifies.
    pub fn latest_verified(&self) -> Result<Option<SnapshotInfo>, SnapshotError> {
        let mut damage = None;
        for info in self.list() {
            match self.verify(&info) {
                Ok(()) => return Ok(Some(info)),
                Err(error @ SnapshotError::Damaged { .. }) => {
                    tracing::error!(%error, "this snapshot cannot be used, trying an older one");
                    damage = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Reads the records of a snapshot in the order in which they were pushed.
    pub fn reader(&self, id: SnapshotId) -> Result<SnapshotReader, SnapshotError> {
        let mut shelf = self.inner.shelf();
        let info = shelf.snapshots.get(&id).cloned().ok_or(SnapshotError::NotFound { id })?;
        *shelf.readers.entry(id).or_default() += 1;
        drop(shelf);
        let tree = self.inner.db.open_tree(tree_name(id)).inspect_err(|_| self.release(id))?;
        Ok(SnapshotReader::new(self.clone(), tree, info))
    }

    /// Reads a snapshot through and remembers when it is damaged.
    pub(crate) fn verify(&self, info: &SnapshotInfo) -> Result<(), SnapshotError> {
        self.reader(info.id)?.try_for_each(|record| record.map(drop))
    }

    /// It goes first when the next one is taken.
    pub(crate) fn note_damage(&self, id: SnapshotId) {
        let mut shelf = self.inner.shelf();
        if shelf.snapshots.contains_key(&id) {
            shelf.damaged.insert(id);
        }
    }

    /// Whether it was read and found damaged. Such a one counts no more as one of the two that are kept.
    pub fn is_damaged(&self, id: SnapshotId) -> bool {
        self.inner.shelf().damaged.contains(&id)
    }

    /// Makes a written tree a snapshot: data durable, then the final key durable, then read back.
    pub(crate) fn commit(&self, info: SnapshotInfo) -> Result<SnapshotInfo, SnapshotError> {
        let inner = &self.inner;
        if inner.shelf().is_superseded(&info) {
            return Err(SnapshotError::Superseded { reach: info.reach });
        }
        inner.barrier()?;
        inner.catalogue.insert(id_key(info.id), info.encode())?;
        inner.barrier()?;
        let stored = inner.catalogue.get(id_key(info.id))?;
        let stored = stored.ok_or(SnapshotError::NotFound { id: info.id })?;
        let stored = SnapshotInfo::decode(&stored)
            .map_err(|reason| SnapshotError::Damaged { id: info.id, reason })?;
        inner.shelf().snapshots.insert(info.id, stored);
        if let Err(error) = self.verify(&info) {
            inner.remove(&[info.id])?;
            return Err(error);
        }
        let surplus = inner.shelf().surplus();
        inner.remember(&surplus)?;
        inner.remove(&surplus)?;
        Ok(info)
    }

    /// Removes a tree that never became a snapshot.
    pub(crate) fn abandon(&self, id: SnapshotId) {
        if let Err(error) = self.inner.db.drop_tree(tree_name(id)) {
            // It is invisible and goes away when the store is opened next.
            tracing::warn!(%id, %error, "could not remove an abandoned snapshot");
        }
    }

    /// A reader is done.
    pub(crate) fn release(&self, id: SnapshotId) {
        let mut shelf = self.inner.shelf();
        if let Some(count) = shelf.readers.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                shelf.readers.remove(&id);
                if shelf.condemned.remove(&id) {
                    drop(shelf);
                    self.abandon(id);
                }
            }
        }
    }
}

impl Shelf {
    fn of(catalogue: &Tree) -> Result<Self, SnapshotError> {
        let mut shelf = Self {
            snapshots: BTreeMap::new(),
            damaged: BTreeSet::new(),
            readers: BTreeMap::new(),
            condemned: BTreeSet::new(),
            next_id: 1,
        };
        for found in catalogue.iter() {
            let (key, value) = found?;
            let id = SnapshotId(id_of(&key).unwrap_or_default());
            let info = SnapshotInfo::decode(&value)
                .map_err(|reason| SnapshotError::Damaged { id, reason })?;
            shelf.snapshots.insert(info.id, info);
        }
        Ok(shelf)
    }

    /// Compares what is there with what must be there: to have lost the newest leaves the older one, to have lost
    /// all of them is damage.
    fn miss(&mut self, expected: &BTreeMap<SnapshotId, u64>) -> Result<(), SnapshotError> {
        for (id, reach) in expected {
            self.next_id = self.next_id.max(id.0 + 1);
            if !self.snapshots.contains_key(id) {
                if self.snapshots.is_empty() {
                    let reason = format!("it reached up to {reach}, and no other one is left");
                    return Err(SnapshotError::Damaged { id: *id, reason });
                }
                tracing::error!(%id, reach, "a committed snapshot is gone, an older one is left");
            }
        }
        Ok(())
    }

    /// Whether enough good snapshots reach further.
    fn is_superseded(&self, info: &SnapshotInfo) -> bool {
        let good = self.snapshots.values().filter(|kept| !self.damaged.contains(&kept.id));
        good.filter(|kept| kept.reach > info.reach).count() >= SNAPSHOTS_KEPT
    }

    /// The snapshots beyond those kept: damaged ones first, then those that reach least far.
    fn surplus(&self) -> Vec<SnapshotId> {
        let mut order: Vec<_> = self.snapshots.values().collect();
        order.sort_by_key(|info| {
            (self.damaged.contains(&info.id), std::cmp::Reverse((info.reach, info.id)))
        });
        order.iter().skip(SNAPSHOTS_KEPT).map(|info| info.id).collect()
    }
}

impl Inner {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was given to sled is on the disk when this returns.
    fn barrier(&self) -> Result<(), SnapshotError> {
        self.db.flush()?;
        self.db_file.sync_data()?;
        // Our limits keep sled from writing blob files. Should it ever write one, it counts only when synced.
        let blobs = self.dir.join("blobs");
        if blobs.is_dir() {
            for entry in std::fs::read_dir(&blobs)? {
                File::open(entry?.path())?.sync_all()?;
            }
            File::open(&blobs)?.sync_all()?;
        }
        Ok(())
    }

    /// Writes down which snapshots must be there: all but those that are about to go.
    fn remember(&self, except: &[SnapshotId]) -> Result<(), SnapshotError> {
        let shelf = self.shelf();
        let kept = shelf.snapshots.values().filter(|info| !except.contains(&info.id));
        let kept: Vec<_> = kept.map(|info| (info.id, info.reach)).collect();
        drop(shelf);
        Ok(self.manifest.save(kept.into_iter())?)
    }

    /// Takes snapshots out of the catalogue, durably, and then their trees, unless somebody reads them.
    fn remove(&self, ids: &[SnapshotId]) -> Result<(), SnapshotError> {
        if ids.is_empty() {
            return Ok(());
        }
        for id in ids {
            self.catalogue.remove(id_key(*id))?;
        }
        self.barrier()?;
        for id in ids {
            let mut shelf = self.shelf();
            shelf.snapshots.remove(id);
            shelf.damaged.remove(id);
            if shelf.readers.contains_key(id) {
                shelf.condemned.insert(*id);
                continue;
            }
            drop(shelf);
            self.db.drop_tree(tree_name(*id))?;
        }
        Ok(self.db.flush().map(drop)?)
    }
}

fn tree_name(id: SnapshotId) -> Vec<u8> {
    [TREE_PREFIX, &id_key(id)].concat()
}

fn id_key(id: SnapshotId) -> [u8; 8] {
    id.0.to_be_bytes()
}

fn id_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

fn is_lock_error(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("acquire lock")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "sled panicked".to_owned())
}
