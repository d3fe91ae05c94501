//! Faults that a test build plants on purpose, so that the tests are tested: with the feature `planted`, the one fault that the
//! environment variable `CONCLAVE_PLANTED` names is there. Without the feature none is, and the question costs nothing.
//! Which tests must notice which fault is said in `tests/mutants/faults.rs`.

/// Whether this fault is to be made. Reads the environment once.
#[cfg(feature = "planted")]
pub(crate) fn planted(fault: &str) -> bool {
    static NAMED: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    let named = NAMED.get_or_init(|| std::env::var_os("CONCLAVE_PLANTED"));
    named.as_ref().is_some_and(|named| named == fault)
}

#[cfg(not(feature = "planted"))]
pub(crate) const fn planted(_fault: &str) -> bool {
    false
}
