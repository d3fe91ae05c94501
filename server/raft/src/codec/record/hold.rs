//! Holds and waits.

use conclave_machine::{Generation, HoldRecord, HoldState, Seq, SessionId, Token, WaiterRecord};
use conclave_proto::internal::v1 as wire;

use super::super::DecodeError;
use super::super::demand::{campaign, items, wire_campaign, wire_items};
use super::super::parts::{bytes_of, labels, owner, wire_labels};

pub(super) fn wire_hold(hold: &HoldRecord) -> wire::HoldRecord {
    wire::HoldRecord {
        token: hold.token.get(),
        session: hold.session.get(),
        seq: hold.seq.get(),
        fingerprint: hold.fingerprint,
        items: wire_items(&hold.items),
        state: wire_state(hold.state),
        unadopted: hold.unadopted,
        priority: hold.priority,
        max_hold_ms: hold.max_hold_ms,
        timer: hold.timer.map(Generation::get),
        preempt: hold.preempt.map(Generation::get),
        owner: hold.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&hold.metadata),
        campaign: hold.campaign.as_ref().map(wire_campaign),
        since_stamp_ms: hold.since_stamp_ms,
    }
}

pub(super) fn decode_hold(wire: &wire::HoldRecord) -> Result<HoldRecord, DecodeError> {
    Ok(HoldRecord {
        token: Token(wire.token),
        session: SessionId(wire.session),
        seq: Seq(wire.seq),
        fingerprint: wire.fingerprint,
        items: items(&wire.items)?,
        state: decode_state(wire.state)?,
        unadopted: wire.unadopted,
        priority: wire.priority,
        max_hold_ms: wire.max_hold_ms,
        timer: wire.timer.map(Generation),
        preempt: wire.preempt.map(Generation),
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        campaign: wire.campaign.as_ref().map(campaign),
        since_stamp_ms: wire.since_stamp_ms,
    })
}

pub(super) fn wire_waiter(waiter: &WaiterRecord) -> wire::WaiterRecord {
    wire::WaiterRecord {
        session: waiter.session.get(),
        seq: waiter.seq.get(),
        fingerprint: waiter.fingerprint,
        items: wire_items(&waiter.items),
        upgrades: waiter.upgrades.map(Token::get),
        priority: waiter.priority,
        arrival: waiter.arrival,
        max_hold_ms: waiter.max_hold_ms,
        owner: waiter.owner.as_deref().map(bytes_of),
        metadata: wire_labels(&waiter.metadata),
        campaign: waiter.campaign.as_ref().map(wire_campaign),
        since_stamp_ms: waiter.since_stamp_ms,
    }
}

pub(super) fn decode_waiter(wire: &wire::WaiterRecord) -> Result<WaiterRecord, DecodeError> {
    Ok(WaiterRecord {
        session: SessionId(wire.session),
        seq: Seq(wire.seq),
        fingerprint: wire.fingerprint,
        items: items(&wire.items)?,
        upgrades: wire.upgrades.map(Token),
        priority: wire.priority,
        arrival: wire.arrival,
        max_hold_ms: wire.max_hold_ms,
        owner: owner(wire.owner.as_ref())?,
        metadata: labels(&wire.metadata)?,
        campaign: wire.campaign.as_ref().map(campaign),
        since_stamp_ms: wire.since_stamp_ms,
    })
}

fn wire_state(state: HoldState) -> i32 {
    let wire = match state {
        HoldState::Held => wire::HoldState::Held,
        HoldState::Cooling => wire::HoldState::Cooling,
        HoldState::Revoked => wire::HoldState::Revoked,
    };
    wire.into()
}

fn decode_state(wire: i32) -> Result<HoldState, DecodeError> {
    match wire::HoldState::try_from(wire) {
        Ok(wire::HoldState::Held) => Ok(HoldState::Held),
        Ok(wire::HoldState::Cooling) => Ok(HoldState::Cooling),
        Ok(wire::HoldState::Revoked) => Ok(HoldState::Revoked),
        Ok(wire::HoldState::Unspecified) | Err(_) => {
            Err(DecodeError::Invalid { what: "the state of a hold" })
        }
    }
}
