//! Every limit of the machine, one constant each, with its reason. The edge checks what a client can get wrong;
//! the machine checks what only the replicated state can know.

/// Longest object or session name, in bytes: fits a path of reason and keeps 64 Ki objects below 32 MiB of names.
pub const NAME_BYTES_MAX: usize = 512;
/// Labels of a session or metadata of a hold, keys and values together, in bytes: a display aid, not a store.
pub const LABELS_BYTES_MAX: usize = 4 * 1024;
/// An explicit owner, a killer's name or a reason, in bytes: shown in one line.
pub const TEXT_BYTES_MAX: usize = 512;
/// Pairs of labels or metadata: a thousand tiny ones would cost far more memory than their bytes.
pub const LABELS_MAX: usize = 64;
/// Longest session TTL, in milliseconds (10 min): a dead holder must not block longer than a coffee.
pub const TTL_MS_MAX: u64 = 10 * 60 * 1000;
/// Shortest TTL the machine itself takes, in milliseconds; the edge asks for more (see `--ttl-floor`).
pub const TTL_MS_MIN: u64 = 100;
/// Longest lock-delay, in milliseconds (10 min), as TTL.
pub const LOCK_DELAY_MS_MAX: u64 = 10 * 60 * 1000;
/// Longest max-hold, in milliseconds (7 days): longer than any job that should hold one grant.
pub const MAX_HOLD_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Outcomes a client has not yet confirmed: bounds the replay window of a session.
pub const WINDOW_MAX: usize = 1024;
/// Ends of waits (passed, failed, out of time) that a session remembers although its client may have confirmed that they were queued: what a client that is
/// away from its leader can miss. A client that waits for more than that at a time may hear of the others that they are gone.
pub const ENDS_MAX: usize = 32;
/// Live sessions: about 1 KiB each.
pub const SESSIONS_MAX: usize = 1_000_000;
/// Objects that exist at one time.
pub const OBJECTS_MAX: usize = 4_000_000;
/// Holds that exist at one time, of all sessions.
pub const HOLDS_MAX: usize = 4_000_000;
/// Holds and waits of one session together: what one attach can name, and what the end of a session may cost in one entry.
pub const HOLDS_AND_WAITS_PER_SESSION_MAX: usize = 65_536;
/// Waiters of one object: beyond that a queue is a bug of the caller.
pub const WAITERS_PER_OBJECT_MAX: usize = 100_000;
/// Waiters of all objects.
pub const WAITERS_MAX: usize = 1_000_000;
/// Losses a session has not confirmed; beyond it the session itself is ended, since its client hears nothing.
/// Each keepalive acknowledgement repeats them all.
pub const LOSSES_MAX: usize = 4_096;
/// Holders that an answer lists ("who holds it"); the rest is counted.
pub const HOLDERS_SHOWN_MAX: usize = 8;
/// Sessions followed by a blocked-by chain.
pub const CHAIN_MAX: usize = 64;
/// Shards of the state, each copied on the first write after a snapshot began.
pub const SHARDS: usize = 1024;
/// Raised over the backup's counter when a backup is restored, so that no token of the lost future is met again.
pub const RESTORE_COUNTER_GAP: u64 = 1 << 40;
/// Longest quiet time after a restore, in milliseconds: nobody believes for longer, see `Machine::belief_ms`.
pub const QUIET_MS_MAX: u64 = TTL_MS_MAX + TTL_MS_MAX / 10 + LOCK_DELAY_MS_MAX;
/// Objects of one request: a transaction over more is a design of the caller's to be thought over.
pub const ITEMS_MAX: usize = 64;
/// What a candidate proclaims, in bytes: an address and a little more, copied to each observer.
pub const PROPOSAL_BYTES_MAX: usize = 4 * 1024;
/// A register's value or the result of a once, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// All registers and results together, in bytes: they live in memory, on every node.
pub const VALUES_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Keys by which one round of a latch was counted down: each is kept until the round ends.
pub const COUNT_KEYS_MAX: usize = 10_000;
/// Shortest time a result of a once is kept, in milliseconds: whoever waited for it must have time to fetch it.
pub const RETENTION_MS_MIN: u64 = 10_000;
/// Longest, in milliseconds (7 days).
pub const RETENTION_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Longest time to keep a leadership that a higher priority waits for, in milliseconds (1 h).
pub const PREEMPT_MS_MAX: u64 = 3600 * 1000;
/// Requests that a search for a cycle looks at.
pub const DEADLOCK_SEARCH_MAX: usize = 1_000;
/// Steps of a cycle that a refusal shows, and waiters of one object that an inspection looks for a cycle from.
pub const DEADLOCK_SHOWN_MAX: usize = 16;
/// Bytes of a value in one record of a snapshot.
pub const VALUE_PART_BYTES: usize = 32 * 1024;
