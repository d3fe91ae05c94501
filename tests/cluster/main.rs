//! Three real processes: what a cluster survives, and what it refuses.

mod bad_days;
mod disk;
mod failover;
mod identity;
mod members;
mod restart;
mod service;
