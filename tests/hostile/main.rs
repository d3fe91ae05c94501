//! Clients that mean no good, against a real process: garbage, forged peers, floods, silence. The server ends for none of them, takes
//! a bounded amount of memory and descriptors, and a well-behaved client beside them goes on as if they were not there.

mod floods;
mod full;
mod garbage;
mod limits;
mod openings;
mod readers;
mod silence;
mod stream;
mod victim;
mod wire;
