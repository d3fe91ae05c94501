//! Tests of the store through its public interface.

mod backup;
mod child;
mod common;
mod conformance;
mod crash;
mod damage;
mod fsyncs;
mod identity;
mod live;
mod rot;
mod simulated;
mod snapshots;
