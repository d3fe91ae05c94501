//! Connections between hosts by name: bytes in order, each piece after a delay, as TCP delivers them. What is sent while the way is
//! cut waits, as if sent again; a host without power answers nothing; a killed process resets what it had open.
//!
//! Everything happens in [`Network::advance`], in one order. Nothing here knows what the bytes mean.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::chance::Chance;
use crate::socket::{Connecting, Socket};

/// A cheap handle.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    On,
    /// No process, but the kernel answers: resets.
    ProcessGone,
    /// Silence.
    Off,
}

pub(crate) struct Shared {
    now_ms: u64,
    chance: Chance,
    listeners: BTreeMap<String, Listener>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    power: BTreeMap<String, Power>,
    /// From, to.
    cuts: BTreeSet<(String, String)>,
    /// Delay of a piece: at least, at most, and one in so many is ten times slower.
    delay_ms: (u64, u64),
    next: u64,
    figures: Figures,
}

/// What went on, for the report and for the trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub pieces: u64,
    pub bytes: u64,
    /// Pieces that found the way cut.
    pub held: u64,
    pub resets: u64,
    /// Over everything delivered, in order.
    pub hash: u64,
}

#[derive(Default)]
struct Listener {
    arrived: VecDeque<Socket>,
    waker: Option<Waker>,
}

