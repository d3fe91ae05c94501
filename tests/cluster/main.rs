//! Three real processes: what a cluster survives, and what it refuses.

mod identity;
mod restart;
