//! Payloads of entries: bytes of a log, or of a leader, that become commands.

use bytes::Bytes;
use conclave_raft::storage::{BatchBuilder, decode_batch, encode_command};

use crate::Reached;
use crate::stage::Stage;

/// Bytes as the payload of an entry.
#[must_use]
pub fn log_payload(bytes: &[u8]) -> Reached {
    let Ok(batch) = decode_batch(&Bytes::copy_from_slice(bytes)) else {
        return Reached::NoMessage;
    };
    // Whatever was read is written in one way, and that reads the same.
    let mut builder = BatchBuilder::new(batch.stamp_ms);
    batch.commands.iter().for_each(|command| builder.push(&encode_command(command)));
    let again = decode_batch(&builder.finish()).expect("what was encoded can be decoded");
    assert_eq!(again, batch);
    let mut stage = Stage::set();
    let reached = batch.commands.iter().map(|command| stage.apply(command)).max();
    reached.unwrap_or(Reached::Answered)
}
