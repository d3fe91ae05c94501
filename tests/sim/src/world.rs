//! Everything together: hosts, network, disks, and the time that all of them share. One turn is two milliseconds; within it the
//! hosts run one after the other, each until nothing is left for it to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use conclave_machine::{Machine, Revision};
use conclave_oracle::Applied;
use conclave_raft::Consistency;
use futures::FutureExt as _;

use crate::chance::Chance;
use crate::client::{self, Life};
use crate::diary::Diary;
use crate::host::{Host, RATE_TRUE_PPM, TICK_MS};
use crate::member::ClusterMember;
use crate::nemesis::Place;
use crate::network::{Network, Power};
use crate::truth::Truth;

/// A node that ended because its disk failed is started again after this time.
const RESTART_AFTER_MS: u64 = 1500;
/// How often states are compared.
const COMPARE_EVERY_MS: u64 = 250;

pub struct World {
    pub now_ms: u64,
    pub network: Network,
    pub names: Vec<String>,
    pub members: Vec<ClusterMember>,
    pub clients: Vec<Host>,
    pub diary: Diary,
    pub truth: Truth,
    pub effects: Effects,
    /// Nodes that come back then.
    pub restart_at: BTreeMap<usize, u64>,
    /// Nodes whose end is expected: their disk was made to fail.
    pub excused: BTreeSet<usize>,
    /// Sessions of crashed clients: they must not expire before.
    not_before: BTreeMap<u64, u64>,
    chance: Chance,
}

/// What the faults did, so that a nemesis that did nothing is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Effects {
    pub unsynced_writes_lost: u64,
    pub nodes_that_ended: u64,
    pub comparisons: u64,
    pub snapshots: u64,
    pub expiries: u64,
}

impl World {
    #[must_use]
    pub fn new(root: &Path, nodes: usize, clients: usize, chance: &mut Chance) -> Self {
        let names: Vec<_> = (1..=nodes).map(|number| format!("n{number}")).collect();
        let members = names.iter().map(|name| ClusterMember::new(name, root)).collect();
        let mut world = Self {
            now_ms: 0,
            network: Network::new(chance.fork()),
            names,
            members,
            clients: (1..=clients).map(|number| Host::new(&format!("c{number}"))).collect(),
            diary: Diary::default(),
            truth: Truth::default(),
            effects: Effects::default(),
            restart_at: BTreeMap::new(),
            excused: BTreeSet::new(),
            not_before: BTreeMap::new(),
            chance: chance.fork(),
        };
        for node in 0..nodes {
            world.start_node(node);
        }
        for client in 0..clients {
            world.start_client(client);
        }
        world
    }

    pub fn start_node(&mut self, node: usize) {
        self.diary.say(&self.names[node], "starts");
        self.excused.remove(&node);
        self.members[node].start(&self.network, &self.names);
    }

    pub fn start_client(&mut self, client: usize) {
        let host = &mut self.clients[client];
        self.network.set_power(&host.name, Power::On);
        let life = Life {
            name: host.name.clone(),
            diary: self.diary.clone(),
            network: self.network.clone(),
            nodes: self.names.clone(),
            chance: self.chance.fork(),
        };
        self.diary.pages().finished.insert(host.name.clone(), false);
        host.boot();
        host.spawn(client::live(life));
    }

    pub fn crash_node(&mut self, node: usize, power: Power, chance: &mut Chance) {
        let unsynced = self.members[node].log().unsynced_count() as u64;
        let kept = usize::try_from(chance.between(0, unsynced)).unwrap_or(0);
        let lost = self.members[node].crash(&self.network, power, kept);
        self.effects.unsynced_writes_lost += lost as u64;
        self.diary.say(&self.names[node], &format!("crashes ({power:?}), {lost} writes lost"));
    }

    pub fn crash_client(&mut self, client: usize) {
        let host = &mut self.clients[client];
        let sessions: Vec<_> = {
            let mut pages = self.diary.pages();
            let of_it: Vec<u64> = pages
                .sessions
                .iter()
                .filter(|(_, (name, _))| *name == host.name)
                .map(|(id, _)| *id)
                .collect();
            of_it.into_iter().filter_map(|id| Some((id, pages.sessions.remove(&id)?.1))).collect()
        };
        for (id, session) in sessions {
            let left = host.inside(|| session.deadline()).unwrap_or_default();
            let left = u64::try_from(left.as_millis()).unwrap_or(0) * RATE_TRUE_PPM / host.rate_ppm;
            // Who was stopped believes nothing, and what its clock says is old.
            if host.is_awake() {
                self.not_before.insert(id, self.now_ms + left);
            }
            host.inside(move || drop(session));
        }
        self.network.set_power(&host.name, Power::Off);
        host.halt();
        self.diary.say(&host.name, "crashes");
    }

