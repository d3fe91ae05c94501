//! What is done to processes, cables, disks and clocks. Each act proves that it did something, and is undone before the next one.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use conclave_tests::{Pieces, Proxy, Signal, Weather, Weathers, eventually};

use crate::TTL;
use crate::facts::now;
use crate::rng::Rng;
use crate::stage::{CLIENTS, NODES, ON_SMALL_DISK, STOPPABLE, Stage, UNDER_FAKETIME};

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    KillLeader,
    KillFollower,
    KillClient,
    StopNode,
    StopClient,
    PowerLoss,
    RollingRestart,
    CutLeader,
    CutFollower,
    CutOneWay,
    CutClient,
    FullDisk,
    FailingFsync,
    ClockJump,
    SlowRoads,
    LossyRoads,
    StuckRoad,
}

/// A client that was killed, and until when its locks must have been served.
#[derive(Debug, Clone)]
pub(crate) struct Killed {
    pub(crate) client: String,
    pub(crate) at: u64,
    pub(crate) by: u64,
}

/// A dead session is over after 1.1 TTL; the rest is for a machine that has other things to do.
const EXPIRY_MAX: Duration = Duration::from_millis(2750 + 3000);
const END_MAX: Duration = Duration::from_secs(30);
/// A road on which nothing got stuck for so long is the wrong one.
const STUCK_MAX: Duration = Duration::from_secs(5);
/// So often in a row the leader may change by itself behind the death of a client.
const LEADERS_MAX: u32 = 5;
/// A line may have been written so long before it is looked at; offsets of the clock are further apart.
const OFFSET_ERROR_MAX: i64 = 600;

/// What this stage lets one do; the rest is said to be skipped.
pub(crate) fn kinds(stage: &Stage) -> Vec<Kind> {
    let mut kinds = vec![Kind::KillLeader, Kind::KillClient];
    if stage.roads.is_empty() {
        kinds.extend([Kind::KillFollower, Kind::StopNode, Kind::StopClient]);
        kinds.extend([Kind::PowerLoss, Kind::RollingRestart]);
        let cuts = [Kind::CutLeader, Kind::CutFollower, Kind::CutOneWay, Kind::CutClient];
        offer(&mut kinds, stage.network.is_some(), &cuts, "no network namespaces");
        offer(&mut kinds, stage.disk.is_some(), &[Kind::FullDisk], "no mounts");
        offer(&mut kinds, has_strace(), &[Kind::FailingFsync], "no strace");
        offer(&mut kinds, stage.clock.is_some(), &[Kind::ClockJump], "no libfaketime");
    } else {
        kinds.extend([Kind::SlowRoads, Kind::LossyRoads, Kind::StuckRoad]);
    }
    kinds
}

fn offer(kinds: &mut Vec<Kind>, there: bool, more: &[Kind], why: &str) {
    if there {
        kinds.extend(more);
    } else {
        println!("SKIPPED: {more:?}: {why} on this machine");
    }
}

fn has_strace() -> bool {
    let mut strace = Command::new("strace");
    strace.arg("-V").stdout(Stdio::null()).stderr(Stdio::null());
    strace.status().is_ok_and(|status| status.success())
}

