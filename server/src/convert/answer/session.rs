//! What a session is told of itself.

use conclave_machine::{Loss, LossReason, Outcome, Revision, SessionEnd, Standing};
use conclave_proto::v1;
use conclave_raft::LeaderHint;

use super::{hold_state, unexpected};
use crate::status::Failure;

pub(crate) fn loss(loss: &Loss) -> v1::Loss {
    let (reason, by) = match &loss.reason {
        LossReason::MaxHold => (v1::LossReason::MaxHold, String::new()),
        LossReason::ForceReleased { by } => (v1::LossReason::ForceReleased, by.to_string()),
        LossReason::NotAdopted => (v1::LossReason::NotAdopted, String::new()),
        LossReason::Preempted => (v1::LossReason::Preempted, String::new()),
        LossReason::Transferred { by } => (v1::LossReason::Transferred, by.to_string()),
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
