//! A short run of every entry on stable Rust: random bytes, truncated ones, and good ones changed as protobuf may be changed.
//!
//! `CONCLAVE_FUZZ_CASES` multiplies the number of cases (1), `CONCLAVE_FUZZ_FIRST` is the first seed (0). A failure prints the
//! bytes and the line that runs them again.

mod allocations;
mod cases;
mod log;
mod snapshot;
mod wire;
