//! Outcomes and events leave in one order, to everybody concerned and to nobody else.

use std::task::{Context, Poll, Waker};

use conclave_machine::{Generation, Name, SessionEnd, Timer, TimerSet, Token, WaitEnd};
use futures::FutureExt;

use super::*;
use crate::inbox::Tiding;

const ANN: SessionId = SessionId(1);
const BOB: SessionId = SessionId(2);

fn leading() -> Hub {
    let hub = Hub::new();
    hub.leadership_gained();
    hub.inbox().open();
    hub
}

fn name() -> Name {
    Name::new("a").expect("a good name")
}

fn granted(session: SessionId, seq: u64) -> Event {
    Event::Granted { session, seq: Seq(seq), name: name(), token: Token(seq), waiting: 0 }
}

fn cancelled(session: SessionId, seq: u64) -> Event {
    Event::WaitEnded { session, seq: Seq(seq), name: name(), end: WaitEnd::Cancelled }
}

fn ended(session: SessionId) -> Event {
    Event::SessionEnded { session, end: SessionEnd::Expired }
}

fn timer(session: SessionId) -> TimerSet {
    TimerSet { timer: Timer::Session(session), generation: Generation(5), after_ms: 11_000 }
}

fn hint(name: &str) -> LeaderHint {
    LeaderHint {
        id: 3,
        name: name.into(),
        client_address: "10.0.0.3:7420".into(),
        peer_address: "10.0.0.3:7421".into(),
    }
}

/// Events alone, as of a command that nobody here proposed.
fn deliver(hub: &Hub, revision: u64, events: &[Event]) {
    hub.deliver(Revision(revision), None, Outcome::Done, events);
}

fn notice(revision: u64, n: u32, event: Event) -> Notice {
    Notice::Event { revision: Revision(revision), n, event }
}

fn answer(revision: u64, n: u32, event: Event) -> Option<WaitAnswer> {
    Some(WaitAnswer::Event { revision: Revision(revision), n, event })
}

fn drain(feed: &mut Feed) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(notice)) = feed.poll_recv(&mut context) {
        notices.push(notice);
    }
    notices
}

fn detached(hub: &Hub) -> Vec<Tiding> {
    let is_detached = |tiding: &Tiding| matches!(tiding, Tiding::Detached(..));
    hub.inbox().take().items.into_iter().map(|(_, tiding)| tiding).filter(is_detached).collect()
}

#[test]
fn a_grant_never_overtakes_the_outcome_that_queued_it() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    let reply = Reply::Feed { feed: feed.sender(), tag: 9 };
    let queued = Outcome::Queued { position: 1 };
    hub.deliver(Revision(1), Some(reply), queued.clone(), &[]);
    deliver(&hub, 2, &[granted(ANN, 1), granted(ANN, 2)]);
    let decided = Notice::Decided { tag: 9, revision: Revision(1), outcome: queued };
    assert_eq!(
        drain(&mut feed),
        [decided, notice(2, 1, granted(ANN, 1)), notice(2, 2, granted(ANN, 2))]
    );
}

#[test]
fn the_outcome_of_a_command_comes_before_its_own_events() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    let reply = Reply::Feed { feed: feed.sender(), tag: 1 };
    hub.deliver(Revision(4), Some(reply), Outcome::Ended, &[ended(ANN)]);
    let decided = Notice::Decided { tag: 1, revision: Revision(4), outcome: Outcome::Ended };
    assert_eq!(drain(&mut feed), [decided, notice(4, 1, ended(ANN))]);
}

#[test]
fn a_session_is_told_what_concerns_it_and_nothing_else() {
    let hub = leading();
    let (mut ann, mut bob) = (hub.subscribe(ANN), hub.subscribe(BOB));
    let held = Event::HoldEnded { session: ANN, name: name(), token: Token(1) };
    let set = Event::TimerSet(timer(ANN));
    deliver(&hub, 1, &[held, granted(BOB, 1), set, cancelled(ANN, 3)]);
    assert_eq!(drain(&mut ann), [notice(1, 4, cancelled(ANN, 3))]);
    assert_eq!(drain(&mut bob), [notice(1, 2, granted(BOB, 1))]);
}

