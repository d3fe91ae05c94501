//! Any bytes as any request: the first byte says which. See docs/TESTING.md.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = conclave_fuzzing::wire_edge(bytes);
});
