//! What the machine says, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use conclave_machine::{
    DeadlockEdge, Demand, Edited, Event, HeldBy, HoldState, Holder, Limit, Loss, LossReason, Mode,
    Note, Outcome, Passed, Refusal, SessionEnd, SessionId, Standing, Timer, TimerSet, Value,
    WaitEnd,
};

/// Sessions by the names that the script gave them.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<SessionId, String>);

impl Names {
    pub(crate) fn insert(&mut self, id: SessionId, name: &str) {
        self.0.entry(id).or_insert_with(|| name.to_owned());
    }

    pub(crate) fn of(&self, id: SessionId) -> &str {
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
        Outcome::Passed(passed) => self::passed(passed),
        Outcome::Queued { position } => format!("queued position={position}"),
        Outcome::Held(held) => held_by(held, names),
        Outcome::TimedOut(held) => format!("timed out, {}", held_by(held, names)),
        Outcome::Cancelled => "cancelled".into(),
        Outcome::Released => "released".into(),
        Outcome::Downgraded => "downgraded".into(),
        Outcome::Proclaimed => "proclaimed".into(),
        Outcome::EligibleSet => "eligible set".into(),
        Outcome::Completed { version } => format!("completed version={version}"),
        Outcome::Edited(edited) => self::edited(edited),
        Outcome::Resized { version } => format!("resized version={version}"),
        Outcome::Transferred => "transferred".into(),
        Outcome::Deleted => "deleted".into(),
        Outcome::Stopped => "stopped".into(),
        Outcome::Confirmed => "confirmed".into(),
        Outcome::Forced { revoked: true } => "forced, revoked".into(),
        Outcome::Forced { revoked: false } => "forced, ended".into(),
        Outcome::Done => "done".into(),
        Outcome::Refused(refusal) => format!("refused: {}", self::refusal(refusal, names)),
    };
    format!("{line}\n")
}

fn refusal(refusal: &Refusal, names: &Names) -> String {
    match refusal {
        Refusal::SessionExpired => "session expired".into(),
        Refusal::Fenced { epoch } => format!("fenced by epoch {epoch}"),
        Refusal::NotHolder => "not holder".into(),
        Refusal::AlreadyHeld { token } => format!("already held token={token}"),
        Refusal::WrongKind { kind } => format!("wrong kind, it is a {kind:?}"),
        Refusal::SeqReused => "seq reused".into(),
        Refusal::Gone => "gone".into(),
        Refusal::Limit { what, max } => limit(*what, *max),
        Refusal::NotFound => "not found".into(),
        Refusal::Mismatch { object, request } => format!("mismatch, it is {object}, not {request}"),
        Refusal::Weight { weight, max } => format!("weight {weight} of at most {max}"),
        Refusal::NotUpgradable => "not upgradable".into(),
        Refusal::WouldDeadlock => "would deadlock".into(),
        Refusal::Deadlock { cycle } => format!("deadlock: {}", self::cycle(cycle, names)),
        Refusal::Guard => "guard".into(),
        Refusal::BelowZero { remaining } => format!("below zero, {remaining} remain"),
        Refusal::Overflow { value } => format!("overflow of {value}"),
        Refusal::Broken => "broken".into(),
        Refusal::AttemptsExhausted { attempts } => format!("{attempts} attempts, exhausted"),
        Refusal::HoldLost => "hold lost".into(),
        Refusal::Conflict { version } => format!("conflict, it is version {version}"),
        Refusal::Busy => "busy".into(),
        Refusal::Stale => "stale".into(),
        Refusal::Invalid { what } => format!("invalid {what:?}"),
    }
}

fn limit(what: Limit, max: u64) -> String {
    format!("limit {what:?} {max}")
}

/// Each step waits for the owner of the next one, the last for that of the first.
pub(crate) fn cycle(cycle: &[DeadlockEdge], names: &Names) -> String {
    let steps = cycle
        .iter()
        .map(|edge| format!("{}/{} waits for {}", names.of(edge.session), edge.owner, edge.name));
    steps.collect::<Vec<_>>().join(", ")
}

fn passed(passed: &Passed) -> String {
    format!("passed version={} index={}", passed.version, passed.index)
}

fn edited(edited: &Edited) -> String {
    match edited {
        Edited::Latch { round, remaining } => format!("latch round={round} remaining={remaining}"),
        Edited::Gate { open: true } => "gate open".into(),
        Edited::Gate { open: false } => "gate closed".into(),
        Edited::Register { version } => format!("register version={version}"),
        Edited::RegisterDeleted => "register erased".into(),
        Edited::Conflict { version: Some(version) } => format!("conflict, version={version}"),
        Edited::Conflict { version: None } => "conflict, absent".into(),
        Edited::Counter { value } => format!("counter {value}"),
    }
}

/// A short text as it is, anything else by its length.
pub(crate) fn value(value: &Value) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) if text.len() <= 32 => format!("`{text}`"),
        Ok(_) | Err(_) => format!("{} bytes", value.len()),
    }
}

