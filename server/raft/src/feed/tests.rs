//! A feed is bounded, in order, and never has a silent gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

const SESSION: SessionId = SessionId(7);

fn feed() -> Feed {
    let hub = Hub::new();
    hub.leadership_gained();
    hub.subscribe(SESSION)
}

fn decided(tag: u64) -> Notice {
    Notice::Decided { tag, revision: Revision(tag), outcome: Outcome::Released }
}

/// What is there now; `Pending` is an end of its own.
fn drain(feed: &mut Feed) -> (Vec<Notice>, bool) {
    let mut notices = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match feed.poll_recv(&mut context) {
            Poll::Ready(Some(notice)) => notices.push(notice),
            Poll::Ready(None) => return (notices, true),
            Poll::Pending => return (notices, false),
        }
    }
}

#[test]
fn notices_come_in_the_order_in_which_they_were_pushed() {
    let mut feed = feed();
    for tag in 0..100 {
        assert!(feed.sender().push(decided(tag)));
    }
    assert_eq!(drain(&mut feed), ((0..100).map(decided).collect(), false));
    assert!(feed.sender().push(decided(100)));
    assert_eq!(drain(&mut feed), (vec![decided(100)], false));
}

#[test]
fn a_reader_that_is_too_slow_is_told_so_behind_everything_that_fitted() {
    let mut feed = feed();
    for tag in 0..FEED_NOTICES_MAX as u64 {
        assert!(feed.sender().push(decided(tag)));
    }
    assert!(!feed.sender().push(decided(u64::MAX)));
    assert!(!feed.sender().push(decided(u64::MAX)), "after the end nothing is accepted");
    let (notices, ended) = drain(&mut feed);
    assert!(ended);
    assert_eq!(notices.len(), FEED_NOTICES_MAX + 1);
    assert_eq!(notices[FEED_NOTICES_MAX - 1], decided(FEED_NOTICES_MAX as u64 - 1));
    assert_eq!(notices[FEED_NOTICES_MAX], Notice::Overrun);
}

#[test]
fn only_the_first_end_counts_and_it_comes_last() {
    let mut feed = feed();
    let sender = feed.sender();
    sender.push(decided(1));
    sender.finish(Some(Notice::Moved { leader: None }));
    sender.finish(Some(Notice::Replaced));
    assert!(!sender.push(decided(2)));
    assert_eq!(drain(&mut feed), (vec![decided(1), Notice::Moved { leader: None }], true));
    assert_eq!(drain(&mut feed), (vec![], true));
}

#[test]
fn nothing_is_kept_for_a_reader_that_is_gone() {
    let feed = feed();
    let sender = feed.sender();
    sender.push(decided(1));
    drop(feed);
    assert!(!sender.push(decided(2)));
    assert_eq!(sender.lock().queue.capacity(), 0);
}

#[test]
fn a_burst_gives_its_memory_back() {
    let mut feed = feed();
    for tag in 0..5000 {
        feed.sender().push(decided(tag));
    }
    assert_eq!(drain(&mut feed).0.len(), 5000);
    feed.sender().push(decided(0));
    drain(&mut feed);
    drain(&mut feed);
    let kept = feed.taken.capacity() + feed.sender.lock().queue.capacity();
    assert!(kept <= 2 * FEED_NOTICES_KEPT, "kept room for {kept} notices");
}

struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waiting_reader_is_woken_by_a_notice_and_by_the_end() {
    let mut feed = feed();
    let bell = Arc::new(Bell(AtomicUsize::new(0)));
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    assert!(feed.poll_recv(&mut context).is_pending());
    feed.sender().push(decided(1));
    assert_eq!(bell.0.load(Ordering::SeqCst), 1);
    feed.sender().push(decided(2));
    assert_eq!(bell.0.load(Ordering::SeqCst), 1, "it is awake already");
    assert!(feed.poll_recv(&mut context).is_ready());
    assert!(feed.poll_recv(&mut context).is_ready());
    assert!(feed.poll_recv(&mut context).is_pending());
    feed.sender().finish(Some(Notice::Overrun));
    assert_eq!(bell.0.load(Ordering::SeqCst), 2);
    assert_eq!(feed.poll_recv(&mut context), Poll::Ready(Some(Notice::Overrun)));
}

#[tokio::test]
async fn recv_waits_for_a_notice_from_another_task() {
    let mut feed = feed();
    let sender = feed.sender();
    let pusher = tokio::spawn(async move { sender.push(decided(1)) });
    assert_eq!(feed.recv().await, Some(decided(1)));
    assert!(pusher.await.is_ok_and(|pushed| pushed));
}
