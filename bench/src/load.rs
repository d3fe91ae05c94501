//! The closed loop: each client does one cycle after the other, and what began and ended within the measured time counts.
//! A clock is read once a cycle, nothing is shared between clients, and a cycle that the end cuts off is no result.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::process::{NodeUsage, Process, own_usage};

/// Three digits are more than a busy machine repeats.
const DIGITS: u8 = 3;
/// A pause after an error, so that a system that is away is not asked in a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(20);
/// How long the farewell of all clients may take, once the time is over.
const FAREWELL_MAX: Duration = Duration::from_secs(30);

/// One client: one outstanding call.
pub(crate) trait Worker: Send + 'static {
    /// Acquires, then releases. Dropped at the end of the time: then the next run must not be in its way.
    fn cycle(&mut self) -> impl Future<Output = Result<(), String>> + Send;
}

/// How long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// When it counts.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

/// What all clients together did.
#[derive(Debug)]
pub(crate) struct Load {
    /// Of one cycle, in microseconds.
    pub(crate) cycles: Histogram<u32>,
    pub(crate) errors: u64,
    /// In the words of the system.
    pub(crate) first_error: Option<String>,
    pub(crate) seconds: f64,
    /// Empty where no server was started by us.
    pub(crate) nodes: Vec<NodeUsage>,
    /// CPU of this program, which shares the machine.
    pub(crate) generator_cpu_seconds: f64,
}

/// An empty one of the precision that all have.
pub(crate) fn histogram() -> Histogram<u32> {
    // Three is a valid number of digits; the range grows by itself.
    Histogram::new(DIGITS).expect("a valid precision")
}

/// Adds one time, in microseconds.
pub(crate) fn record(histogram: &mut Histogram<u32>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // Only a value beyond what 64 bits can index fails: 292,000 years.
    let _never = histogram.record(micros.max(1));
}

/// Lets all of them run. The workers end with it.
pub(crate) async fn run<W: Worker>(workers: Vec<W>, times: Times, servers: &[&Process]) -> Load {
    let from = Instant::now() + times.warm_up;
    let window = Window { from, to: from + times.measured };
    let mut clients = JoinSet::new();
    for worker in workers {
        clients.spawn(drive(worker, window));
    }
    sleep_until(window.from).await;
    let (before, own_before) = (usages(servers), own_usage());
    sleep_until(window.to).await;
    let (after, own_after) = (usages(servers), own_usage());
    let nodes = servers.iter().zip(before).zip(after).map(|((server, before), after)| NodeUsage {
        node: server.name().to_owned(),
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        memory_kib: after.memory_kib,
    });
    let mut load = Load {
        cycles: histogram(),
        errors: 0,
        first_error: None,
        seconds: times.measured.as_secs_f64(),
        nodes: nodes.collect(),
        generator_cpu_seconds: own_after.cpu_seconds - own_before.cpu_seconds,
    };
    let farewell = async {
        while let Some(ended) = clients.join_next().await {
            load.add(ended.map_err(|error| format!("a client failed: {error}")));
        }
    };
    if tokio::time::timeout(FAREWELL_MAX, farewell).await.is_err() {
        load.add(Err(format!("{} clients did not end", clients.len())));
    }
    load
}

fn usages(servers: &[&Process]) -> Vec<crate::process::Usage> {
    servers.iter().map(|server| server.usage()).collect()
}

/// What one client did.
#[derive(Debug)]
struct Tally {
    cycles: Histogram<u32>,
    errors: u64,
    first_error: Option<String>,
}

impl Load {
    fn add(&mut self, ended: Result<Tally, String>) {
        match ended {
            Ok(tally) => {
                // Both grow by themselves and have the same precision.
                let _never = self.cycles.add(&tally.cycles);
                self.errors += tally.errors;
                self.first_error = self.first_error.take().or(tally.first_error);
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }
}

async fn drive<W: Worker>(mut worker: W, window: Window) -> Tally {
    let mut tally = Tally { cycles: histogram(), errors: 0, first_error: None };
    let end = sleep_until(window.to);
    tokio::pin!(end);
    let mut started = Instant::now();
    loop {
        let result = tokio::select! {
            biased;
            result = worker.cycle() => result,
            () = &mut end => return tally,
        };
        let ended = Instant::now();
        let counts = started >= window.from && ended <= window.to;
        match result {
            Ok(()) => {
                if counts {
                    record(&mut tally.cycles, ended - started);
                }
                started = ended;
            }
            Err(error) => {
                if counts {
                    tally.errors += 1;
                    tally.first_error.get_or_insert(error);
                }
                sleep(ERROR_PAUSE).await;
                started = Instant::now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper {
        number: u32,
    }

    impl Worker for Sleeper {
        async fn cycle(&mut self) -> Result<(), String> {
            self.number += 1;
            sleep(Duration::from_millis(10)).await;
            if self.number == 30 { Err("the thirtieth".to_owned()) } else { Ok(()) }
        }
    }

    fn seconds(warm_up: u64, measured: u64) -> Times {
        Times { warm_up: Duration::from_secs(warm_up), measured: Duration::from_secs(measured) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_within_the_time_counts_and_nothing_else() {
        let workers = vec![Sleeper { number: 100 }, Sleeper { number: 100 }];
        let load = run(workers, seconds(1, 2), &[]).await;
        assert!((396..=400).contains(&load.cycles.len()), "{}", load.cycles.len());
        assert_eq!((load.errors, load.first_error), (0, None));
        assert!(load.cycles.value_at_quantile(0.5).abs_diff(10_000) < 1_100, "{:?}", load.cycles);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_counts_and_is_shown() {
        let load = run(vec![Sleeper { number: 0 }], seconds(0, 1), &[]).await;
        assert_eq!(load.errors, 1);
        assert_eq!(load.first_error.as_deref(), Some("the thirtieth"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_is_cut_off_at_the_end() {
        struct Hanger;
        impl Worker for Hanger {
            async fn cycle(&mut self) -> Result<(), String> {
                std::future::pending().await
            }
        }
        let load = run(vec![Hanger], seconds(0, 1), &[]).await;
        assert_eq!((load.cycles.len(), load.errors), (0, 0));
    }
}