/// Nothing for what can be held in one way only.
pub(crate) fn demand(demand: Demand) -> String {
    match demand {
        Demand::RwLock(Mode::Read) => " read".into(),
        Demand::RwLock(Mode::Upgradable) => " upgradable".into(),
        Demand::RwLock(Mode::Write) => " write".into(),
        Demand::Permits { weight, limit } => format!(" permits={weight}/{limit}"),
        Demand::Run { attempts_max } if attempts_max > 0 => format!(" attempts_max={attempts_max}"),
        Demand::Mutex
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => String::new(),
    }
}

fn some(waiting: u32) -> String {
    if waiting == 0 { String::new() } else { format!(" waiting={waiting}") }
}

pub(crate) const fn state(state: HoldState) -> &'static str {
    match state {
        HoldState::Held => "",
        HoldState::Cooling => " cooling",
        HoldState::Revoked => " revoked",
    }
}

pub(crate) fn holder(holder: &Holder, names: &Names) -> String {
    let owner = holder.owner.as_ref().map(|owner| format!(" owner={owner}")).unwrap_or_default();
    let proclaims = holder.value.as_ref().map(|it| format!(" {}", value(it))).unwrap_or_default();
    let (session, token) = (names.of(holder.session), holder.token);
    let (demand, state) = (demand(holder.demand), state(holder.state));
    format!("{session} token={token}{demand}{state}{owner}{proclaims}")
}

fn held_by(held: &HeldBy, names: &Names) -> String {
    let mut holders: Vec<_> = held.holders.iter().map(|one| holder(one, names)).collect();
    let more = held.holders_total as usize - holders.len();
    if more > 0 {
        holders.push(format!("{more} more"));
    }
    let by = if holders.is_empty() { "nobody".into() } else { holders.join(", ") };
    format!("{} held by {by}, queue_len={}", held.name, held.queue_len)
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
        LossReason::Preempted => "preempted".into(),
        LossReason::Transferred { by } => format!("transferred by {by}"),
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
        Event::Passed { session, seq, name, passed } => {
            let session = names.of(*session);
            format!("-> {session} seq={seq}: {name} {}", self::passed(passed))
        }
        Event::WaitEnded { session, seq, name, end } => {
            let end = match end {
                WaitEnd::TimedOut(held) => format!("timed out, {}", held_by(held, names)),
                WaitEnd::Cancelled => "cancelled".into(),
                WaitEnd::SessionEnded(end) => format!("session {}", self::end(end)),
                WaitEnd::Fenced => "fenced".into(),
                WaitEnd::Refused(refusal) => self::refusal(refusal, names),
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
        Event::TimerStopped { timer } => format!("timer {} stopped", subject(timer, names)),
        Event::Noted { name, note } => format!("* {name}: {}", self::note(note, names)),
    }
}

fn note(note: &Note, names: &Names) -> String {
    match note {
        Note::Granted { session, session_name: _, token, demand, value } => {
            let value =
                value.as_ref().map(|it| format!(" {}", self::value(it))).unwrap_or_default();
            let demand = self::demand(*demand);
            format!("granted to {} token={token}{demand}{value}", names.of(*session))
        }
        Note::Ended { session, token, lost } => {
            let how = if *lost { "lost" } else { "let go" };
            format!("{how} by {} token={token}", names.of(*session))
        }
        Note::Revoked { session, token } => {
            format!("revoked from {} token={token}", names.of(*session))
        }
        Note::Cooling { session, token } => {
            format!("cooling after {} token={token}", names.of(*session))
        }
        Note::Changed { token, demand } => format!("token={token} is now{}", self::demand(*demand)),
        Note::Proclaimed { term, value } => format!("term={term} proclaims {}", self::value(value)),
        Note::Waiting { queue_len } => format!("{queue_len} waiting"),
        Note::Resized { limit, version } => format!("resized to {limit} version={version}"),
        Note::Edited(edited) => self::edited(edited),
        Note::Passed { version, count } => format!("{count} passed version={version}"),
        Note::Gone { kind } => format!("gone, a {kind:?}"),
    }
}

fn subject(timer: &Timer, names: &Names) -> String {
    match timer {
        Timer::Session(id) => format!("session {}", names.of(*id)),
        Timer::Adoption(id) => format!("adoption {}", names.of(*id)),
        Timer::HoldEnd(id, token) => format!("hold_end {} token={token}", names.of(*id)),
        Timer::MaxHold(id, token) => format!("max_hold {} token={token}", names.of(*id)),
        Timer::Preempt(id, token) => format!("preempt {} token={token}", names.of(*id)),
        Timer::Retention(name) => format!("retention {name}"),
        Timer::Quiet => "quiet".to_owned(),
    }
}

pub(crate) fn timer(set: &TimerSet, names: &Names) -> String {
    let (subject, generation, after_ms) =
        (subject(&set.timer, names), set.generation, set.after_ms);
    format!("timer {subject} generation={generation} after_ms={after_ms}")
}
