//! Edits of what nobody holds: latches, gates, registers, counters.

use conclave_machine::{
    Change, Check, Edit, Edited, Expect, Kind, Name, Note, Outcome, Refusal, SessionId, Value,
    Version,
};

use crate::model::Model;
use crate::object::State;

impl Model {
    pub(crate) fn edit(&mut self, id: SessionId, edit: &Edit) -> Result<Outcome, Refusal> {
        let Edit { name, guard, change } = edit;
        if let Some(guard) = guard {
            let held = self.check(&guard.name, guard.token) == Check::Held;
            let unadopted = self.hold(guard.token).is_some_and(|hold| hold.unadopted);
            if !held || unadopted {
                return Err(Refusal::Guard);
            }
        }
        if let Some(object) = self.object(name)
            && object.kind() != kind(change)
        {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        self.touched.insert(name.clone());
        let edited = match change {
            Change::CreateLatch { count } => self.create_latch(name, *count),
            Change::CountDown { by, key } => self.count_down(name, *by, key.as_deref()),
            Change::ResetLatch => self.reset_latch(name),
            Change::SetGate { open } => Ok(self.set_gate(name, *open)),
            Change::SetRegister { value, expect, bound } => {
                Ok(self.set_register(name, value, *expect, bound.then_some(id)))
            }
            Change::DeleteRegister { expect } => self.delete_register(name, *expect),
            Change::AddCounter { delta } => self.add_counter(name, *delta),
        };
        Ok(Outcome::Edited(edited?))
    }

    /// Something changed: whoever watches is told.
    fn edited(&mut self, name: &Name, edited: Edited) -> Edited {
        self.note(name, Note::Edited(edited.clone()));
        edited
    }

    fn create_latch(&mut self, name: &Name, count: u64) -> Result<Edited, Refusal> {
        if let Some(object) = self.object(name) {
            let State::Latch { count: object, remaining, round, .. } = object.state else {
                unreachable!("a latch")
            };
            if object != count {
                return Err(Refusal::Mismatch { object, request: count });
            }
            return Ok(Edited::Latch { round, remaining });
        }
        let round = Version(self.draw());
        self.appear(name, State::Latch { count, remaining: count, round, keys: Vec::new() });
        Ok(self.edited(name, Edited::Latch { round, remaining: count }))
    }

    fn count_down(&mut self, name: &Name, by: u64, key: Option<&str>) -> Result<Edited, Refusal> {
        self.object(name).ok_or(Refusal::NotFound)?;
        let State::Latch { remaining, round, keys, .. } = &mut self.object_mut(name).state else {
            unreachable!("a latch")
        };
        let as_it_stands = Edited::Latch { round: *round, remaining: *remaining };
        if key.is_some_and(|key| keys.iter().any(|known| **known == *key)) {
            return Ok(as_it_stands);
        }
        if by > *remaining {
            return Err(Refusal::BelowZero { remaining: *remaining });
        }
        *remaining -= by;
        keys.extend(key.map(Into::into));
        let edited = Edited::Latch { round: *round, remaining: *remaining };
        Ok(self.edited(name, edited))
    }

    fn reset_latch(&mut self, name: &Name) -> Result<Edited, Refusal> {
        self.object(name).ok_or(Refusal::NotFound)?;
        let new = Version(self.draw());
        let State::Latch { count, remaining, round, keys } = &mut self.object_mut(name).state
        else {
            unreachable!("a latch")
        };
        keys.clear();
        (*remaining, *round) = (*count, new);
        let edited = Edited::Latch { round: new, remaining: *count };
        Ok(self.edited(name, edited))
    }

    fn set_gate(&mut self, name: &Name, open: bool) -> Edited {
        if let Some(object) = self.object(name)
            && matches!(object.state, State::Gate { open: is, .. } if is == open)
        {
            return Edited::Gate { open };
        }
        let version = Version(self.draw());
        let state = State::Gate { open, version };
        if self.object(name).is_some() {
            self.object_mut(name).state = state;
        } else {
            self.appear(name, state);
        }
        self.edited(name, Edited::Gate { open })
    }

    fn register_version(&self, name: &Name) -> Option<Version> {
        let object = self.object(name)?;
        if let State::Register { version, .. } = object.state { Some(version) } else { None }
    }

    fn set_register(
        &mut self,
        name: &Name,
        value: &Value,
        expect: Expect,
        bound_to: Option<SessionId>,
    ) -> Edited {
        let is = self.register_version(name);
        if !as_expected(expect, is) {
            return Edited::Conflict { version: is };
        }
        let version = Version(self.draw());
        let state = State::Register { version, value: value.clone(), bound_to };
        if is.is_some() {
            self.object_mut(name).state = state;
        } else {
            self.appear(name, state);
        }
        self.edited(name, Edited::Register { version })
    }

    fn delete_register(&mut self, name: &Name, expect: Expect) -> Result<Edited, Refusal> {
        let is = self.register_version(name).ok_or(Refusal::NotFound)?;
        if !as_expected(expect, Some(is)) {
            return Ok(Edited::Conflict { version: Some(is) });
        }
        self.vanish(name);
        self.note(name, Note::Gone { kind: Kind::Register });
        Ok(Edited::RegisterDeleted)
    }

    fn add_counter(&mut self, name: &Name, delta: i64) -> Result<Edited, Refusal> {
        let is = match self.object(name).map(|object| &object.state) {
            Some(State::Counter { value }) => Some(*value),
            Some(_) | None => None,
        };
        let before = is.unwrap_or(0);
        let value = before.checked_add(delta).ok_or(Refusal::Overflow { value: before })?;
        let state = State::Counter { value };
        if is.is_some() {
            self.object_mut(name).state = state;
        } else {
            self.appear(name, state);
        }
        if is == Some(value) {
            return Ok(Edited::Counter { value });
        }
        Ok(self.edited(name, Edited::Counter { value }))
    }

    /// Registers that were bound to a session that ended.
    pub(crate) fn unbind(&mut self, id: SessionId) {
        let bound = self.objects.iter().filter(
            |object| matches!(object.state, State::Register { bound_to: Some(to), .. } if to == id),
        );
        let mut names: Vec<_> = bound.map(|object| object.name.clone()).collect();
        names.sort();
        for name in names {
            self.vanish(&name);
            self.note(&name, Note::Gone { kind: Kind::Register });
        }
    }
}

fn as_expected(expect: Expect, is: Option<Version>) -> bool {
    match expect {
        Expect::Anything => true,
        Expect::Absent => is.is_none(),
        Expect::Version(version) => is == Some(version),
    }
}

fn kind(change: &Change) -> Kind {
    match change {
        Change::CreateLatch { .. } | Change::CountDown { .. } | Change::ResetLatch => Kind::Latch,
        Change::SetGate { .. } => Kind::Gate,
        Change::SetRegister { .. } | Change::DeleteRegister { .. } => Kind::Register,
        Change::AddCounter { .. } => Kind::Counter,
    }
}