impl Stage {
    /// Does it, keeps it up for a while, undoes it. Answers who was hurt, and panics if nothing came of it.
    pub(crate) fn hurt(&mut self, kind: Kind, rng: &mut Rng, killed: &mut Vec<Killed>) -> String {
        let leader = self.cluster.leader();
        let follower = (leader + 1 + rng.index(NODES - 1)) % NODES;
        let either = rng.index(NODES);
        let moment = Duration::from_millis(rng.between(500, 4000));
        match kind {
            Kind::KillLeader => self.kill_node(leader, moment),
            Kind::KillFollower => self.kill_node(follower, moment),
            Kind::KillClient => self.kill_client(rng.index(CLIENTS), killed),
            Kind::StopNode => self.stop_node(either),
            Kind::StopClient => self.stop_client(),
            Kind::PowerLoss => self.power_loss(rng),
            Kind::RollingRestart => self.rolling_restart(),
            Kind::CutLeader => self.cut(&isolating(leader), moment),
            Kind::CutFollower => self.cut(&isolating(follower), moment),
            Kind::CutOneWay => {
                let other = (either + 1 + rng.index(NODES - 1)) % NODES;
                self.cut(&[(either, other)], moment)
            }
            Kind::CutClient => {
                let client = NODES + rng.index(CLIENTS);
                let ways = (0..NODES).map(|node| (client, node));
                let back = (0..NODES).map(|node| (node, client));
                let ways: Vec<_> = match rng.below(3) {
                    0 => ways.collect(),
                    1 => back.collect(),
                    _ => ways.chain(back).collect(),
                };
                self.cut(&ways, moment)
            }
            Kind::FullDisk => self.full_disk(),
            Kind::FailingFsync => self.failing_fsync(either),
            Kind::ClockJump => self.clock_jump(rng),
            Kind::SlowRoads => {
                let delay = Duration::from_millis(rng.between(5, 80));
                let weather = Weather { delay, ..Weather::default() };
                self.all_roads(Weathers { there: weather, back: weather }, moment)
            }
            Kind::LossyRoads => {
                let weather = Weather { lost_of_1000: rng.between(20, 200), ..Weather::default() };
                self.all_roads(Weathers { there: weather, back: weather }, moment)
            }
            Kind::StuckRoad => self.stuck_road(either, rng, moment),
        }
    }

    fn kill_node(&mut self, node: usize, down: Duration) -> String {
        self.cluster.kill(node);
        sleep(down);
        self.cluster.restart(node);
        format!("node {node}")
    }

    fn kill_client(&mut self, client: usize, killed: &mut Vec<Killed>) -> String {
        let mut term = self.term();
        let mut running = self.clients[client].take().expect("it runs");
        let at = now();
        running.process.kill();
        self.start_client(client);
        // Nothing else is done until its locks must have been served. The bound counts from each change of the leader, and a
        // machine with too much to do may bring one about without any fault.
        let mut from = at;
        for _ in 0..LEADERS_MAX {
            let by = from + nanoseconds(EXPIRY_MAX);
            sleep(Duration::from_nanos(by.saturating_sub(now())));
            let before = std::mem::replace(&mut term, self.term());
            if term == before {
                killed.push(Killed { client: running.name.clone(), at, by });
                return running.name;
            }
            from = now();
        }
        panic!("{LEADERS_MAX} changes of the leader, and nobody hurt it");
    }

    /// Of the leader on whom all agree.
    fn term(&self) -> u64 {
        eventually("a leader that says its term", END_MAX, || {
            Some(self.cluster.status(self.cluster.leader())?.term)
        })
    }

    fn stop_node(&mut self, node: usize) -> String {
        let id = self.cluster.node(node).id();
        self.cluster.signal(node, Signal::STOP);
        is_stopped(id);
        sleep(TTL.mul_f32(1.1) + Duration::from_millis(500));
        self.cluster.signal(node, Signal::CONT);
        format!("node {node}")
    }

    fn stop_client(&mut self) -> String {
        let running = self.clients[STOPPABLE].as_ref().expect("it runs");
        running.process.signal(Signal::STOP);
        is_stopped(running.process.id());
        sleep(TTL.mul_f32(1.1) + Duration::from_millis(500));
        running.process.signal(Signal::CONT);
        running.name.clone()
    }

    fn power_loss(&mut self, rng: &mut Rng) -> String {
        let mut order: Vec<_> = (0..NODES).collect();
        rng.shuffle(&mut order);
        for &node in &order {
            self.cluster.kill(node);
        }
        rng.shuffle(&mut order);
        for &node in &order {
            self.cluster.restart(node);
        }
        "all nodes".to_owned()
    }

