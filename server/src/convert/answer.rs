//! From outcomes and events to the wire.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use conclave_machine::{
    HeldBy, HoldState, Holder, Labels, Loss, LossReason, Outcome, Refusal, Revision, Seq,
    SessionEnd, Standing, Token, WaitEnd,
};
use conclave_proto::v1;
use conclave_raft::LeaderHint;

use crate::status::Failure;

/// The wall clock in Unix milliseconds, for display only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DisplayClock {
    now_ms: u64,
}

impl DisplayClock {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Milliseconds since the stamp; zero when the stamp is of a clock ahead of ours.
    pub(crate) fn since(self, stamp_ms: u64) -> u64 {
        self.now_ms.saturating_sub(stamp_ms)
    }
}

/// What became of a call: the outcome of the call itself, or how its wait went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallResult {
    Granted { token: Token, waiting: u32 },
    Queued { position: u32 },
    Held(HeldBy),
    TimedOut(HeldBy),
    Cancelled,
    Released,
    Failed(Failure),
}

impl CallResult {
    /// Of a `Call`, a `Cancel` or a `TimeOut`.
    pub(crate) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Granted { token, waiting } => Self::Granted { token, waiting },
            Outcome::Queued { position } => Self::Queued { position },
            Outcome::Held(held_by) => Self::Held(held_by),
            Outcome::TimedOut(held_by) => Self::TimedOut(held_by),
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Released => Self::Released,
            Outcome::Refused(refusal) => Self::Failed(refusal.into()),
            Outcome::Opened { .. }
            | Outcome::Attached(_)
            | Outcome::Resumed { .. }
            | Outcome::Ended
            | Outcome::Stopped
            | Outcome::Confirmed
            | Outcome::Forced { .. }
            | Outcome::Done => Self::Failed(unexpected(&outcome)),
        }
    }

    pub(crate) fn of_wait_end(end: WaitEnd) -> Self {
        match end {
            WaitEnd::TimedOut(held_by) => Self::TimedOut(held_by),
            WaitEnd::Cancelled => Self::Cancelled,
            WaitEnd::SessionEnded(_) => Self::Failed(Refusal::SessionExpired.into()),
            // The epoch that fenced it out is not told by the event; the next call of the old process learns it.
            WaitEnd::Fenced => Self::Failed(Failure::FencedWait),
        }
    }

    pub(crate) fn to_wire(&self, seq: Seq, clock: DisplayClock) -> v1::CallAnswer {
        use v1::call_answer::Result as Wire;
        let result = match self {
            Self::Granted { token, waiting } => Wire::Granted(granted(*token, *waiting)),
            Self::Queued { position } => Wire::Queued(v1::Queued { position: *position }),
            Self::Held(held_by) => Wire::Held(held(held_by, clock)),
            Self::TimedOut(held_by) => Wire::TimedOut(held(held_by, clock)),
            Self::Cancelled => Wire::Cancelled(v1::Cancelled {}),
            Self::Released => Wire::Released(v1::Released {}),
            Self::Failed(failure) => Wire::Problem(failure.problem()),
        };
        v1::CallAnswer { seq: seq.get(), result: Some(result) }
    }
}

/// An outcome that does not belong to its command.
pub(crate) fn unexpected(outcome: &Outcome) -> Failure {
    Failure::Unexpected { what: format!("an answer to something else: {outcome:?}") }
}

pub(crate) fn granted(token: Token, waiting: u32) -> v1::Granted {
    v1::Granted { token: token.get(), waiting }
}

pub(crate) fn held(held_by: &HeldBy, clock: DisplayClock) -> v1::HeldBy {
    v1::HeldBy {
        holders: held_by.holders.iter().map(|of| holder(of, clock)).collect(),
        holders_total: held_by.holders_total,
        queue_len: held_by.queue_len,
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

pub(crate) fn loss(loss: &Loss) -> v1::Loss {
    let (reason, by) = match &loss.reason {
        LossReason::MaxHold => (v1::LossReason::MaxHold, String::new()),
        LossReason::ForceReleased { by } => (v1::LossReason::ForceReleased, by.to_string()),
        LossReason::NotAdopted => (v1::LossReason::NotAdopted, String::new()),
    };
    v1::Loss {
        number: loss.number.get(),
        token: loss.token.get(),
        name: loss.name.as_str().to_owned(),
        reason: reason.into(),
        by,
        revision: loss.revision.get(),
    }
}

pub(crate) fn standing(standing: &Standing) -> v1::Standing {
    let holds = standing.holds.iter().map(|hold| v1::StandingHold {
        seq: hold.seq.get(),
        token: hold.token.get(),
        name: hold.name.as_str().to_owned(),
        state: hold_state(hold.state).into(),
        unadopted: hold.unadopted,
    });
    let waits = standing.waits.iter().map(|wait| v1::StandingWait {
        seq: wait.seq.get(),
        name: wait.name.as_str().to_owned(),
        position: wait.position,
    });
    v1::Standing {
        holds: holds.collect(),
        waits: waits.collect(),
        losses: standing.losses.iter().map(loss).collect(),
    }
}

pub(crate) fn leader(hint: &LeaderHint) -> v1::Leader {
    v1::Leader { name: hint.name.to_string(), address: hint.client_address.to_string() }
}

pub(crate) fn session_ended(end: SessionEnd) -> v1::SessionEnded {
    use v1::session_ended::End;
    let (end, by, reason) = match end {
        SessionEnd::Closed => (End::Closed, String::new(), String::new()),
        SessionEnd::Expired => (End::Expired, String::new(), String::new()),
        SessionEnd::Killed { by, reason } => (End::Killed, by.into(), reason.into()),
    };
    v1::SessionEnded { end: end.into(), by, reason }
}

pub(crate) fn opened(outcome: Outcome, revision: Revision) -> Result<v1::OpenResponse, Failure> {
    match outcome {
        Outcome::Opened { session, epoch, ttl_ms, generation: _ } => Ok(v1::OpenResponse {
            session: session.get(),
            epoch: epoch.get(),
            ttl_ms,
            revision: revision.get(),
        }),
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}

pub(crate) fn resumed(outcome: Outcome, revision: Revision) -> Result<v1::ResumeResponse, Failure> {
    match outcome {
        Outcome::Resumed { epoch, next_seq, ttl_ms, standing: stands } => Ok(v1::ResumeResponse {
            epoch: epoch.get(),
            next_seq: next_seq.get(),
            ttl_ms,
            standing: Some(standing(&stands)),
            revision: revision.get(),
        }),
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}
