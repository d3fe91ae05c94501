//! What a watcher or an observer asks for.

use conclave_machine::{Name, Revision, limits};
use conclave_proto::v1;
use conclave_raft::Position;

use super::{malformed, name};
use crate::limits::{CANDIDATES_DEFAULT, CANDIDATES_MAX};
use crate::status::Malformed;

/// The prefix, and behind what to go on; none: begin with a view of the whole.
pub(crate) fn watch(request: v1::WatchRequest) -> Result<(Box<str>, Option<Position>), Malformed> {
    if request.prefix.len() > limits::NAME_BYTES_MAX {
        let text = format!("has {} bytes, too many", request.prefix.len());
        return Err(malformed("INVALID_NAME", "prefix", text));
    }
    let after = position(request.after_revision, request.after_n)?;
    Ok((request.prefix.into(), after))
}

/// The election, and behind what to go on.
pub(crate) fn observe(request: &v1::ObserveRequest) -> Result<(Name, Option<Position>), Malformed> {
    Ok((name(&request.name, "name")?, position(request.after_revision, request.after_n)?))
}

fn position(revision: u64, n: u32) -> Result<Option<Position>, Malformed> {
    match (Revision(revision), n) {
        (Revision(0), 0) => Ok(None),
        (Revision(0), _) => {
            Err(malformed("INVALID_REQUEST", "after_n", "goes only with after_revision"))
        }
        (revision, 0) => Ok(Some(Position::whole(revision))),
        (revision, n) => Ok(Some(Position { revision, n })),
    }
}

/// How many candidates; zero: the default.
pub(crate) fn candidates_max(number: u32) -> Result<usize, Malformed> {
    match number {
        0 => Ok(CANDIDATES_DEFAULT as usize),
        1..=CANDIDATES_MAX => Ok(number as usize),
        _ => {
            let text = format!("must be 1 to {CANDIDATES_MAX}, or 0 for {CANDIDATES_DEFAULT}");
            Err(malformed("INVALID_REQUEST", "candidates_max", text))
        }
    }
}
