//! What a log accepts, as pure changes of `LogState`: one set of rules for both implementations of the port.
//!
//! A refusal changes nothing and is not a disk failure. It means that the caller broke an invariant of Raft, and
//! refusing is the second line of defence against a double vote, a hole or a lost committed entry.

use std::cmp::Ordering;
use std::io;

use crate::port::{LogEntry, LogPosition, LogState, StoredVote};

fn refuse(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// The order of votes: by term, then a vote for somebody over a vote for nobody, then a granted one over a
/// requested one. Two candidates of one term do not compare, unless one of the two votes is committed.
pub(crate) fn compare_votes(left: &StoredVote, right: &StoredVote) -> Option<Ordering> {
    let by_candidate = match (left.voted_for, right.voted_for) {
        (None, None) => Some(Ordering::Equal),
        (Some(_), None) => Some(Ordering::Greater),
        (None, Some(_)) => Some(Ordering::Less),
        (Some(a), Some(b)) if a == b => Some(Ordering::Equal),
        (Some(_), Some(_)) => None,
    };
    match (left.term.cmp(&right.term), by_candidate) {
        (Ordering::Equal, Some(Ordering::Equal)) => Some(left.committed.cmp(&right.committed)),
        (Ordering::Equal, Some(order)) => Some(order),
        (Ordering::Equal, None) => match (left.committed, right.committed) {
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (true, true) | (false, false) => None,
        },
        (by_term, _) => Some(by_term),
    }
}

pub(crate) fn save_vote(state: &mut LogState, vote: StoredVote) -> io::Result<()> {
    if let Some(current) = state.vote
        && !matches!(compare_votes(&vote, &current), Some(Ordering::Equal | Ordering::Greater))
    {
        return Err(refuse(format!("vote would go back: stored {current:?}, offered {vote:?}")));
    }
    state.vote = Some(vote);
    Ok(())
}

pub(crate) fn append(state: &mut LogState, entries: &[LogEntry]) -> io::Result<()> {
    let mut last = state.last;
    for entry in entries {
        let position = entry.position;
        if let Some(last) = last {
            if position.index != last.index + 1 {
                return Err(refuse(format!(
                    "append leaves a hole: last {last:?}, offered {position:?}"
                )));
            }
            if position.term < last.term {
                return Err(refuse(format!(
                    "append lowers the term: last {last:?}, offered {position:?}"
                )));
            }
        }
        last = Some(position);
    }
    state.last = last;
    Ok(())
}

/// Returns what is to be written; `None` means that nothing new was said.
pub(crate) fn save_committed(
    state: &mut LogState,
    committed: Option<LogPosition>,
) -> io::Result<Option<LogPosition>> {
    if committed <= state.committed {
        return Ok(None);
    }
    if committed > state.last {
        return Err(refuse(format!(
            "committed {committed:?} is beyond the last entry {:?}",
            state.last
        )));
    }
    state.committed = committed;
    Ok(committed)
}

/// Returns the first index that goes away; `None` means that nothing is there to remove.
/// `position_of` looks an index up in the log.
pub(crate) fn truncate_after(
    state: &mut LogState,
    keep: Option<LogPosition>,
    position_of: impl FnOnce(u64) -> io::Result<Option<LogPosition>>,
) -> io::Result<Option<u64>> {
    let Some(last) = state.last else {
        return Ok(None);
    };
    if keep.is_some_and(|keep| keep.index >= last.index) {
        return Ok(None);
    }
    if keep < state.committed {
        return Err(refuse(format!(
            "truncation to {keep:?} would remove committed entries up to {:?}",
            state.committed
        )));
    }
    if keep != state.purged {
        let found = match keep {
            Some(keep) => position_of(keep.index)?,
            None => None,
        };
        if found != keep || keep < state.purged {
            return Err(refuse(format!(
                "truncation to {keep:?}, but the log has {found:?} there and is purged up to {:?}",
                state.purged
            )));
        }
    }
    state.last = keep;
    Ok(Some(keep.map_or(0, |keep| keep.index + 1)))
}

/// Returns whether there is anything to purge.
pub(crate) fn purge(state: &mut LogState, upto: LogPosition) -> io::Result<bool> {
    if state.purged.is_some_and(|purged| upto.index <= purged.index) {
        return Ok(false);
    }
    if let Some(last) = state.last
        && upto.index < last.index
        && upto > last
    {
        return Err(refuse(format!(
            "purge up to {upto:?} would keep entries of an older term up to {last:?}"
        )));
    }
    state.purged = Some(upto);
    if state.last.is_none_or(|last| last.index <= upto.index) {
        state.last = Some(upto);
    }
    Ok(true)
}
