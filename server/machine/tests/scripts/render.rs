//! What the machine says, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_machine::{
    Event, HeldBy, HoldState, Holder, Loss, LossReason, ObjectSummary, ObjectView, Outcome, Page,
    Refusal, SessionEnd, SessionId, SessionSummary, SessionView, Standing, Timer, TimerSet,
    WaitEnd,
};

/// Sessions by the names that the script gave them.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<SessionId, String>);

impl Names {
    pub(crate) fn insert(&mut self, id: SessionId, name: &str) {
        self.0.entry(id).or_insert_with(|| name.to_owned());
    }

    fn of(&self, id: SessionId) -> &str {
        self.0.get(&id).map_or("a stranger", String::as_str)
    }
}

pub(crate) fn outcome(outcome: &Outcome, names: &Names) -> String {
    let line = match outcome {
        Outcome::Opened { session, epoch, ttl_ms, generation } => format!(
            "opened session={session} epoch={epoch} ttl_ms={ttl_ms} generation={generation}"
        ),
        Outcome::Attached(standing) => return format!("attached\n{}", self::standing(standing)),
        Outcome::Resumed { epoch, next_seq, ttl_ms, standing } => {
            return format!(
                "resumed epoch={epoch} next_seq={next_seq} ttl_ms={ttl_ms}\n{}",
                self::standing(standing)
            );
        }
        Outcome::Ended => "ended".into(),
        Outcome::Granted { token, waiting } => format!("granted token={token}{}", some(*waiting)),
        Outcome::Queued { position } => format!("queued position={position}"),
        Outcome::Held(held) => format!("held by {}", held_by(held, names)),
        Outcome::TimedOut(held) => format!("timed out behind {}", held_by(held, names)),
        Outcome::Cancelled => "cancelled".into(),
        Outcome::Released => "released".into(),
        Outcome::Stopped => "stopped".into(),
        Outcome::Confirmed => "confirmed".into(),
        Outcome::Forced { revoked: true } => "forced, revoked".into(),
        Outcome::Forced { revoked: false } => "forced, ended".into(),
        Outcome::Done => "done".into(),
        Outcome::Refused(refusal) => format!("refused: {}", self::refusal(refusal)),
    };
    format!("{line}\n")
}

fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::SessionExpired => "session expired".into(),
        Refusal::Fenced { epoch } => format!("fenced by epoch {epoch}"),
        Refusal::NotHolder => "not holder".into(),
        Refusal::AlreadyHeld { token } => format!("already held token={token}"),
        Refusal::WrongKind { kind } => format!("wrong kind, it is a {kind:?}"),
        Refusal::SeqReused => "seq reused".into(),
        Refusal::Gone => "gone".into(),
        Refusal::Limit { what, max } => format!("limit {what:?} {max}"),
        Refusal::NotFound => "not found".into(),
        Refusal::Stale => "stale".into(),
        Refusal::Invalid { what } => format!("invalid {what:?}"),
    }
}

fn some(waiting: u32) -> String {
    if waiting == 0 { String::new() } else { format!(" waiting={waiting}") }
}

const fn state(state: HoldState) -> &'static str {
    match state {
        HoldState::Held => "",
        HoldState::Cooling => " cooling",
        HoldState::Revoked => " revoked",
    }
}

fn holder(holder: &Holder, names: &Names) -> String {
    let owner = holder.owner.as_ref().map(|owner| format!(" owner={owner}")).unwrap_or_default();
    format!("{} token={}{}{owner}", names.of(holder.session), holder.token, state(holder.state))
}

fn held_by(held: &HeldBy, names: &Names) -> String {
    let holders: Vec<_> = held.holders.iter().map(|one| holder(one, names)).collect();
    format!("{}, queue_len={}", holders.join(", "), held.queue_len)
}

fn standing(standing: &Standing) -> String {
    let mut said = String::new();
    for hold in &standing.holds {
        let unadopted = if hold.unadopted { " unadopted" } else { "" };
        let (name, token, seq) = (&hold.name, hold.token, hold.seq);
        let state = state(hold.state);
        writeln!(said, "  - holds {name} token={token} seq={seq}{state}{unadopted}").unwrap();
    }
    for wait in &standing.waits {
        let (name, seq, position) = (&wait.name, wait.seq, wait.position);
        writeln!(said, "  - waits for {name} seq={seq} position={position}").unwrap();
    }
    for loss in &standing.losses {
        writeln!(said, "  - {}", self::loss(loss)).unwrap();
    }
    said
}

