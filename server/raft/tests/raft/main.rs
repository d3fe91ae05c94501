//! Nodes with real logs and real gRPC, in one process.

mod alone;
mod support;
mod three;
