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

/// Bytes that may wait for the disk; beyond it `append` blocks its caller.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 64 << 20;

/// The newest entries, kept where readers find them without meeting the writer.
pub(crate) const TAIL_BYTES: usize = 8 << 20;
pub(crate) const TAIL_ENTRIES: usize = 32 << 10;
