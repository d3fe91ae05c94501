//! A log in memory that can do what real files in a test cannot: lose every byte that was not synced, hold a sync
//! back for as long as the test wants, and fail one.
//!
//! Deterministic: no thread, no clock, no randomness. It keeps the same rules as `Wal` (`rules`), and must never
//! show after `restart` anything that `crash` took away.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::change::Change;
use crate::failure::LogFailure;
use crate::port::{LogEntry, LogPosition, LogState, LogStore, OnDurable, StoredVote};
use crate::rules;

/// A handle on one life of a simulated log. Clones share everything.
#[derive(Clone)]
pub struct SimulatedLog {
    disk: Arc<Mutex<Disk>>,
    life: u64,
    failed: watch::Receiver<Option<LogFailure>>,
}

type Entries = BTreeMap<u64, LogEntry>;

#[derive(Clone, Default)]
struct Image {
    state: LogState,
    entries: Entries,
}

impl Image {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Vote(vote) => self.state.vote = Some(*vote),
            Change::Committed(position) => self.state.committed = Some(*position),
            Change::Append(entries) => {
                for entry in entries {
                    self.state.last = Some(entry.position);
                    self.entries.insert(entry.position.index, entry.clone());
                }
            }
            Change::Truncate { from, keep } => {
                self.entries.split_off(from);
                self.state.last = *keep;
            }
            Change::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.state.purged = Some(*upto);
                if self.state.last.is_none_or(|last| last.index <= upto.index) {
                    self.state.last = Some(*upto);
                }
            }
            Change::Barrier => {}
        }
    }
}

struct Pending {
    change: Change,
    done: Option<OnDurable>,
}

struct Disk {
    durable: Image,
    seen: Image,
    pending: VecDeque<Pending>,
    hold_syncs: bool,
    fail_next_sync: bool,
    syncs: u64,
    life: u64,
    failed: watch::Sender<Option<LogFailure>>,
}

impl Disk {
    /// Checked against the state as the caller sees it, then queued.
    fn queue(&mut self, change: Change, done: Option<OnDurable>) {
        self.seen.apply(&change);
        self.pending.push_back(Pending { change, done });
    }

    /// One fsync over everything queued. Returns the callbacks, to be called when no lock is held.
    fn sync(&mut self) -> Fired {
        if self.pending.is_empty() || self.failed.borrow().is_some() {
            return Fired::default();
        }
        self.syncs += 1;
        if std::mem::take(&mut self.fail_next_sync) {
            return self.fail(&io::Error::other("fsync failed (simulated)"));
        }
        let mut fired = Fired::default();
        for pending in self.pending.drain(..) {
            self.durable.apply(&pending.change);
            fired.callbacks.extend(pending.done);
        }
        fired
    }

    fn fail(&mut self, error: &io::Error) -> Fired {
        let failure = LogFailure::of(error);
        self.failed.send_replace(Some(failure.clone()));
        let callbacks = self.pending.drain(..).filter_map(|pending| pending.done).collect();
        Fired { callbacks, failure: Some(failure) }
    }

    /// The machine lost its power: only `durable` and the first `kept` queued writes remain.
    fn crash(&mut self, kept: usize) -> Fired {
        for pending in self.pending.iter().take(kept) {
            self.durable.apply(&pending.change);
        }
        let fired = self.fail(&io::Error::other("power lost (simulated)"));
        self.seen = self.durable.clone();
        self.life += 1;
        fired
    }
}

/// Callbacks that are due, with the result they get.
#[derive(Default)]
struct Fired {
    callbacks: Vec<OnDurable>,
    failure: Option<LogFailure>,
}

impl Fired {
    fn call(self) {
        for callback in self.callbacks {
            callback(self.failure.as_ref().map_or(Ok(()), |failure| Err(failure.to_io())));
        }
    }
}

