//! What the integration tests share: the built binary, real processes and clusters of them, and the lock that keeps
//! tests that assert time alone.

mod alone;
mod binary;
mod cluster;
mod disk;
mod metrics;
mod net;
mod process;
mod proxy;
pub mod raw;

pub use alone::{Turn, alone, together};
pub use binary::{BUILT, conclave, example};
pub use cluster::{Cluster, NodeStatus, Seat, Status};
pub use disk::SmallDisk;
pub use net::Network;
pub use process::{Process, Signal};
pub use proxy::{Pieces, Proxy, Weather, Weathers};

use std::time::{Duration, Instant};

/// Asks again and again until `fact` answers something, at most `limit`; then fails, naming what was awaited.
/// This waits for a fact, not for a time: it returns as soon as the fact is there.
pub fn eventually<T>(what: &str, limit: Duration, mut fact: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = fact() {
            return answer;
        }
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
