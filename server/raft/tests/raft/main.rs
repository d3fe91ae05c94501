//! Nodes with real logs and real gRPC, in one process; openraft's own suite over our storage; the formats on disk.

mod alone;
mod codec;
mod joining;
mod members;
mod samples;
mod storage;
mod support;
mod three;