pub(crate) struct Connection {
    pub(crate) hosts: [String; 2],
    /// Where the dialler wanted to.
    address: String,
    pub(crate) state: Dialling,
    pub(crate) dialler: Option<Waker>,
    /// What side 0 sent, what side 1 sent.
    pub(crate) ways: [Way; 2],
    /// Whether the side still has somebody.
    pub(crate) open: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialling {
    /// The question arrives then.
    Asked(u64),
    /// The answer arrives then.
    Answered(u64),
    Refused(u64),
    Over,
}

#[derive(Default)]
pub(crate) struct Way {
    /// Due, what.
    pub(crate) in_flight: VecDeque<(u64, Piece)>,
    pub(crate) bytes_in_flight: usize,
    pub(crate) arrived: VecDeque<Bytes>,
    pub(crate) ended: bool,
    pub(crate) reset: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

pub(crate) enum Piece {
    Bytes(Bytes),
    End,
    Reset,
}

impl Network {
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        let shared = Shared {
            now_ms: 0,
            chance,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            power: BTreeMap::new(),
            cuts: BTreeSet::new(),
            delay_ms: (1, 3),
            next: 0,
            figures: Figures::default(),
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn figures(&self) -> Figures {
        self.shared().figures
    }

    pub fn set_delay_ms(&self, low: u64, high: u64) {
        self.shared().delay_ms = (low, high);
    }

    pub fn cut(&self, from: &str, to: &str) {
        self.shared().cuts.insert((from.to_owned(), to.to_owned()));
    }

    pub fn heal(&self) {
        self.shared().cuts.clear();
    }

    pub fn mend(&self, from: &str, to: &str) {
        self.shared().cuts.remove(&(from.to_owned(), to.to_owned()));
    }

    /// To be set before the host's tasks are dropped, so that their sockets know how they end.
    pub fn set_power(&self, host: &str, power: Power) {
        let mut shared = self.shared();
        shared.power.insert(host.to_owned(), power);
        let mut gone = BTreeMap::new();
        if power != Power::On {
            gone = std::mem::take(&mut shared.listeners);
            let kept: Vec<_> = gone.keys().filter(|name| host_of(name) != host).cloned().collect();
            for address in kept {
                shared.listeners.extend(gone.remove_entry(&address));
            }
        }
        // Sockets that nobody accepted take the lock when they go.
        drop(shared);
        drop(gone);
    }

    /// Breaks every connection of the two hosts, as a middle box that lost its memory does. How many there were.
    pub fn reset_between(&self, one: &str, other: &str) -> u64 {
        let mut shared = self.shared();
        let now = shared.now_ms;
        let mut broken = 0;
        for connection in shared.connections.values_mut() {
            let [a, b] = &connection.hosts;
            if (a == one && b == other) || (a == other && b == one) {
                broken += 1;
                for way in &mut connection.ways {
                    way.send(now, Piece::Reset);
                }
            }
        }
        broken
    }

    /// Connections as they come; an earlier listener of the address is gone.
    pub fn listen(
        &self,
        address: &str,
    ) -> impl futures::Stream<Item = io::Result<Socket>> + Send + use<> {
        let earlier = self.shared().listeners.insert(address.to_owned(), Listener::default());
        drop(earlier);
        let (network, address) = (self.clone(), address.to_owned());
        futures::stream::poll_fn(move |context| {
            let mut shared = network.shared();
            let Some(listener) = shared.listeners.get_mut(&address) else { return Poll::Pending };
            match listener.arrived.pop_front() {
                Some(socket) => Poll::Ready(Some(Ok(socket))),
                None => {
                    listener.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
    }

    /// Resolves when the other host answered; never when it is silent.
    pub fn connect(&self, from: &str, address: &str) -> Connecting {
        let mut shared = self.shared();
        shared.next += 1;
        let id = shared.next;
        let due = shared.due();
        let connection = Connection {
            hosts: [from.to_owned(), host_of(address).to_owned()],
            address: address.to_owned(),
            state: Dialling::Asked(due),
            dialler: None,
            ways: [Way::default(), Way::default()],
            open: [true, false],
        };
        shared.connections.insert(id, connection);
        Connecting { socket: Some(Socket { network: self.clone(), id, side: 0, shut: false }) }
    }

    /// Everything that is due until then happens.
    pub fn advance(&self, now_ms: u64) {
        let mut woken = Vec::new();
        let mut shared = self.shared();
        shared.now_ms = now_ms;
        let ids: Vec<u64> = shared.connections.keys().copied().collect();
        for id in ids {
            shared.dial(self, id, &mut woken);
            for side in [0, 1] {
                shared.carry(id, side, &mut woken);
            }
            let over = shared.connections.get(&id).is_some_and(Connection::is_over);
            if over {
                shared.connections.remove(&id);
            }
        }
        drop(shared);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    pub(crate) fn due(&mut self) -> u64 {
        let (low, high) = self.delay_ms;
        let delay = self.chance.between(low, high);
        let delay = if self.chance.one_in(200) { delay * 10 } else { delay };
        self.now_ms + delay
    }

    pub(crate) fn power(&self, host: &str) -> Power {
        self.power.get(host).copied().unwrap_or(Power::On)
    }

    fn passes(&self, from: &str, to: &str) -> bool {
        self.cuts.is_empty() || !self.cuts.contains(&(from.to_owned(), to.to_owned()))
    }

    fn dial(&mut self, network: &Network, id: u64, woken: &mut Vec<Waker>) {
        let Some(connection) = self.connections.get(&id) else { return };
        let [from, to] = connection.hosts.clone();
        match connection.state {
            Dialling::Asked(due) if due <= self.now_ms && self.passes(&from, &to) => {
                let listens = self.listeners.contains_key(&connection.address);
                let answer = self.due();
                let state = match (self.power(&to), listens) {
                    (Power::Off, _) => return,
                    (Power::On, true) => Dialling::Answered(answer),
                    (Power::On | Power::ProcessGone, _) => Dialling::Refused(answer),
                };
                let Some(connection) = self.connections.get_mut(&id) else { return };
                connection.state = state;
                if let Dialling::Answered(_) = state
                    && let Some(listener) = self.listeners.get_mut(&connection.address)
                {
                    connection.open[1] = true;
                    let socket = Socket { network: network.clone(), id, side: 1, shut: false };
                    listener.arrived.push_back(socket);
                    woken.extend(listener.waker.take());
                }
            }
            Dialling::Answered(due) | Dialling::Refused(due)
                if due <= self.now_ms && self.passes(&to, &from) =>
            {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                if let Dialling::Refused(_) = connection.state {
                    connection.ways[1].reset = true;
                }
                connection.state = Dialling::Over;
                woken.extend(connection.dialler.take());
            }
            Dialling::Asked(_) | Dialling::Answered(_) | Dialling::Refused(_) | Dialling::Over => {}
        }
    }

    /// What `side` sent reaches the other side.
    fn carry(&mut self, id: u64, side: usize, woken: &mut Vec<Waker>) {
        let now = self.now_ms;
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.ways[side].in_flight.front().is_none_or(|(due, _)| *due > now) {
            return;
        }
        let (from, to) = (connection.hosts[side].clone(), connection.hosts[1 - side].clone());
        if !self.passes(&from, &to) {
            self.figures.held += 1;
            return;
        }
        let power = self.power(&to);
        let back = self.due();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let open = connection.open[1 - side];
        while let Some((due, piece)) = connection.ways[side].in_flight.pop_front() {
            let way = &mut connection.ways[side];
            if due > now {
                way.in_flight.push_front((due, piece));
                break;
            }
            match piece {
                Piece::Bytes(bytes) => {
                    way.bytes_in_flight -= bytes.len();
                    self.figures.note(id, side, now, &bytes);
                    woken.extend(way.writer.take());
                    if open {
                        way.arrived.push_back(bytes);
                    } else if power != Power::Off && !connection.ways[1 - side].reset {
                        // Nobody has this connection any more.
                        self.figures.resets += 1;
                        connection.ways[1 - side].send(back, Piece::Reset);
                    }
                }
                Piece::End => way.ended = true,
                Piece::Reset => {
                    way.reset = true;
                    woken.extend(way.writer.take());
                    let other = &mut connection.ways[1 - side];
                    woken.extend(other.writer.take());
                    other.in_flight.clear();
                    other.bytes_in_flight = 0;
                }
            }
        }
        woken.extend(connection.ways[side].reader.take());
    }
}

impl Connection {
    /// Nobody is left, and nothing on its way matters.
    fn is_over(&self) -> bool {
        self.open == [false, false] && self.ways.iter().all(|way| way.in_flight.is_empty())
    }
}

impl Way {
    pub(crate) fn send(&mut self, due: u64, piece: Piece) {
        // In order: a slow piece holds up those behind it.
        let due = self.in_flight.back().map_or(due, |(last, _)| due.max(*last));
        if let Piece::Bytes(bytes) = &piece {
            self.bytes_in_flight += bytes.len();
        }
        self.in_flight.push_back((due, piece));
    }
}

impl Figures {
    fn note(&mut self, id: u64, side: usize, now: u64, bytes: &Bytes) {
        self.pieces += 1;
        self.bytes += bytes.len() as u64;
        let mut mix = |value: u64| {
            self.hash = (self.hash ^ value).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        };
        mix(id << 1 | side as u64);
        mix(now);
        for chunk in bytes.chunks(8) {
            mix(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
