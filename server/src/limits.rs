//! Every limit of the edge, one constant each, with its reason. What a name or a label may be is in `conclave_machine::limits`.

use std::time::Duration;

/// Longest message of a client: an attach with tens of thousands of tokens fits, a flood does not.
pub(crate) const CLIENT_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Longest answer: ten thousand lines of a list, each with a full name, labels and metadata.
pub(crate) const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Open calls of one client connection: thousands of sessions share one, with a stream each, and unary waits beside them.
pub(crate) const CLIENT_STREAMS_MAX: u32 = 4_096;
/// Open calls of one peer connection: forwarded waits stand for up to half a minute each.
pub(crate) const PEER_STREAMS_MAX: u32 = 16_384;
/// Connections of clients at one time; a descriptor each. Beyond it new ones wait in the kernel's backlog.
pub(crate) const CLIENT_CONNECTIONS_MAX: usize = 16_384;
/// Connections of peers at one time: three a peer in a cluster of any sane size.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 256;
/// What may be under way to this side on one stream: a wake's worth of calls.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// And on one connection, which its streams share: bounds the memory that silent readers of ours can take.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// All headers of one call: ours are well below one KiB.
pub(crate) const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// Calls that a client reset before they were accepted (rapid reset): beyond it the connection is closed.
pub(crate) const PENDING_RESETS_MAX: usize = 20;
/// Calls that this side reset for the peer's faults: beyond it the connection is closed.
pub(crate) const LOCAL_RESETS_MAX: usize = 1_024;
/// A connection says so many bytes, the preface of HTTP/2,
pub(crate) const PREFACE_BYTES: u64 = 24;
/// within this time: who only connects does not keep a place that others wait for.
pub(crate) const PREFACE_MAX: Duration = Duration::from_secs(10);
/// No byte in either direction for so long: closed. HTTP/2 asks for a sign of life long before; HTTP/1 and the dead do not.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);
/// A connection that is silent this long is asked for a sign of life.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(10);
/// And closed when none comes within this time.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What one stream asked and has no decision on; the next one waits, and what comes behind it. A client has a replay window (1,024) of calls
/// under way, cancels of them, and reports of lost holds: with this much room a keepalive never stands behind them, however slow
/// the commits are.
pub(crate) const STREAM_OUTSTANDING_MAX: usize = 4 * 1_024;
/// The same with keepalives and time-outs, from the first unanswered one on; beyond it the stream is not read.
pub(crate) const STREAM_SPAN_MAX: usize = 2 * STREAM_OUTSTANDING_MAX;
/// Messages read from one stream before its answers and its neighbours get their turn.
pub(crate) const STREAM_READS_AT_ONCE: usize = 128;
/// A client that opened a stream says within this time which session it is.
pub(crate) const STREAM_OPENING_MAX: Duration = Duration::from_secs(30);
/// Before a refused (overloaded) time-out of a wait is proposed again.
pub(crate) const TIME_OUT_AGAIN: Duration = Duration::from_millis(100);
/// What an overloaded client is told to wait.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A unary call that waits answers after this time, with `queued`.
pub(crate) const UNARY_WAIT_MAX: Duration = Duration::from_secs(30);
/// Kept of a caller's own deadline for the way back of the answer: at most this, and at most a quarter of it.
pub(crate) const DEADLINE_MARGIN_MAX: Duration = Duration::from_millis(500);

/// Longest wait that a client may ask for, in milliseconds (7 days); longer ones are forever.
pub(crate) const WAIT_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Tokens or seqs in one attach: a session with more holds than that is many sessions.
pub(crate) const ATTACH_ITEMS_MAX: usize = 65_536;
/// Lines of a list when the caller does not say.
pub(crate) const LIST_DEFAULT: u32 = 1_000;
/// Lines of a list at most.
pub(crate) const LIST_MAX: u32 = 10_000;

/// Candidates of an election that are listed when the caller does not say.
pub(crate) const CANDIDATES_DEFAULT: u32 = 100;
/// And at most, with as many again that stand aside, each with labels and a proposal of 4 KiB: a message below 4 MiB.
pub(crate) const CANDIDATES_MAX: u32 = 200;

/// Objects that a resync lists; who watches more has `List`.
pub(crate) const RESYNC_OBJECTS_MAX: usize = LIST_MAX as usize;
/// Objects in one message of a resync: below 4 MiB, whatever their holders left here.
pub(crate) const RESYNC_PART_OBJECTS: usize = 256;
/// A watcher is told this often how far it is, if nothing else told it.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// A node that is behind what a watcher has seen elsewhere gets this long to catch up.
pub(crate) const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// A graceful stop takes at most this long.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(5);
/// A forwarded call's connection to the leader is given up after this time.
pub(crate) const FORWARD_CONNECT_MAX: Duration = Duration::from_secs(1);
