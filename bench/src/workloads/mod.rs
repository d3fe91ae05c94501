//! The workloads that are more than a closed loop.

pub(crate) mod failover;
pub(crate) mod idle;
pub(crate) mod queue;
pub(crate) mod sessions;
pub(crate) mod snapshot;
pub(crate) mod start;
pub(crate) mod vacancy;
