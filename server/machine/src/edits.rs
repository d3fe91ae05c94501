//! Running an [`Edit`]: latches, gates, registers, counters.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::acquire::appeared;
use crate::edit::{Change, Edit, Edited, Expect};
use crate::event::Note;
use crate::ids::{SessionId, Version};
use crate::limits::COUNT_KEYS_MAX;
use crate::machine::{Entry, Machine, draw_version};
use crate::name::Name;
use crate::object::Object;
use crate::outcome::{Kind, Limit, Refusal};
use crate::record::Recorded;
use crate::state::{Latch, Register, State};
use crate::value::Value;

impl Change {
    const fn kind(&self) -> Kind {
        match self {
            Self::CreateLatch { .. } | Self::CountDown { .. } | Self::ResetLatch => Kind::Latch,
            Self::SetGate { .. } => Kind::Gate,
            Self::SetRegister { .. } | Self::DeleteRegister { .. } => Kind::Register,
            Self::AddCounter { .. } => Kind::Counter,
        }
    }
}

impl Machine {
    pub(crate) fn edit(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        edit: Edit,
    ) -> Result<Recorded, Refusal> {
        let Edit { name, guard, change } = edit;
        if let Some(guard) = guard
            && !self.is_usable(&guard.name, guard.token)
        {
            return Err(Refusal::Guard);
        }
        if let Some(object) = self.objects.get(&name)
            && object.kind() != change.kind()
        {
            return Err(Refusal::WrongKind { kind: object.kind() });
        }
        let edited = match change {
            Change::CreateLatch { count } => self.create_latch(entry, &name, count),
            Change::CountDown { by, key } => self.count_down(entry, &name, by, key),
            Change::ResetLatch => self.reset_latch(entry, &name),
            Change::SetGate { open } => self.set_gate(entry, &name, open),
            Change::SetRegister { value, expect, bound } => {
                let bound_to = bound.then_some(id);
                self.set_register(entry, &name, value, expect, bound_to)
            }
            Change::DeleteRegister { expect } => self.delete_register(entry, &name, expect),
            Change::AddCounter { delta } => self.add_counter(entry, &name, delta),
        };
        edited.map(Recorded::Edited)
    }

    fn appear(
        &mut self,
        entry: &Entry<'_>,
        name: &Name,
        state: impl FnOnce(&mut u64) -> State,
    ) -> Result<(), Refusal> {
        self.check_room_for_objects(1)?;
        let state = state(&mut self.counter);
        self.add_object(name.clone(), Object::new(state, appeared(entry)));
        Ok(())
    }

    fn create_latch(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        count: u64,
    ) -> Result<Edited, Refusal> {
        if let Some(latch) = self.latch(name) {
            if latch.count != count {
                return Err(Refusal::Mismatch { object: latch.count, request: count });
            }
            return Ok(latch.edited());
        }
        self.appear(entry, name, |counter| {
            let round = draw_version(counter);
            State::Latch(Latch { count, remaining: count, round, keys: BTreeSet::new() })
        })?;
        Ok(self.latch_changed(entry, name))
    }

    fn count_down(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        by: u64,
        key: Option<Box<str>>,
    ) -> Result<Edited, Refusal> {
        let latch = self.latch(name).ok_or(Refusal::NotFound)?;
        if key.as_ref().is_some_and(|key| latch.keys.contains(key)) {
            return Ok(latch.edited());
        }
        let remaining = latch.remaining;
        let left = remaining.checked_sub(by).ok_or(Refusal::BelowZero { remaining })?;
        if key.is_some() && latch.keys.len() >= COUNT_KEYS_MAX {
            let max = COUNT_KEYS_MAX as u64;
            return Err(Refusal::Limit { what: Limit::CountKeys, max });
        }
        let latch = self.latch_mut(entry, name);
        latch.remaining = left;
        latch.keys.extend(key);
        Ok(self.latch_changed(entry, name))
    }

    fn reset_latch(&mut self, entry: &mut Entry<'_>, name: &Name) -> Result<Edited, Refusal> {
        self.latch(name).ok_or(Refusal::NotFound)?;
        let round = draw_version(&mut self.counter);
        let latch = self.latch_mut(entry, name);
        latch.round = round;
        latch.remaining = latch.count;
        latch.keys.clear();
        Ok(self.latch_changed(entry, name))
    }

    fn latch(&self, name: &Name) -> Option<&Latch> {
        match &self.objects.get(name)?.state {
            State::Latch(latch) => Some(latch),
            _ => None,
        }
    }

