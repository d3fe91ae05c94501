//! Sessions as a reader sees them.

use conclave_machine::{
    Blocker, Page, Revision, SessionHold, SessionSummary, SessionView, SessionWait,
};
use conclave_proto::v1;

use crate::convert::answer::{DisplayClock, hold_state, kind, labels};

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
        others: hold.others,
    }
}

fn session_wait(wait: &SessionWait, clock: DisplayClock) -> v1::SessionWait {
    v1::SessionWait {
        name: wait.name.as_str().to_owned(),
        kind: kind(wait.kind).into(),
        position: wait.position,
        waited_ms: clock.since(wait.since_stamp_ms),
        priority: wait.priority,
        others: wait.others,
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
