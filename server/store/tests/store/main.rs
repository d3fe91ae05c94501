//! Tests of the store through its public interface.

mod common;
mod conformance;
mod damage;
mod identity;
mod snapshots;