#[test]
fn a_ticket_gets_the_final_answer_of_its_seq_only() {
    let hub = leading();
    let mut ticket = hub.attach(ANN, Seq(2));
    deliver(&hub, 1, &[granted(ANN, 1), granted(BOB, 2), ended(BOB)]);
    assert_eq!(ticket.answer().now_or_never(), None);
    deliver(&hub, 2, &[granted(ANN, 2)]);
    deliver(&hub, 3, &[cancelled(ANN, 2)]);
    assert_eq!(ticket.answer().now_or_never(), answer(2, 1, granted(ANN, 2)));
}

#[test]
fn everybody_who_waits_for_the_same_seq_gets_the_answer() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    let mut tickets = [hub.attach(ANN, Seq(1)), hub.attach(ANN, Seq(1))];
    deliver(&hub, 1, &[granted(ANN, 1)]);
    for ticket in &mut tickets {
        assert_eq!(ticket.answer().now_or_never(), answer(1, 1, granted(ANN, 1)));
    }
    assert_eq!(drain(&mut feed), [notice(1, 1, granted(ANN, 1))]);
}

#[test]
fn a_dropped_future_of_a_ticket_loses_nothing() {
    let hub = leading();
    let mut ticket = hub.attach(ANN, Seq(1));
    assert_eq!(ticket.answer().now_or_never(), None);
    deliver(&hub, 1, &[granted(ANN, 1)]);
    assert_eq!(ticket.answer().now_or_never(), answer(1, 1, granted(ANN, 1)));
}

#[test]
fn a_detach_removes_only_its_own_attachment() {
    let hub = leading();
    let first = hub.attach(ANN, Seq(1));
    let mut second = hub.attach(ANN, Seq(1));
    drop(first);
    assert!(hub.is_attached(ANN, Seq(1)));
    assert_eq!(detached(&hub), []);
    deliver(&hub, 1, &[granted(ANN, 1)]);
    assert_eq!(second.answer().now_or_never(), answer(1, 1, granted(ANN, 1)));
}

#[test]
fn the_last_detach_of_a_wait_is_told_to_the_clock() {
    let hub = leading();
    let (one, two) = (hub.attach(ANN, Seq(1)), hub.attach(ANN, Seq(2)));
    drop(one);
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, Some(Seq(1)))]);
    assert!(!hub.is_attached(ANN, Seq(1)));
    assert!(hub.is_attached(ANN, Seq(2)));
    drop(two);
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, Some(Seq(2)))]);
    assert_eq!(hub.shared.listening.load(Ordering::SeqCst), 0);
}

#[test]
fn a_ticket_without_a_wait_detaches_nothing() {
    let hub = leading();
    hub.attach(ANN, Seq(1)).settled();
    let mut answered = hub.attach(ANN, Seq(2));
    deliver(&hub, 1, &[granted(ANN, 2)]);
    assert!(answered.answer().now_or_never().is_some());
    drop(answered);
    // The answer is there, though nobody fetched it.
    let unfetched = hub.attach(ANN, Seq(3));
    deliver(&hub, 2, &[granted(ANN, 3)]);
    drop(unfetched);
    assert_eq!(detached(&hub), []);
    assert_eq!(hub.shared.listening.load(Ordering::SeqCst), 0);
}

#[test]
fn a_feed_attaches_all_waits_of_its_session_until_it_is_dropped() {
    let hub = leading();
    let feed = hub.subscribe(ANN);
    assert!(hub.is_attached(ANN, Seq(77)));
    assert!(!hub.is_attached(BOB, Seq(77)));
    drop(hub.attach(ANN, Seq(77)));
    assert_eq!(detached(&hub), [], "the feed still serves the wait");
    drop(feed);
    assert!(!hub.is_attached(ANN, Seq(77)));
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, None)]);
}

#[test]
fn a_newer_feed_ends_the_older_one_and_outlives_its_drop() {
    let hub = leading();
    let mut older = hub.subscribe(ANN);
    let mut newer = hub.subscribe(ANN);
    assert_eq!(drain(&mut older), [Notice::Replaced]);
    drop(older);
    assert_eq!(detached(&hub), []);
    deliver(&hub, 1, &[granted(ANN, 1)]);
    assert_eq!(drain(&mut newer), [notice(1, 1, granted(ANN, 1))]);
}

