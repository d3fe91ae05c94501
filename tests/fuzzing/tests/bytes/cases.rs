//! Runs an entry with many bytes and says which of them were too much.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use conclave_fuzzing::Reached;
use conclave_model::Rng;

use crate::allocations::largest;

/// Larger than anything that a sound reader asks for besides a multiple of what it was given.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// A byte may become the entry of a list, which takes some hundred bytes in memory.
const PIECE_GROWTH: usize = 256;

pub(crate) type Tally = BTreeMap<Reached, u64>;

/// So many cases in the ordinary run, more if asked for.
pub(crate) fn seeds(ordinary: u64) -> std::ops::Range<u64> {
    let first = number("CONCLAVE_FUZZ_FIRST", 0);
    first..first + ordinary * number("CONCLAVE_FUZZ_CASES", 1)
}

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// One case: `make` gives bytes, `entry` takes them.
pub(crate) fn case<T>(
    seed: u64,
    make: impl FnOnce(&mut Rng) -> Vec<u8>,
    entry: impl FnOnce(&[u8]) -> T,
) -> T {
    let bytes = make(&mut Rng::new(seed));
    let (piece, result) = largest(|| catch_unwind(AssertUnwindSafe(|| entry(&bytes))));
    let told = || format!("CONCLAVE_FUZZ_FIRST={seed} gives the bytes {}", hex(&bytes));
    let limit = PIECE_BYTES_MAX + PIECE_GROWTH * bytes.len();
    assert!(piece <= limit, "{piece} bytes were asked for at once; {}", told());
    match result {
        Ok(result) => result,
        Err(panic) => {
            eprintln!("{}", told());
            std::panic::resume_unwind(panic)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of no sort.
pub(crate) fn random(rng: &mut Rng) -> Vec<u8> {
    (0..rng.below(200)).map(|_| rng.draw().to_le_bytes()[0]).collect()
}

/// Fails when hardly anything got as far as it should.
pub(crate) fn check(tally: &Tally, wanted: &[(Reached, u64)]) {
    println!("{tally:?}");
    for (reached, least) in wanted {
        let found = tally.get(reached).copied().unwrap_or_default();
        assert!(found >= *least, "only {found} got as far as {reached:?}: {tally:?}");
    }
}
