//! The session's state machine alone: commands, messages and moments in, what is to be sent and answered out. No socket, no
//! runtime, no clock but the one that the test moves.

use std::sync::Arc;
use std::time::Duration;

use conclave_proto::v1;
use conclave_proto::v1::stream_request::Message as Request;
use conclave_proto::v1::stream_response::Message;
use tokio::sync::{mpsc, oneshot};

use super::fake::{loss, standing_hold};
use super::{TTL, seconds};
use crate::clock::{Clock, Moment};
use crate::directory::Directory;
use crate::rpc::Rpc;
use crate::session::command::{Answer, Call, Command, Op, WaitPlan};
use crate::session::core::{Core, Flow};
use crate::session::handle::Handle;
use crate::session::hold::{Hold, HoldCore};
use crate::session::shared::{Identity, Shared};
use crate::{LostReason, SessionEnd, SessionId, SessionSecret, SessionState};

struct Machine {
    core: Core,
    clock: Clock,
    handle: Arc<Handle>,
    commands: mpsc::UnboundedReceiver<Command>,
}

impl Machine {
    fn new() -> Self {
        Self::with_ttl(TTL)
    }

    /// An open session whose first keepalive is acknowledged.
    fn with_ttl(ttl: Duration) -> Self {
        let clock = Clock::manual();
        let secret = SessionSecret::from_bytes([7; 16]);
        let identity = Identity { id: SessionId::new(1), secret, epoch: 1, next_seq: 1, ttl };
        let shared = Arc::new(Shared::new(identity, clock.clone(), clock.now()));
        let directory = Arc::new(Directory::new(["127.0.0.1:1"]).expect("an address"));
        let patience = seconds(1.0);
        let rpc = Arc::new(Rpc {
            directory,
            request_timeout: patience,
            dial_patience_min: patience,
            ear: None,
        });
        let (sender, commands) = mpsc::unbounded_channel();
        let handle = Arc::new(Handle { shared: Arc::clone(&shared), commands: sender, rpc });
        let mut core = Core::new(shared, &handle);
        core.on_opened(clock.now());
        let mut this = Self { core, clock, handle, commands };
        let beat = this.beat();
        this.acknowledge(beat, Vec::new());
        this
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn said(&mut self) -> Vec<Request> {
        self.core.out.drain(..).map(|request| request.message.expect("a message")).collect()
    }

    /// The number of the keepalive that was just sent.
    fn beat(&mut self) -> u64 {
        match self.said()[..] {
            [Request::KeepAlive(v1::StreamKeepAlive { number, .. })] => number,
            ref other => panic!("not a keepalive: {other:?}"),
        }
    }

    fn tick(&mut self) -> Flow {
        let now = self.now();
        self.core.on_tick(now)
    }

    fn hear(&mut self, revision: u64, message: Message) {
        let response = v1::StreamResponse { revision, n: 0, message: Some(message) };
        let now = self.now();
        assert_eq!(self.core.on_message(response, now), Flow::Go);
    }

    fn acknowledge(&mut self, number: u64, losses: Vec<v1::Loss>) {
        let ack = v1::KeepAliveResponse { number, losses, revision: 0 };
        self.hear(0, Message::KeepAlive(ack));
    }

    fn call(&mut self, op: Op, wait: WaitPlan) -> (u64, oneshot::Receiver<Answer>) {
        let seq = self.handle.shared.take_seq();
        let (reply, answer) = oneshot::channel();
        let now = self.now();
        self.core.on_call(seq, Call { op, wait, progress: None, reply: Some(reply) }, now);
        (seq, answer)
    }

    fn acquire(&mut self, wait: WaitPlan) -> (u64, oneshot::Receiver<Answer>) {
        self.call(Op::Acquire(Box::default()), wait)
    }

    /// A hold with that token.
    fn hold(&mut self, token: u64) -> Hold {
        let (seq, mut answer) = self.acquire(WaitPlan::Forever);
        let granted = v1::call_answer::Result::Granted(v1::Granted { token, waiting: 0 });
        self.hear(token, Message::Answer(v1::CallAnswer { seq, result: Some(granted) }));
        self.said();
        match answer.try_recv() {
            Ok(Answer::Granted(hold)) => hold,
            other => panic!("no grant: {other:?}"),
        }
    }

    /// What a dropped guard commands.
    fn take_command(&mut self) {
        let Ok(Command::Call { seq, call }) = self.commands.try_recv() else { panic!("no call") };
        let now = self.now();
        self.core.on_call(seq, call, now);
    }

    fn attach(&mut self) -> v1::AttachRequest {
        match self.core.attach() {
            Request::Attach(attach) => attach,
            other => panic!("not an attach: {other:?}"),
        }
    }

    fn attached(&mut self, revision: u64, standing: v1::Standing, sent: Moment) {
        let now = self.now();
        self.core.on_attached(revision, standing, sent, now);
    }

    fn last_ack_sent_ago(&self) -> Duration {
        self.now().since(self.handle.shared.lease.renewed_at())
    }
}

fn killed() -> Message {
    let end = v1::session_ended::End::Killed.into();
    let (by, reason) = ("ops".to_owned(), "stuck".to_owned());
    Message::Ended(v1::SessionEnded { end, by, reason })
}

#[test]
fn an_attach_lists_every_call_that_it_judges_also_those_never_sent() {
    let mut machine = Machine::new();
    let (sent, _first) = machine.acquire(WaitPlan::Forever);
    let now = machine.now();
    machine.core.on_disconnected(now);
    let (unsent, _second) = machine.acquire(WaitPlan::Forever);
    let mut attach = machine.attach();
    assert_eq!((attach.number, machine.attach().number), (1, 2), "a new number for each attempt");
    attach.waiting.sort_unstable();
    assert_eq!(attach.waiting, [sent, unsent]);
    assert_eq!(attach.next_seq, unsent + 1);
}

#[test]
fn a_call_that_comes_after_the_end_is_answered() {
    let mut machine = Machine::new();
    let hold = machine.hold(3);
    machine.hear(9, killed());
    let (_, mut answer) = machine.acquire(WaitPlan::Forever);
    assert!(matches!(answer.try_recv(), Ok(Answer::Ended(SessionEnd::Killed { .. }))));
    let (_, mut answer) = machine.call(Op::Adopt { token: 8 }, WaitPlan::None);
    assert!(matches!(answer.try_recv(), Ok(Answer::Ended(SessionEnd::Killed { .. }))));
    let unknown = HoldCore::new(8, 0);
    let (_, mut answer) = machine.call(Op::Release { hold: unknown }, WaitPlan::None);
    assert!(matches!(answer.try_recv(), Ok(Answer::Refused(_))));
    // That a lost hold is no longer used is told, not forgotten.
    drop(hold);
    machine.take_command();
    assert_eq!(machine.core.take_stopped().into_keys().collect::<Vec<_>>(), [3]);
}

#[test]
fn a_release_in_flight_at_the_end_is_told_as_stopped() {
    let mut machine = Machine::new();
    let first = machine.hold(3);
    let _second = machine.hold(4);
    drop(first);
    machine.take_command();
    machine.hear(9, killed());
    assert_eq!(machine.core.take_stopped().into_keys().collect::<Vec<_>>(), [3]);
    // A close frees its holds by itself.
    let mut machine = Machine::new();
    drop(machine.hold(3));
    machine.take_command();
    machine.core.goodbye();
    assert!(machine.core.take_stopped().is_empty());
}

#[test]
fn an_acknowledgement_of_another_number_moves_nothing() {
    let mut machine = Machine::new();
    machine.clock.advance(seconds(2.0));
    machine.tick();
    let number = machine.beat();
    for other in [0, number - 1, number + 1, u64::MAX] {
        machine.acknowledge(other, Vec::new());
        assert_eq!(machine.last_ack_sent_ago(), seconds(2.0));
    }
    machine.acknowledge(number, Vec::new());
    assert_eq!(machine.last_ack_sent_ago(), seconds(0.0));
}

#[test]
fn a_node_that_acknowledges_nothing_is_left() {
    let mut machine = Machine::new();
    machine.clock.advance(seconds(2.0));
    assert_eq!(machine.tick(), Flow::Go);
    machine.beat();
    machine.clock.advance(seconds(2.499));
    assert_eq!(machine.tick(), Flow::Go);
    machine.clock.advance(seconds(0.001));
    assert_eq!(machine.tick(), Flow::Replace);
    // While another stream is made, this one goes on and counts.
    let sent = machine.now();
    machine.clock.advance(seconds(0.5));
    machine.attached(3, v1::Standing::default(), sent);
    assert_eq!(machine.last_ack_sent_ago(), seconds(0.5));
    let number = machine.beat();
    machine.acknowledge(number, Vec::new());
    assert_eq!(machine.last_ack_sent_ago(), seconds(0.0));
}

#[test]
fn acknowledgements_that_take_long_keep_a_session_alive() {
    for (ttl, latency) in [(10.0, 2.6), (10.0, 3.4), (600.0, 2.6), (600.0, 60.0), (600.0, 200.0)] {
        let mut machine = Machine::with_ttl(seconds(ttl));
        let mut under_way: Vec<(Moment, u64)> = Vec::new();
        let mut replacements = 0;
        let step = seconds(ttl / 1000.0);
        for _ in 0..10_000 {
            machine.clock.advance(step);
            let now = machine.now();
            while let Some((due, number)) = under_way.first().copied().filter(|(at, _)| *at <= now)
            {
                assert!(due <= now);
                under_way.remove(0);
                machine.acknowledge(number, Vec::new());
            }
            if machine.tick() == Flow::Replace {
                // Nobody else leads: the node is slow.
                replacements += 1;
                machine.core.on_replacement_given_up();
            }
            for request in machine.said() {
                let Request::KeepAlive(beat) = request else { panic!("{request:?}") };
                under_way.push((now.plus(seconds(latency)), beat.number));
            }
        }
        assert_eq!(machine.handle.shared.ended(), None, "ttl {ttl}, latency {latency}");
        assert!(replacements < 10, "{replacements} times another stream was looked for");
    }
}

#[test]
fn an_attach_renews_from_its_send_and_its_losses_come_before() {
    let mut machine = Machine::new();
    let listed = machine.hold(3);
    let told = machine.hold(4);
    let missing = machine.hold(5);
    machine.clock.advance(seconds(6.0));
    machine.core.on_disconnected(machine.clock.now());
    let sent = machine.now();
    machine.clock.advance(seconds(2.5));
    let standing = v1::Standing {
        holds: vec![standing_hold(1, 3, v1::HoldState::Held)],
        losses: vec![loss(1, 4, v1::LossReason::MaxHold)],
        waits: Vec::new(),
    };
    machine.attached(9, standing, sent);
    assert_eq!(machine.last_ack_sent_ago(), seconds(2.5));
    assert!(listed.is_valid());
    for (hold, reason) in [(&told, LostReason::MaxHold), (&missing, LostReason::Revoked)] {
        let lost = hold.watch().lost_now().expect("lost");
        assert_eq!(*lost.reason(), reason);
        assert_eq!(lost.last_unaware_ack_sent_ago(), seconds(8.5), "not the attach that said it");
    }
}

#[test]
fn an_attach_that_is_answered_after_the_local_deadline_brings_nothing_back() {
    let mut machine = Machine::new();
    let hold = machine.hold(3);
    machine.clock.advance(seconds(8.0));
    let sent = machine.now();
    machine.core.on_disconnected(sent);
    machine.clock.advance(seconds(1.0));
    let held = standing_hold(1, 3, v1::HoldState::Held);
    machine.attached(9, v1::Standing { holds: vec![held], ..Default::default() }, sent);
    assert!(!hold.is_valid());
    assert_eq!(machine.handle.shared.state(), SessionState::Expired);
    assert!(machine.said().is_empty());
}

#[test]
fn a_wait_without_end_that_stands_is_not_sent_again() {
    let mut machine = Machine::new();
    let (stands, _a) = machine.acquire(WaitPlan::Forever);
    let (ends, _b) = machine.acquire(WaitPlan::Until(machine.now().plus(seconds(60.0))));
    let (unknown, _c) = machine.acquire(WaitPlan::Forever);
    let (dropped, _d) = machine.acquire(WaitPlan::Forever);
    let now = machine.now();
    machine.core.on_cancel(dropped, now);
    machine.core.on_disconnected(now);
    let wait = |seq| v1::StandingWait { seq, position: 1, ..v1::StandingWait::default() };
    let waits = [stands, ends, dropped].map(wait).to_vec();
    machine.attached(9, v1::Standing { waits, ..Default::default() }, now);
    let said = machine.said();
    let calls: Vec<u64> = said
        .iter()
        .filter_map(|request| match request {
            Request::Call(call) => Some(call.seq),
            _ => None,
        })
        .collect();
    assert_eq!(calls, [ends, unknown]);
    assert!(said.contains(&Request::CancelSeq(dropped)));
    // What stands was queued, so it need not be remembered by the cluster as unseen.
    let (_, _answer) = machine.acquire(WaitPlan::None);
    let said = machine.said();
    assert!(matches!(&said[..], [Request::Call(call)] if call.seen_through == ends), "{said:?}");
}

#[test]
fn a_change_that_was_never_sent_leaves_the_hold_to_be_judged() {
    let mut machine = Machine::new();
    let hold = machine.hold(3);
    let now = machine.now();
    machine.core.on_disconnected(now);
    let upgrade = Op::Upgrade { hold: Arc::clone(hold.core()), from: v1::Mode::Upgradable };
    let (_, mut answer) = machine.call(upgrade, WaitPlan::None);
    machine.clock.advance(seconds(1.5));
    machine.tick();
    assert!(matches!(answer.try_recv(), Ok(Answer::NotAnswered(_))));
    assert!(hold.is_valid());
    machine.attached(9, v1::Standing::default(), machine.now());
    let lost = hold.watch().lost_now().expect("it is not listed");
    assert_eq!(*lost.reason(), LostReason::Revoked);
}