    fn rolling_restart(&mut self) -> String {
        for node in 0..NODES {
            self.cluster.signal(node, Signal::TERM);
            let (code, said) = self.cluster.ended(node, END_MAX);
            assert_eq!(code, 0, "a graceful stop: {said}");
            self.cluster.restart(node);
            self.cluster.leader();
        }
        "all nodes, one after the other".to_owned()
    }

    fn cut(&mut self, ways: &[(usize, usize)], moment: Duration) -> String {
        let network = self.network.as_mut().expect("offered only with a network");
        for &(from, to) in ways {
            network.cut(from, to);
        }
        // Towards a client nobody dials; a connection needs both directions, so any way shows the cut.
        let &(from, to) = ways.first().expect("a way");
        let (from, to) = if to < NODES { (from, to) } else { (to, from) };
        assert!(!network.reaches(from, to, 7420), "{from} still reaches {to}");
        sleep(moment);
        network.mend();
        let network = self.network.as_ref().expect("as before");
        eventually("the mended way", Duration::from_secs(10), || {
            network.reaches(from, to, 7420).then_some(())
        });
        format!("{ways:?}")
    }

    fn full_disk(&mut self) -> String {
        let Self { disk, cluster, .. } = self;
        let disk = disk.as_ref().expect("offered only with a disk");
        let before = cluster.node(ON_SMALL_DISK).errors().len();
        eventually("a node on a full disk ends", END_MAX, || {
            // What the node itself gives free (a piece of its log that nobody needs any more) is taken as well.
            disk.fill();
            cluster.node(ON_SMALL_DISK).ended().map(drop)
        });
        disk.free();
        self.ended_saying(ON_SMALL_DISK, before, "No space left on device");
        self.cluster.restart(ON_SMALL_DISK);
        format!("node {ON_SMALL_DISK}")
    }

    /// It ended by itself, and for this reason: what an earlier process of that node said does not count.
    fn ended_saying(&mut self, node: usize, before: usize, word: &str) {
        let (code, said) = self.cluster.ended(node, Duration::ZERO);
        let said = said.get(before..).unwrap_or_default();
        assert_eq!(code, 1, "node {node}: {said}");
        assert!(said.contains(word), "node {node} does not say {word:?}: {said}");
    }

    /// Every fsync of the node fails from now on: it must end by itself, and nothing that it acknowledged may be lost.
    fn failing_fsync(&mut self, node: usize) -> String {
        let process = self.cluster.node(node);
        let before = process.errors().len();
        let mut strace = fail_fsyncs(process.id());
        eventually("a node whose fsyncs fail ends", END_MAX, || {
            let ended = process.ended();
            // It did not get hold of the process: once more.
            if ended.is_none() && strace.try_wait().expect("a child can be waited for").is_some() {
                strace = fail_fsyncs(process.id());
            }
            ended.map(drop)
        });
        let _gone_with_the_node = strace.kill();
        let _reaped = strace.wait();
        self.ended_saying(node, before, "Input/output error");
        self.cluster.restart(node);
        format!("node {node}")
    }

    /// To another time than the one before, so that only a line that was written after the jump carries it.
    fn clock_jump(&mut self, rng: &mut Rng) -> String {
        let clock = self.clock.clone().expect("offered only with a clock");
        let before = fs::read_to_string(&clock).expect("a file");
        let mut offsets = vec![0, 3600, -3600, 86400];
        offsets.retain(|offset| before.trim().parse() != Ok(*offset));
        let offset: i64 = offsets[rng.index(offsets.len())];
        let written = self.cluster.node(UNDER_FAKETIME).errors().len();
        fs::write(&clock, format!("{offset:+}\n")).expect("a file");
        // A change of the leader makes the node say something. It asks for the time once a second, and may have said it all
        // before that: then there is another change.
        let from = Instant::now();
        while !self.is_seen(offset, written) {
            assert!(from.elapsed() < END_MAX, "no line of that node is {offset} s away");
            let leader = self.cluster.leader();
            self.cluster.kill(leader);
            self.cluster.restart(leader);
            self.cluster.leader();
        }
        format!("{offset:+} s on node {UNDER_FAKETIME}")
    }