#[test]
fn a_slow_reader_loses_its_feed_and_its_attachment() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    let events: Vec<Event> = (0..).take(1024).map(|seq| granted(ANN, seq)).collect();
    for revision in 1..=8 {
        deliver(&hub, revision, &events);
    }
    assert!(hub.is_attached(ANN, Seq(1)));
    deliver(&hub, 9, &events);
    assert!(!hub.is_attached(ANN, Seq(1)));
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, None)]);
    let notices = drain(&mut feed);
    assert_eq!(notices.len(), 8 * 1024 + 1);
    assert_eq!(notices.last(), Some(&Notice::Overrun));
}

#[test]
fn a_feed_that_overran_by_its_own_answers_attaches_nothing() {
    let hub = leading();
    let feed = hub.subscribe(ANN);
    while feed.sender().push(Notice::Undecided { tag: 0, error: ProposeError::Overloaded }) {}
    assert!(!hub.is_attached(ANN, Seq(1)));
    assert!(!hub.has_feed(ANN));
    drop(feed);
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, None)]);
}

#[test]
fn a_lost_leadership_ends_every_feed_and_ticket_naming_the_new_leader() {
    let hub = leading();
    let mut feeds: Vec<Feed> = (0..200).map(|id| hub.subscribe(SessionId(id))).collect();
    let mut tickets: Vec<WaitTicket> =
        (0..200).map(|id| hub.attach(SessionId(1000 + id), Seq(1))).collect();
    hub.leadership_lost(Some(&hint("b")));
    for feed in &mut feeds {
        assert_eq!(drain(feed), [Notice::Moved { leader: Some(hint("b")) }]);
    }
    for ticket in &mut tickets {
        let moved = WaitAnswer::Moved { leader: Some(hint("b")) };
        assert_eq!(ticket.answer().now_or_never(), Some(moved));
    }
    drop((feeds, tickets));
    assert_eq!(detached(&hub), [], "the next leader counts for itself");
    assert_eq!(hub.shared.listening.load(Ordering::SeqCst), 0);
}

#[test]
fn who_comes_after_the_leadership_was_lost_is_sent_on_at_once() {
    let hub = leading();
    hub.leadership_lost(None);
    assert_eq!(drain(&mut hub.subscribe(ANN)), [Notice::Moved { leader: None }]);
    hub.leadership_lost(Some(&hint("c")));
    let moved = WaitAnswer::Moved { leader: Some(hint("c")) };
    assert_eq!(hub.attach(ANN, Seq(1)).answer().now_or_never(), Some(moved));
    hub.leadership_gained();
    let mut feed = hub.subscribe(ANN);
    deliver(&hub, 1, &[granted(ANN, 1)]);
    assert_eq!(drain(&mut feed), [notice(1, 1, granted(ANN, 1))]);
}

#[test]
fn the_clock_hears_of_a_timer_before_the_proposer_hears_of_its_session() {
    let hub = leading();
    let (sender, mut receiver) = oneshot::channel();
    let set = timer(ANN);
    hub.deliver(
        Revision(1),
        Some(Reply::Once(sender)),
        Outcome::Done,
        &[Event::TimerSet(set.clone()), granted(ANN, 1)],
    );
    assert_eq!(hub.inbox().take().items, [(Some(Revision(1)), Tiding::Timer(set))]);
    let decided = Decided { revision: Revision(1), outcome: Outcome::Done };
    assert_eq!(receiver.try_recv(), Ok(Ok(decided)));
}

#[test]
fn nothing_is_kept_for_a_clock_that_does_not_lead() {
    let hub = Hub::new();
    deliver(&hub, 1, &[Event::TimerSet(timer(ANN))]);
    assert_eq!(hub.inbox().take().items, []);
    hub.inbox().open();
    deliver(&hub, 2, &[Event::TimerSet(timer(ANN))]);
    hub.inbox().close();
    deliver(&hub, 3, &[Event::TimerSet(timer(ANN))]);
    assert_eq!(hub.inbox().take().items, []);
}

