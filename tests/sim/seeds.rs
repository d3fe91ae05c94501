//! Starts a process for each seed, as many at once as there are cores, and judges what they report. A report in which too little
//! happened is a failure too.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use conclave_sim::nemesis::KINDS;
use conclave_sim::run::{self, Report};
use libtest_mimic::Failed;

/// Tells a process which seed it runs.
const HERE: &str = "CONCLAVE_SIM_HERE";
/// A folder for the traces; unset: none is kept.
const TRACES: &str = "CONCLAVE_SIM_TRACES";
/// A seed takes about a second; a process that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(300);
/// In the ordinary run of all tests; CI and `just sim` run more.
const SEEDS: u64 = 12;
/// No further seeds are begun when so many failed.
const FAILURES_MAX: usize = 3;
/// Attempts that must have succeeded in each seed, on average.
const DONE_MIN: u64 = 60;
/// Checks of the oracle that look at something in each seed, on average.
const JUDGED: &[&str] = &[
    "beliefs",
    "dead sessions",
    "drained",
    "durable",
    "fifo",
    "holders",
    "machine",
    "replicas",
    "second opinion",
    "tokens",
];
/// Lines of the trace that are shown of a seed that failed.
const SHOWN_LINES: usize = 60;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// The seed, in a process that was started for one.
pub(crate) fn asked_of_this_process() -> Option<u64> {
    number(HERE)
}

/// The child: prints its report as the last line.
pub(crate) fn run_here(seed: u64) -> ExitCode {
    if std::env::var_os("CONCLAVE_SIM_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_env("CONCLAVE_SIM_LOG"))
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let root = tempfile::Builder::new().prefix("conclave-sim-").tempdir().expect("a folder");
    crate::sources::replace(seed);
    let (mut report, trace) = apart(|| run::run(seed, root.path()));
    if let Some(panic) = run::panicked() {
        report.failures.push(panic);
    }
    if let Some(folder) = std::env::var_os(TRACES) {
        let file = std::path::Path::new(&folder).join(format!("{seed}.trace"));
        std::fs::write(&file, trace.join("\n")).expect("a trace");
    }
    if !report.failures.is_empty() {
        for line in trace.iter().rev().take(SHOWN_LINES).rev() {
            println!("{line}");
        }
    }
    println!("{}", serde_json::to_string(&report).expect("a report"));
    ExitCode::SUCCESS
}

/// In a thread of its own: the keys of its hash maps are then drawn from the seed, and nothing that was done before, such as opening
/// a log, has drawn any of them.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join()).expect("a panic in a host is caught there")
}

struct Running {
    seed: u64,
    child: Child,
    since: Instant,
    output: std::thread::JoinHandle<String>,
}

fn start(seed: u64, traces: Option<&std::path::Path>) -> Running {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env(HERE, seed.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(folder) = traces {
        command.env(TRACES, folder);
    }
    let mut child = command.spawn().expect("a process");
    let mut pipe = child.stdout.take().expect("its output");
    let output = std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read is no report, which is noticed.
        let _ = pipe.read_to_string(&mut text);
        text
    });
    Running { seed, child, since: Instant::now(), output }
}

/// None: it still runs.
fn ended(running: &mut Running) -> Option<bool> {
    if let Some(status) = running.child.try_wait().expect("a child") {
        return Some(status.success());
    }
    if running.since.elapsed() < PATIENCE {
        return None;
    }
    running.child.kill().expect("a child that runs");
    running.child.wait().expect("its end");
    Some(false)
}

/// The report, or what to say instead.
fn judge(running: Running, success: bool) -> Result<Report, String> {
    let Running { seed, output, .. } = running;
    let text = output.join().unwrap_or_default();
    let last = text.lines().last().unwrap_or_default();
    let again = format!("CONCLAVE_SIM_SEED={seed} cargo test -p conclave-sim");
    match serde_json::from_str::<Report>(last) {
        Ok(report) if success && report.failures.is_empty() => Ok(report),
        Ok(report) => Err(format!("{text}\nseed {seed}: {:#?}\nagain: {again}", report.failures)),
        Err(_) => Err(format!("{text}\nseed {seed} ended without a report\nagain: {again}")),
    }
}

