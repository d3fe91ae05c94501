//! What is wrong by itself, whatever the state: the edge should have refused it.

use conclave_machine::{
    Acquire, Change, Demand, Edit, Invalid, Items, Mode, Op, Refusal, Seq,
    limits::{
        ITEMS_MAX, MAX_HOLD_MS_MAX, PREEMPT_MS_MAX, PROPOSAL_BYTES_MAX, RETENTION_MS_MAX,
        VALUE_BYTES_MAX,
    },
};

/// No seq, so that a next one always exists.
pub(crate) const SEQ_BEYOND: Seq = Seq(u64::MAX);

pub(crate) fn valid_seq(seq: Seq) -> Result<(), Refusal> {
    valid(seq != Seq(0) && seq != SEQ_BEYOND, Invalid::Seq)
}

fn valid(is: bool, what: Invalid) -> Result<(), Refusal> {
    if is { Ok(()) } else { Err(Refusal::Invalid { what }) }
}

pub(crate) fn valid_op(op: &Op) -> Result<(), Refusal> {
    match op {
        Op::Acquire(acquire) => valid_acquire(acquire),
        Op::Proclaim { value, .. } => valid(value.len() <= PROPOSAL_BYTES_MAX, Invalid::Value),
        Op::Complete { value, retention_ms, .. } => {
            valid(value.len() <= VALUE_BYTES_MAX, Invalid::Value)?;
            valid(*retention_ms <= RETENTION_MS_MAX, Invalid::Retention)
        }
        Op::Edit(Edit { change, .. }) => valid_change(change),
        Op::Release { .. }
        | Op::Adopt { .. }
        | Op::Downgrade { .. }
        | Op::Upgrade { .. }
        | Op::SetEligible { .. } => Ok(()),
    }
}

fn valid_acquire(acquire: &Acquire) -> Result<(), Refusal> {
    valid(acquire.max_hold_ms <= MAX_HOLD_MS_MAX, Invalid::MaxHold)?;
    valid(valid_items(&acquire.items), Invalid::Items)?;
    valid(!acquire.items.iter().any(|item| is_zero(item.demand)), Invalid::Zero)?;
    let leads = acquire.items.single().is_some_and(|item| item.demand == Demand::Lead);
    let fits = acquire.campaign.as_ref().is_none_or(|campaign| {
        campaign.value.len() <= PROPOSAL_BYTES_MAX
            && campaign.preempt_after_ms.is_none_or(|after_ms| after_ms <= PREEMPT_MS_MAX)
            && (campaign.eligible || acquire.wait)
    });
    valid(leads == acquire.campaign.is_some() && fits, Invalid::Campaign)
}

fn valid_items(items: &Items) -> bool {
    let distinct = items
        .iter()
        .enumerate()
        .all(|(at, item)| !items.iter().take(at).any(|earlier| earlier.name == item.name));
    let goes_together = |demand: Demand| match demand {
        Demand::Mutex | Demand::RwLock(Mode::Read | Mode::Write) | Demand::Permits { .. } => true,
        Demand::RwLock(Mode::Upgradable)
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => false,
    };
    let single = items.single().is_some();
    items.count() <= ITEMS_MAX
        && distinct
        && (single || items.iter().all(|item| goes_together(item.demand)))
}

fn is_zero(demand: Demand) -> bool {
    match demand {
        Demand::Permits { weight, limit } => weight == 0 || limit == 0,
        Demand::Arrive { parties, .. } => parties == 0,
        Demand::Mutex
        | Demand::RwLock(_)
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate => false,
    }
}

fn valid_change(change: &Change) -> Result<(), Refusal> {
    match change {
        Change::SetRegister { value, .. } => valid(value.len() <= VALUE_BYTES_MAX, Invalid::Value),
        Change::CreateLatch { count } => valid(*count > 0, Invalid::Zero),
        Change::CountDown { by, .. } => valid(*by > 0, Invalid::Zero),
        Change::ResetLatch
        | Change::SetGate { .. }
        | Change::DeleteRegister { .. }
        | Change::AddCounter { .. } => Ok(()),
    }
}
