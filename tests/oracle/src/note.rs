//! What watchers are told, as one line: the same words from the machine's notes and from what comes over the wire, so that the
//! two can be compared without the types of either.

use conclave_machine::{Edited, Note};

/// What decides of a note, without what is only shown (names of sessions, values of leaders).
#[must_use]
pub fn note_text(note: &Note) -> String {
    match note {
        Note::Granted { session, token, .. } => format!("granted {token} to {session}"),
        Note::Ended { session, token, lost: false } => format!("{token} of {session} ended"),
        Note::Ended { session, token, lost: true } => format!("{token} of {session} was lost"),
        Note::Revoked { session, token } => format!("{token} of {session} revoked"),
        Note::Cooling { session, token } => format!("{token} of {session} cooling"),
        Note::Changed { token, .. } => format!("{token} changed"),
        Note::Proclaimed { term, .. } => format!("term {term} proclaimed"),
        Note::Waiting { queue_len } => format!("{queue_len} waiting"),
        Note::Resized { limit, version } => format!("resized to {limit} as {version}"),
        Note::Edited(edited) => match edited {
            Edited::Latch { round, remaining } => format!("latch {round} has {remaining} left"),
            Edited::Gate { open: true } => "gate open".to_owned(),
            Edited::Gate { open: false } => "gate closed".to_owned(),
            Edited::Register { version } => format!("register written as {version}"),
            Edited::RegisterDeleted => "register deleted".to_owned(),
            Edited::Conflict { .. } => "register in conflict".to_owned(),
            Edited::Counter { value } => format!("counter at {value}"),
        },
        Note::Passed { version, count } => format!("{count} passed under {version}"),
        Note::Gone { kind } => format!("gone: {kind:?}"),
    }
}
