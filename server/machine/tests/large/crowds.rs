//! Many waiters, many sessions, many locks: order, cost and limits where a script would be too long.

use std::time::{Duration, Instant};

use crate::bench::{Bench, acquire, all, campaign, demand, name, token};
use conclave_machine::{
    Command, Demand, Limit, Mode, Op, Outcome, Refusal, Seq, SessionKey,
    limits::WAITERS_PER_OBJECT_MAX,
};

/// Conformance 8: 500 waiters, half of their sessions die, the rest is granted in order of arrival without a stall.
#[test]
fn half_of_500_waiters_die_and_the_rest_is_granted_in_order() {
    let mut bench = Bench::new();
    let job = name("job");
    let holder = bench.open(1, 0);
    let mut held = token(bench.acquire(holder, 1, &job));
    let mut keys: Vec<SessionKey> = (2..502).map(|secret| bench.open(secret, 0)).collect();
    for key in &keys {
        assert!(matches!(bench.acquire(*key, 1, &job), Outcome::Queued { .. }));
    }
    for victim in keys.iter().skip(1).step_by(2) {
        bench.expire(victim.id);
        assert_eq!(bench.granted(), [], "nobody is granted while the holder holds");
    }
    let mut index = 0;
    keys.retain(|_| {
        index += 1;
        index % 2 == 1
    });
    bench.machine.check_invariants().unwrap();
    bench.release(holder, 2, held);
    for (index, key) in keys.iter().enumerate() {
        let granted = bench.granted();
        assert_eq!(granted.len(), 1, "one grant for each release");
        assert_eq!(granted[0].0, key.id, "waiter {index}");
        assert!(granted[0].1 > held, "tokens rise");
        held = granted[0].1;
        bench.release(*key, 2, held);
    }
    assert_eq!(bench.machine.counts().objects, 0);
    bench.machine.check_invariants().unwrap();
}

/// Conformance 21, the machine's part: 10,000 sessions expire one entry each, and each entry grants what it frees.
#[test]
fn each_of_10_000_expiries_frees_its_own() {
    let mut bench = Bench::new();
    let heir = bench.open(1, 0);
    let dead: Vec<_> = (2..10_002).map(|secret| bench.open(secret, 0)).collect();
    for (index, key) in (1..).zip(&dead) {
        let job = name(&format!("job/{index}"));
        token(bench.acquire(*key, 1, &job));
        assert!(matches!(bench.acquire(heir, index, &job), Outcome::Queued { .. }));
    }
    bench.machine.check_invariants().unwrap();
    for key in dead {
        bench.expire(key.id);
        assert_eq!(bench.granted().len(), 1);
        assert_eq!(bench.granted()[0].0, heir.id);
    }
    let counts = bench.machine.counts();
    assert_eq!((counts.sessions, counts.holds, counts.waiters), (1, 10_000, 0));
    bench.machine.check_invariants().unwrap();
}

/// How long the median release takes while `waiters` stand in the queue that it serves, over as many hand-overs as there are
/// sessions. There are always as many sessions, so that both run over as much memory.
fn median_release(waiters: usize, wanted: &Op) -> Duration {
    const SESSIONS: u64 = 11_000;
    let mut bench = Bench::new();
    let keys: Vec<_> = (1..=SESSIONS).map(|secret| bench.open(secret.into(), 0)).collect();
    let mut held = token(bench.call(keys[0], 1, wanted.clone()));
    for key in &keys[1..=waiters] {
        bench.call(*key, 1, wanted.clone());
    }
    let mut took = Vec::new();
    for (round, key) in keys.iter().enumerate() {
        let started = Instant::now();
        bench.release(*key, 2, held);
        took.push(started.elapsed());
        held = bench.granted()[0].1;
        let next = (round + 1 + waiters) % keys.len();
        let seq = if next > round { 1 } else { 3 };
        let queued = bench.call(keys[next], seq, wanted.clone());
        assert_eq!(queued, Outcome::Queued { position: waiters as u32 });
    }
    bench.machine.check_invariants().unwrap();
    took.sort_unstable();
    took[took.len() / 2]
}

/// Compared within one run, and by the median of 11,000 releases, so that a busy machine does not decide. A queue that is
/// walked from its head would be hundreds of times slower.
#[test]
fn a_release_with_10_000_waiters_costs_no_more_than_with_10() {
    let permits = Demand::Permits { weight: 2, limit: 3 };
    let several = [("a", Demand::Mutex), ("b", Demand::RwLock(Mode::Write)), ("c", permits)];
    for (kind, wanted) in [
        ("mutex", demand("job", Demand::Mutex)),
        ("read-write lock", demand("job", Demand::RwLock(Mode::Write))),
        ("upgradable", demand("job", Demand::RwLock(Mode::Upgradable))),
        ("semaphore", demand("job", permits)),
        ("election", campaign("job", 0, true)),
        ("once", demand("job", Demand::Run { attempts_max: 0 })),
        ("several", all(&several)),
    ] {
        let (few, many) = (median_release(10, &wanted), median_release(10_000, &wanted));
        println!("{kind}: a release takes {few:?} with 10 waiters, {many:?} with 10,000");
        assert!(many < few * 5, "{kind}: 10: {few:?}, 10,000: {many:?}");
    }
}

