//! Every primitive of the command line against three nodes: through a follower, and across the death of the leader.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use conclave_tests::{Cluster, Process, Signal, alone, eventually, together};
use serde_json::{Value, json};
use support::{PATIENCE, UNTIL_END, binary, text};

/// Three nodes, and the client address of one that follows: all that the command line is told.
struct Three {
    cluster: Cluster,
    follower: String,
}

impl Three {
    fn start() -> Self {
        let cluster = Cluster::start(3);
        let follower = cluster.endpoint((cluster.leader() + 1) % 3);
        Self { cluster, follower }
    }

    fn folder(&self) -> &Path {
        self.cluster.folder()
    }

    fn start_conclave(&self, label: &str, arguments: &[&str]) -> Process {
        let environment = [("CONCLAVE_ENDPOINTS", self.follower.as_str())];
        Process::start(binary(), arguments, &environment, self.folder(), label)
    }

    /// A script in the folder as its command.
    fn under(&self, label: &str, arguments: &[&str], script: &str) -> Process {
        let script = format!("cd {}; {script}", self.folder().display());
        self.start_conclave(label, &[arguments, &["--", "sh", "-c", &script]].concat())
    }

    /// A job that says that it runs, goes on until it is told, and says so if somebody stops it.
    fn job(&self, label: &str, arguments: &[&str]) -> Process {
        let script = format!(
            "trap 'echo told > {label}-told' TERM; echo $CONCLAVE_TOKEN > {label}; {UNTIL_END}"
        );
        self.under(label, arguments, &script)
    }

    fn end(&self) {
        std::fs::write(self.folder().join("end"), "").expect("a file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .args(arguments)
            .env("CONCLAVE_ENDPOINTS", &self.follower)
            .stdin(Stdio::null())
            .output()
            .expect("conclave runs")
    }

    fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn read(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.folder().join(name)).ok()?;
        text.ends_with('\n').then(|| text.trim_end().to_owned())
    }

    /// Waits until a file that a job writes is there and has a line.
    fn written(&self, name: &str) -> String {
        eventually(name, PATIENCE, || self.read(name))
    }

    fn queued(&self, name: &str, count: usize) {
        eventually(&format!("{count} at {name}"), PATIENCE, || {
            (self.json(&["inspect", name])["queue_len"] == count).then_some(())
        });
    }
}

fn ends_well(mut process: Process) {
    assert_eq!(process.exit_code(PATIENCE), 0, "{}", process.errors());
}

