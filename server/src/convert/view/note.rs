//! What watchers are told of an object.

use conclave_machine::Note;
use conclave_proto::v1;
use conclave_proto::v1::note::{self as wire, Note as Wire};

use crate::convert::answer::{demand, edited, kind};

pub(crate) fn note(note: &Note) -> v1::Note {
    let note = match note {
        Note::Granted { session, session_name, token, demand: of, value } => {
            Wire::Granted(wire::Granted {
                session: session.get(),
                session_name: session_name.as_str().to_owned(),
                token: token.get(),
                demand: Some(demand(*of)),
                value: value.as_ref().map(|value| value.as_bytes().to_vec()),
            })
        }
        Note::Ended { session, token, lost } => {
            Wire::Ended(wire::Ended { session: session.get(), token: token.get(), lost: *lost })
        }
        Note::Revoked { session, token } => {
            Wire::Revoked(wire::Suspended { session: session.get(), token: token.get() })
        }
        Note::Cooling { session, token } => {
            Wire::Cooling(wire::Suspended { session: session.get(), token: token.get() })
        }
        Note::Changed { token, demand: of } => {
            Wire::Changed(wire::Changed { token: token.get(), demand: Some(demand(*of)) })
        }
        Note::Proclaimed { term, value } => Wire::Proclaimed(wire::Proclaimed {
            term: term.get(),
            value: value.as_bytes().to_vec(),
        }),
        Note::Waiting { queue_len } => Wire::Waiting(wire::Waiting { queue_len: *queue_len }),
        Note::Resized { limit, version } => {
            Wire::Resized(wire::Resized { limit: *limit, version: version.get() })
        }
        Note::Edited(what) => Wire::Edited(edited(what)),
        Note::Passed { version, count } => {
            Wire::Passed(wire::Passed { version: version.get(), count: *count })
        }
        Note::Gone { kind: of } => Wire::Gone(wire::Gone { kind: kind(*of).into() }),
    };
    v1::Note { note: Some(note) }
}
