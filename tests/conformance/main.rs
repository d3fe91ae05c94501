//! The conformance scenarios of the semantics, each over a real three-node cluster and named for what it guards. Those
//! that a machine or a clock alone can show stand with them (`server/machine/tests/scripts`, `server/raft`).

mod client;
mod crowds;
mod elections;
mod groups;
mod raw;
mod shared;
mod support;
mod time;