pub(crate) fn every_promise_is_kept_whatever_the_seed_breaks() -> Result<(), Failed> {
    let one = number("CONCLAVE_SIM_SEED");
    let first = one.or_else(|| number("CONCLAVE_SIM_FIRST")).unwrap_or(1);
    let count = one.map(|_| 1).or_else(|| number("CONCLAVE_SIM_SEEDS")).unwrap_or(SEEDS);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    let mut seeds = (first..first + count).peekable();
    let (mut running, mut reports, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    let go_on = |failures: &[String]| failures.len() < FAILURES_MAX;
    while (seeds.peek().is_some() && go_on(&failures)) || !running.is_empty() {
        while running.len() < cores
            && go_on(&failures)
            && let Some(seed) = seeds.next()
        {
            running.push(start(seed, None));
        }
        let mut place = 0;
        while place < running.len() {
            let Some(success) = ended(&mut running[place]) else {
                place += 1;
                continue;
            };
            match judge(running.swap_remove(place), success) {
                Ok(report) => reports.push(report),
                Err(failure) => {
                    eprintln!("{failure}");
                    failures.push(failure.lines().last().unwrap_or_default().to_owned());
                }
            }
            if (reports.len() + failures.len()).is_multiple_of(25) {
                let done = reports.len() + failures.len();
                eprintln!("{done} of {count} seeds in {:.0?}", began.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    say(&reports, began.elapsed());
    if !failures.is_empty() {
        return Err(format!("{} seeds failed:\n{}", failures.len(), failures.join("\n")).into());
    }
    if one.is_none() { enough(&reports) } else { Ok(()) }
}

fn total(reports: &[Report], of: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

fn say(reports: &[Report], took: Duration) {
    let effects = |of: fn(&conclave_sim::world::Effects) -> u64| total(reports, |r| of(&r.effects));
    println!(
        "{} seeds in {took:.0?}: {} s simulated, {} commands, {} attempts done, {} unknown; {} s of judging",
        reports.len(),
        total(reports, |r| r.simulated_ms) / 1000,
        total(reports, |r| r.commands),
        total(reports, |r| r.done),
        total(reports, |r| r.unknown),
        total(reports, |r| r.judging_ms) / 1000,
    );
    println!(
        "unsynced writes lost: {}, nodes that ended: {}, expiries: {}, snapshots: {}, states compared: {}, turns in which a \
         way was cut for something sent: {}",
        effects(|e| e.unsynced_writes_lost),
        effects(|e| e.nodes_that_ended),
        effects(|e| e.expiries),
        effects(|e| e.snapshots),
        effects(|e| e.comparisons),
        total(reports, |r| r.pieces_held),
    );
    for (title, of) in [
        ("faults", (|r: &Report| &r.faults) as fn(&Report) -> &BTreeMap<String, u64>),
        ("attempts", |r: &Report| &r.attempts),
        ("judged", |r: &Report| &r.judged),
    ] {
        let mut sums = BTreeMap::<&str, u64>::new();
        for (kind, n) in reports.iter().flat_map(of) {
            *sums.entry(kind).or_default() += n;
        }
        let sums: Vec<_> = sums.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        println!("{title}: {}", sums.join(", "));
    }
}

/// A nemesis that did nothing, or clients that did too little, prove nothing.
fn enough(reports: &[Report]) -> Result<(), Failed> {
    let seeds = reports.len() as u64;
    let mut missing = Vec::new();
    for kind in KINDS {
        let happened = total(reports, |report| report.faults.get(*kind).copied().unwrap_or(0));
        if happened * 20 < seeds {
            missing.push(format!("{kind}: only {happened} times"));
        }
    }
    let done = total(reports, |report| report.done);
    if done < DONE_MIN * seeds {
        missing.push(format!("only {done} attempts succeeded"));
    }
    for check in JUDGED {
        let looked_at = total(reports, |report| report.judged.get(*check).copied().unwrap_or(0));
        if looked_at < seeds {
            missing.push(format!("the oracle judged only {looked_at} times by {check:?}"));
        }
    }
    for (what, n) in [
        ("unsynced writes lost", total(reports, |r| r.effects.unsynced_writes_lost)),
        ("expiries", total(reports, |r| r.effects.expiries)),
        ("snapshots", total(reports, |r| r.effects.snapshots)),
        ("nodes ended by their disk", total(reports, |r| r.effects.nodes_that_ended)),
        ("pieces held by a cut", total(reports, |r| r.pieces_held)),
        ("states compared", total(reports, |r| r.effects.comparisons)),
    ] {
        if n == 0 {
            missing.push(format!("{what}: none"));
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => {
            Err(format!("too little happened to prove anything: {}", missing.join("; ")).into())
        }
    }
}

pub(crate) fn a_seed_runs_the_same_twice() -> Result<(), Failed> {
    let seed = number("CONCLAVE_SIM_SEED").unwrap_or(7);
    let trace = || -> Result<String, Failed> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut running = start(seed, Some(folder.path()));
        let success = loop {
            match ended(&mut running) {
                Some(success) => break success,
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let judged = judge(running, success);
        let trace = std::fs::read_to_string(folder.path().join(format!("{seed}.trace")));
        trace.map_err(|_| judged.err().unwrap_or_else(|| "no trace".to_owned()).into())
    };
    let (first, second) = (trace()?, trace()?);
    if first.lines().count() < 200 {
        return Err("the trace is too short to compare anything".into());
    }
    match first.lines().zip(second.lines()).position(|(one, other)| one != other) {
        None if first == second => Ok(()),
        None => Err("one trace is longer than the other".into()),
        Some(at) => {
            let around = |trace: &str| {
                let lines: Vec<_> = trace.lines().skip(at.saturating_sub(5)).take(8).collect();
                lines.join("\n")
            };
            let (one, other) = (around(&first), around(&second));
            Err(format!("seed {seed} runs differ from line {at} on:\n{one}\n--- and\n{other}")
                .into())
        }
    }
}
