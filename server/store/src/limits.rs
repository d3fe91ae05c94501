//! Every limit of this crate, with its reason.

/// A chunk file of the log. Purging removes whole chunks, so it bounds how much purged log stays on disk; raft-log
/// keeps the payloads of the open chunk in memory, so it bounds that as well (its default: 1 GiB).
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 20;

/// Records of a chunk; with small entries this closes a chunk before its bytes do (an offset each is kept in memory).
pub(crate) const CHUNK_RECORDS_MAX: usize = 128 << 10;

/// raft-log's payload cache. It must hold at least two chunks: an entry that replaced one of a higher term looks
/// evictable to raft-log while it still sits in the open chunk, where it can only be read from this cache.
pub(crate) const CACHE_BYTES: usize = 3 * CHUNK_BYTES_MAX;
pub(crate) const CACHE_ITEMS: usize = 3 * CHUNK_RECORDS_MAX;

/// The buffer in which raft-log reads one chunk when it opens (its default: 64 MiB).
pub(crate) const READ_BUFFER_BYTES: usize = 1 << 20;

/// Bytes checksummed in search of a record behind a torn one. Entries can be made of bytes that look like records of
/// any length, and the search must end; it then refuses.
pub(crate) const SEARCH_BYTES_MAX: usize = 64 << 20;

/// Bytes that may wait for the disk; beyond it `append` blocks its caller.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 64 << 20;

/// A batch of so many bytes is encoded by whoever queued it, a few tens of microseconds; a larger one by the writer's thread.
pub(crate) const AT_ONCE_BYTES_MAX: usize = 64 << 10;

/// The newest entries, kept where readers find them without meeting the writer.
pub(crate) const TAIL_BYTES: usize = 8 << 20;
pub(crate) const TAIL_ENTRIES: usize = 32 << 10;

/// One record of a snapshot. sled writes a page that outgrows a quarter of a segment to a file that it never syncs.
pub const SNAPSHOT_RECORD_BYTES_MAX: usize = 64 << 10;

/// Records are packed into blocks of about this size: sled costs some 10 us a value, whatever its size.
pub(crate) const BLOCK_BYTES: usize = 32 << 10;

/// Blocks handed to sled at once.
pub(crate) const BATCH_BYTES: usize = 512 << 10;

/// A leaf of sled holds up to 17 values of (block + record) bytes and must stay below a quarter of a segment.
pub(crate) const SEGMENT_BYTES: usize = 8 << 20;

/// sled's page cache.
pub(crate) const SLED_CACHE_BYTES: u64 = 64 << 20;

/// What the caller may say about a snapshot; it lies in one value with the counts and the checksum.
pub const SNAPSHOT_META_BYTES_MAX: usize = 64 << 10;

/// Snapshots kept: the newest, and one to fall back to when the newest does not verify.
pub(crate) const SNAPSHOTS_KEPT: usize = 2;
