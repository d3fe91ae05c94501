//! What readers of the ring are told, and when they are told that they missed something.

use conclave_machine::{Event, Name, Note, Revision, SessionId};
use futures::FutureExt as _;

use super::{Interest, Missed, NotedEvent, Position};
use crate::hub::Hub;
use crate::ring::RING_EVENTS_MAX;
use crate::watcher::Watcher;

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

fn noted(object: &str, queue_len: u32) -> Event {
    Event::Noted { name: name(object), note: Note::Waiting { queue_len } }
}

/// Applies one command that had these events.
fn apply(hub: &Hub, revision: u64, events: &[Event]) {
    hub.deliver(Revision(revision), None, conclave_machine::Outcome::Done, events);
}

fn at(revision: u64, n: u32) -> Position {
    Position { revision: Revision(revision), n }
}

fn below(prefix: &str) -> Interest {
    Interest::Prefix(prefix.into())
}

/// What the watcher is told right now; none: nothing.
fn now(watcher: &mut Watcher) -> Option<Result<Vec<NotedEvent>, Missed>> {
    watcher.next().now_or_never()
}

/// The places of what it is told until it is told nothing.
fn places(watcher: &mut Watcher) -> Vec<(u64, u32)> {
    let mut told = Vec::new();
    while let Some(events) = now(watcher) {
        let events = events.expect("nothing was missed");
        assert!(!events.is_empty());
        told.extend(events.iter().map(|event| (event.at.revision.get(), event.at.n)));
    }
    told
}

#[test]
fn a_prefix_is_told_its_own_events_with_their_places_and_nothing_else() {
    let hub = Hub::new();
    let mut jobs = hub.watch(below("jobs/"), Position::whole(Revision(0)));
    let mut one = hub.watch(Interest::Name(name("jobs")), Position::whole(Revision(0)));
    let ended = Event::HoldEnded {
        session: SessionId(1),
        name: name("jobs/a"),
        token: conclave_machine::Token(1),
    };
    apply(&hub, 1, &[noted("jobs/a", 1), noted("other", 1), ended, noted("jobs/b", 2)]);
    apply(&hub, 2, &[]);
    apply(&hub, 3, &[noted("jobs", 1)]);
    assert_eq!(places(&mut jobs), [(1, 1), (1, 4)]);
    assert_eq!(places(&mut one), [(3, 1)]);
    assert_eq!(jobs.told_through(), Revision(3));
    apply(&hub, 4, &[noted("jobs/a", 0)]);
    let Some(Ok(events)) = now(&mut jobs) else { panic!("told") };
    let note = Note::Waiting { queue_len: 0 };
    assert_eq!(events, [NotedEvent { at: at(4, 1), name: name("jobs/a"), note }]);
}

#[test]
fn a_reader_goes_on_behind_any_place_without_a_gap_or_a_duplicate() {
    let hub = Hub::new();
    for revision in 1..=5 {
        apply(&hub, revision, &[noted("a", 1), noted("b", 1), noted("a", 2)]);
    }
    let mut whole = hub.watch(below(""), Position::whole(Revision(3)));
    assert!(whole.is_covered());
    assert_eq!(places(&mut whole), [(4, 1), (4, 2), (4, 3), (5, 1), (5, 2), (5, 3)]);
    let mut within = hub.watch(below("a"), at(4, 1));
    assert_eq!(within.told_through(), Revision(3));
    assert_eq!(places(&mut within), [(4, 3), (5, 1), (5, 3)]);
    // It was told more elsewhere than this node has applied: nothing comes twice.
    let mut ahead = hub.watch(below("a"), at(7, 1));
    assert!(ahead.is_covered());
    assert!(ahead.caught_up().now_or_never().is_none());
    for revision in 6..=8 {
        apply(&hub, revision, &[noted("a", 1), noted("b", 1), noted("a", 2)]);
    }
    assert!(ahead.caught_up().now_or_never().is_some());
    assert_eq!(places(&mut ahead), [(7, 3), (8, 1), (8, 3)]);
}

