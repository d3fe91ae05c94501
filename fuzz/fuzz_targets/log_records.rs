//! Any bytes as the payload of an entry, or (behind an odd first byte) as a chunk file of the log. See docs/TESTING.md.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static SCRATCH: OnceLock<std::path::PathBuf> = OnceLock::new();
    match bytes.split_first() {
        Some((first, chunk)) if first % 2 == 1 => {
            let name = format!("conclave-fuzz-{}", std::process::id());
            let scratch = SCRATCH.get_or_init(|| std::env::temp_dir().join(name));
            let _ = conclave_fuzzing::log_chunk(scratch, chunk);
        }
        Some((_, payload)) => {
            let _ = conclave_fuzzing::log_payload(payload);
        }
        None => {}
    }
});
