//! How long one durable write of the log takes with nothing else under way, and how often it changes threads:
//! `durable_write DIRECTORY WRITES BYTES`. The directory is made, used and left.

use std::error::Error;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use conclave_store::{LogEntry, LogPosition, LogStore as _, Wal, WalOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let writes: u64 = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(200), |text| text.parse())?;

    let log = Wal::open(Path::new(&directory), &WalOptions::default())?;
    let first = log.state().last.map_or(0, |last| last.index + 1);
    let mut took = Vec::new();
    let switches = thread_switches()?;
    for index in first..first + writes {
        let position = LogPosition { term: 1, index };
        let (sender, receiver) = mpsc::channel();
        let begun = Instant::now();
        let done = Box::new(move |result| drop(sender.send(result)));
        log.append(vec![LogEntry { position, payload: vec![7; bytes].into() }], done)?;
        receiver.recv()??;
        took.push(begun.elapsed());
    }
    let switches = thread_switches()? - switches;
    took.sort();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or(Duration::ZERO);
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    let each = switches as f64 / writes as f64;
    println!("median {:?}, p90 {:?}, {each:.2} waits of a thread a write", at(50), at(90));
    Ok(())
}

/// How often the threads of this process have begun to wait.
fn thread_switches() -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(thread?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.ok_or("no count of switches")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}
