//! Many waiters on one name: what a release costs, and how fast the lock is handed over, however long the queue is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conclave_client::{Client, Consistency, Error, Mutex as Lock};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::conclave::{close_all, open_sessions};
use crate::failure::Failure;
use crate::figures::Figures;
use crate::load::{Times, histogram, record};
use crate::progress;
use crate::rows::{median, rate};

/// Waiters share so many sessions, and connections: ten thousand connections would measure those.
const SESSIONS_MAX: u32 = 20;
/// Queueing up takes about a second for ten thousand on a quiet machine.
const QUEUE_UP_MAX: Duration = Duration::from_secs(60);

/// What all waiters add to.
#[derive(Debug)]
struct Seen {
    measuring: AtomicBool,
    hand_overs: AtomicU64,
    /// From the call of a release to its answer, in microseconds. One lock: there is one holder at a time.
    releases: Mutex<Histogram<u32>>,
}

/// One repetition with one length of the queue.
struct Once {
    hand_overs_per_s: f64,
    release_p50_us: u64,
    release_p99_us: u64,
}

/// Every length within every repetition; each waiter queues up again when it had the lock.
pub(crate) async fn queue(
    client: &Client,
    lengths: &[u32],
    repetitions: u32,
    times: Times,
) -> Result<Figures, Failure> {
    let mut all: Vec<Vec<Once>> = lengths.iter().map(|_| Vec::new()).collect();
    for number in 1..=repetitions {
        for (length, found) in lengths.iter().zip(&mut all) {
            progress::say(&format!("repetition {number} of {repetitions}: {length} waiters"));
            found.push(once(client, *length, times).await?);
        }
    }
    let mut figures = Figures::default();
    for (length, found) in lengths.iter().zip(&all) {
        let of = |what: &str| format!("{what}_with_{length}_waiters");
        figures.add(of("hand_overs"), median(found.iter().map(|once| once.hand_overs_per_s)), "/s");
        let p50 = median(found.iter().map(|once| once.release_p50_us));
        let p99 = median(found.iter().map(|once| once.release_p99_us));
        figures.add(of("release_p50"), Duration::from_micros(p50).as_secs_f64() * 1e3, "ms");
        figures.add(of("release_p99"), Duration::from_micros(p99).as_secs_f64() * 1e3, "ms");
    }
    if let ([first, .., last], [short, .., long]) = (&all[..], lengths) {
        let pairs = || last.iter().zip(first);
        let speed = pairs().map(|(long, short)| long.hand_overs_per_s / short.hand_overs_per_s);
        let cost = pairs().map(|(long, short)| {
            let micros = |once: &Once| Duration::from_micros(once.release_p50_us).as_secs_f64();
            micros(long) / micros(short)
        });
        figures.add(format!("hand_overs_{long}_to_{short}"), median(speed), "x");
        figures.add(format!("release_p50_{long}_to_{short}"), median(cost), "x");
    }
    Ok(figures)
}

async fn once(client: &Client, length: u32, times: Times) -> Result<Once, Failure> {
    let count = length.min(SESSIONS_MAX);
    let sessions = open_sessions(client, count + 1, Duration::from_secs(10)).await?;
    let name = format!("bench/queue/{}", sessions[0].id());
    let first = sessions[0].mutex(&name).lock().await;
    let first = first.map_err(|error| Failure::of("the first holder", error))?;
    let seen = Arc::new(Seen {
        measuring: AtomicBool::new(false),
        hand_overs: AtomicU64::new(0),
        releases: Mutex::new(histogram()),
    });
    let mut waiters = JoinSet::new();
    for number in 0..length {
        let session = &sessions[1 + (number % count) as usize];
        waiters.spawn(wait_again_and_again(session.mutex(&name), Arc::clone(&seen)));
    }
    queued_up(client, &name, length).await?;
    first.release().await.map_err(|error| Failure::of("the first release", error))?;
    sleep(times.warm_up).await;
    seen.measuring.store(true, Ordering::Relaxed);
    let (from, before) = (Instant::now(), seen.hand_overs.load(Ordering::Relaxed));
    sleep(times.measured).await;
    let hand_overs = seen.hand_overs.load(Ordering::Relaxed) - before;
    let seconds = from.elapsed().as_secs_f64();
    if let Some(ended) = waiters.try_join_next() {
        let why = ended.map_or_else(|error| error.to_string(), |error| error.to_string());
        return Err(Failure::of("a waiter", why));
    }
    waiters.abort_all();
    close_all(sessions).await;
    let releases = seen.releases.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Once {
        hand_overs_per_s: rate(hand_overs, seconds),
        release_p50_us: releases.value_at_quantile(0.5),
        release_p99_us: releases.value_at_quantile(0.99),
    })
}

/// Until it fails.
async fn wait_again_and_again(lock: Lock, seen: Arc<Seen>) -> Error {
    loop {
        let guard = match lock.lock().await {
            Ok(guard) => guard,
            Err(error) => return error,
        };
        seen.hand_overs.fetch_add(1, Ordering::Relaxed);
        let asked = Instant::now();
        if let Err(error) = guard.release().await {
            return error;
        }
        if seen.measuring.load(Ordering::Relaxed) {
            let took = asked.elapsed();
            record(&mut seen.releases.lock().unwrap_or_else(PoisonError::into_inner), took);
        }
    }
}

async fn queued_up(client: &Client, name: &str, length: u32) -> Result<(), Failure> {
    let from = Instant::now();
    loop {
        let seen = client.admin().inspect(name, 1, Consistency::default()).await;
        let seen = seen.map_err(|error| Failure::of("looking at the queue", error))?;
        let queued = seen.map_or(0, |seen| seen.queue_len);
        if queued == length {
            return Ok(());
        }
        if from.elapsed() > QUEUE_UP_MAX {
            return Err(Failure::new(format!("only {queued} of {length} have queued up"), ""));
        }
        sleep(Duration::from_millis(20)).await;
    }
}
