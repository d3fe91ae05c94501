//! Objects as a reader sees them.

use conclave_machine::{
    Check, Detail, ElectionView, ObjectSummary, ObjectView, Page, Revision, SessionId, Statistics,
    ValueView, Version, WaiterView,
};
use conclave_proto::v1;

use crate::convert::answer::{DisplayClock, deadlock_edge, demand, holder, kind, labels};

pub(crate) fn inspect(
    name: String,
    view: Option<ObjectView>,
    revision: Revision,
    clock: DisplayClock,
) -> v1::InspectResponse {
    let Some(view) = view else {
        return v1::InspectResponse { name, revision: revision.get(), ..Default::default() };
    };
    v1::InspectResponse {
        exists: true,
        name,
        kind: kind(view.kind).into(),
        holders: view.holders.iter().map(|of| holder(of, clock)).collect(),
        queue: view.queue.iter().map(|of| waiter(of, clock)).collect(),
        queue_len: view.queue_len,
        statistics: Some(statistics(&view.statistics, clock)),
        revision: revision.get(),
        detail: detail(&view.detail),
        aside: view.aside.iter().map(|of| waiter(of, clock)).collect(),
        deadlock: view.deadlock.iter().map(deadlock_edge).collect(),
    }
}

fn detail(detail: &Detail) -> Option<v1::inspect_response::Detail> {
    use v1::inspect_response::Detail as Wire;
    Some(match *detail {
        Detail::Plain => return None,
        Detail::Semaphore { declared, limit, in_use, version, resized } => {
            let version = version.get();
            Wire::Semaphore(v1::SemaphoreDetail { declared, limit, in_use, version, resized })
        }
        Detail::Election { successor } => {
            Wire::Election(v1::ElectionDetail { successor: successor.map(SessionId::get) })
        }
        Detail::Once { attempts, done } => {
            Wire::Once(v1::OnceDetail { attempts, done_version: done.map(Version::get) })
        }
        Detail::Latch { count, remaining, round } => {
            Wire::Latch(v1::LatchDetail { count, remaining, round: round.get() })
        }
        Detail::Gate { open, version } => {
            Wire::Gate(v1::GateDetail { open, version: version.get() })
        }
        Detail::Barrier { parties, break_on_loss } => {
            Wire::Barrier(v1::BarrierDetail { parties, break_on_loss })
        }
        Detail::Register { version, bytes, bound_to } => Wire::Register(v1::RegisterDetail {
            version: version.get(),
            bytes,
            bound_to: bound_to.map(SessionId::get),
        }),
        Detail::Counter { value } => Wire::Counter(v1::CounterDetail { value }),
    })
}

fn waiter(waiter: &WaiterView, clock: DisplayClock) -> v1::Waiter {
    v1::Waiter {
        session: waiter.session.get(),
        session_name: waiter.session_name.as_str().to_owned(),
        labels: labels(&waiter.labels),
        priority: waiter.priority,
        position: waiter.position,
        owner: waiter.owner.as_deref().map(str::to_owned),
        waited_ms: clock.since(waiter.since_stamp_ms),
        demand: Some(demand(waiter.demand)),
    }
}

fn statistics(statistics: &Statistics, clock: DisplayClock) -> v1::Statistics {
    v1::Statistics {
        age_ms: clock.since(statistics.created_stamp_ms),
        grants: statistics.grants,
        releases: statistics.releases,
        timeouts: statistics.timeouts,
        cancels: statistics.cancels,
        losses: statistics.losses,
        queue_len_max: statistics.queue_len_max,
        passes: statistics.passes,
    }
}

pub(crate) fn list(page: Page<ObjectSummary>, clock: DisplayClock) -> v1::ListResponse {
    v1::ListResponse {
        objects: page.items.iter().map(|of| summary(of, clock)).collect(),
        total: page.total,
        revision: page.revision.get(),
    }
}

pub(crate) fn summary(summary: &ObjectSummary, clock: DisplayClock) -> v1::ObjectSummary {
    v1::ObjectSummary {
        name: summary.name.as_str().to_owned(),
        kind: kind(summary.kind).into(),
        holders: summary.holders,
        queue_len: summary.queue_len,
        longest_wait_ms: match summary.longest_wait_stamp_ms {
            0 => 0,
            stamp_ms => clock.since(stamp_ms),
        },
        holder: summary.holder.as_ref().map(|of| holder(of, clock)),
    }
}

/// None: nobody leads and nobody campaigns.
pub(crate) fn election(view: Option<&ElectionView>, clock: DisplayClock) -> v1::ElectionView {
    let Some(view) = view else { return v1::ElectionView::default() };
    let candidates = view.candidates.iter().map(|candidate| v1::Candidate {
        session: candidate.waiter.session.get(),
        session_name: candidate.waiter.session_name.as_str().to_owned(),
        labels: labels(&candidate.waiter.labels),
        priority: candidate.waiter.priority,
        rank: candidate.waiter.position,
        value: candidate.value.as_bytes().to_vec(),
        waited_ms: clock.since(candidate.waiter.since_stamp_ms),
    });
    v1::ElectionView {
        leader: view.leader.as_ref().map(|of| holder(of, clock)),
        candidates: candidates.collect(),
        queue_len: view.queue_len,
    }
}

pub(crate) fn register(view: Option<ValueView>, revision: Revision) -> v1::GetRegisterResponse {
    let revision = revision.get();
    match view {
        Some(ValueView { version, value, session }) => v1::GetRegisterResponse {
            exists: true,
            version: version.get(),
            value: value.as_bytes().to_vec(),
            bound_to: session.map(SessionId::get),
            revision,
        },
        None => v1::GetRegisterResponse { revision, ..Default::default() },
    }
}

pub(crate) fn once_result(
    view: Option<ValueView>,
    revision: Revision,
) -> v1::GetOnceResultResponse {
    let revision = revision.get();
    match view {
        Some(ValueView { version, value, session: _ }) => v1::GetOnceResultResponse {
            exists: true,
            version: version.get(),
            value: value.as_bytes().to_vec(),
            revision,
        },
        None => v1::GetOnceResultResponse { revision, ..Default::default() },
    }
}

pub(crate) fn check(check: Check, revision: Revision) -> v1::CheckResponse {
    let state = match check {
        Check::Held => v1::HoldState::Held,
        Check::Cooling => v1::HoldState::Cooling,
        Check::Revoked => v1::HoldState::Revoked,
        Check::NotHeld => v1::HoldState::Unspecified,
    };
    v1::CheckResponse { held: check == Check::Held, state: state.into(), revision: revision.get() }
}
