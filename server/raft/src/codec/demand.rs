//! What is asked for and held: the items of a request, and what an election adds.

use conclave_machine::{Campaign, Demand, Item, Items, Mode};
use conclave_proto::internal::v1 as wire;
use conclave_proto::internal::v1::item::Demand as Wire;

use super::DecodeError;
use super::parts::{EMPTY, bytes_of, name, value, wire_value};

pub(super) fn items(wire: &[wire::Item]) -> Result<Items, DecodeError> {
    let items = wire.iter().map(item).collect::<Result<_, _>>()?;
    Items::new(items).ok_or(DecodeError::Missing { what: "an item" })
}

pub(super) fn wire_items(items: &Items) -> Vec<wire::Item> {
    items.iter().map(wire_item).collect()
}

fn item(wire: &wire::Item) -> Result<Item, DecodeError> {
    let demand = wire.demand.as_ref().ok_or(DecodeError::Missing { what: "a demand" })?;
    Ok(Item { name: name(&wire.name)?, demand: decode_demand(demand)? })
}

fn wire_item(item: &Item) -> wire::Item {
    wire::Item { name: bytes_of(item.name.as_str()), demand: Some(wire_demand(item.demand)) }
}

fn decode_demand(wire: &Wire) -> Result<Demand, DecodeError> {
    Ok(match *wire {
        Wire::Mutex(wire::Empty {}) => Demand::Mutex,
        Wire::Rwlock(of) => Demand::RwLock(mode(of)?),
        Wire::Permits(wire::Permits { weight, limit }) => Demand::Permits { weight, limit },
        Wire::Lead(wire::Empty {}) => Demand::Lead,
        Wire::Run(attempts_max) => Demand::Run { attempts_max },
        Wire::Latch(wire::Empty {}) => Demand::Latch,
        Wire::Gate(wire::Empty {}) => Demand::Gate,
        Wire::Arrive(wire::Arrival { parties, break_on_loss }) => {
            Demand::Arrive { parties, break_on_loss }
        }
    })
}

fn wire_demand(demand: Demand) -> Wire {
    match demand {
        Demand::Mutex => Wire::Mutex(EMPTY),
        Demand::RwLock(mode) => Wire::Rwlock(wire_mode(mode)),
        Demand::Permits { weight, limit } => Wire::Permits(wire::Permits { weight, limit }),
        Demand::Lead => Wire::Lead(EMPTY),
        Demand::Run { attempts_max } => Wire::Run(attempts_max),
        Demand::Latch => Wire::Latch(EMPTY),
        Demand::Gate => Wire::Gate(EMPTY),
        Demand::Arrive { parties, break_on_loss } => {
            Wire::Arrive(wire::Arrival { parties, break_on_loss })
        }
    }
}

pub(super) fn mode(wire: i32) -> Result<Mode, DecodeError> {
    match wire::Mode::try_from(wire) {
        Ok(wire::Mode::Read) => Ok(Mode::Read),
        Ok(wire::Mode::Upgradable) => Ok(Mode::Upgradable),
        Ok(wire::Mode::Write) => Ok(Mode::Write),
        Ok(wire::Mode::Unspecified) | Err(_) => Err(DecodeError::Invalid { what: "a mode" }),
    }
}

pub(super) fn wire_mode(mode: Mode) -> i32 {
    let wire = match mode {
        Mode::Read => wire::Mode::Read,
        Mode::Upgradable => wire::Mode::Upgradable,
        Mode::Write => wire::Mode::Write,
    };
    wire.into()
}

pub(super) fn campaign(wire: &wire::Campaign) -> Campaign {
    Campaign {
        value: value(&wire.value),
        eligible: wire.eligible,
        preempt_after_ms: wire.preempt_after_ms,
    }
}

pub(super) fn wire_campaign(campaign: &Campaign) -> wire::Campaign {
    wire::Campaign {
        value: wire_value(&campaign.value),
        eligible: campaign.eligible,
        preempt_after_ms: campaign.preempt_after_ms,
    }
}
