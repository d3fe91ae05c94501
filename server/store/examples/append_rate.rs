//! Measures the log alone: `append_rate DIR OUTSTANDING SECONDS [BYTES]`, a closed loop of single-entry appends.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use conclave_store::{LogEntry, LogPosition, LogStore, Wal, WalOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, outstanding, seconds, rest @ ..] = arguments.as_slice() else {
        return Err("usage: append_rate DIR OUTSTANDING SECONDS [BYTES]".into());
    };
    let outstanding: u64 = outstanding.parse()?;
    let seconds: u64 = seconds.parse()?;
    let bytes = rest.first().map_or(Ok(100), |bytes| bytes.parse())?;
    let wal = Wal::open(Path::new(dir), &WalOptions::default())?;
    let payload = bytes::Bytes::from(vec![7_u8; bytes]);
    let (durable, wait) = mpsc::channel();
    let done_count = Arc::new(AtomicU64::new(0));
    let mut next = wal.state().last.map_or(0, |last| last.index + 1);
    let first = next;
    let mut in_flight = 0;
    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        while in_flight < outstanding {
            let position = LogPosition { term: 1, index: next };
            let durable = durable.clone();
            let done_count = Arc::clone(&done_count);
            let queued = Instant::now();
            let done = Box::new(move |result: std::io::Result<()>| {
                done_count.fetch_add(1, Ordering::Relaxed);
                drop(durable.send(result.map(|()| queued.elapsed())));
            });
            wal.append(vec![LogEntry { position, payload: payload.clone() }], done)?;
            next += 1;
            in_flight += 1;
        }
        slowest = slowest.max(wait.recv()??);
        in_flight -= 1;
        while let Ok(result) = wait.try_recv() {
            slowest = slowest.max(result?);
            in_flight -= 1;
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let count = (next - first - in_flight) as f64;
    println!(
        "{:.0} appends/s, {:.0} us each in turn, slowest {:.1} ms, {} MiB on disk",
        count / elapsed,
        elapsed * 1e6 * outstanding as f64 / count,
        slowest.as_secs_f64() * 1e3,
        wal.disk_bytes() >> 20,
    );
    Ok(())
}
