//! Snapshots that no node of ours wrote.

use bytes::Bytes;
use conclave_fuzzing::{Reached, join, mutate, snapshot_records, snapshots};
use conclave_model::Rng;

use crate::cases::{Tally, case, check, random, seeds};

const CASES: u64 = 2_000;

#[test]
fn records_are_refused_or_are_what_the_machine_has() {
    let good: Vec<Vec<Bytes>> = (0..12).map(snapshots).collect();
    for records in &good {
        assert_eq!(snapshot_records(&join(records)), Reached::Accepted);
    }
    let mut tally = Tally::new();
    for seed in seeds(CASES) {
        let make = |rng: &mut Rng| match rng.below(12) {
            0 => random(rng),
            1 => {
                let mut joined = join(rng.pick(&good).expect("some"));
                joined.truncate(rng.index(joined.len()));
                joined
            }
            _ => join(&changed(rng.pick(&good).expect("some"), rng)),
        };
        *tally.entry(case(seed, make, snapshot_records)).or_default() += 1;
    }
    let wanted = [Reached::NoMessage, Reached::Refused, Reached::Accepted];
    check(&tally, &wanted.map(|reached| (reached, CASES / 100)));
}

/// One record changed, left out, doubled, moved, or from another snapshot.
fn changed(records: &[Bytes], rng: &mut Rng) -> Vec<Bytes> {
    let mut records = records.to_vec();
    let at = rng.index(records.len());
    match rng.below(12) {
        0 => drop(records.remove(at)),
        1 => records.insert(at, records[at].clone()),
        2 => {
            let other = rng.index(records.len());
            records.swap(at, other);
        }
        3 => records.truncate(at),
        // Behind the two bytes of the format.
        _ => {
            let mut record = records[at][..2].to_vec();
            record.extend(mutate(&records[at][2..], rng));
            records[at] = record.into();
        }
    }
    records
}