    pub fn host_mut(&mut self, place: Place) -> &mut Host {
        match place {
            Place::Node(node) => &mut self.members[node].host,
            Place::Client(client) => &mut self.clients[client],
        }
    }

    /// Whoever says that it leads, of the highest term.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        let leads = |member: &ClusterMember| {
            let leadership = member.node()?.leadership().borrow().clone();
            leadership.leading.then(|| leadership.term.get())
        };
        let leaders = self.members.iter().enumerate();
        leaders
            .filter_map(|(node, member)| Some((leads(member)?, node)))
            .max()
            .map(|(_, node)| node)
    }

    pub fn transfer(&mut self, leader: usize) {
        if let Some(node) = self.members[leader].node() {
            self.members[leader].host.spawn(async move {
                // Whether it succeeds is up to the others.
                let _ = node.step_down(None).await;
            });
        }
    }

    /// One turn of everything.
    pub fn turn(&mut self) {
        self.now_ms += TICK_MS;
        self.diary.pages().now_ms = self.now_ms;
        self.network.advance(self.now_ms);
        for node in 0..self.members.len() {
            self.members[node].work_disk(self.now_ms, &mut self.chance);
            self.members[node].host.step(self.now_ms);
            self.read_log(node);
            self.look_after(node);
        }
        for client in &mut self.clients {
            client.step(self.now_ms);
        }
        let due: Vec<usize> = self
            .restart_at
            .iter()
            .filter(|(_, at)| **at <= self.now_ms)
            .map(|(node, _)| *node)
            .collect();
        for node in due {
            self.restart_at.remove(&node);
            if !self.members[node].host.is_up() {
                self.start_node(node);
            }
        }
        crate::checks::believers(self);
        if self.now_ms.is_multiple_of(COMPARE_EVERY_MS) {
            self.compare();
        }
        if self.now_ms.is_multiple_of(1000) {
            let figures = self.network.figures();
            self.diary.say("network", &format!("{figures:?}"));
        }
    }

    /// What the node knows to be committed goes into the truth.
    fn read_log(&mut self, node: usize) {
        let member = &mut self.members[node];
        if !member.host.is_awake() {
            return;
        }
        let state = conclave_store::LogStore::state(member.log());
        let Some(committed) = state.committed else { return };
        let begin = state.purged.map_or(0, |purged| purged.index + 1).max(member.looked_at);
        if begin > committed.index {
            return;
        }
        let read =
            conclave_store::LogStore::read(member.log(), begin..committed.index + 1, usize::MAX);
        let entries = read.unwrap_or_default();
        let mut pages = self.diary.pages();
        let at_us = pages.now_us();
        if let Some(last) = entries.last() {
            let (node, index) = (self.names[node].clone(), last.position.index);
            let applied = Applied { node, index, at_us, revision: None, digest: None };
            pages.history.applied.push(applied);
        }
        drop(pages);
        for entry in entries {
            member.looked_at = entry.position.index + 1;
            match self.truth.see(&self.names[node], entry) {
                Ok(endings) => {
                    for ending in endings {
                        self.effects.expiries +=
                            u64::from(ending.end == conclave_machine::SessionEnd::Expired);
                        crate::checks::ending(
                            &self.diary,
                            &self.clients,
                            &self.not_before,
                            self.now_ms,
                            &ending,
                        );
                    }
                }
                Err(failure) => self.diary.fail(&failure),
            }
        }
    }

    /// A process that ended is started again by whoever runs it. A broken disk is the only reason to end.
    fn look_after(&mut self, node: usize) {
        let Some(why) = self.members[node].ended() else { return };
        self.effects.nodes_that_ended += 1;
        if self.excused.remove(&node) {
            self.diary.say(&self.names[node], &format!("ends: {why}"));
        } else {
            self.diary.fail(&format!("{} ended: {why}", self.names[node]));
        }
        self.members[node].crash(&self.network, Power::ProcessGone, 0);
        self.restart_at.insert(node, self.now_ms + RESTART_AFTER_MS);
    }

    /// What the nodes' states are, for the oracle.
    pub fn compare(&mut self) {
        for (member, name) in self.members.iter().zip(&self.names) {
            let Some(node) = member.node().filter(|_| member.host.is_awake()) else { continue };
            let look = |machine: &Machine| (machine.revision().get(), machine.digest());
            let looked = member.host.inside(|| node.read(Consistency::Stale, look).now_or_never());
            let Some(Some(Ok(answer))) = looked else { continue };
            let (revision, digest) = answer.value;
            let Some(index) = self.truth.entry_at(revision) else { continue };
            self.effects.comparisons += 1;
            let mut pages = self.diary.pages();
            let (node, at_us) = (name.clone(), pages.now_us());
            let (revision, digest) = (Some(Revision(revision)), Some(digest));
            pages.history.applied.push(Applied { node, index, at_us, revision, digest });
        }
    }
}
