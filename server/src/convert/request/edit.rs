//! Changes of what nobody holds.

use conclave_machine::{Change, Edit, Expect, Guard, Token, Version, limits};
use conclave_proto::v1;
use conclave_proto::v1::edit_op::Change as Wire;

use super::{malformed, missing, name, text, value};
use crate::status::Malformed;

pub(super) fn edit(op: v1::EditOp) -> Result<Edit, Malformed> {
    let guard = op.guard.map(|guard| {
        let name = name(&guard.name, "edit.guard.name")?;
        Ok::<_, Malformed>(Guard { name, token: Token(guard.token) })
    });
    Ok(Edit {
        name: name(&op.name, "edit.name")?,
        guard: guard.transpose()?,
        change: change(op.change.ok_or_else(|| missing("edit.change"))?)?,
    })
}

fn change(change: Wire) -> Result<Change, Malformed> {
    let positive = |number: u64, field: &'static str| match number {
        0 => Err(malformed("INVALID_REQUEST", field, "must be 1 or more")),
        number => Ok(number),
    };
    Ok(match change {
        Wire::CreateLatch(v1::CreateLatch { count }) => {
            Change::CreateLatch { count: positive(count, "edit.create_latch.count")? }
        }
        Wire::CountDown(v1::CountDown { by, key }) => Change::CountDown {
            by: positive(by, "edit.count_down.by")?,
            key: key.map(|key| text(&key, "edit.count_down.key")).transpose()?,
        },
        Wire::ResetLatch(v1::ResetLatch {}) => Change::ResetLatch,
        Wire::SetGate(v1::SetGate { open }) => Change::SetGate { open },
        Wire::SetRegister(set) => Change::SetRegister {
            value: value(&set.value, limits::VALUE_BYTES_MAX, "edit.set_register.value")?,
            expect: expect(set.expect),
            bound: set.bound,
        },
        Wire::DeleteRegister(delete) => Change::DeleteRegister { expect: expect(delete.expect) },
        Wire::AddCounter(v1::AddCounter { delta }) => Change::AddCounter { delta },
    })
}

fn expect(expect: Option<v1::Expect>) -> Expect {
    match expect.and_then(|expect| expect.expect) {
        Some(v1::expect::Expect::Absent(true)) => Expect::Absent,
        Some(v1::expect::Expect::Version(version)) => Expect::Version(Version(version)),
        Some(v1::expect::Expect::Absent(false)) | None => Expect::Anything,
    }
}
