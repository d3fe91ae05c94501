//! What an object is besides its holders and its queue.

use conclave_machine::{
    Demand, Detail, Item, Kind, Name, Seq, SessionId, Statistics, TimerSet, Value, Version,
};

use crate::model::Model;

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) name: Name,
    pub(crate) state: State,
    pub(crate) statistics: Statistics,
}

#[derive(Debug, Clone)]
pub(crate) enum State {
    Mutex,
    RwLock,
    Semaphore { declared: u32, limit: u32, version: Version, resized: bool },
    Election { successor: Option<(SessionId, Seq)> },
    Once { attempts: u32, done: Option<Done> },
    Latch { count: u64, remaining: u64, round: Version, keys: Vec<Box<str>> },
    Gate { open: bool, version: Version },
    Barrier { parties: u32, break_on_loss: bool },
    Register { version: Version, value: Value, bound_to: Option<SessionId> },
    Counter { value: i64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) version: Version,
    pub(crate) value: Value,
    pub(crate) timer: TimerSet,
}

impl Object {
    pub(crate) fn kind(&self) -> Kind {
        match self.state {
            State::Mutex => Kind::Mutex,
            State::RwLock => Kind::RwLock,
            State::Semaphore { .. } => Kind::Semaphore,
            State::Election { .. } => Kind::Election,
            State::Once { .. } => Kind::Once,
            State::Latch { .. } => Kind::Latch,
            State::Gate { .. } => Kind::Gate,
            State::Barrier { .. } => Kind::Barrier,
            State::Register { .. } => Kind::Register,
            State::Counter { .. } => Kind::Counter,
        }
    }

    /// Also when nobody holds it or waits for it.
    pub(crate) fn stays(&self) -> bool {
        match &self.state {
            State::Mutex | State::RwLock | State::Election { .. } | State::Barrier { .. } => false,
            State::Semaphore { resized, .. } => *resized,
            State::Once { done, .. } => done.is_some(),
            State::Latch { .. }
            | State::Gate { .. }
            | State::Register { .. }
            | State::Counter { .. } => true,
        }
    }

    /// Everyone passes here, under this version.
    pub(crate) fn open(&self) -> Option<Version> {
        match &self.state {
            State::Latch { remaining: 0, round, .. } => Some(*round),
            State::Gate { open: true, version } => Some(*version),
            State::Once { done: Some(done), .. } => Some(done.version),
            State::Latch { .. }
            | State::Gate { .. }
            | State::Once { .. }
            | State::Mutex
            | State::RwLock
            | State::Semaphore { .. }
            | State::Election { .. }
            | State::Barrier { .. }
            | State::Register { .. }
            | State::Counter { .. } => None,
        }
    }

    pub(crate) fn timer(&self) -> Option<TimerSet> {
        let State::Once { done, .. } = &self.state else { return None };
        done.as_ref().map(|done| done.timer.clone())
    }

    /// Bytes that clients left here.
    pub(crate) fn value(&self) -> Option<&Value> {
        match &self.state {
            State::Once { done: Some(done), .. } => Some(&done.value),
            State::Register { value, .. } => Some(value),
            State::Once { done: None, .. }
            | State::Mutex
            | State::RwLock
            | State::Semaphore { .. }
            | State::Election { .. }
            | State::Latch { .. }
            | State::Gate { .. }
            | State::Barrier { .. }
            | State::Counter { .. } => None,
        }
    }

    /// `in_use` permits are given out.
    pub(crate) fn detail(&self, in_use: u64) -> Detail {
        match &self.state {
            State::Mutex | State::RwLock => Detail::Plain,
            State::Semaphore { declared, limit, version, resized } => Detail::Semaphore {
                declared: *declared,
                limit: *limit,
                in_use,
                version: *version,
                resized: *resized,
            },
            State::Election { successor } => {
                Detail::Election { successor: successor.map(|(session, _)| session) }
            }
            State::Once { attempts, done } => {
                Detail::Once { attempts: *attempts, done: done.as_ref().map(|done| done.version) }
            }
            State::Latch { count, remaining, round, .. } => {
                Detail::Latch { count: *count, remaining: *remaining, round: *round }
            }
            State::Gate { open, version } => Detail::Gate { open: *open, version: *version },
            State::Barrier { parties, break_on_loss } => {
                Detail::Barrier { parties: *parties, break_on_loss: *break_on_loss }
            }
            State::Register { version, value, bound_to } => Detail::Register {
                version: *version,
                bytes: crate::model::count(value.len()),
                bound_to: *bound_to,
            },
            State::Counter { value } => Detail::Counter { value: *value },
        }
    }
}

impl Model {
    pub(crate) fn object(&self, name: &Name) -> Option<&Object> {
        self.objects.iter().find(|object| object.name == *name)
    }

    pub(crate) fn object_mut(&mut self, name: &Name) -> &mut Object {
        self.objects.iter_mut().find(|object| object.name == *name).expect("a known object")
    }

    pub(crate) fn appear(&mut self, name: &Name, state: State) {
        let statistics = Statistics { created_stamp_ms: self.stamp_ms, ..Statistics::default() };
        self.objects.push(Object { name: name.clone(), state, statistics });
    }

    pub(crate) fn vanish(&mut self, name: &Name) {
        self.objects.retain(|object| object.name != *name);
    }

    /// The objects of a request that are not there yet appear as it expects them. A latch never does.
    pub(crate) fn appear_for(&mut self, items: &[Item]) {
        for Item { name, demand } in items {
            if self.object(name).is_some() {
                continue;
            }
            let state = match *demand {
                Demand::Mutex => State::Mutex,
                Demand::RwLock(_) => State::RwLock,
                Demand::Permits { limit, .. } => State::Semaphore {
                    declared: limit,
                    limit,
                    version: Version(self.draw()),
                    resized: false,
                },
                Demand::Lead => State::Election { successor: None },
                Demand::Run { .. } => State::Once { attempts: 0, done: None },
                Demand::Latch => unreachable!("a wait for a latch that is not there is refused"),
                Demand::Gate => State::Gate { open: false, version: Version(self.draw()) },
                Demand::Arrive { parties, break_on_loss } => {
                    State::Barrier { parties, break_on_loss }
                }
            };
            self.appear(name, state);
        }
    }

    /// The wait that leads next by a transfer, whoever stands before it.
    pub(crate) fn successor(&self, name: &Name) -> Option<(SessionId, Seq)> {
        let State::Election { successor } = self.object(name)?.state else { return None };
        successor
    }
}
