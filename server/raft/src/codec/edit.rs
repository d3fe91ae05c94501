//! Changes of what nobody holds, and what became of it.

use conclave_machine::{Change, Edit, Edited, Expect, Guard, Token, Version};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::edit_op::Change as WireChange;
use conclave_proto::internal::v1::edited::Edited as WireEdited;
use conclave_proto::internal::v1::expect::Expect as WireExpect;

use super::DecodeError;
use super::parts::{EMPTY, bytes_of, name, text, value, wire_value};

pub(super) fn edit(wire: &wire::EditOp) -> Result<Edit, DecodeError> {
    let change = wire.change.as_ref().ok_or(DecodeError::Missing { what: "a change" })?;
    let guard = wire.guard.as_ref().map(|guard| {
        Ok::<_, DecodeError>(Guard { name: name(&guard.name)?, token: Token(guard.token) })
    });
    Ok(Edit { name: name(&wire.name)?, guard: guard.transpose()?, change: decode_change(change)? })
}

pub(super) fn wire_edit(edit: &Edit) -> wire::EditOp {
    let guard = edit
        .guard
        .as_ref()
        .map(|guard| wire::Guard { name: bytes_of(guard.name.as_str()), token: guard.token.get() });
    wire::EditOp {
        name: bytes_of(edit.name.as_str()),
        guard,
        change: Some(wire_change(&edit.change)),
    }
}

fn decode_change(wire: &WireChange) -> Result<Change, DecodeError> {
    Ok(match wire {
        WireChange::CreateLatch(count) => Change::CreateLatch { count: *count },
        WireChange::CountDown(wire::CountDown { by, key }) => {
            let key = key.as_ref().map(|key| text(key, "a key")).transpose()?;
            Change::CountDown { by: *by, key }
        }
        WireChange::ResetLatch(wire::Empty {}) => Change::ResetLatch,
        WireChange::SetGate(open) => Change::SetGate { open: *open },
        WireChange::SetRegister(set) => Change::SetRegister {
            value: value(&set.value),
            expect: expect(set.expect.as_ref())?,
            bound: set.bound,
        },
        WireChange::DeleteRegister(wire) => Change::DeleteRegister { expect: expect(Some(wire))? },
        WireChange::AddCounter(delta) => Change::AddCounter { delta: *delta },
    })
}

fn wire_change(change: &Change) -> WireChange {
    match change {
        Change::CreateLatch { count } => WireChange::CreateLatch(*count),
        Change::CountDown { by, key } => {
            WireChange::CountDown(wire::CountDown { by: *by, key: key.as_deref().map(bytes_of) })
        }
        Change::ResetLatch => WireChange::ResetLatch(EMPTY),
        Change::SetGate { open } => WireChange::SetGate(*open),
        Change::SetRegister { value, expect, bound } => {
            WireChange::SetRegister(wire::SetRegister {
                value: wire_value(value),
                expect: Some(wire_expect(*expect)),
                bound: *bound,
            })
        }
        Change::DeleteRegister { expect } => WireChange::DeleteRegister(wire_expect(*expect)),
        Change::AddCounter { delta } => WireChange::AddCounter(*delta),
    }
}

fn expect(wire: Option<&wire::Expect>) -> Result<Expect, DecodeError> {
    match wire.and_then(|wire| wire.expect.as_ref()) {
        Some(WireExpect::Anything(wire::Empty {})) => Ok(Expect::Anything),
        Some(WireExpect::Absent(wire::Empty {})) => Ok(Expect::Absent),
        Some(WireExpect::Version(version)) => Ok(Expect::Version(Version(*version))),
        None => Err(DecodeError::Missing { what: "an expectation" }),
    }
}

fn wire_expect(expect: Expect) -> wire::Expect {
    let wire = match expect {
        Expect::Anything => WireExpect::Anything(EMPTY),
        Expect::Absent => WireExpect::Absent(EMPTY),
        Expect::Version(version) => WireExpect::Version(version.get()),
    };
    wire::Expect { expect: Some(wire) }
}

pub(super) fn edited(wire: &wire::Edited) -> Result<Edited, DecodeError> {
    let wire = wire.edited.as_ref().ok_or(DecodeError::Missing { what: "an edit's result" })?;
    Ok(match *wire {
        WireEdited::Latch(wire::LatchState { round, remaining }) => {
            Edited::Latch { round: Version(round), remaining }
        }
        WireEdited::Gate(open) => Edited::Gate { open },
        WireEdited::Register(version) => Edited::Register { version: Version(version) },
        WireEdited::RegisterDeleted(wire::Empty {}) => Edited::RegisterDeleted,
        WireEdited::Conflict(wire::Conflict { version }) => {
            Edited::Conflict { version: version.map(Version) }
        }
        WireEdited::Counter(value) => Edited::Counter { value },
    })
}

pub(super) fn wire_edited(edited: &Edited) -> wire::Edited {
    let wire = match *edited {
        Edited::Latch { round, remaining } => {
            WireEdited::Latch(wire::LatchState { round: round.get(), remaining })
        }
        Edited::Gate { open } => WireEdited::Gate(open),
        Edited::Register { version } => WireEdited::Register(version.get()),
        Edited::RegisterDeleted => WireEdited::RegisterDeleted(EMPTY),
        Edited::Conflict { version } => {
            WireEdited::Conflict(wire::Conflict { version: version.map(Version::get) })
        }
        Edited::Counter { value } => WireEdited::Counter(value),
    };
    wire::Edited { edited: Some(wire) }
}
