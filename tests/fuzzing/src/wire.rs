//! The edge of the wire: bytes as any request.

use bytes::Bytes;
use conclave_machine::Command;
use conclave_raft::storage::{BatchBuilder, decode_batch, encode_command};
use conclave_server::fuzzing::{Parsed, REQUESTS, Told};

use crate::Reached;
use crate::stage::Stage;

/// What a client takes in headers: hyper's default for all of them together.
const STATUS_BYTES_MAX: usize = 16 * 1024;
/// A command may say some numbers longer than the request did.
const COMMAND_GROWTH: usize = 4;
const COMMAND_BYTES: usize = 512;

/// The first byte says which request, the rest is its message.
#[must_use]
pub fn wire_edge(bytes: &[u8]) -> Reached {
    let Some((which, message)) = bytes.split_first() else { return Reached::NoMessage };
    let request = &REQUESTS[usize::from(*which) % REQUESTS.len()];
    match request.parse(message) {
        Parsed::NoMessage => Reached::NoMessage,
        Parsed::Refused(told) => {
            check_status(&told);
            Reached::Refused
        }
        Parsed::Answered => Reached::Answered,
        Parsed::Proposed(command) => {
            let encoded = encode_command(&command);
            assert!(
                encoded.len() <= message.len() * COMMAND_GROWTH + COMMAND_BYTES,
                "{} bytes became a command of {}",
                message.len(),
                encoded.len()
            );
            survives(&encoded, &command);
            Stage::set().apply(&command)
        }
    }
}

/// How many sorts of requests there are.
#[must_use]
pub fn requests() -> usize {
    REQUESTS.len()
}

/// A refusal must fit into the headers of an answer, whatever was sent.
pub(crate) fn check_status(told: &Told) {
    let Told { message, header_bytes } = told;
    assert!(*header_bytes <= STATUS_BYTES_MAX, "a status of {header_bytes} bytes: {message}");
}

/// What is written to the log is what was asked.
fn survives(encoded: &Bytes, command: &Command) {
    let mut batch = BatchBuilder::new(1);
    batch.push(encoded);
    let decoded = decode_batch(&batch.finish()).expect("what was encoded can be decoded");
    assert_eq!(decoded.commands.as_slice(), std::slice::from_ref(command));
}
