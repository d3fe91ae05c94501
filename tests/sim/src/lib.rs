//! The whole cluster in one thread: real servers and real clients, over a network, disks and clocks that are made up. A seed says
//! what goes wrong, and everything follows from it.

pub mod chance;
pub mod checks;
pub mod client;
pub mod dialling;
pub mod diary;
pub mod host;
pub mod member;
pub mod nemesis;
pub mod network;
pub mod run;
pub mod socket;
pub mod truth;
pub mod verdict;
pub mod world;
