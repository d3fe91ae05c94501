//! What goes wrong, drawn from the seed: some faults at a time, each for a while, and in the end none.

use std::collections::BTreeMap;

use crate::chance::Chance;
use crate::host::RATE_TRUE_PPM;
use crate::network::Power;
use crate::world::World;

/// Faults at the same time.
const ACTIVE_MAX: usize = 2;

/// Every kind of fault; a run counts how often each of them had an effect.
pub const KINDS: &[&str] = &[
    "power loss",
    "power loss of all",
    "kill",
    "cut of one",
    "cut of the leader",
    "one-way cut",
    "bridge",
    "ring",
    "cut of a client",
    "slow network",
    "reset connections",
    "slow disk",
    "failing disk",
    "clock rate",
    "wall clock jump",
    "pause of a node",
    "pause of a client",
    "transfer of leadership",
    "crash of a client",
];

#[derive(Default)]
pub struct Nemesis {
    active: Vec<(u64, Undo)>,
    next_at: u64,
    /// Kinds still to come before each has had its turn again.
    deck: Vec<&'static str>,
    pub done: BTreeMap<&'static str, u64>,
}

/// How a fault ends.
#[derive(Debug, Clone)]
enum Undo {
    StartNode(usize),
    StartClient(usize),
    Mend(Vec<(String, String)>),
    Delay,
    Disk(usize),
    RateOf(Place),
    WakeUp(Place),
}

/// A host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Node(usize),
    Client(usize),
}

impl Nemesis {
    pub fn turn(&mut self, world: &mut World, chance: &mut Chance) {
        let now = world.now_ms;
        let (over, active) = self.active.drain(..).partition(|(until, _)| *until <= now);
        self.active = active;
        let over: Vec<(u64, Undo)> = over;
        for (_, undo) in over {
            undo_fault(undo, world);
        }
        if now < self.next_at || self.active.len() >= ACTIVE_MAX {
            return;
        }
        self.next_at = now + chance.between(300, 2500);
        let kind = self.draw(chance);
        if let Some(undo) = strike(kind, world, chance) {
            *self.done.entry(kind).or_default() += 1;
            world.diary.say("nemesis", &format!("{kind}: {undo:?}"));
            if let Some((after, undo)) = undo {
                self.active.push((now + after, undo));
            }
        }
    }

    /// Every kind once, in an order of chance, then again.
    fn draw(&mut self, chance: &mut Chance) -> &'static str {
        if self.deck.is_empty() {
            self.deck = KINDS.to_vec();
        }
        let place = chance.below(self.deck.len() as u64);
        self.deck.swap_remove(usize::try_from(place).expect("an index"))
    }

    /// Everything is whole from now on.
    pub fn heal(&mut self, world: &mut World) {
        for (_, undo) in std::mem::take(&mut self.active) {
            undo_fault(undo, world);
        }
        world.network.heal();
        world.diary.say("nemesis", "heals");
    }
}

type Struck = Option<(u64, Undo)>;

/// None: this fault has no effect now. Inner none: it is over at once.
fn strike(kind: &str, world: &mut World, chance: &mut Chance) -> Option<Struck> {
    let node = index(world.members.len(), chance);
    let client = index(world.clients.len(), chance);
    match kind {
        "power loss" | "kill" | "power loss of all" | "failing disk" | "slow disk" => {
            strike_node(kind, node, world, chance)
        }
        "cut of one" | "cut of the leader" | "one-way cut" | "bridge" | "ring" => {
            let node = if kind == "cut of the leader" { world.leader()? } else { node };
            cut(links(kind, node, &world.names, chance), world, chance)
        }
        "cut of a client" => {
            let host = world.clients[client].name.clone();
            let both = |name: &String| [(host.clone(), name.clone()), (name.clone(), host.clone())];
            cut(world.names.iter().flat_map(both).collect(), world, chance)
        }
        "slow network" => {
            let low = chance.between(1, 60);
            world.network.set_delay_ms(low, low + chance.between(10, 200));
            Some(Some((a_while(chance), Undo::Delay)))
        }
        "reset connections" => {
            let other = index(world.members.len(), chance);
            let (a, b) = (&world.names[node], &world.names[other]);
            let broken = world.network.reset_between(a, b)
                + world.network.reset_between(&world.clients[client].name, a);
            (broken > 0).then_some(None)
        }
        "clock rate" => {
            let place = any(world, chance);
            world.host_mut(place).rate_ppm = RATE_TRUE_PPM * chance.between(91, 109) / 100;
            Some(Some((2 * a_while(chance), Undo::RateOf(place))))
        }
        "wall clock jump" => {
            let place = any(world, chance);
            let hours = i64::try_from(chance.between(0, 48)).ok()? - 24;
            world.host_mut(place).wall_offset_ms = hours * 3_600_000;
            Some(None)
        }
        "pause of a node" => pause(Place::Node(node), world, chance),
        "pause of a client" => pause(Place::Client(client), world, chance),
        "transfer of leadership" => {
            let leader = world.leader()?;
            world.transfer(leader);
            Some(None)
        }
        "crash of a client" => {
            if !world.clients[client].is_up() {
                return None;
            }
            world.crash_client(client);
            Some(Some((chance.between(100, 4000), Undo::StartClient(client))))
        }
        other => unreachable!("no fault is called {other}"),
    }
}