#[test]
fn the_ring_keeps_so_many_events_and_not_one_more() {
    let hub = Hub::new();
    for revision in 1..=RING_EVENTS_MAX as u64 {
        apply(&hub, revision, &[noted("a", 1)]);
    }
    let from_the_first = || hub.watch(below(""), Position::whole(Revision(0)));
    assert_eq!(places(&mut from_the_first()).len(), RING_EVENTS_MAX);
    // A revision without a note pushes nothing out.
    apply(&hub, RING_EVENTS_MAX as u64 + 1, &[]);
    assert!(from_the_first().is_covered());
    apply(&hub, RING_EVENTS_MAX as u64 + 2, &[noted("other", 1)]);
    let mut late = from_the_first();
    assert!(!late.is_covered());
    assert_eq!(now(&mut late), Some(Err(Missed)));
    assert_eq!(now(&mut late), Some(Err(Missed)), "it does not go on by itself");
    let mut second = hub.watch(below("a"), Position::whole(Revision(1)));
    assert_eq!(places(&mut second).len(), RING_EVENTS_MAX - 1);
}

#[test]
fn a_place_within_a_revision_that_is_half_gone_is_missed() {
    let hub = Hub::new();
    let many: Vec<_> = (0..RING_EVENTS_MAX as u32 + 10).map(|n| noted("a", n)).collect();
    apply(&hub, 1, &many);
    assert!(!hub.watch(below("a"), at(1, 9)).is_covered());
    let mut watcher = hub.watch(below("a"), at(1, 10));
    let told = places(&mut watcher);
    assert_eq!((told.len(), told[0]), (RING_EVENTS_MAX, (1, 11)));
    assert_eq!(watcher.told_through(), Revision(1));
}

#[test]
fn a_slow_reader_is_told_that_it_missed_something_and_goes_on_behind_a_new_view() {
    let hub = Hub::new();
    let mut slow = hub.watch(below("a"), Position::whole(Revision(0)));
    apply(&hub, 1, &[noted("a", 1)]);
    assert_eq!(places(&mut slow), [(1, 1)]);
    for revision in 2..=RING_EVENTS_MAX as u64 + 10 {
        apply(&hub, revision, &[noted("b", 1)]);
    }
    assert_eq!(now(&mut slow), Some(Err(Missed)), "of others, but it cannot know that");
    slow.restart(Revision(RING_EVENTS_MAX as u64 + 10));
    assert_eq!(now(&mut slow), None);
    apply(&hub, RING_EVENTS_MAX as u64 + 11, &[noted("a", 1)]);
    assert_eq!(places(&mut slow), [(RING_EVENTS_MAX as u64 + 11, 1)]);
}

#[test]
fn what_comes_by_a_snapshot_is_missed_by_everyone_behind_it() {
    let hub = Hub::new();
    apply(&hub, 1, &[noted("a", 1)]);
    let mut behind = hub.watch(below("a"), Position::whole(Revision(1)));
    let mut there = hub.watch(below("a"), Position::whole(Revision(50)));
    hub.restored(Revision(50));
    assert_eq!(now(&mut behind), Some(Err(Missed)));
    assert!(there.caught_up().now_or_never().is_some());
    apply(&hub, 51, &[noted("a", 2)]);
    assert_eq!(places(&mut there), [(51, 1)]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_its_own_event_only_and_a_dropped_wait_loses_nothing() {
    let hub = Hub::new();
    let mut watcher = hub.watch(below("a"), Position::whole(Revision(0)));
    {
        let mut waiting = Box::pin(watcher.next());
        assert!(waiting.as_mut().now_or_never().is_none());
        apply(&hub, 1, &[noted("b", 1)]);
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    assert_eq!(watcher.told_through(), Revision(1));
    let waiting = tokio::spawn(async move { watcher.next().await });
    tokio::task::yield_now().await;
    apply(&hub, 2, &[noted("a", 1)]);
    let events = waiting.await.expect("no panic").expect("nothing was missed");
    assert_eq!(events[0].at, at(2, 1));
}
