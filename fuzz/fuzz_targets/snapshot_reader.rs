//! Any bytes as the records of a snapshot, each behind its length. See docs/TESTING.md.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = conclave_fuzzing::snapshot_records(bytes);
});