    fn latch_mut(&mut self, entry: &mut Entry<'_>, name: &Name) -> &mut Latch {
        let object = self.objects.edit(name).expect("the caller found it");
        entry.touch(name, object);
        match &mut object.state {
            State::Latch(latch) => latch,
            _ => unreachable!("the kind was checked"),
        }
    }

    fn latch_changed(&self, entry: &mut Entry<'_>, name: &Name) -> Edited {
        let edited = self.latch(name).expect("it was just changed").edited();
        entry.note(name, Note::Edited(edited.clone()));
        edited
    }

    fn set_gate(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        wanted: bool,
    ) -> Result<Edited, Refusal> {
        let edited = Edited::Gate { open: wanted };
        let Some(object) = self.objects.edit(name) else {
            self.appear(entry, name, |counter| State::Gate {
                open: wanted,
                version: draw_version(counter),
            })?;
            entry.note(name, Note::Edited(edited.clone()));
            return Ok(edited);
        };
        if let State::Gate { open, version } = &mut object.state
            && *open != wanted
        {
            *open = wanted;
            *version = draw_version(&mut self.counter);
            entry.touch(name, object);
            entry.note(name, Note::Edited(edited.clone()));
        }
        Ok(edited)
    }

    fn register(&self, name: &Name) -> Option<&Register> {
        match &self.objects.get(name)?.state {
            State::Register(register) => Some(register),
            _ => None,
        }
    }

    fn set_register(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        value: Value,
        expect: Expect,
        bound_to: Option<SessionId>,
    ) -> Result<Edited, Refusal> {
        let before = self.register(name);
        let version = before.map(|register| register.version);
        if !expect.is_met_by(version) {
            return Ok(Edited::Conflict { version });
        }
        self.check_room_for_objects(u64::from(before.is_none()))?;
        let bytes_before = before.map_or(0, |register| register.value.len() as u64);
        self.check_values(bytes_before, value.len() as u64)?;
        if let Some(id) = before.and_then(|register| register.bound_to) {
            self.session_known(id).bound.remove(name);
        }
        if let Some(id) = bound_to {
            self.session_known(id).bound.insert(name.clone());
        }
        let bytes = value.len() as u64;
        let version = draw_version(&mut self.counter);
        let state = State::Register(Register { version, value, bound_to });
        match self.objects.edit(name) {
            Some(object) => {
                object.state = state;
                self.counts.value_bytes = self.counts.value_bytes - bytes_before + bytes;
            }
            None => self.appear(entry, name, |_| state)?,
        }
        let edited = Edited::Register { version };
        entry.note(name, Note::Edited(edited.clone()));
        Ok(edited)
    }

    fn delete_register(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        expect: Expect,
    ) -> Result<Edited, Refusal> {
        let register = self.register(name).ok_or(Refusal::NotFound)?;
        let version = Some(register.version);
        if !expect.is_met_by(version) {
            return Ok(Edited::Conflict { version });
        }
        self.remove_register(entry, name);
        Ok(Edited::RegisterDeleted)
    }

    pub(crate) fn remove_register(&mut self, entry: &mut Entry<'_>, name: &Name) {
        if let Some(id) = self.register(name).and_then(|register| register.bound_to) {
            self.session_known(id).bound.remove(name);
        }
        self.remove_object(name);
        entry.note(name, Note::Gone { kind: Kind::Register });
    }

    fn add_counter(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        delta: i64,
    ) -> Result<Edited, Refusal> {
        let sum = match self.objects.edit(name).map(|object| &mut object.state) {
            // Nothing changes, and nothing is told.
            Some(State::Counter { value }) if delta == 0 => {
                return Ok(Edited::Counter { value: *value });
            }
            Some(State::Counter { value }) => {
                let sum = value.checked_add(delta);
                *value = sum.ok_or(Refusal::Overflow { value: *value })?;
                *value
            }
            Some(_) => unreachable!("the kind was checked"),
            None => {
                self.appear(entry, name, |_| State::Counter { value: delta })?;
                delta
            }
        };
        let edited = Edited::Counter { value: sum };
        entry.note(name, Note::Edited(edited.clone()));
        Ok(edited)
    }
}

impl Latch {
    const fn edited(&self) -> Edited {
        Edited::Latch { round: self.round, remaining: self.remaining }
    }
}

impl Expect {
    /// Whether a register of this version (none: no register) is what was expected.
    fn is_met_by(self, version: Option<Version>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => version.is_none(),
            Self::Version(expected) => version == Some(expected),
        }
    }
}
