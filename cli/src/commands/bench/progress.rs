//! Lets the measured time pass, and says on a terminal how it goes.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::tally::Tally;
use crate::output::Format;

pub(super) async fn watch(length: Duration, tallies: &[Arc<Tally>], format: Format) {
    let end = Instant::now() + length;
    if format != Format::Table || !io::stderr().is_terminal() {
        return sleep_until(end).await;
    }
    let mut before = 0;
    while Instant::now() < end {
        let left = end.saturating_duration_since(Instant::now());
        sleep(left.min(Duration::from_secs(1))).await;
        let count: u64 = tallies.iter().map(|tally| tally.count()).sum();
        eprint!("\r\x1b[K{} cycles/s, {:.0} s left", count - before, left.as_secs_f64());
        let _gone = io::stderr().flush();
        before = count;
    }
    eprint!("\r\x1b[K");
}
