//! Child processes for tests that kill: this test binary again, running `child::play` with its part in the environment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use bytes::Bytes;
use conclave_store::{LogStore as _, SnapshotStore, Wal, WalOptions};

use crate::common::{append, entry, open, wait};
use crate::crash::{Op, apply};

const PART: &str = "CONCLAVE_STORE_PART";
const DIR: &str = "CONCLAVE_STORE_DIR";
const NUMBER: &str = "CONCLAVE_STORE_NUMBER";

/// The command that plays `part` in `dir`, behind `wrapper` (a tracer, or nothing).
pub(crate) fn command(wrapper: &[&str], part: &str, dir: &Path, number: u64) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    words.push(this.into());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["--exact", "child::play", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(DIR, dir)
        .env(NUMBER, number.to_string())
        .stdout(Stdio::piped());
    command
}

/// What a child said, a line each: only lines that it said to us, not those of the test harness.
pub(crate) fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output.lines().map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("@")?.to_owned()))
}

fn say(words: &str) {
    // Straight to the pipe, one write a line: a kill must not take back what was said.
    std::io::stdout().write_all(format!("@{words}\n").as_bytes()).unwrap();
}

/// Does nothing in an ordinary run.
#[test]
fn play() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let dir = std::env::var(DIR).unwrap();
    let dir = Path::new(&dir);
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    // The harness has written its "test child::play ... " without a line break.
    println!();
    match part.as_str() {
        "mixed" => mixed(&open(dir), number),
        "pipelined" => pipelined(&open(dir), u64::MAX, say),
        "pipelined-some" => {
            let log = Wal::open(dir, &WalOptions::default()).unwrap();
            say("ready");
            pipelined(&log, number, |_| ());
            say("done");
        }
        "one-by-one" => one_by_one(&Wal::open(dir, &WalOptions::default()).unwrap(), number),
        "votes" => votes(&Wal::open(dir, &WalOptions::default()).unwrap(), number),
        "snapshots" => snapshots(dir, number),
        other => panic!("unknown part {other}"),
    }
}

/// Operations of every kind, each acknowledged before the next, until killed.
fn mixed(log: &Wal, first: u64) {
    for number in first.. {
        let op = Op::choose(number, &log.state());
        apply(log, &op).unwrap();
        say(&number.to_string());
    }
}

/// Single appends with 64 outstanding, acknowledged by index.
fn pipelined(log: &Wal, count: u64, say: impl Fn(&str)) {
    let (sender, receiver) = mpsc::channel();
    let first = log.state().last.map_or(0, |last| last.index + 1);
    let mut acknowledged = first;
    for index in first..first.saturating_add(count) {
        let sender = sender.clone();
        let done = Box::new(move |result: std::io::Result<()>| {
            // The receiver is gone when the log failed for an earlier entry.
            drop(sender.send(result.map(|()| index)));
        });
        log.append(vec![entry(1, index)], done).unwrap();
        while index - acknowledged >= 64 {
            acknowledged = receiver.recv().unwrap().unwrap() + 1;
            say(&(acknowledged - 1).to_string());
        }
    }
    drop(sender);
    for result in receiver {
        say(&result.unwrap().to_string());
    }
}

/// `count` appends, the next when the last is durable. Stops at the first failure and says so.
fn one_by_one(log: &Wal, count: u64) {
    say("ready");
    let failed = log.failed();
    for index in 0..count {
        if let Err(error) = append(log, vec![entry(1, index)]) {
            assert!(failed.borrow().is_some(), "the failure is not visible");
            let again = append(log, vec![entry(1, index)]).unwrap_err();
            assert_eq!(again.to_string(), error.to_string());
            let vote = crate::common::vote(1, 1, true);
            assert_eq!(wait(log.save_vote(vote)).unwrap_err().to_string(), error.to_string());
            say(&format!("failed at {index}: {error}"));
            return;
        }
        say(&index.to_string());
    }
}

/// Votes, truncations and purges: `count` of each, after one append.
fn votes(log: &Wal, count: u64) {
    append(log, crate::common::entries(1, 0..=2 * count)).unwrap();
    say("ready");
    for number in 0..count {
        wait(log.save_vote(crate::common::vote(number, 1, true))).unwrap();
        wait(log.truncate_after(Some(crate::common::at(1, 2 * count - 1 - number)))).unwrap();
        wait(log.purge(crate::common::at(1, number))).unwrap();
    }
}

/// Commits one snapshot after the other up to `last`, saying each step.
fn snapshots(dir: &Path, last: u64) {
    let store = SnapshotStore::open(dir).unwrap();
    say("ready");
    let first = store.latest().map_or(0, |info| info.reach + 1);
    for reach in first..=last {
        let mut writer = store.begin(reach, Bytes::from(reach.to_string())).unwrap();
        for number in 0..SNAPSHOT_RECORDS {
            writer.push(&snapshot_record(reach, number)).unwrap();
            if number % 50 == 0 {
                say("pushed");
            }
        }
        say("committing");
        writer.commit().unwrap();
        say(&reach.to_string());
    }
}

pub(crate) const SNAPSHOT_RECORDS: u64 = 200;

pub(crate) fn snapshot_record(reach: u64, number: u64) -> Vec<u8> {
    (reach * 1_000 + number).to_be_bytes().repeat(400)
}