impl Default for SimulatedLog {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedLog {
    /// An empty log that syncs every write at once.
    pub fn new() -> Self {
        let (failed, watch) = watch::channel(None);
        let disk = Disk {
            durable: Image::default(),
            seen: Image::default(),
            pending: VecDeque::new(),
            hold_syncs: false,
            fail_next_sync: false,
            syncs: 0,
            life: 0,
            failed,
        };
        Self { disk: Arc::new(Mutex::new(disk)), life: 0, failed: watch }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, Disk>> {
        if let Some(failure) = self.failed.borrow().as_ref() {
            return Err(failure.to_io());
        }
        let disk = self.disk();
        if disk.life != self.life {
            return Err(io::Error::other("this handle is of a life before a crash (simulated)"));
        }
        Ok(disk)
    }

    /// From now on writes stay unsynced until `sync` or `release_syncs`.
    pub fn hold_syncs(&self) {
        self.disk().hold_syncs = true;
    }

    /// Syncs what was held back, and every later write at once.
    pub fn release_syncs(&self) {
        self.disk().hold_syncs = false;
        self.sync();
    }

    /// One sync over everything written so far; the callbacks run in this thread.
    pub fn sync(&self) {
        let fired = self.disk().sync();
        fired.call();
    }

    /// The next sync fails, and with it the log, for good.
    pub fn fail_next_sync(&self) {
        self.disk().fail_next_sync = true;
    }

    /// How many syncs were done.
    pub fn sync_count(&self) -> u64 {
        self.disk().syncs
    }

    /// How many writes wait for a sync.
    pub fn unsynced_count(&self) -> usize {
        self.disk().pending.len()
    }

    /// The power goes: every unsynced byte is lost, every handle is dead, waiting callbacks get an error.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// Like `crash`, but the first `kept` unsynced writes happened to reach the disk. `usize::MAX`: a `kill -9`.
    pub fn crash_keeping(&self, kept: usize) {
        let fired = self.disk().crash(kept);
        fired.call();
    }

    /// Opens the log again with exactly what was durable. Handles from before are dead: this crashes them if
    /// nobody did. Syncs are immediate again.
    pub fn restart(&self) -> Self {
        let mut disk = self.disk();
        let fired = disk.crash(0);
        let (failed, watch) = watch::channel(None);
        disk.failed = failed;
        disk.hold_syncs = false;
        disk.fail_next_sync = false;
        let life = disk.life;
        drop(disk);
        fired.call();
        Self { disk: Arc::clone(&self.disk), life, failed: watch }
    }

    /// Becomes `Some` when a sync failed or the power went; it never becomes `None` again.
    pub fn failed(&self) -> watch::Receiver<Option<LogFailure>> {
        self.failed.clone()
    }

    /// Queues a change made under the lock, and syncs unless syncs are held back. The rules work on a copy of the
    /// state: a refusal changes nothing.
    fn write(
        &self,
        make: impl FnOnce(&mut LogState, &Entries) -> io::Result<Change>,
        done: OnDurable,
    ) -> io::Result<()> {
        let mut disk = self.alive()?;
        let mut state = disk.seen.state;
        let change = make(&mut state, &disk.seen.entries)?;
        disk.queue(change, Some(done));
        let fired = if disk.hold_syncs { Fired::default() } else { disk.sync() };
        drop(disk);
        fired.call();
        Ok(())
    }

    fn write_and_wait(
        &self,
        make: impl FnOnce(&mut LogState, &Entries) -> io::Result<Change>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let queued = self.write(make, Box::new(move |result| drop(sender.send(result))));
        async move {
            queued?;
            receiver.await.map_err(|_| io::Error::other("the log went away"))?
        }
    }
}

impl LogStore for SimulatedLog {
    fn state(&self) -> LogState {
        self.disk().seen.state
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<LogEntry>> {
        let mut entries = Vec::new();
        if range.is_empty() {
            return Ok(entries);
        }
        let disk = self.disk();
        let mut bytes = 0usize;
        for entry in disk.seen.entries.range(range).map(|(_, entry)| entry) {
            bytes = bytes.saturating_add(entry.payload.len());
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn append(&self, entries: Vec<LogEntry>, done: OnDurable) -> io::Result<()> {
        self.write(
            |state, _| {
                rules::append(state, &entries)?;
                Ok(Change::Append(entries))
            },
            done,
        )
    }

    fn save_vote(&self, vote: StoredVote) -> impl Future<Output = io::Result<()>> + Send {
        self.write_and_wait(move |state, _| {
            rules::save_vote(state, vote)?;
            Ok(Change::Vote(vote))
        })
    }

    fn save_committed(&self, committed: Option<LogPosition>) -> io::Result<()> {
        let mut disk = self.alive()?;
        let mut state = disk.seen.state;
        if let Some(position) = rules::save_committed(&mut state, committed)? {
            disk.queue(Change::Committed(position), None);
        }
        Ok(())
    }

    fn truncate_after(
        &self,
        last: Option<LogPosition>,
    ) -> impl Future<Output = io::Result<()>> + Send {
        self.write_and_wait(move |state, entries| {
            let found = |index| Ok(entries.get(&index).map(|entry| entry.position));
            let from = rules::truncate_after(state, last, found)?;
            Ok(from.map_or(Change::Barrier, |from| Change::Truncate { from, keep: last }))
        })
    }

    fn purge(&self, upto: LogPosition) -> impl Future<Output = io::Result<()>> + Send {
        self.write_and_wait(move |state, _| {
            let any = rules::purge(state, upto)?;
            Ok(if any { Change::Purge(upto) } else { Change::Barrier })
        })
    }
}
