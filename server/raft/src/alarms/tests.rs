//! Deadlines move without cost, and every look finds its slot.

use conclave_machine::Token;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn session(id: u64) -> Timer {
    Timer::Session(SessionId(id))
}

fn set(timer: Timer, generation: u64, after_ms: u64) -> TimerSet {
    TimerSet { timer, generation: Generation(generation), after_ms }
}

fn all_due(alarms: &mut Alarms, now: Moment) -> Vec<Timer> {
    let mut looks = u32::MAX;
    std::iter::from_fn(|| alarms.next_due(now, &mut looks)).collect()
}

#[test]
fn a_renewal_touches_the_queue_once_a_period_however_often_it_comes() {
    let mut alarms = Alarms::default();
    let start = Moment::ZERO + SECOND;
    for id in 0..1000 {
        alarms.set(start, &set(session(id), 1, 11_000));
    }
    let mut looks = 0;
    for second in 1..=110 {
        let now = start + second * SECOND;
        for id in 0..1000 {
            alarms.renew(now, &session(id));
            alarms.renew(now, &session(id));
        }
        let mut looks_left = u32::MAX;
        assert_eq!(alarms.next_due(now, &mut looks_left), None);
        looks += u32::MAX - looks_left;
        assert_eq!(alarms.queue.len(), 1000, "one entry a session");
    }
    assert_eq!(looks, 10_000, "220,000 renewals in ten periods of 1,000 sessions");
}

#[test]
fn timers_come_in_the_order_of_their_deadlines_and_once() {
    let mut alarms = Alarms::default();
    let start = Moment::ZERO;
    for (id, after_ms) in [(1, 300), (2, 100), (3, 200), (4, 900)] {
        alarms.set(start, &set(session(id), 1, after_ms));
    }
    assert_eq!(alarms.next_look(), Some(start + Duration::from_millis(100)));
    let now = start + Duration::from_millis(300);
    assert_eq!(all_due(&mut alarms, now), [session(2), session(3), session(1)]);
    assert_eq!(all_due(&mut alarms, now), [], "not again unless asked for");
    alarms.look_again(now + SECOND, &session(3));
    assert_eq!(all_due(&mut alarms, now + SECOND), [session(4), session(3)]);
}

#[test]
fn a_timer_that_is_set_anew_to_an_earlier_moment_is_found_there() {
    let mut alarms = Alarms::default();
    let hold = Timer::HoldEnd(SessionId(1), Token(2));
    alarms.set(Moment::ZERO, &set(hold.clone(), 1, 10_000));
    alarms.set(Moment::ZERO, &set(hold.clone(), 2, 1000));
    assert_eq!(all_due(&mut alarms, Moment::ZERO + SECOND), [hold]);
    assert_eq!(all_due(&mut alarms, Moment::ZERO + 20 * SECOND), [], "its old entry is void");
}

#[test]
fn a_removed_timer_is_never_due() {
    let mut alarms = Alarms::default();
    alarms.set(Moment::ZERO, &set(session(1), 1, 1000));
    alarms.remove(&session(1));
    assert_eq!(all_due(&mut alarms, Moment::ZERO + SECOND), []);
    assert_eq!(alarms.len(), 0);
    assert_eq!(alarms.next_look(), None, "its entry is gone with the first look");
}

#[test]
fn a_million_timers_set_and_removed_leave_a_short_queue() {
    let mut alarms = Alarms::default();
    let start = Moment::ZERO;
    // Of some sessions one is due and not to be looked at, one was renewed, and one was set to an earlier moment.
    for id in 0..30 {
        alarms.set(start, &set(session(id), 1, 1000 * (1 + id)));
    }
    let mut looks = u32::MAX;
    let named = alarms.next_due(start + SECOND, &mut looks);
    assert_eq!(named, Some(session(0)));
    alarms.renew(start + SECOND, &session(1));
    alarms.set(start, &set(session(20), 2, 1500));
    let mut longest = 0;
    for number in 0..1_000_000 {
        let hold = Timer::HoldEnd(SessionId(7), Token(number));
        alarms.set(start, &set(hold.clone(), 1, 3_600_000));
        alarms.remove(&hold);
        longest = longest.max(alarms.queue.len());
    }
    assert!(longest <= 2 * 31 + VOID_MAX + 1, "{longest}");
    assert_eq!(alarms.len(), 30);
    // Everybody else is found at its own moment, in order, and the one that is looked at already is not named again.
    let mut expected: Vec<_> = (2..30).filter(|id| *id != 20).map(session).collect();
    expected.insert(0, session(20));
    let renewed_until = expected.iter().position(|timer| *timer == session(2)).expect("it runs");
    expected.insert(renewed_until, session(1));
    assert_eq!(all_due(&mut alarms, start + 100 * SECOND), expected);
}

#[test]
fn looks_are_limited_and_what_is_left_comes_next_time() {
    let mut alarms = Alarms::default();
    for id in 0..10 {
        alarms.set(Moment::ZERO, &set(session(id), 1, 1000));
    }
    let now = Moment::ZERO + SECOND;
    let mut looks_left = 4;
    let some: Vec<_> = std::iter::from_fn(|| alarms.next_due(now, &mut looks_left)).collect();
    assert_eq!(some.len(), 4);
    assert_eq!(alarms.next_look(), Some(now));
    assert_eq!(all_due(&mut alarms, now).len(), 6);
}

#[test]
fn an_extension_counts_from_its_moment_and_never_shortens() {
    let mut alarms = Alarms::default();
    alarms.set(Moment::ZERO, &set(session(1), 1, 10_000));
    alarms.extend_all(Moment::ZERO + 5 * SECOND);
    alarms.extend_all(Moment::ZERO + 3 * SECOND);
    assert_eq!(all_due(&mut alarms, Moment::ZERO + 14 * SECOND), []);
    assert_eq!(all_due(&mut alarms, Moment::ZERO + 15 * SECOND), [session(1)]);
}

#[test]
fn the_ttl_is_found_again_from_the_period_that_the_machine_made_of_it() {
    let mut alarms = Alarms::default();
    for ttl_ms in [100_u64, 101, 1005, 4800, 9999, 10_000, 600_000] {
        let after_ms = ttl_ms + ttl_ms.div_ceil(10);
        alarms.set(Moment::ZERO, &set(session(ttl_ms), 1, after_ms));
        let ttl = alarms.ttl(SessionId(ttl_ms)).expect("it runs");
        let exact = Duration::from_millis(ttl_ms);
        assert!(ttl >= exact && ttl < exact + Duration::from_millis(1), "{ttl:?} for {exact:?}");
    }
}
