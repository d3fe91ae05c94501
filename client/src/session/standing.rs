//! What a client believes, what the cluster lists, and what becomes of the difference when another stream is made.

use std::collections::HashSet;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message;

use crate::clock::Moment;
use crate::heldby::HoldState;
use crate::progress::Progress;
use crate::session::command::{Answer, Op, WaitPlan};
use crate::session::core::Core;
use crate::state::{LostReason, SessionEnd};

impl Core {
    /// What this client believes, for the first message of the next stream. Whatever lies below `next_seq` is judged by it, also
    /// when it arrives late: so calls are listed that were never sent, for by then they may have been.
    pub(crate) fn attach(&mut self) -> Message {
        self.attaches += 1;
        let believed = self.held.iter().filter(|(_, held)| held.core.lost().is_none());
        let held = believed.map(|(token, _)| *token).chain(self.unadopted.iter().copied());
        Message::Attach(v1::AttachRequest {
            key: Some(self.shared.key()),
            held: held.collect(),
            waiting: self.pending.keys().copied().collect(),
            next_seq: self.window.next_seq(),
            number: self.attaches,
        })
    }

    /// What the cluster lists for a resumed session: holds to adopt, and losses.
    pub(crate) fn on_resumed(&mut self, standing: v1::Standing, now: Moment) {
        self.on_losses(standing.losses, now);
        self.unadopted =
            standing.holds.iter().filter(is_adoptable).map(|hold| hold.token).collect();
    }

    /// Another stream is up: whatever was granted by then and is not listed as held is lost, everything else goes on. An attach
    /// renews the session, so it counts as a keepalive that was sent when this attempt was made (docs/decisions/0004).
    pub(crate) fn on_attached(
        &mut self,
        revision: u64,
        standing: v1::Standing,
        sent: Moment,
        now: Moment,
    ) {
        if self.check_end() {
            return;
        }
        if self.connected {
            self.pulse.be_patient();
        }
        // What the stream before did not say is said again on this one, what it did not acknowledge is not awaited any more.
        self.connected = false;
        self.out.clear();
        self.pulse.forget();
        // All losses before the lease is renewed: this answer carries them, what was acknowledged before did not.
        self.on_losses(standing.losses, now);
        let listed: HashSet<u64> =
            standing.holds.iter().filter(is_held).map(|hold| hold.token).collect();
        for (token, held) in &self.held {
            let judged = held.granted_at <= revision && !held.releasing && !held.settling;
            if judged && !listed.contains(token) {
                held.core.lose(self.lost(LostReason::Revoked, now));
            }
        }
        self.unadopted =
            standing.holds.iter().filter(is_adoptable).map(|hold| hold.token).collect();
        self.on_unheard(&standing.holds, now);
        let stands = self.on_standing_waits(&standing.waits, now);
        if !self.shared.lease.renew(sent, now) {
            self.end(SessionEnd::Expired);
            return;
        }
        self.connected = true;
        // First, since it is what the deadline hangs on.
        self.keep_alive(now);
        let mut seqs: Vec<u64> = self.pending.keys().copied().collect();
        seqs.sort_unstable();
        for seq in seqs {
            if self.window.admits(seq) && !stands.contains(&seq) {
                self.send_call(seq, now);
            }
        }
        let stopped: Vec<u64> = self.stopped.keys().copied().collect();
        for token in stopped {
            self.send(Message::AckStoppedToken(token));
        }
        self.publish(now);
    }

    /// Waits that the cluster lists have been queued. Those that need not be sent again: without an end, and still wanted.
    fn on_standing_waits(&mut self, waits: &[v1::StandingWait], now: Moment) -> HashSet<u64> {
        let mut stands = HashSet::new();
        for wait in waits {
            let Some(pending) = self.pending.get(&wait.seq) else { continue };
            if let Some(progress) = &pending.call.progress {
                progress.send_replace(Progress::Queued { position: wait.position });
            }
            if pending.call.wait == WaitPlan::Forever && !pending.cancelled {
                stands.insert(wait.seq);
            }
            self.seen(wait.seq, now);
        }
        stands
    }

    /// Grants that this client never heard of and that were taken away meanwhile: no guard was made of them, so nobody uses them.
    /// Only of an upgrade there is one: the one of the hold that it replaced.
    fn on_unheard(&mut self, holds: &[v1::StandingHold], now: Moment) {
        for hold in holds {
            if HoldState::from_wire(hold.state) != Some(HoldState::Revoked) {
                continue;
            }
            if let Some(pending) = self.pending.remove(&hold.seq) {
                self.seen(hold.seq, now);
                let lost = self.early_losses.remove(&hold.token);
                let lost = lost.unwrap_or_else(|| self.lost(LostReason::Revoked, now));
                if let Op::Upgrade { hold: upgraded, .. } = &pending.call.op {
                    self.give_token(upgraded, hold.token, u64::MAX);
                    upgraded.lose(lost.clone());
                } else {
                    // Sent with the others below.
                    self.stopped.insert(hold.token, None);
                }
                self.answer(pending, Answer::Lost(lost));
            }
        }
    }
}

fn is_held(hold: &&v1::StandingHold) -> bool {
    HoldState::from_wire(hold.state) == Some(HoldState::Held)
}

/// What was revoked cannot be adopted and need not be claimed.
fn is_adoptable(hold: &&v1::StandingHold) -> bool {
    hold.unadopted && is_held(hold)
}
