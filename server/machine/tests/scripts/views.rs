//! What a look shows, in words.

use std::fmt::Write as _;

use conclave_machine::{
    Counts, Detail, ElectionView, ObjectSummary, ObjectView, Page, SessionSummary, SessionView,
    ValueView, WaiterView,
};

use crate::render::{self, Names, holder, state};

pub(crate) fn object(view: &ObjectView, names: &Names) -> String {
    let mut said = format!("{} {:?}{}\n", view.name, view.kind, detail(&view.detail, names));
    for one in &view.holders {
        writeln!(said, "  - held by {} since={}", holder(one, names), one.since_stamp_ms).unwrap();
    }
    for one in view.queue.iter().chain(&view.aside) {
        writeln!(said, "  - {}", waiter(one, names)).unwrap();
    }
    if !view.deadlock.is_empty() {
        writeln!(said, "  - deadlock: {}", render::cycle(&view.deadlock, names)).unwrap();
    }
    let s = &view.statistics;
    let passes = if s.passes > 0 { format!(" passes={}", s.passes) } else { String::new() };
    writeln!(
        said,
        "  queue_len={} longest={} grants={} releases={} losses={} timeouts={} cancels={}{passes}",
        view.queue_len, s.queue_len_max, s.grants, s.releases, s.losses, s.timeouts, s.cancels
    )
    .unwrap();
    said
}

fn waiter(waiter: &WaiterView, names: &Names) -> String {
    let (session, seq) = (names.of(waiter.session), waiter.seq);
    let (priority, since) = (waiter.priority, waiter.since_stamp_ms);
    let demand = render::demand(waiter.demand);
    let owner = waiter.owner.as_ref().map(|owner| format!(" owner={owner}")).unwrap_or_default();
    let place = match waiter.position {
        0 => "aside".to_owned(),
        position => position.to_string(),
    };
    format!("{place}: {session} seq={seq}{demand}{owner} priority={priority} since={since}")
}

/// What an object is besides its holders and its queue; nothing of what is plain.
fn detail(detail: &Detail, names: &Names) -> String {
    match detail {
        Detail::Plain => String::new(),
        Detail::Semaphore { declared, limit, in_use, version, resized } => {
            let resized = if *resized { " resized" } else { "" };
            format!(" declared={declared} limit={limit} in_use={in_use} version={version}{resized}")
        }
        Detail::Election { successor: None } => String::new(),
        Detail::Election { successor: Some(session) } => format!(" next={}", names.of(*session)),
        Detail::Once { attempts, done: None } => format!(" attempts={attempts}"),
        Detail::Once { attempts: _, done: Some(version) } => format!(" done version={version}"),
        Detail::Latch { count, remaining, round } => {
            format!(" count={count} remaining={remaining} round={round}")
        }
        Detail::Gate { open, version } => {
            format!(" {} version={version}", if *open { "open" } else { "closed" })
        }
        Detail::Barrier { parties, break_on_loss } => {
            format!(" parties={parties}{}", if *break_on_loss { " or_break" } else { "" })
        }
        Detail::Register { version, bytes, bound_to } => {
            let bound = bound_to.map(|id| format!(" bound to {}", names.of(id)));
            format!(" version={version} bytes={bytes}{}", bound.unwrap_or_default())
        }
        Detail::Counter { value } => format!(" value={value}"),
    }
}

pub(crate) fn election(view: &ElectionView, names: &Names) -> String {
    let leader = view.leader.as_ref().map(|leader| holder(leader, names));
    let mut said = format!("led by {}\n", leader.unwrap_or_else(|| "nobody".to_owned()));
    for candidate in &view.candidates {
        let (who, value) = (waiter(&candidate.waiter, names), render::value(&candidate.value));
        writeln!(said, "  - {who} {value}").unwrap();
    }
    writeln!(said, "  queue_len={}", view.queue_len).unwrap();
    said
}

pub(crate) fn value(view: &ValueView, names: &Names) -> String {
    let bound = view.session.map(|id| format!(" bound to {}", names.of(id)));
    let value = render::value(&view.value);
    format!("{value} version={}{}\n", view.version, bound.unwrap_or_default())
}

pub(crate) fn counts(counts: &Counts) -> String {
    let bytes = match counts.value_bytes {
        0 => String::new(),
        bytes => format!(" value_bytes={bytes}"),
    };
    format!(
        "sessions={} objects={} holds={} waiters={}{bytes}\n",
        counts.sessions, counts.objects, counts.holds, counts.waiters
    )
}

pub(crate) fn objects(page: &Page<ObjectSummary>, names: &Names) -> String {
    let mut said = format!("{} of {}\n", page.items.len(), page.total);
    for item in &page.items {
        let first = item.holder.as_ref().map(|one| holder(one, names));
        let first = first.unwrap_or_else(|| "nobody".to_owned());
        let more = match item.holders {
            0 | 1 => String::new(),
            many => format!(" and {} more", many - 1),
        };
        let (name, queue_len, since) = (&item.name, item.queue_len, item.longest_wait_stamp_ms);
        writeln!(said, "  - {name} held by {first}{more}, queue_len={queue_len} longest={since}")
            .unwrap();
    }
    said
}

pub(crate) fn sessions(page: &Page<SessionSummary>) -> String {
    let mut said = format!("{} of {}\n", page.items.len(), page.total);
    for item in &page.items {
        let ended = if item.ended { " ended" } else { "" };
        let (name, holds, waits) = (&item.name, item.holds, item.waits);
        writeln!(said, "  - {} {name} holds={holds} waits={waits}{ended}", item.id).unwrap();
    }
    said
}

pub(crate) fn session(view: &SessionView, names: &Names) -> String {
    let ended = if view.ended { " ended" } else { "" };
    let mut said = format!("{} epoch={} ttl_ms={}{ended}\n", view.name, view.epoch, view.ttl_ms);
    for hold in &view.holds {
        let unadopted = if hold.unadopted { " unadopted" } else { "" };
        let state = state(hold.state);
        let (name, others, token) = (&hold.name, others(hold.others), hold.token);
        writeln!(said, "  - holds {name}{others} token={token}{state}{unadopted}").unwrap();
    }
    for wait in &view.waits {
        let (name, others) = (&wait.name, others(wait.others));
        let (seq, position) = (wait.seq, wait.position);
        writeln!(said, "  - waits for {name}{others} seq={seq} position={position}").unwrap();
    }
    for loss in &view.losses {
        writeln!(said, "  - {}", render::loss(loss)).unwrap();
    }
    for one in &view.blocked_by {
        let (waiter, holder) = (names.of(one.waiter), names.of(one.holder));
        writeln!(said, "  - {waiter} is blocked on {} by {holder} token={}", one.name, one.token)
            .unwrap();
    }
    said
}

fn others(count: u32) -> String {
    if count == 0 { String::new() } else { format!(" and {count} others") }
}
