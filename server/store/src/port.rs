//! The port behind which a Raft log lives: what `server/raft` may ask of a log, in plain bytes and numbers.
//!
//! Two implementations stand behind it: `Wal`, real files, and `SimulatedLog`,
//! memory that can lose what was not synced. The port knows nothing of openraft, entries or commands.

use std::io;
use std::ops::Range;

use bytes::Bytes;

/// Where an entry stands: the term it was proposed in and its index. Ordered by term, then index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    pub term: u64,
    pub index: u64,
}

/// The vote of this node. `committed` is true once a quorum granted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredVote {
    pub term: u64,
    /// The candidate voted for; `None` only in a vote that carries a term alone.
    pub voted_for: Option<u64>,
    pub committed: bool,
}

/// One entry: a position and bytes that only `server/raft` can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub position: LogPosition,
    pub payload: Bytes,
}

/// What the log knows of itself. After a restart: exactly what was durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogState {
    pub vote: Option<StoredVote>,
    /// Last position known to be committed; written without a flush, so it may be older after a crash.
    pub committed: Option<LogPosition>,
    /// Last position removed from the front.
    pub purged: Option<LogPosition>,
    /// Last position present, or `purged` when the log is empty.
    pub last: Option<LogPosition>,
}

/// Called exactly once, from any thread, when everything handed over up to and with this call is durable, or when it failed.
pub type OnDurable = Box<dyn FnOnce(io::Result<()>) + Send + 'static>;

/// A durable Raft log. Cloneable handle; every write goes through one FIFO writer.
///
/// A write error is final: the log refuses every later write with the same error, and the node must stop
/// (a failed fsync is never retried: the kernel may already have dropped the dirty pages).
pub trait LogStore: Clone + Send + Sync + 'static {
    fn state(&self) -> LogState;

    /// Entries with an index in `range`, in order, stopping early once `max_bytes` of payload are collected
    /// (at least one entry is returned if there is one). Entries are readable as soon as `append` returned.
    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<LogEntry>>;

    /// Queues entries behind everything queued before. Readable on return; `done` is called once they are durable.
    /// Indexes must follow the last one without a hole. On `Err` nothing was queued and `done` is dropped uncalled.
    /// Blocks the caller while too many bytes wait for the disk.
    fn append(&self, entries: Vec<LogEntry>, done: OnDurable) -> io::Result<()>;

    /// Durable when the future resolves to `Ok`.
    fn save_vote(&self, vote: StoredVote) -> impl Future<Output = io::Result<()>> + Send;

    /// Recorded, not flushed by itself: it rides along with the next flush.
    fn save_committed(&self, committed: Option<LogPosition>) -> io::Result<()>;

    /// Removes every entry after `last` (`None`: all). Durable when the future resolves to `Ok`.
    fn truncate_after(
        &self,
        last: Option<LogPosition>,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes every entry up to and with `upto`. Durable when the future resolves to `Ok`.
    fn purge(&self, upto: LogPosition) -> impl Future<Output = io::Result<()>> + Send;
}
