//! `conclave lock` at a terminal, under a shell with job control: who reads, who is stopped by Ctrl-Z, what one sees
//! while one waits.

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use conclave_tests::{Process, Signal, eventually, together};
use nix::pty::openpty;
use support::{Node, PATIENCE, is_alive, state_of};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";

/// A shell on a terminal of its own that echoes nothing, so that whatever is seen was written by a program.
struct Shell {
    keyboard: File,
    seen: Arc<Mutex<String>>,
    shell: Child,
}

impl Shell {
    fn start(node: &Node) -> Self {
        let terminal = openpty(None, None).expect("a terminal");
        let slave = || Stdio::from(terminal.slave.try_clone().expect("a descriptor"));
        let shell = Command::new("setsid")
            .args(["--ctty", "sh", "-i"])
            .env("CONCLAVE_ENDPOINTS", node.endpoint())
            .env("PS1", "")
            .env("ENV", "")
            .current_dir(node.folder())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .expect("a shell");
        let keyboard = File::from(terminal.master);
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let seen = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut part) {
                let text = String::from_utf8_lossy(&part[..length]).into_owned();
                sink.lock().expect("no panic").push_str(&text);
            }
        });
        let mut it = Self { keyboard, seen, shell };
        it.run("stty -echo; echo ready-$((1 + 1))");
        it.sees("ready-2");
        it
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn run(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Waits until this was written, and forgets all up to it.
    fn sees(&self, what: &str) -> String {
        eventually(what, PATIENCE, || {
            let mut seen = self.seen.lock().expect("no panic");
            let at = seen.find(what)?;
            Some(seen.drain(..at + what.len()).collect::<String>())
        })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _gone_already = self.shell.kill();
        let _reaped = self.shell.wait();
        if std::thread::panicking() {
            eprintln!("--- still on the screen ---\n{}", self.seen.lock().expect("no panic"));
        }
    }
}

fn conclave() -> &'static str {
    support::binary().to_str().expect("a plain path")
}

/// Holds the lock until dropped.
fn held(node: &Node) -> Process {
    let holder = node.lock(
        "holder",
        &["--session-name", "billing@host-7"],
        "job",
        "echo yes > held; sleep 60",
    );
    node.written("held");
    holder
}

#[test]
fn the_command_reads_from_the_terminal_and_the_shell_gets_it_back() {
    let _turn = together();
    let node = Node::start();
    let mut shell = Shell::start(&node);
    shell.run(&format!("{} lock job -- cat; echo code=$?", conclave()));
    node.held("job");
    shell.run("hello");
    shell.sees("hello");
    shell.press(CTRL_D);
    shell.sees("code=0");
    shell.run("echo the shell reads-$((1 + 2))");
    shell.sees("reads-3");
}

#[test]
fn in_a_pipeline_the_command_gets_the_terminal_when_it_asks_for_it() {
    let _turn = together();
    let node = Node::start();
    let mut shell = Shell::start(&node);
    shell.run(&format!("{} lock job -- cat | tr a-z A-Z; echo done-$((1 + 1))", conclave()));
    node.held("job");
    shell.run("hello");
    shell.press(CTRL_D);
    shell.sees("HELLO");
    shell.sees("done-2");
}

#[test]
fn ctrl_c_ends_the_command() {
    let _turn = together();
    let node = Node::start();
    let mut shell = Shell::start(&node);
    // Twice: with the terminal, and in a pipeline without it.
    for pipe in ["", " | cat"] {
        let line = format!(
            "({} lock job -- sh -c 'echo up; exec sleep 60'; echo code=$?){pipe}",
            conclave()
        );
        shell.run(&line);
        shell.sees("up");
        shell.press(CTRL_C);
        shell.run("echo again-$((1 + 1))");
        shell.sees("again-2");
        node.free("job");
    }
}

#[test]
fn ctrl_z_stops_the_job_and_fg_goes_on() {
    let _turn = together();
    let node = Node::start();
    for tail in ["", " | cat"] {
        let mut shell = Shell::start(&node);
        // Nothing is forked while it waits: a shell in the midst of a vfork cannot be stopped by a key.
        let script = "mkfifo end; exec 3<>end; echo $$ > command; echo $PPID > own; read word <&3; \
                      echo ended-$((2 + 2))";
        shell.run(&format!("{} lock job -- sh -c '{script}'{tail}", conclave()));
        let (command, own) = (node.written("command"), node.written("own"));
        shell.press(CTRL_Z);
        eventually("both stand still", PATIENCE, || {
            (state_of(&own) == Some('T') && state_of(&command) == Some('T')).then_some(())
        });
        shell.run("echo shell-$((1 + 2))");
        shell.sees("shell-3");
        shell.run("fg");
        eventually("both go on", PATIENCE, || {
            (state_of(&own) != Some('T') && state_of(&command) != Some('T')).then_some(())
        });
        std::fs::write(node.path("end"), "now\n").expect("a pipe");
        shell.sees("ended-4");
        for file in ["end", "command", "own"] {
            std::fs::remove_file(node.path(file)).expect("was there");
        }
    }
}

#[test]
fn a_job_in_the_background_waits_for_fg_when_it_wants_to_read() {
    let _turn = together();
    let node = Node::start();
    let mut shell = Shell::start(&node);
    let script = "echo $$ > command; read line; echo got-$line";
    shell.run(&format!("{} lock job -- sh -c '{script}' &", conclave()));
    let command = node.written("command");
    eventually("it stands still", PATIENCE, || (state_of(&command) == Some('T')).then_some(()));
    shell.run("fg");
    shell.run("word");
    shell.sees("got-word");
    eventually("it ended", PATIENCE, || (!is_alive(&command)).then_some(()));
}

#[test]
fn who_waits_sees_behind_whom_and_that_the_line_moves() {
    let _turn = together();
    let node = Node::start();
    let holder = held(&node);
    let mut shell = Shell::start(&node);
    shell.run(&format!("{} lock job -- echo got-$((3 + 3)) it", conclave()));
    let line = format!("waiting: position 1, behind billing@host-7 pid {}, held ", holder.id());
    shell.sees(&line);
    shell.sees(&line);
    holder.signal(Signal::TERM);
    shell.sees("got-6 it");
}

#[test]
fn who_waits_at_a_latch_sees_what_is_missing_and_that_the_line_moves() {
    let _turn = together();
    let node = Node::start();
    node.json(&["latch", "import", "--count", "2"]);
    let mut shell = Shell::start(&node);
    shell.run(&format!("{} latch import --wait; echo code=$?", conclave()));
    shell.sees("waiting: import has 2 left, for ");
    node.json(&["latch", "import", "--done"]);
    shell.sees("waiting: import has 1 left, for ");
    node.json(&["latch", "import", "--done"]);
    let seen = shell.sees("code=0");
    assert!(seen.contains("\r\x1b[K") && seen.contains("import: passed"), "{seen:?}");
}
