//! Every rule about time, as a script over the real machine: see `stage` for what the words mean.

mod keepalives;
mod leadership;
mod primitives;
mod random;
mod sessions;
mod stage;
mod timers;
mod waits;
