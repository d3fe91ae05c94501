//! The conformance scenarios of the semantics, each over a real three-node cluster and named for what it guards. Those
//! that a machine or a clock alone can show stand with them (`server/machine/tests/scripts`, `server/raft`).
//! And the examples of the client crate, which show the same to a newcomer.

mod client;
mod compaction;
mod crowds;
mod elections;
mod examples;
mod groups;
mod raw;
mod shared;
mod support;
mod time;
