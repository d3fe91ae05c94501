//! What is too long for a script: crowds of waiters and sessions, and snapshots with everything that can go wrong in them.

mod bench;
mod crowds;
mod rich;
mod sizes;
mod snapshots;
mod spoiled;
mod starvation;