pub(crate) fn loss(loss: &Loss) -> String {
    let reason = match &loss.reason {
        LossReason::MaxHold => "max-hold".into(),
        LossReason::ForceReleased { by } => format!("forced by {by}"),
        LossReason::NotAdopted => "not adopted".into(),
    };
    let (number, name, token) = (loss.number, &loss.name, loss.token);
    format!("loss {number}: {name} token={token}, {reason}, at revision {}", loss.revision)
}

fn end(end: &SessionEnd) -> String {
    match end {
        SessionEnd::Closed => "closed".into(),
        SessionEnd::Expired => "expired".into(),
        SessionEnd::Killed { by, reason } => format!("killed by {by}: {reason}"),
    }
}

pub(crate) fn event(event: &Event, names: &Names) -> String {
    match event {
        Event::Granted { session, seq, name, token, waiting } => {
            let session = names.of(*session);
            format!("-> {session} seq={seq}: granted {name} token={token}{}", some(*waiting))
        }
        Event::WaitEnded { session, seq, name, end } => {
            let end = match end {
                WaitEnd::TimedOut(held) => format!("timed out behind {}", held_by(held, names)),
                WaitEnd::Cancelled => "cancelled".into(),
                WaitEnd::SessionEnded(end) => format!("session {}", self::end(end)),
                WaitEnd::Fenced => "fenced".into(),
            };
            format!("-> {} seq={seq}: wait for {name} ended: {end}", names.of(*session))
        }
        Event::Lost { session, loss } => format!("-> {}: {}", names.of(*session), self::loss(loss)),
        Event::Contended { session, token, waiting, highest_priority } => {
            let session = names.of(*session);
            format!(
                "-> {session} token={token}: contended by {waiting}, highest {highest_priority}"
            )
        }
        Event::HoldEnded { session, name, token } => {
            format!("hold of {} ended: {name} token={token}", names.of(*session))
        }
        Event::SessionEnded { session, end } => {
            format!("session {} ended: {}", names.of(*session), self::end(end))
        }
        Event::TimerSet(set) => timer(set, names),
    }
}

pub(crate) fn timer(set: &TimerSet, names: &Names) -> String {
    let subject = match set.timer {
        Timer::Session(id) => format!("session {}", names.of(id)),
        Timer::Adoption(id) => format!("adoption {}", names.of(id)),
        Timer::HoldEnd(id, token) => format!("hold_end {} token={token}", names.of(id)),
        Timer::MaxHold(id, token) => format!("max_hold {} token={token}", names.of(id)),
    };
    format!("timer {subject} generation={} after_ms={}", set.generation, set.after_ms)
}

pub(crate) fn object(view: &ObjectView, names: &Names) -> String {
    let mut said = format!("{} {:?}\n", view.name, view.kind);
    for one in &view.holders {
        writeln!(said, "  - held by {} since={}", holder(one, names), one.since_stamp_ms).unwrap();
    }
    for waiter in &view.queue {
        let (session, seq) = (names.of(waiter.session), waiter.seq);
        let (position, priority) = (waiter.position, waiter.priority);
        let since = waiter.since_stamp_ms;
        writeln!(said, "  - {position}: {session} seq={seq} priority={priority} since={since}")
            .unwrap();
    }
    let s = &view.statistics;
    writeln!(
        said,
        "  queue_len={} longest={} grants={} releases={} losses={} timeouts={} cancels={}",
        view.queue_len, s.queue_len_max, s.grants, s.releases, s.losses, s.timeouts, s.cancels
    )
    .unwrap();
    said
}

pub(crate) fn objects(page: &Page<ObjectSummary>, names: &Names) -> String {
    let mut said = format!("{} of {}\n", page.items.len(), page.total);
    for item in &page.items {
        let holder = item.holder.as_ref().map(|one| holder(one, names)).unwrap_or_default();
        let (name, queue_len, since) = (&item.name, item.queue_len, item.longest_wait_stamp_ms);
        writeln!(said, "  - {name} held by {holder}, queue_len={queue_len} longest={since}")
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
        writeln!(said, "  - holds {} token={}{state}{unadopted}", hold.name, hold.token).unwrap();
    }
    for wait in &view.waits {
        let (name, seq, position) = (&wait.name, wait.seq, wait.position);
        writeln!(said, "  - waits for {name} seq={seq} position={position}").unwrap();
    }
    for loss in &view.losses {
        writeln!(said, "  - {}", self::loss(loss)).unwrap();
    }
    for one in &view.blocked_by {
        let (waiter, holder) = (names.of(one.waiter), names.of(one.holder));
        writeln!(said, "  - {waiter} is blocked on {} by {holder} token={}", one.name, one.token)
            .unwrap();
    }
    said
}
