//! Three real processes: what a cluster survives, and what it refuses.

mod backup;
mod bad_days;
mod disk;
mod failover;
mod identity;
mod members;
mod recover;
mod restart;
mod service;
mod snapshots;
mod versions;
