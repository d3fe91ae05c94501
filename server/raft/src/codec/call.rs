//! Calls: the mutations that count as exactly once.

use conclave_machine::{Acquire, Call, Op, Seq, Token};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::call_command::Op as Wire;

use super::DecodeError;
use super::demand::{campaign, items, mode, wire_campaign, wire_items, wire_mode};
use super::edit::{edit, wire_edit};
use super::parts::{bytes_of, key, labels, owner, value, wire_key, wire_labels, wire_value};

pub(super) fn call(wire: wire::CallCommand) -> Result<Call, DecodeError> {
    let op = match wire.op.ok_or(DecodeError::Missing { what: "an operation" })? {
        Wire::Acquire(acquire) => Op::Acquire(decode_acquire(&acquire)?),
        Wire::Release(release) => {
            Op::Release { token: Token(release.token), permits: release.permits }
        }
        Wire::Adopt(adopt) => Op::Adopt { token: Token(adopt.token) },
        Wire::Downgrade(downgrade) => {
            Op::Downgrade { token: Token(downgrade.token), to: mode(downgrade.to)? }
        }
        Wire::Upgrade(upgrade) => Op::Upgrade { token: Token(upgrade.token), wait: upgrade.wait },
        Wire::Proclaim(proclaim) => {
            Op::Proclaim { term: Token(proclaim.term), value: value(&proclaim.value) }
        }
        Wire::SetEligible(set) => {
            Op::SetEligible { campaign: Seq(set.campaign), eligible: set.eligible }
        }
        Wire::Complete(complete) => Op::Complete {
            token: Token(complete.token),
            value: value(&complete.value),
            retention_ms: complete.retention_ms,
        },
        Wire::Edit(wire) => Op::Edit(edit(&wire)?),
    };
    Ok(Call { key: key(wire.key)?, seq: Seq(wire.seq), seen_through: Seq(wire.seen_through), op })
}

pub(super) fn wire_call(call: &Call) -> wire::CallCommand {
    let op = match &call.op {
        Op::Acquire(acquire) => Wire::Acquire(wire_acquire(acquire)),
        Op::Release { token, permits } => {
            Wire::Release(wire::ReleaseOp { token: token.get(), permits: *permits })
        }
        Op::Adopt { token } => Wire::Adopt(wire::AdoptOp { token: token.get() }),
        Op::Downgrade { token, to } => {
            Wire::Downgrade(wire::DowngradeOp { token: token.get(), to: wire_mode(*to) })
        }
        Op::Upgrade { token, wait } => {
            Wire::Upgrade(wire::UpgradeOp { token: token.get(), wait: *wait })
        }
        Op::Proclaim { term, value } => {
            Wire::Proclaim(wire::ProclaimOp { term: term.get(), value: wire_value(value) })
        }
        Op::SetEligible { campaign, eligible } => {
            Wire::SetEligible(wire::SetEligibleOp { campaign: campaign.get(), eligible: *eligible })
        }
        Op::Complete { token, value, retention_ms } => Wire::Complete(wire::CompleteOp {
            token: token.get(),
            value: wire_value(value),
            retention_ms: *retention_ms,
        }),
        Op::Edit(edit) => Wire::Edit(wire_edit(edit)),
    };
    wire::CallCommand {
        key: wire_key(&call.key),
        seq: call.seq.get(),
        seen_through: call.seen_through.get(),
        op: Some(op),
    }
}

fn decode_acquire(wire: &wire::AcquireOp) -> Result<Acquire, DecodeError> {
    Ok(Acquire {
        items: items(&wire.items)?,
        wait: wire.wait,
        priority: wire.priority,
        max_hold_ms: wire.max_hold_ms,
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        fail_on_deadlock: wire.fail_on_deadlock,
        campaign: wire.campaign.as_ref().map(campaign),
    })
}

fn wire_acquire(acquire: &Acquire) -> wire::AcquireOp {
    wire::AcquireOp {
        items: wire_items(&acquire.items),
        wait: acquire.wait,
        priority: acquire.priority,
        max_hold_ms: acquire.max_hold_ms,
        owner: acquire.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&acquire.metadata),
        fail_on_deadlock: acquire.fail_on_deadlock,
        campaign: acquire.campaign.as_ref().map(wire_campaign),
    }
}
