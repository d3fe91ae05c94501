//! Who holds, what is held, and who waits for whom.

use std::collections::HashMap;

use conclave_machine::{DeadlockEdge, Demand, HeldBy, HoldState, Holder, Kind, Labels, Mode};
use conclave_proto::v1;
use conclave_proto::v1::demand::Demand as Wire;

use super::DisplayClock;

pub(crate) fn held(held_by: &HeldBy, clock: DisplayClock) -> v1::HeldBy {
    v1::HeldBy {
        holders: held_by.holders.iter().map(|of| holder(of, clock)).collect(),
        holders_total: held_by.holders_total,
        queue_len: held_by.queue_len,
        name: held_by.name.as_str().to_owned(),
    }
}

pub(crate) fn holder(holder: &Holder, clock: DisplayClock) -> v1::Holder {
    v1::Holder {
        session: holder.session.get(),
        session_name: holder.session_name.as_str().to_owned(),
        labels: labels(&holder.labels),
        token: holder.token.get(),
        state: hold_state(holder.state).into(),
        owner: holder.owner.as_deref().map(str::to_owned),
        metadata: labels(&holder.metadata),
        held_ms: clock.since(holder.since_stamp_ms),
        demand: Some(demand(holder.demand)),
        value: holder.value.as_ref().map(|value| value.as_bytes().to_vec()),
    }
}

pub(crate) fn demand(demand: Demand) -> v1::Demand {
    let wire = match demand {
        Demand::Mutex => Wire::Mutex(v1::MutexDemand {}),
        Demand::RwLock(of) => Wire::Rwlock(v1::RwlockDemand { mode: mode(of).into() }),
        Demand::Permits { weight, limit } => Wire::Permits(v1::PermitsDemand { weight, limit }),
        Demand::Lead => Wire::Lead(v1::LeadDemand {}),
        Demand::Run { attempts_max } => Wire::Run(v1::RunDemand { attempts_max }),
        Demand::Latch => Wire::Latch(v1::LatchDemand {}),
        Demand::Gate => Wire::Gate(v1::GateDemand {}),
        Demand::Arrive { parties, break_on_loss } => {
            Wire::Arrive(v1::ArriveDemand { parties, break_on_loss })
        }
    };
    v1::Demand { demand: Some(wire) }
}

fn mode(mode: Mode) -> v1::Mode {
    match mode {
        Mode::Read => v1::Mode::Read,
        Mode::Upgradable => v1::Mode::Upgradable,
        Mode::Write => v1::Mode::Write,
    }
}

pub(crate) fn kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Mutex => v1::Kind::Mutex,
        Kind::RwLock => v1::Kind::Rwlock,
        Kind::Semaphore => v1::Kind::Semaphore,
        Kind::Election => v1::Kind::Election,
        Kind::Once => v1::Kind::Once,
        Kind::Latch => v1::Kind::Latch,
        Kind::Gate => v1::Kind::Gate,
        Kind::Barrier => v1::Kind::Barrier,
        Kind::Register => v1::Kind::Register,
        Kind::Counter => v1::Kind::Counter,
    }
}

pub(crate) fn deadlock_edge(edge: &DeadlockEdge) -> v1::DeadlockEdge {
    v1::DeadlockEdge {
        session: edge.session.get(),
        session_name: edge.session_name.as_str().to_owned(),
        owner: edge.owner.to_string(),
        name: edge.name.as_str().to_owned(),
    }
}

pub(crate) fn labels(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

pub(crate) fn hold_state(state: HoldState) -> v1::HoldState {
    match state {
        HoldState::Held => v1::HoldState::Held,
        HoldState::Cooling => v1::HoldState::Cooling,
        HoldState::Revoked => v1::HoldState::Revoked,
    }
}