    /// Whether the node wrote a line with that wrong a time, behind so many bytes.
    fn is_seen(&mut self, offset: i64, written: usize) -> bool {
        let said = self.cluster.node(UNDER_FAKETIME).errors();
        let lines = said.get(written..).unwrap_or_default();
        seconds_away(lines).any(|away| (away - offset).abs() < OFFSET_ERROR_MAX)
    }

    fn all_roads(&mut self, weathers: Weathers, moment: Duration) -> String {
        let before = self.pieces();
        for road in self.roads.iter().flatten() {
            road.set(weathers);
        }
        sleep(moment);
        let (slow, lossy) = (!weathers.there.delay.is_zero(), weathers.there.lost_of_1000 > 0);
        eventually("something is late, or lost on its way", END_MAX, || {
            let now = self.pieces();
            let done = (!slow || now.late > before.late) && (!lossy || now.lost > before.lost);
            (done && now.passed > before.passed).then_some(())
        });
        self.clear_roads();
        format!("{weathers:?}")
    }

    fn stuck_road(&mut self, node: usize, rng: &mut Rng, moment: Duration) -> String {
        let stuck = Weather { cut: true, ..Weather::default() };
        let weathers = match rng.below(3) {
            0 => Weathers { there: stuck, ..Weathers::default() },
            1 => Weathers { back: stuck, ..Weathers::default() },
            _ => Weathers { there: stuck, back: stuck },
        };
        let from = Instant::now();
        loop {
            // What is surely on its way: to a follower what the leader says, to the leader what clients say. Unless another
            // one leads by now: then another road it is.
            let whose = usize::from(node == self.cluster.leader());
            let before = self.pieces().held;
            self.roads[node][whose].set(weathers);
            let set = Instant::now();
            while set.elapsed() < STUCK_MAX && self.pieces().held == before {
                sleep(Duration::from_millis(10));
            }
            if self.pieces().held > before {
                sleep(moment);
                self.clear_roads();
                return format!("{} of node {node}: {weathers:?}", ["peers", "clients"][whose]);
            }
            self.clear_roads();
            assert!(from.elapsed() < END_MAX, "nothing is on its way to node {node}");
        }
    }

    fn clear_roads(&self) {
        for road in self.roads.iter().flatten() {
            road.set(Weathers::default());
        }
    }

    /// Of all roads.
    fn pieces(&self) -> Pieces {
        self.roads.iter().flatten().map(Proxy::counts).sum()
    }
}

/// All ways between this node and the others.
fn isolating(node: usize) -> Vec<(usize, usize)> {
    let others = (0..NODES).filter(|&other| other != node);
    others.flat_map(|other| [(node, other), (other, node)]).collect()
}

/// How far the times of these log lines are ahead of now, in seconds.
fn seconds_away(lines: &str) -> impl Iterator<Item = i64> {
    let times = lines.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line["timestamp"].as_str()?.to_owned())
    });
    let times: Vec<_> = times.collect();
    let mut date = Command::new("date");
    date.args(["+%s", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut date = date.spawn().expect("date runs");
    let asked = date.stdin.take().expect("its input").write_all(times.join("\n").as_bytes());
    asked.expect("it reads all of it");
    let stamps = date.wait_with_output().expect("date runs").stdout;
    let stamps: Vec<_> = String::from_utf8_lossy(&stamps).lines().map(str::to_owned).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let now = i64::try_from(now.as_secs()).expect("a time of this age");
    stamps.into_iter().filter_map(move |stamp| Some(stamp.parse::<i64>().ok()? - now))
}

/// Every fsync of this process fails, as long as what is started here runs.
fn fail_fsyncs(process: u32) -> Child {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &process.to_string()]);
    strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
    strace.stdin(Stdio::null()).spawn().expect("strace runs")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).expect("a short time")
}

/// Waits until the kernel says that the process is stopped.
fn is_stopped(id: u32) {
    eventually("the process is stopped", Duration::from_secs(5), || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        status.lines().any(|line| line.starts_with("State:\tT")).then_some(())
    });
}