#[test]
fn a_failed_proposal_is_told_where_its_answer_was_awaited() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    let error = ProposeError::Unknown { leader: None };
    Reply::Feed { feed: feed.sender(), tag: 5 }.fail(error.clone());
    assert_eq!(drain(&mut feed), [Notice::Undecided { tag: 5, error: error.clone() }]);
    let (sender, mut receiver) = oneshot::channel();
    Reply::Once(sender).fail(error.clone());
    assert_eq!(receiver.try_recv(), Ok(Err(error)));
}

/// Apply runs against readers that come and go, until each has read enough: a feed never skips and never repeats.
#[test]
fn readers_that_come_and_go_meanwhile_see_no_gap() {
    let hub = leading();
    let sessions = [ANN, BOB, SessionId(66)];
    let seen = [const { AtomicU64::new(0) }; 3];
    let wanted = 3000;
    let read_one_feed = |session: SessionId, seen: &AtomicU64| {
        let mut feed = hub.subscribe(session);
        let mut last = None;
        for _ in 0..100 {
            let polled = feed.poll_recv(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Some(Notice::Event { revision, .. })) = polled else {
                std::thread::yield_now();
                continue;
            };
            assert!(last.is_none_or(|last| last + 1 == revision.get()), "a gap after {last:?}");
            last = Some(revision.get());
            seen.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let read_enough = |(session, seen): (&SessionId, &AtomicU64)| {
            while seen.load(Ordering::SeqCst) < wanted {
                read_one_feed(*session, seen);
            }
        };
        let readers: Vec<_> =
            sessions.iter().zip(&seen).map(|each| scope.spawn(move || read_enough(each))).collect();
        let mut revision = 0;
        while readers.iter().any(|reader| !reader.is_finished()) {
            revision += 1;
            deliver(&hub, revision, &sessions.map(|session| granted(session, revision)));
        }
    });
    assert_eq!(hub.shared.listening.load(Ordering::SeqCst), 0);
}

#[test]
fn a_feed_that_is_offered_replaces_nobody_before_it_takes_over() {
    let hub = leading();
    let mut feed = hub.subscribe(ANN);
    // Refused: it is gone as if it had not been.
    drop(hub.offer(ANN));
    deliver(&hub, 1, &[granted(ANN, 1)]);
    assert_eq!(drain(&mut feed), [notice(1, 1, granted(ANN, 1))]);
    assert!(hub.has_feed(ANN));
    assert_eq!(detached(&hub), []);
    let mut next = hub.offer(ANN);
    deliver(&hub, 2, &[granted(ANN, 2)]);
    next.takes_over();
    deliver(&hub, 3, &[granted(ANN, 3)]);
    // Nothing is missed on either side of the moment.
    assert_eq!(drain(&mut feed), [notice(2, 1, granted(ANN, 2)), Notice::Replaced]);
    assert_eq!(drain(&mut next), [2, 3].map(|seq| notice(seq, 1, granted(ANN, seq))));
    drop(feed);
    assert_eq!(detached(&hub), []);
    drop(next);
    assert_eq!(detached(&hub), [Tiding::Detached(ANN, None)]);
}

#[test]
fn offered_feeds_are_few_attach_nothing_and_end_with_the_leadership() {
    let hub = leading();
    let mut offered: Vec<_> = (0..=OFFERED_MAX).map(|_| hub.offer(ANN)).collect();
    assert!(!hub.has_feed(ANN) && !hub.is_attached(ANN, Seq(1)));
    assert_eq!(drain(&mut offered[0]), [Notice::Replaced]);
    hub.leadership_lost(None);
    for feed in &mut offered[1..] {
        assert_eq!(drain(feed), [Notice::Moved { leader: None }]);
    }
    offered[1].takes_over();
    assert!(!hub.has_feed(ANN));
    drop(offered);
    assert_eq!(hub.shared.listening.load(Ordering::SeqCst), 0);
}

#[test]
fn a_late_opening_replaces_no_stream_that_its_client_uses() {
    let hub = leading();
    let unheard = hub.subscribe(ANN);
    // Its client never heard of it, and opens again.
    let mut feed = hub.subscribe_unless_used(ANN).expect("nobody uses it");
    drop(unheard);
    feed.use_it();
    assert!(hub.subscribe_unless_used(ANN).is_none());
    assert!(hub.has_feed(ANN));
    drop(feed);
    assert!(hub.subscribe_unless_used(ANN).is_some(), "it is gone");
}
