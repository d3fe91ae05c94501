//! How many instructions the hot, pure parts of one cycle take: apply and codec, counted by callgrind and compared with
//! `baseline.txt`. A count does not depend on the machine's mood, so a rise by a tenth is a finding: it fails. Never a time.
//!
//! `cargo bench -p conclave-raft --bench counts` compares; with `-- --record` it writes the file anew, which is to be
//! committed with the reason of the change. Without valgrind it says SKIPPED and proves nothing.

mod work;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts/baseline.txt");
/// Rounds of the shorter run; the longer one does twice as many, and the difference leaves out what comes before.
const ROUNDS: u64 = 500;
/// Per cent above the baseline that is still taken for noise: another compiler, another allocator.
const RISE_MAX: u64 = 10;

type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [work, rounds] = arguments.as_slice()
        && let Ok(rounds) = rounds.parse()
    {
        // Counted from outside, by the run that started this one.
        work::run(work, rounds);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is not installed, so no instruction was counted");
        return ExitCode::SUCCESS;
    }
    let found: Counts = work::NAMES.iter().map(|name| ((*name).to_owned(), count(name))).collect();
    if arguments.iter().any(|argument| argument == "--record") {
        std::fs::write(BASELINE, to_text(&found)).expect("the baseline can be written");
        println!("recorded in {BASELINE}");
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(BASELINE).expect("the baseline can be read");
    report(&from_text(&text), &found)
}

/// Instructions of one round.
fn count(work: &str) -> u64 {
    (instructions(work, 2 * ROUNDS) - instructions(work, ROUNDS)) / ROUNDS
}

/// Instructions of this program when it does so many rounds.
fn instructions(work: &str, rounds: u64) -> u64 {
    let this = std::env::current_exe().expect("a path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args([work, &rounds.to_string()])
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{work} failed under valgrind:\n{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.unwrap_or_else(|| panic!("valgrind counted nothing:\n{said}"));
    number.trim().parse().expect("a number of instructions")
}

/// Fails when anything rose, or is missing from one side.
fn report(baseline: &Counts, found: &Counts) -> ExitCode {
    let mut is_fine = true;
    for (name, &now) in found {
        let Some(&before) = baseline.get(name) else {
            println!("{name}: {now} instructions, FAILED: the baseline does not know it");
            is_fine = false;
            continue;
        };
        let rose = now * 100 > before * (100 + RISE_MAX);
        let fell = now * (100 + RISE_MAX) < before * 100;
        let verdict = match (rose, fell) {
            (true, _) => "FAILED: more by over a tenth",
            (false, true) => "less by over a tenth: record it, so that it stays so",
            (false, false) => "as before",
        };
        println!("{name}: {now} instructions, baseline {before}, {verdict}");
        is_fine &= !rose;
    }
    for name in baseline.keys().filter(|name| !found.contains_key(*name)) {
        println!("{name}: FAILED: in the baseline and not counted any more");
        is_fine = false;
    }
    if is_fine {
        return ExitCode::SUCCESS;
    }
    println!(
        "If it is worth it: `cargo bench -p conclave-raft --bench counts -- --record`, and say why in the commit."
    );
    ExitCode::FAILURE
}

fn to_text(counts: &Counts) -> String {
    let mut text = String::from(
        "# Instructions of one round of each work of benches/counts, x86_64, release; written by `--record`.\n",
    );
    for (name, count) in counts {
        writeln!(text, "{name} {count}").expect("a string takes everything");
    }
    text
}

fn from_text(text: &str) -> Counts {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ').expect("a name and a count");
            (name.to_owned(), count.parse().expect("a count"))
        })
        .collect()
}
