//! The examples as real processes: what they print, and what real signals do to them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than any of them takes on a slow machine; reached only by one that hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Where `cargo test` puts the examples, which it builds before it runs any test.
fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let target = own.parent().and_then(std::path::Path::parent).expect("target/<profile>/deps");
    let path = target.join("examples").join(name);
    assert!(path.exists(), "{} is not built: run `cargo test -p conclave-local`", path.display());
    path
}

/// What an example prints, line by line, and its exit code.
async fn output(name: &str, arguments: &[&str]) -> (Vec<String>, i32) {
    let run = Command::new(example(name)).args(arguments).kill_on_drop(true).output();
    let output = timeout(HANGS, run).await.expect("it ends").expect("it starts");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    (text.lines().map(str::to_owned).collect(), output.status.code().expect("an exit code"))
}

#[tokio::test]
async fn cb_1_water_every_three_of_300_atoms_make_a_molecule() {
    let (atoms, code) = output("water", &[]).await;
    assert_eq!((atoms.len(), code), (300, 0));
    for molecule in atoms.chunks(3) {
        let mut molecule = molecule.to_vec();
        molecule.sort_unstable();
        assert_eq!(molecule, ["H", "H", "O"]);
    }
}

#[tokio::test]
async fn fl_1_four_tasks_print_one_two_three_four_in_turn() {
    let (lines, code) = output("ring", &["25"]).await;
    assert_eq!(code, 0);
    assert_eq!(lines, ["1", "2", "3", "4"].repeat(25));
}

#[tokio::test]
async fn tg_7_of_10_001_tasks_through_a_bounded_group_none_is_lost() {
    let (lines, code) = output("ten_thousand", &[]).await;
    assert_eq!(code, 0);
    let most = lines[0].strip_prefix("accepted 10001, ran 10001, at most ").expect("all ran");
    let most: usize = most.strip_suffix(" at once").expect("the end").parse().expect("a number");
    assert!((1..=10).contains(&most), "{most} ran at once");
}

#[tokio::test]
async fn tg_13_a_pipeline_reports_every_error() {
    let arguments = ["3", "x", "-4", "9223372036854775807", "2", "", "5"];
    let (lines, code) = output("pipeline", &arguments).await;
    assert_eq!((&lines[..3], code), (&["4", "9", "25"].map(str::to_owned)[..], 1));
    let mut errors = lines[3..].to_vec();
    errors.sort_unstable();
    assert_eq!(
        errors,
        [
            "error: \"\" is not a number: cannot parse integer from empty string",
            "error: \"x\" is not a number: invalid digit found in string",
            "error: -4 is negative",
            "error: the square of 9223372036854775807 is too large",
        ]
    );
    let (lines, code) = output("pipeline", &["1", "2"]).await;
    assert_eq!((lines, code), (vec!["1".to_owned(), "4".to_owned()], 0));
}

/// The HTTP server, running and listening.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Server {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(example("http_server"))
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = timeout(HANGS, lines.next_line()).await.expect("it says where it listens");
        let first = first.expect("readable").expect("a line");
        let address = first.strip_prefix("listening on ").expect("an address");
        let address = address.parse().expect("an address");
        Self { child, lines, address }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it still runs");
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("it may be signalled");
    }

    async fn says(&mut self, expected: &str) {
        let line = timeout(HANGS, self.lines.next_line()).await.expect("it goes on");
        assert_eq!(line.expect("readable").as_deref(), Some(expected));
    }

    async fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        stream
    }

    /// The rest of what it prints, and its exit code.
    async fn ends(mut self) -> (Vec<String>, i32) {
        let mut rest = Vec::new();
        while let Some(line) =
            timeout(HANGS, self.lines.next_line()).await.expect("it ends").expect("readable")
        {
            rest.push(line);
        }
        let status = timeout(HANGS, self.child.wait()).await.expect("it ends").expect("its status");
        (rest, status.code().expect("not killed by a signal"))
    }
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    timeout(HANGS, stream.read_to_string(&mut answer)).await.expect("an end").expect("readable");
    answer
}

#[tokio::test]
async fn rg_4_sigterm_and_sigint_stop_a_server_gracefully_with_its_requests_and_clean_ups() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::INT, 2)] {
        let mut server = Server::start(&[]).await;
        assert!(answer(server.ask("/").await).await.ends_with("hello"));
        let slow = server.ask("/slow").await;
        server.says("slow request began").await;
        server.signal(signal);
        assert!(answer(slow).await.ends_with("finished"), "a request under way is served");
        let (mut lines, code) = server.ends().await;
        assert_eq!(code, 0, "a clean stop");
        lines.sort_unstable();
        let cause = format!("cause: signal {number}");
        let expected = [
            &*cause,
            "deregister: ended",
            "deregistered",
            "http: ended",
            "stopping",
            "watch: ended",
        ];
        assert_eq!(lines, expected);
    }
}

/// kratos ignores a second signal.
#[tokio::test]
async fn rg_4_a_second_signal_aborts_at_once() {
    let mut server = Server::start(&["stubborn", "grace", "3600000"]).await;
    server.signal(Signal::TERM);
    server.says("stopping").await;
    server.signal(Signal::INT);
    let (lines, code) = server.ends().await;
    assert_eq!(code, 128 + 2);
    assert!(lines.contains(&"stubborn: timed out, not awaited".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"deregistered".to_owned()), "{lines:?}");
}

#[tokio::test]
async fn rg_9_a_clean_up_over_its_deadline_is_reported_and_not_awaited() {
    let mut server = Server::start(&["stuck", "grace", "300"]).await;
    server.signal(Signal::TERM);
    server.says("stopping").await;
    let (lines, code) = server.ends().await;
    assert_eq!(code, 1);
    assert!(lines.contains(&"cleaning up".to_owned()), "{lines:?}");
    assert!(lines.contains(&"stuck: timed out, not awaited".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"deregistered".to_owned()), "nothing is left of the grace: {lines:?}");
}

#[tokio::test]
async fn rg_1_an_actor_that_fails_stops_the_server() {
    let server = Server::start(&["failing"]).await;
    drop(answer(server.ask("/fail").await).await);
    let (lines, code) = server.ends().await;
    assert_eq!(code, 1);
    assert!(lines.contains(&"cause: worker failed: asked to fail".to_owned()), "{lines:?}");
    assert!(lines.contains(&"http: ended".to_owned()), "{lines:?}");
}
