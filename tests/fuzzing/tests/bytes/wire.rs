//! Requests that no client of ours would send.

use conclave_fuzzing::{Reached, mutate, wire_edge, wire_messages};

use crate::cases::{Tally, case, check, random, seeds};

const CASES: u64 = 30_000;

/// Each seed of the corpus is what it is meant to be: a request that gets as far as an answer.
#[test]
fn every_request_has_a_good_message() {
    let messages = wire_messages();
    let asked: std::collections::BTreeSet<_> = messages.iter().map(|message| message[0]).collect();
    assert_eq!(asked.len(), conclave_fuzzing::requests(), "a request without a seed");
    for message in &messages {
        let reached = wire_edge(message);
        assert!(reached >= Reached::Answered, "{message:02x?} got as far as {reached:?}");
    }
}

#[test]
fn no_bytes_make_the_edge_or_the_machine_panic() {
    let messages = wire_messages();
    let mut tally = Tally::new();
    let cases = seeds(CASES);
    let count = cases.end - cases.start;
    for seed in cases {
        let make = |rng: &mut conclave_model::Rng| match rng.below(10) {
            0 => random(rng),
            1 => {
                let mut message = rng.pick(&messages).expect("some").clone();
                message.truncate(rng.index(message.len()));
                message
            }
            _ => {
                let message = rng.pick(&messages).expect("some");
                let (which, rest) = message.split_first().expect("a request");
                // Now and then as another request than it was.
                let which = if rng.chance(5) { which.wrapping_add(1) } else { *which };
                let mut changed = vec![which];
                changed.extend(mutate(rest, rng));
                changed
            }
        };
        *tally.entry(case(seed, make, wire_edge)).or_default() += 1;
    }
    // Of every sort enough that it was put to the test.
    let least = count / 50;
    let wanted = [Reached::NoMessage, Reached::Refused, Reached::Answered, Reached::Declined];
    check(&tally, &wanted.map(|reached| (reached, least)));
    check(&tally, &[(Reached::Accepted, least)]);
}
