//! `conclave bench lock`: clients in a closed loop, measured so that the cluster is what one sees and not this program: one
//! histogram a session, no allocation of ours in the loop, a clock read twice a cycle.

mod progress;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use conclave_client::{Client, Error, Mutex, Session};
use serde::Serialize;
use tokio::task::JoinSet;

use self::tally::Tally;
use super::connect;
use crate::args::{BenchLockArgs, Global};
use crate::failure::{Failure, code};
use crate::output::{self, Show};

/// How long the last cycles and the farewell may take.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A pause after an error, so that a cluster that is away is not asked in a busy loop.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// Sessions opened at a time.
const OPENING_MAX: usize = 64;

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What one run found. The names are a contract.
#[derive(Debug, Serialize)]
struct Report {
    cycles_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
    cycles: u64,
    errors: u64,
    clients: u32,
    sessions: u32,
    one: bool,
    seconds: f64,
}

impl Show for Report {
    fn table(&self) -> String {
        let names = if self.one { "one name" } else { "own names" };
        format!(
            "{} clients on {} sessions, {names}, {:.1} s\n\n\
             cycles/s  {:.0}\nmedian    {} us\np99       {} us\nmax       {} us\nerrors    {}\n",
            self.clients,
            self.sessions,
            self.seconds,
            self.cycles_per_s,
            self.p50_us,
            self.p99_us,
            self.max_us,
            self.errors
        )
    }
}

/// What all clients look at.
#[derive(Debug)]
struct Run {
    phase: AtomicU8,
}

impl Run {
    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
    }
}

pub(crate) async fn lock(global: &Global, args: &BenchLockArgs) -> Result<u8, Failure> {
    let client = connect::client(global)?;
    let count = args.sessions.min(args.clients);
    let sessions = open_sessions(&client, count).await?;
    let run = Arc::new(Run { phase: AtomicU8::new(WARMING) });
    let tallies: Vec<_> = sessions.iter().map(|_| Arc::new(Tally::new())).collect();
    let mut clients = JoinSet::new();
    for number in 0..args.clients {
        let of = number as usize % sessions.len();
        let name = if args.one {
            "bench/one".to_owned()
        } else {
            format!("bench/{}/{number}", std::process::id())
        };
        let mutex = sessions[of].mutex(name);
        clients.spawn(cycle(mutex, Arc::clone(&run), Arc::clone(&tallies[of])));
    }
    tokio::time::sleep(args.warm_up).await;
    run.enter(MEASURING);
    let started = Instant::now();
    progress::watch(Duration::from_secs(args.seconds), &tallies, global.output).await;
    run.enter(OVER);
    let took = started.elapsed();
    // Whoever hangs is cut off: its unfinished cycle is no result.
    let drained = tokio::time::timeout(DRAIN_MAX, async {
        while clients.join_next().await.is_some() {}
        for session in sessions {
            let _over_already = session.close().await;
        }
    });
    let _cut_off = drained.await;
    clients.abort_all();
    let report = report(args, count, took, &tallies);
    output::print(global.output, &report)?;
    if report.cycles == 0 {
        return Err(Failure::new(
            code::REFUSED,
            format!("no cycle was completed, {} failed", report.errors),
            "see `conclave status`",
        ));
    }
    Ok(0)
}

async fn open_sessions(client: &Client, count: u32) -> Result<Vec<Session>, Failure> {
    let mut opening = JoinSet::new();
    let mut sessions = Vec::new();
    for number in 0..count {
        // A wave at a time: thousands of connections at once would measure the listen queue.
        if opening.len() >= OPENING_MAX {
            sessions.extend(opened(&mut opening).await?);
        }
        let builder = client
            .session()
            .name(format!("bench-{number}"))
            .label("host", crate::identity::host())
            .label("pid", std::process::id().to_string());
        opening.spawn(builder.open());
    }
    while !opening.is_empty() {
        sessions.extend(opened(&mut opening).await?);
    }
    Ok(sessions)
}

async fn opened(opening: &mut JoinSet<Result<Session, Error>>) -> Result<Option<Session>, Failure> {
    match opening.join_next().await.transpose() {
        Ok(opened) => opened.transpose().map_err(|error| connect::failure(&error)),
        Err(error) => Err(Failure::new(code::INTERNAL, format!("a client failed: {error}"), "")),
    }
}

async fn cycle(mutex: Mutex, run: Arc<Run>, tally: Arc<Tally>) {
    while run.phase() != OVER {
        let phase = run.phase();
        let started = Instant::now();
        let result = once(&mutex).await;
        // Counted is what began and ended in the measured time.
        let counts = phase == MEASURING && run.phase() == MEASURING;
        match result {
            Ok(()) if counts => tally.cycle(started.elapsed()),
            Ok(()) => {}
            Err(error) => {
                if counts {
                    tally.error();
                }
                if matches!(error, Error::SessionEnded(_)) {
                    return;
                }
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn once(mutex: &Mutex) -> Result<(), Error> {
    mutex.lock().await?.release().await
}

fn report(args: &BenchLockArgs, sessions: u32, took: Duration, tallies: &[Arc<Tally>]) -> Report {
    let (histogram, errors) = tally::sum(tallies);
    let seconds = took.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 53 bits")]
    let cycles_per_s = (histogram.len() as f64 / seconds * 10.0).round() / 10.0;
    Report {
        cycles_per_s,
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
        cycles: histogram.len(),
        errors,
        clients: args.clients,
        sessions,
        one: args.one,
        seconds,
    }
}