fn index(many: usize, chance: &mut Chance) -> usize {
    usize::try_from(chance.below(many as u64)).expect("an index")
}

fn a_while(chance: &mut Chance) -> u64 {
    chance.between(300, 7000)
}

fn strike_node(kind: &str, node: usize, world: &mut World, chance: &mut Chance) -> Option<Struck> {
    if !world.members[node].host.is_up() {
        return None;
    }
    match kind {
        "power loss" | "kill" => {
            let power = if kind == "kill" { Power::ProcessGone } else { Power::Off };
            world.crash_node(node, power, chance);
            Some(Some((chance.between(200, 6000), Undo::StartNode(node))))
        }
        "power loss of all" => {
            for node in 0..world.members.len() {
                if world.members[node].host.is_up() {
                    world.crash_node(node, Power::Off, chance);
                    world.restart_at.insert(node, world.now_ms + chance.between(100, 1500));
                }
            }
            Some(None)
        }
        "failing disk" => {
            world.members[node].fail_disk();
            world.excused.insert(node);
            Some(None)
        }
        _ => {
            let low = chance.between(20, 300);
            world.members[node].sync_ms = (low, low + chance.between(10, 600));
            Some(Some((a_while(chance), Undo::Disk(node))))
        }
    }
}

fn cut(cut: Vec<(String, String)>, world: &mut World, chance: &mut Chance) -> Option<Struck> {
    if cut.is_empty() {
        return None;
    }
    for (from, to) in &cut {
        world.network.cut(from, to);
    }
    Some(Some((a_while(chance), Undo::Mend(cut))))
}

/// Often for longer than a TTL.
fn pause(place: Place, world: &mut World, chance: &mut Chance) -> Option<Struck> {
    if !world.host_mut(place).is_awake() {
        return None;
    }
    world.host_mut(place).stopped = true;
    Some(Some((chance.between(300, 9000), Undo::WakeUp(place))))
}

fn any(world: &World, chance: &mut Chance) -> Place {
    let nodes = world.members.len() as u64;
    let place = chance.below(nodes + world.clients.len() as u64);
    let index = usize::try_from(place).expect("small");
    if place < nodes { Place::Node(index) } else { Place::Client(index - world.members.len()) }
}

/// What is cut, each from and to.
fn links(kind: &str, node: usize, names: &[String], chance: &mut Chance) -> Vec<(String, String)> {
    let count = names.len();
    let mut cut = Vec::new();
    let mut both = |a: usize, b: usize| {
        cut.push((names[a].clone(), names[b].clone()));
        cut.push((names[b].clone(), names[a].clone()));
    };
    match kind {
        "cut of one" | "cut of the leader" => {
            // With five nodes sometimes a minority of two.
            let friend = (count > 3 && chance.one_in(2)).then_some((node + 1) % count);
            for other in (0..count).filter(|other| *other != node && Some(*other) != friend) {
                both(node, other);
                if let Some(friend) = friend {
                    both(friend, other);
                }
            }
        }
        // Two halves that see each other only through one node.
        "bridge" => {
            let half: Vec<usize> = (1..=count / 2).map(|step| (node + step) % count).collect();
            for a in 0..count {
                for b in 0..a {
                    if a != node && b != node && half.contains(&a) != half.contains(&b) {
                        both(a, b);
                    }
                }
            }
        }
        // Each sees its neighbours only.
        "ring" => {
            for a in 0..count {
                for b in 0..a {
                    if a - b != 1 && a - b != count - 1 {
                        both(a, b);
                    }
                }
            }
        }
        _ => {
            let deaf = chance.one_in(2);
            for other in (0..count).filter(|other| *other != node) {
                let (from, to) = if deaf { (other, node) } else { (node, other) };
                cut.push((names[from].clone(), names[to].clone()));
            }
        }
    }
    cut
}

fn undo_fault(undo: Undo, world: &mut World) {
    match undo {
        Undo::StartNode(node) => {
            if !world.members[node].host.is_up() {
                world.start_node(node);
            }
        }
        Undo::StartClient(client) => {
            if !world.clients[client].is_up() {
                world.start_client(client);
            }
        }
        Undo::Mend(cut) => {
            for (from, to) in cut {
                world.network.mend(&from, &to);
            }
        }
        Undo::Delay => world.network.set_delay_ms(1, 3),
        Undo::Disk(node) => world.members[node].sync_ms = (0, 3),
        Undo::RateOf(place) => world.host_mut(place).rate_ppm = RATE_TRUE_PPM,
        Undo::WakeUp(place) => world.host_mut(place).stopped = false,
    }
}