/// The lines of JSON that a follower of events wrote so far.
fn told(process: &Process) -> Vec<Value> {
    let output = process.output();
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

#[test]
fn read_write_locks_and_semaphores_are_held_through_a_follower() {
    let _turn = together();
    let three = Three::start();
    let readers = ["first", "second"].map(|label| three.job(label, &["rwlock", "-s", "schema"]));
    assert_ne!(three.written("first"), three.written("second"));
    assert_eq!(three.code(&["rwlock", "-n", "schema", "--", "true"]), Some(75));
    let writer = three.under("writer", &["rwlock", "schema"], "echo yes > wrote");
    three.queued("schema", 1);

    let arguments = ["sem", "gpu", "--limit", "1"];
    let permit = three.job("permit", &arguments);
    three.written("permit");
    let second = three.job("resized", &arguments);
    three.queued("gpu", 1);
    assert_eq!(three.json(&["resize", "gpu", "2"])["limit"], 2);
    three.written("resized");
    let detail = three.json(&["inspect", "gpu"])["detail"]["semaphore"].clone();
    assert_eq!((&detail["limit"], &detail["in_use"]), (&json!(2), &json!(2)));
    assert_eq!(three.read("wrote"), None);
    three.end();
    for job in readers.into_iter().chain([permit, second, writer]) {
        ends_well(job);
    }
    assert_eq!(three.written("wrote"), "yes");
}

#[test]
fn what_is_awaited_or_kept_works_through_a_follower() {
    let _turn = together();
    let three = Three::start();
    three.json(&["latch", "import", "--count", "2"]);
    let waiters = [
        three.start_conclave("latch", &["latch", "import", "--wait"]),
        three.start_conclave("gate", &["gate", "over", "--wait"]),
        three.start_conclave("barrier", &["barrier", "phase", "--parties", "2"]),
    ];
    for name in ["import", "over", "phase"] {
        three.queued(name, 1);
    }
    let lines = [
        "waiting: import has 2 left, for ",
        "waiting: over is closed, for ",
        "waiting: 1 of 2 are at phase, for ",
    ];
    for (waiter, line) in waiters.iter().zip(lines) {
        eventually(line, PATIENCE, || waiter.errors().starts_with(line).then_some(()));
    }
    assert_eq!(three.json(&["latch", "import", "--done", "--key", "one"])["remaining"], 1);
    assert_eq!(three.json(&["latch", "import", "--done", "--key", "one"])["remaining"], 1);
    assert_eq!(three.json(&["latch", "import", "--done"])["remaining"], 0);
    three.json(&["gate", "over", "--open"]);
    assert_eq!(three.code(&["barrier", "phase", "--parties", "2"]), Some(0));
    for waiter in waiters {
        ends_well(waiter);
    }

    let set = ["register", "set", "mode", "slow", "--if-absent"];
    let version = three.json(&set)["version"].to_string();
    assert_eq!(three.code(&set), Some(1));
    three.json(&["register", "set", "mode", "fast", "--if-version", &version]);
    assert_eq!(text(&three.run(&["register", "get", "mode"]).stdout), "fast\n");
    three.json(&["counter", "add", "total", "5"]);
    assert_eq!(three.json(&["counter", "add", "total", "-7"])["value"], -2);
    assert_eq!(text(&three.run(&["counter", "get", "total"]).stdout), "-2\n");
}

#[test]
fn a_leadership_is_transferred_and_watched_through_a_follower() {
    let _turn = together();
    let three = Three::start();
    let watch = three.start_conclave("watch", &["watch", "sched", "-o", "json"]);
    let observer =
        three.start_conclave("observer", &["elect", "scheduler", "--observe", "-o", "json"]);
    for follower in [&watch, &observer] {
        eventually("a beginning", PATIENCE, || (!told(follower).is_empty()).then_some(()));
    }
    let script = format!("echo $CONCLAVE_TERM > old; trap 'exit 0' TERM; {UNTIL_END}");
    let mut old = three.under("leader", &["elect", "scheduler"], &script);
    let term = three.written("old");
    let new = three.job("new", &["elect", "scheduler"]);
    three.queued("scheduler", 1);
    let session = three.json(&["inspect", "scheduler"])["queue"][0]["session"].to_string();
    three.json(&["transfer", "scheduler", &term, &session]);
    assert_eq!(old.exit_code(PATIENCE), 76, "{}", old.errors());
    let next = three.written("new");
    three.end();
    ends_well(new);
    let terms = |process: &Process, event: &str, key: &str| -> Vec<String> {
        let told = told(process).into_iter().filter(|told| told["event"] == event);
        told.map(|told| told[key].to_string()).collect()
    };
    eventually("the end of the second term", PATIENCE, || {
        (terms(&observer, "vacant", "term").len() == 2).then_some(())
    });
    assert_eq!(terms(&observer, "elected", "term"), [term.clone(), next.clone()]);
    assert_eq!(terms(&observer, "vacant", "term"), [term.clone(), next.clone()]);
    eventually("the same in the watch", PATIENCE, || {
        (terms(&watch, "ended", "token").len() == 2).then_some(())
    });
    assert_eq!(terms(&watch, "granted", "token"), [term, next]);
}

/// Of the names under `seen/`: granted and released once each, in order, nothing twice, and no resync after the first.
fn has_no_gap(watched: &[Value], count: usize) {
    let resyncs = watched.iter().filter(|told| told["event"] == "resync").count();
    assert_eq!(resyncs, 1, "only the beginning: another node had kept what came after");
    let of = |event: &str| -> Vec<String> {
        let told = watched.iter().filter(|told| told["event"] == event);
        told.filter_map(|told| told["name"].as_str().map(str::to_owned)).collect()
    };
    let expected: Vec<_> = (0..count).map(|number| format!("seen/{number}")).collect();
    assert_eq!(of("granted"), expected);
    assert_eq!(of("ended"), expected);
    let revisions: Vec<_> = watched.iter().filter_map(|told| told["revision"].as_u64()).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
}

#[test]
fn what_runs_waits_or_watches_goes_on_when_the_leader_is_killed() {
    let _turn = alone();
    let mut three = Three::start();
    let old = three.cluster.leader();
    // One that knows the leader, and one at another node.
    let watches = [three.cluster.endpoint(old) + "," + &three.follower, three.follower.clone()];
    let mut number = 0;
    let mut watches = watches.map(|endpoints| {
        number += 1;
        let arguments = ["--endpoint", &endpoints, "watch", "seen/", "-o", "json"];
        three.start_conclave(&format!("watch-{number}"), &arguments)
    });
    for watch in &watches {
        eventually("a beginning", PATIENCE, || (!told(watch).is_empty()).then_some(()));
    }
    let cut_off = three.cluster.metric(old, "conclave_watches");
    assert!(cut_off.is_some_and(|watches| watches > 0.0), "nobody watches at the leader");
    let once = |three: &Three, number: usize| {
        let name = format!("seen/{number}");
        let output = three.run(&["lock", &name, "--", "true"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    };
    (0..5).for_each(|number| once(&three, number));

    let holders = [
        three.job("reader", &["rwlock", "--shared", "schema"]),
        three.job("permit", &["sem", "gpu", "--limit", "1"]),
        three.job("elected", &["elect", "scheduler"]),
    ];
    let tokens = ["reader", "permit", "elected"].map(|label| three.written(label));
    let queued = [
        three.under("writer", &["rwlock", "schema"], "echo $CONCLAVE_TOKEN > wrote"),
        three.under("next", &["sem", "gpu", "--limit", "1"], "echo $CONCLAVE_TOKEN > computed"),
    ];
    three.json(&["latch", "import", "--count", "1"]);
    let waiters = [
        three.start_conclave("latch", &["latch", "import", "--wait"]),
        three.start_conclave("gate", &["gate", "over", "--wait"]),
        three.start_conclave("barrier", &["barrier", "phase", "--parties", "2"]),
    ];
    for name in ["schema", "gpu", "import", "over", "phase"] {
        three.queued(name, 1);
    }
    three.json(&["register", "set", "mode", "slow"]);
    three.json(&["counter", "add", "total", "5"]);

    assert_eq!(three.cluster.leader(), old);
    three.cluster.kill(old);
    assert_ne!(three.cluster.leader(), old);

    // What was kept is there, and what was waited for still comes.
    assert_eq!(text(&three.run(&["register", "get", "mode"]).stdout), "slow\n");
    assert_eq!(three.json(&["counter", "add", "total", "1"])["value"], 6);
    three.json(&["latch", "import", "--done"]);
    three.json(&["gate", "over", "--open"]);
    // The one that waits may still be on its way to the new leader: it is told all the same.
    assert_eq!(three.code(&["barrier", "phase", "--parties", "2"]), Some(0));
    waiters.into_iter().for_each(ends_well);
    for (name, token) in ["schema", "gpu", "scheduler"].into_iter().zip(&tokens) {
        let seen = three.json(&["inspect", name]);
        assert_eq!(&seen["holders"][0]["token"].to_string(), token, "{seen}");
    }
    (5..10).for_each(|number| once(&three, number));
    // Longer than 2/3 of the TTL since the change: whoever wanted to stop its command would have.
    let quiet = Duration::from_secs(8).saturating_sub(holders[0].started().elapsed());
    std::thread::sleep(quiet);
    assert_eq!((three.read("wrote"), three.read("computed")), (None, None), "two at once");
    three.end();
    holders.into_iter().chain(queued).for_each(ends_well);
    for label in ["reader", "permit", "elected"] {
        assert_eq!(three.read(&format!("{label}-told")), None, "{label} was stopped");
    }
    let number = |file: &str| three.written(file).parse::<u64>().expect("a token");
    assert!(number("wrote") > number("reader") && number("computed") > number("permit"));

    for watch in &mut watches {
        eventually("the last of it", PATIENCE, || {
            let ended = told(watch).iter().filter(|told| told["event"] == "ended").count();
            (ended == 10).then_some(())
        });
        has_no_gap(&told(watch), 10);
        watch.signal(Signal::INT);
        assert_eq!(watch.exit_code(PATIENCE), 130);
    }
}
