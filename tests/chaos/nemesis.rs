//! What is done to processes, cables, disks and clocks. Each act proves that it did something, and is undone before the next one.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use conclave_tests::{Signal, Weather, Weathers, eventually};

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
        let mut running = self.clients[client].take().expect("it runs");
        let at = now();
        running.process.kill();
        let from = Instant::now();
        self.start_client(client);
        // Nothing else is done until its locks must have been served.
        sleep(EXPIRY_MAX.saturating_sub(from.elapsed()));
        let by = at + u64::try_from(EXPIRY_MAX.as_nanos()).expect("a short time");
        killed.push(Killed { client: running.name.clone(), at, by });
        running.name
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
        let disk = self.disk.as_ref().expect("offered only with a disk");
        disk.fill();
        let (code, said) = self.cluster.ended(ON_SMALL_DISK, END_MAX);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        self.disk.as_ref().expect("as before").free();
        self.cluster.restart(ON_SMALL_DISK);
        format!("node {ON_SMALL_DISK}")
    }

    /// Every fsync of the node fails from now on: it must end by itself, and nothing that it acknowledged may be lost.
    fn failing_fsync(&mut self, node: usize) -> String {
        let id = self.cluster.node(node).id().to_string();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &id]);
        strace.args(["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
        let mut strace = strace.stdin(Stdio::null()).spawn().expect("strace runs");
        let (code, said) = self.cluster.ended(node, END_MAX);
        let _gone_with_the_node = strace.kill();
        let _reaped = strace.wait();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("Input/output error"), "{said}");
        self.cluster.restart(node);
        format!("node {node}")
    }

    fn clock_jump(&mut self, rng: &mut Rng) -> String {
        let clock = self.clock.as_ref().expect("offered only with a clock");
        let offset = ["+3600", "-3600", "+86400"][rng.index(3)];
        let before = self.cluster.node(UNDER_FAKETIME).errors().len();
        fs::write(clock, format!("{offset}\n")).expect("a file");
        // Its next line about the cluster carries the wrong time; a change of the leader makes it say one. A line that
        // was written a moment before the jump proves nothing.
        let leader = self.cluster.leader();
        self.cluster.kill(leader);
        self.cluster.restart(leader);
        self.cluster.leader();
        eventually("a line with a wrong time of that node", END_MAX, || {
            let said = self.cluster.node(UNDER_FAKETIME).errors().split_off(before);
            said.lines().filter_map(seconds_away).any(|away| away > 3000).then_some(())
        });
        format!("{offset} s on node {UNDER_FAKETIME}")
    }

    fn all_roads(&mut self, weathers: Weathers, moment: Duration) -> String {
        let before = self.pieces();
        for road in self.roads.iter().flatten() {
            road.set(weathers);
        }
        sleep(moment);
        let [passed, lost, _] = self.pieces();
        assert!(passed > before[0], "nothing was on its way");
        assert!(weathers.there.lost_of_1000 == 0 || lost > before[1], "nothing was lost");
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
        // What is surely on its way: to a follower what the leader says, to the leader what clients say.
        let whose = usize::from(node == self.cluster.leader());
        let before = self.pieces()[2];
        self.roads[node][whose].set(weathers);
        eventually("something is stuck", Duration::from_secs(20), || {
            (self.pieces()[2] > before).then_some(())
        });
        sleep(moment);
        self.clear_roads();
        format!("{} of node {node}: {weathers:?}", ["peers", "clients"][whose])
    }

    fn clear_roads(&self) {
        for road in self.roads.iter().flatten() {
            road.set(Weathers::default());
        }
    }

    /// Passed, lost and held up, of all roads.
    fn pieces(&self) -> [u64; 3] {
        let mut sum = [0; 3];
        for road in self.roads.iter().flatten() {
            for (sum, count) in sum.iter_mut().zip(road.counts()) {
                *sum += count;
            }
        }
        sum
    }
}

/// All ways between this node and the others.
fn isolating(node: usize) -> Vec<(usize, usize)> {
    let others = (0..NODES).filter(|&other| other != node);
    others.flat_map(|other| [(node, other), (other, node)]).collect()
}

/// How far the time of this log line is from now, in seconds.
fn seconds_away(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let stamp =
        Command::new("date").args(["+%s", "-d", line["timestamp"].as_str()?]).output().ok()?;
    let stamp: u64 = String::from_utf8_lossy(&stamp.stdout).trim().parse().ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(stamp.abs_diff(now))
}

/// Waits until the kernel says that the process is stopped.
fn is_stopped(id: u32) {
    eventually("the process is stopped", Duration::from_secs(5), || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        status.lines().any(|line| line.starts_with("State:\tT")).then_some(())
    });
}