/// A cancel in the middle of a long queue, and the position of the last one, do not walk it either.
#[test]
fn a_queue_of_100_000_is_the_longest_and_every_place_of_it_can_be_left() {
    let mut bench = Bench::new();
    let job = name("job");
    let keys = [bench.open(1, 0), bench.open(2, 0)];
    token(bench.acquire(keys[0], 1, &job));
    let longest = WAITERS_PER_OBJECT_MAX as u64;
    // Two sessions by turns: one alone may not wait for so much.
    let of = |place: u64| (keys[(place % 2) as usize], 2 + place / 2);
    for place in 0..longest {
        let (key, seq) = of(place);
        let position = place as u32 + 1;
        assert_eq!(bench.acquire(key, seq, &job), Outcome::Queued { position });
    }
    let full = Outcome::Refused(Refusal::Limit { what: Limit::WaitersOfObject, max: longest });
    let (key, seq) = of(longest);
    assert_eq!(bench.acquire(key, seq, &job), full);
    let held = bench.call(key, seq + 1, acquire(&job, false, 0));
    assert!(matches!(held, Outcome::Held(_)), "a try needs no place: {held:?}");

    // Every third leaves; the refused seq may then be tried again.
    for place in (0..longest).step_by(3) {
        let (key, seq) = of(place);
        let outcome = bench.apply(Command::Cancel { key, seq: Seq(seq) });
        assert_eq!(outcome, Outcome::Cancelled);
    }
    let left = longest - longest.div_ceil(3);
    assert_eq!(u64::from(bench.machine.inspect(&job, 0).unwrap().queue_len), left);
    let position = left as u32 + 1;
    assert_eq!(bench.acquire(key, seq + 2, &job), Outcome::Queued { position });
    bench.machine.check_invariants().unwrap();

    // All of them end with their sessions, and none that ends is granted on the way.
    for key in [keys[1], keys[0]] {
        bench.apply(Command::Close { key });
        assert_eq!(bench.granted(), []);
    }
    let counts = bench.machine.counts();
    assert_eq!((counts.objects, counts.waiters, counts.holds), (0, 0, 0));
}

/// Many priorities are no worse than one: positions are counted, not walked.
#[test]
fn a_thousand_priorities_are_served_highest_first() {
    let mut bench = Bench::new();
    let job = name("job");
    let key = bench.open(1, 0);
    let mut held = token(bench.acquire(key, 1, &job));
    let mut seq = 1;
    let mut expected = Vec::new();
    for index in 0..3_000_i32 {
        seq += 1;
        let priority = (index * 7919) % 1_000 - 500;
        expected.push((-priority, seq));
        assert!(matches!(
            bench.call(key, seq, acquire(&job, true, priority)),
            Outcome::Queued { .. }
        ));
    }
    expected.sort_unstable();
    for (_, waiter) in expected {
        seq += 1;
        bench.release(key, seq, held);
        held = bench.granted()[0].1;
        let stands = bench.machine.answer(key.id, Seq(waiter));
        assert!(matches!(stands, Some(Outcome::Granted { token, .. }) if token == held));
    }
}

/// The quickest of a few releases of a read lock that lets nobody in: all who wait for it, before a writer, wait for something else too.
fn quickest_release_in_vain(waiters: u128) -> Duration {
    let mut bench = Bench::new();
    let read = Demand::RwLock(Mode::Read);
    let keys: Vec<_> = (1..=waiters + 3).map(|secret| bench.open(secret, 0)).collect();
    token(bench.call(keys[0], 1, demand("other", Demand::Mutex)));
    let holds: Vec<_> =
        (1..=8).map(|seq| token(bench.call(keys[1], seq, demand("map", read)))).collect();
    for key in &keys[3..] {
        let waits = bench.call(*key, 1, all(&[("map", read), ("other", Demand::Mutex)]));
        assert!(matches!(waits, Outcome::Queued { .. }));
    }
    bench.call(keys[2], 1, demand("map", Demand::RwLock(Mode::Write)));
    let releases = (9..).zip(&holds).map(|(seq, held)| {
        let started = Instant::now();
        bench.release(keys[1], seq, *held);
        assert_eq!(bench.granted(), []);
        started.elapsed()
    });
    releases.min().expect("some releases")
}

/// Each of them is asked once whether it could go, and none of them asks all those before it: 32 times as many cost some 32
/// times as much, not a thousand times.
#[test]
fn waiters_for_several_objects_are_not_compared_with_each_other() {
    let (few, many) = (quickest_release_in_vain(250), quickest_release_in_vain(8_000));
    println!("a release that lets nobody in takes {few:?} with 250 waiters, {many:?} with 8,000");
    assert!(many < few * 300, "250: {few:?}, 8,000: {many:?}");
}
