//! From what a reader sees of the machine to the wire.

use conclave_machine::{
    Blocker, Check, Kind, ObjectSummary, ObjectView, Page, Revision, SessionHold, SessionSummary,
    SessionView, SessionWait, Statistics, WaiterView,
};
use conclave_proto::v1;

use crate::convert::answer::{DisplayClock, hold_state, holder, labels};

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
    }
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
    }
}

pub(crate) fn list(page: Page<ObjectSummary>, clock: DisplayClock) -> v1::ListResponse {
    let line = |summary: ObjectSummary| v1::ObjectSummary {
        name: summary.name.as_str().to_owned(),
        kind: kind(summary.kind).into(),
        holders: summary.holders,
        queue_len: summary.queue_len,
        longest_wait_ms: match summary.longest_wait_stamp_ms {
            0 => 0,
            stamp_ms => clock.since(stamp_ms),
        },
        holder: summary.holder.as_ref().map(|of| holder(of, clock)),
    };
    v1::ListResponse {
        objects: page.items.into_iter().map(line).collect(),
        total: page.total,
        revision: page.revision.get(),
    }
}

pub(crate) fn sessions(
    page: &Page<SessionSummary>,
    clock: DisplayClock,
) -> v1::ListSessionsResponse {
    v1::ListSessionsResponse {
        sessions: page.items.iter().map(|of| session_summary(of, clock)).collect(),
        total: page.total,
        revision: page.revision.get(),
    }
}

fn session_summary(summary: &SessionSummary, clock: DisplayClock) -> v1::SessionSummary {
    v1::SessionSummary {
        session: summary.id.get(),
        name: summary.name.as_str().to_owned(),
        labels: labels(&summary.labels),
        ttl_ms: summary.ttl_ms,
        age_ms: clock.since(summary.opened_stamp_ms),
        holds: summary.holds,
        waits: summary.waits,
        ended: summary.ended,
    }
}

pub(crate) fn session(
    view: &SessionView,
    revision: Revision,
    clock: DisplayClock,
) -> v1::DescribeSessionResponse {
    let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
    let summary = v1::SessionSummary {
        session: view.id.get(),
        name: view.name.as_str().to_owned(),
        labels: labels(&view.labels),
        ttl_ms: view.ttl_ms,
        age_ms: clock.since(view.opened_stamp_ms),
        holds: count(view.holds.len()),
        waits: count(view.waits.len()),
        ended: view.ended,
    };
    v1::DescribeSessionResponse {
        summary: Some(summary),
        lock_delay_ms: view.lock_delay_ms,
        epoch: view.epoch.get(),
        holds: view.holds.iter().map(|of| session_hold(of, clock)).collect(),
        waits: view.waits.iter().map(|of| session_wait(of, clock)).collect(),
        blocked_by: view.blocked_by.iter().map(blocker).collect(),
        revision: revision.get(),
    }
}

fn session_hold(hold: &SessionHold, clock: DisplayClock) -> v1::SessionHold {
    v1::SessionHold {
        name: hold.name.as_str().to_owned(),
        kind: kind(hold.kind).into(),
        token: hold.token.get(),
        state: hold_state(hold.state).into(),
        held_ms: clock.since(hold.since_stamp_ms),
    }
}

fn session_wait(wait: &SessionWait, clock: DisplayClock) -> v1::SessionWait {
    v1::SessionWait {
        name: wait.name.as_str().to_owned(),
        kind: kind(wait.kind).into(),
        position: wait.position,
        waited_ms: clock.since(wait.since_stamp_ms),
        priority: wait.priority,
    }
}

fn blocker(blocker: &Blocker) -> v1::Blocker {
    v1::Blocker {
        waiter: blocker.waiter.get(),
        name: blocker.name.as_str().to_owned(),
        holder: blocker.holder.get(),
        holder_name: blocker.holder_name.as_str().to_owned(),
        token: blocker.token.get(),
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

fn kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Mutex => v1::Kind::Mutex,
    }
}
