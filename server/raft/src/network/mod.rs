//! What the nodes of one cluster say to one another, over gRPC.

mod client;
mod connections;
mod header;
mod heard;
mod pace;
mod pipeline;
mod protocol;
mod rest;
mod service;
mod snapshot;
mod wire;

pub use protocol::Protocols;
pub use service::PeerEndpoint;

pub(crate) use client::Network;
pub(crate) use connections::{Connections, Lane, Patience};
pub(crate) use heard::Heard;

/// A message between peers: some entries, each of a megabyte at most unless a single command is larger.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
