//! A network of the test's own: each seat has a network namespace with one cable to a bridge, and between any two of them packets can
//! be lost, in one direction or in both, as if somebody had pulled the cable. The bridge is in the namespace that the caller runs in.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Says that the namespace is there, and keeps it until its standard input ends.
const KEEP: &str = "echo ready && exec cat";
/// A neighbour at this address of the wire never gets a packet.
const NOWHERE: &str = "02:00:00:00:00:ff";
const BRIDGE: &str = "br0";

/// The seats are `10.98.0.1`, `10.98.0.2`, ...; the caller itself is `10.98.0.254`.
pub struct Network {
    seats: Vec<Child>,
    cuts: BTreeSet<(usize, usize)>,
}

impl Network {
    /// None where the caller may not change the network that it runs in.
    pub fn new(seats: usize) -> Option<Self> {
        let up = [
            "link set lo up".to_owned(),
            format!("link add {BRIDGE} type bridge"),
            format!("addr add {} dev {BRIDGE}", with_mask(&host(253))),
            format!("link set {BRIDGE} up"),
        ];
        if !up.iter().all(|words| ip(&[], words)) {
            return None;
        }
        let mut network = Self { seats: Vec::new(), cuts: BTreeSet::new() };
        for seat in 0..seats {
            network.seats.push(keeper()?);
            network.plug_in(seat)?;
        }
        Some(network)
    }

    fn plug_in(&self, seat: usize) -> Option<()> {
        let namespace = self.seats[seat].id();
        let inside = self.wrapper(seat);
        let done =
            ip(&[], &format!("link add cable{seat} type veth peer name eth0 netns {namespace}"))
                && ip(&[], &format!("link set cable{seat} master {BRIDGE} up"))
                && ip(&inside, &format!("addr add {} dev eth0", with_mask(&host(seat))))
                && ip(&inside, "link set eth0 up")
                && ip(&inside, "link set lo up");
        done.then_some(())
    }

    /// The address of a seat.
    pub fn host(&self, seat: usize) -> String {
        host(seat)
    }

    /// The command that runs another one on a seat.
    pub fn wrapper(&self, seat: usize) -> Vec<String> {
        let namespace = format!("--net=/proc/{}/ns/net", self.seats[seat].id());
        vec!["nsenter".to_owned(), namespace, "--".to_owned()]
    }

    /// From now on nothing that `from` sends arrives at `to`.
    pub fn cut(&mut self, from: usize, to: usize) {
        if self.cuts.insert((from, to)) {
            let words =
                format!("neigh replace {} lladdr {NOWHERE} dev eth0 nud permanent", host(to));
            assert!(ip(&self.wrapper(from), &words), "cannot cut {from} off from {to}");
        }
    }

    /// Everything arrives again.
    pub fn mend(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            let words = format!("neigh del {} dev eth0", host(to));
            assert!(ip(&self.wrapper(from), &words), "cannot mend the way from {from} to {to}");
        }
    }

    /// Whether a connection from one seat to a port of another one comes about within a second. It needs both directions.
    pub fn reaches(&self, from: usize, to: usize, port: u16) -> bool {
        let mut words = self.wrapper(from);
        let connect = format!("exec 3<>/dev/tcp/{}/{port}", host(to));
        words.extend(["timeout", "1", "bash", "-c", &connect].map(str::to_owned));
        quietly(&words)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for seat in &mut self.seats {
            let _gone_already = seat.kill();
            let _reaped = seat.wait();
        }
        let _gone_with_the_namespace = ip(&[], &format!("link del {BRIDGE}"));
    }
}

fn host(seat: usize) -> String {
    format!("10.98.0.{}", seat + 1)
}

fn with_mask(host: &str) -> String {
    format!("{host}/24")
}

/// A process in a network namespace of its own, once that is there.
fn keeper() -> Option<Child> {
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "sh", "-c", KEEP]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut keeper = unshare.stderr(Stdio::null()).spawn().ok()?;
    let mut said = String::new();
    let output = keeper.stdout.take()?;
    if BufReader::new(output).read_line(&mut said).is_err() || said != "ready\n" {
        let _reaped = keeper.wait();
        return None;
    }
    Some(keeper)
}

/// Runs `ip` behind a wrapper; whether it worked.
fn ip(wrapper: &[String], words: &str) -> bool {
    let mut command: Vec<String> = wrapper.to_vec();
    command.push("ip".to_owned());
    command.extend(words.split(' ').map(str::to_owned));
    quietly(&command)
}

fn quietly(words: &[String]) -> bool {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
