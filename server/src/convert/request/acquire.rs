//! Acquires: what is wanted of which objects.

use std::collections::HashSet;

use conclave_machine::{Acquire, Campaign, Demand, Item, Items, limits};
use conclave_proto::v1;
use conclave_proto::v1::item::Demand as Wire;

use super::call::mode;
use super::{Wait, labels, malformed, missing, name, text, value, wait};
use crate::status::Malformed;

pub(super) fn acquire(op: v1::AcquireOp) -> Result<(Acquire, Wait), Malformed> {
    let items = items(&op.items)?;
    let time = wait(op.wait, "acquire.wait.ms")?;
    if op.max_hold_ms > limits::MAX_HOLD_MS_MAX {
        let range = format!("must be at most {} milliseconds", limits::MAX_HOLD_MS_MAX);
        return Err(malformed("INVALID_MAX_HOLD", "acquire.max_hold_ms", range));
    }
    let acquire = Acquire {
        campaign: campaign(op.campaign, items.first().demand, time)?,
        items,
        wait: time != Wait::None,
        priority: op.priority,
        max_hold_ms: op.max_hold_ms,
        owner: op.owner.map(|owner| text(&owner, "acquire.owner")).transpose()?,
        metadata: labels(op.metadata, "acquire.metadata")?,
        fail_on_deadlock: op.fail_on_deadlock,
    };
    Ok((acquire, time))
}

fn items(wire: &[v1::Item]) -> Result<Items, Malformed> {
    let len = wire.len();
    if len > limits::ITEMS_MAX {
        let text = format!("has {len} items, at most {}", limits::ITEMS_MAX);
        return Err(malformed("INVALID_ITEMS", "acquire.items", text));
    }
    let mut items = Vec::with_capacity(len);
    let mut names = HashSet::with_capacity(len);
    for (at, wire) in wire.iter().enumerate() {
        let item = item(at, wire)?;
        if len > 1 && !item.demand.goes_with_others() {
            let text = "asks for what goes with nothing else in one request";
            return Err(malformed("INVALID_ITEMS", format!("acquire.items[{at}]"), text));
        }
        if !names.insert(item.name.clone()) {
            let text = "stands there twice";
            return Err(malformed("INVALID_ITEMS", format!("acquire.items[{at}].name"), text));
        }
        items.push(item);
    }
    Items::new(items).ok_or_else(|| missing("acquire.items"))
}

fn item(at: usize, wire: &v1::Item) -> Result<Item, Malformed> {
    let path = |below: &str| format!("acquire.items[{at}].{below}");
    let positive = |number: u32, below: &str| match number {
        0 => Err(malformed("INVALID_REQUEST", path(below), "must be 1 or more")),
        number => Ok(number),
    };
    let demand = match wire.demand.as_ref().ok_or_else(|| missing(path("demand")))? {
        Wire::Mutex(v1::MutexDemand {}) => Demand::Mutex,
        Wire::Rwlock(v1::RwlockDemand { mode: wire }) => {
            let unknown = || {
                let text = "must be read, upgradable or write";
                malformed("INVALID_MODE", path("rwlock.mode"), text)
            };
            Demand::RwLock(mode(*wire).ok_or_else(unknown)?)
        }
        Wire::Permits(v1::PermitsDemand { weight, limit }) => Demand::Permits {
            weight: positive(*weight, "permits.weight")?,
            limit: positive(*limit, "permits.limit")?,
        },
        Wire::Lead(v1::LeadDemand {}) => Demand::Lead,
        Wire::Run(v1::RunDemand { attempts_max }) => Demand::Run { attempts_max: *attempts_max },
        Wire::Latch(v1::LatchDemand {}) => Demand::Latch,
        Wire::Gate(v1::GateDemand {}) => Demand::Gate,
        Wire::Arrive(v1::ArriveDemand { parties, break_on_loss }) => Demand::Arrive {
            parties: positive(*parties, "arrive.parties")?,
            break_on_loss: *break_on_loss,
        },
    };
    Ok(Item { name: name(&wire.name, path("name"))?, demand })
}

/// `demand` is the only one of a request that asks for a leadership.
fn campaign(
    wire: Option<v1::Campaign>,
    demand: Demand,
    wait: Wait,
) -> Result<Option<Campaign>, Malformed> {
    let is_campaign = demand == Demand::Lead;
    if wire.is_some() && !is_campaign {
        let text = "goes only with the demand lead";
        return Err(malformed("INVALID_REQUEST", "acquire.campaign", text));
    }
    let v1::Campaign { value: proposal, eligible, preempt_after_ms } = wire.unwrap_or_default();
    if preempt_after_ms.is_some_and(|after_ms| after_ms > limits::PREEMPT_MS_MAX) {
        let range = format!("must be at most {} milliseconds", limits::PREEMPT_MS_MAX);
        let field = "acquire.campaign.preempt_after_ms";
        return Err(malformed("INVALID_REQUEST", field, range));
    }
    let eligible = eligible.unwrap_or(true);
    if !eligible && wait == Wait::None {
        let text = "cannot be false of a candidate that does not wait";
        return Err(malformed("INVALID_REQUEST", "acquire.campaign.eligible", text));
    }
    let value = value(&proposal, limits::PROPOSAL_BYTES_MAX, "acquire.campaign.value")?;
    Ok(is_campaign.then_some(Campaign { value, eligible, preempt_after_ms }))
}
