//! Many waiters, many sessions, many locks: order, cost and limits where a script would be too long.

use std::time::{Duration, Instant};

use crate::bench::{Bench, acquire, name, token};
use conclave_machine::{
    Command, Limit, Outcome, Refusal, Seq, SessionKey, limits::WAITERS_PER_OBJECT_MAX,
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

/// The time that `rounds` hand-overs of one lock take while `waiters` stand in its queue: release, and queue again.
fn hand_overs(waiters: u128, rounds: u64) -> Duration {
    let mut bench = Bench::new();
    let job = name("job");
    let keys: Vec<_> = (1..=waiters + 1).map(|secret| bench.open(secret, 0)).collect();
    let mut held = token(bench.acquire(keys[0], 1, &job));
    for key in &keys[1..] {
        bench.acquire(*key, 1, &job);
    }
    let started = Instant::now();
    for round in 0..rounds {
        let key = keys[(round % keys.len() as u64) as usize];
        let seq = 2 + 2 * (round / keys.len() as u64);
        bench.release(key, seq, held);
        held = bench.granted()[0].1;
        let queued = bench.acquire(key, seq + 1, &job);
        assert_eq!(queued, Outcome::Queued { position: waiters as u32 });
    }
    let took = started.elapsed();
    bench.machine.check_invariants().unwrap();
    took
}

/// Cost is compared within one run, the best of three each; a queue walked from its head would be hundreds of times slower.
#[test]
fn ten_thousand_waiters_cost_about_as_much_as_sixteen() {
    let best = |waiters| (0..3).map(|_| hand_overs(waiters, 2_000)).min().expect("three runs");
    let (few, many) = (best(16), best(10_000));
    assert!(many < few * 8 + Duration::from_millis(5), "16: {few:?}, 10,000: {many:?}");
}

/// A cancel in the middle of a long queue, and the position of the last one, do not walk it either.
#[test]
fn a_queue_of_100_000_is_the_longest_and_every_place_of_it_can_be_left() {
    let mut bench = Bench::new();
    let job = name("job");
    let key = bench.open(1, 0);
    token(bench.acquire(key, 1, &job));
    let longest = WAITERS_PER_OBJECT_MAX as u64;
    for seq in 2..=longest + 1 {
        let position = (seq - 1) as u32;
        assert_eq!(bench.acquire(key, seq, &job), Outcome::Queued { position });
    }
    let max = longest;
    let full = Outcome::Refused(Refusal::Limit { what: Limit::WaitersOfObject, max });
    assert_eq!(bench.acquire(key, longest + 2, &job), full);
    let held = bench.call(key, longest + 3, acquire(&job, false, 0));
    assert!(matches!(held, Outcome::Held(_)), "a try needs no place: {held:?}");

    // Every third leaves; the refused seq may then be tried again.
    for seq in (2..=longest + 1).step_by(3) {
        let outcome = bench.apply(Command::Cancel { key, seq: Seq(seq) });
        assert_eq!(outcome, Outcome::Cancelled);
    }
    let left = longest - longest.div_ceil(3);
    assert_eq!(u64::from(bench.machine.inspect(&job, 0).unwrap().queue_len), left);
    let position = left as u32 + 1;
    assert_eq!(bench.acquire(key, longest + 4, &job), Outcome::Queued { position });
    bench.machine.check_invariants().unwrap();

    // All of them end with their session, and none is granted on the way.
    bench.apply(Command::Close { key });
    assert_eq!(bench.granted(), []);
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
