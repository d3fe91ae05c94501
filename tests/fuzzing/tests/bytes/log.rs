//! Entries and chunks of the log that this program did not write, or did not write like this.

use conclave_fuzzing::{Reached, log_chunk, log_payload, log_payloads, mutate, some_chunk};
use conclave_model::Rng;

use crate::cases::{Tally, case, check, random, seeds};

const PAYLOADS: u64 = 8_000;
const CHUNKS: u64 = 600;

#[test]
fn no_payload_of_an_entry_makes_a_node_panic() {
    let payloads: Vec<_> = (0..8).flat_map(log_payloads).collect();
    let mut tally = Tally::new();
    for seed in seeds(PAYLOADS) {
        let make = |rng: &mut Rng| {
            let good = rng.pick(&payloads).expect("some").to_vec();
            match rng.below(10) {
                0 => random(rng),
                1 => good[..rng.index(good.len())].to_vec(),
                2 => good,
                // Behind the two bytes of the format.
                _ => {
                    let mut changed = good[..2].to_vec();
                    changed.extend(mutate(&good[2..], rng));
                    changed
                }
            }
        };
        *tally.entry(case(seed, make, log_payload)).or_default() += 1;
    }
    let wanted = [Reached::NoMessage, Reached::Declined, Reached::Accepted];
    check(&tally, &wanted.map(|reached| (reached, PAYLOADS / 50)));
}

#[test]
fn a_chunk_that_was_changed_is_refused_or_is_a_beginning_of_what_was_written() {
    // In memory where that is possible: nothing here is about what an fsync does.
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let scratch = scratch.expect("a scratch directory");
    let (good, entries) = some_chunk(scratch.path(), 1);
    let mut tally = Tally::new();
    for seed in seeds(CHUNKS) {
        let make = |rng: &mut Rng| chunk(&good, rng);
        let (reached, found) = case(seed, make, |bytes| log_chunk(scratch.path(), bytes));
        // Nothing but a beginning, however the bytes were changed.
        assert!(entries.starts_with(&found), "seed {seed}: {} other entries", found.len());
        *tally.entry(reached).or_default() += 1;
    }
    check(&tally, &[(Reached::Refused, CHUNKS / 10), (Reached::Accepted, CHUNKS / 50)]);
}

/// As a disk or a power cut may leave it.
fn chunk(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match rng.below(6) {
        0 => bytes.truncate(rng.index(good.len() + 1)),
        // The end was never written, or is zeros.
        1 => {
            let from = rng.index(good.len());
            bytes[from..].fill(0);
        }
        2 => bytes.extend(random(rng)),
        3 => {
            let at = rng.index(good.len() + 1);
            bytes.truncate(at);
            bytes.extend(random(rng));
        }
        4 => {
            for _ in 0..1 + rng.below(4) {
                let at = rng.index(good.len());
                bytes[at] ^= rng.draw().to_le_bytes()[0].max(1);
            }
        }
        // A piece from elsewhere.
        _ => {
            let (from, to) = (rng.index(good.len()), rng.index(good.len()));
            let len = rng.index(good.len() - from.max(to) + 1);
            bytes.copy_within(from..from + len, to);
        }
    }
    bytes
}
