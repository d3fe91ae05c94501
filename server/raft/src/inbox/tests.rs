//! Tidings are bounded, and losing them is noticed.

use conclave_machine::{Generation, Name};
use futures::FutureExt;

use super::*;

fn set(timer: Timer) -> Event {
    Event::TimerSet(TimerSet { timer, generation: Generation(1), after_ms: 1 })
}

const ANN: SessionId = SessionId(1);

#[test]
fn tidings_are_bounded_and_their_loss_is_noticed() {
    let inbox = Inbox::default();
    inbox.open();
    for seq in 0..TIDINGS_MAX as u64 {
        inbox.detached(ANN, Some(Seq(seq)));
    }
    assert!(!inbox.lock().overflowed);
    inbox.applied(Revision(1), &[set(Timer::Session(ANN))]);
    let tidings = inbox.take();
    assert!(tidings.overflowed);
    assert_eq!(tidings.items.len(), 1);
    assert!(!inbox.take().overflowed, "it is told once");
}

#[test]
fn only_the_timer_of_a_hold_is_urgent() {
    let inbox = Inbox::default();
    inbox.open();
    inbox.applied(Revision(1), &[set(Timer::Session(ANN)), set(Timer::Adoption(ANN))]);
    assert!(inbox.urgent().now_or_never().is_none());
    inbox.applied(Revision(2), &[set(Timer::HoldEnd(ANN, Token(2)))]);
    assert!(inbox.urgent().now_or_never().is_some());
    inbox.applied(Revision(3), &[set(Timer::MaxHold(ANN, Token(2)))]);
    assert!(inbox.urgent().now_or_never().is_some());
    assert_eq!(inbox.take().items.len(), 4);
}

#[test]
fn tidings_come_with_their_revision_and_in_order() {
    let inbox = Inbox::default();
    inbox.open();
    let name = Name::new("a").expect("a good name");
    let ended = Event::HoldEnded { session: ANN, name, token: Token(4) };
    inbox.applied(Revision(5), &[ended, set(Timer::Session(ANN))]);
    inbox.detached(ANN, None);
    let items = inbox.take().items;
    let revisions: Vec<_> = items.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, [Some(Revision(5)), Some(Revision(5)), None]);
    assert_eq!(items[0].1, Tiding::HoldEnded(ANN, Token(4)));
    assert_eq!(items[2].1, Tiding::Detached(ANN, None));
}
