//! What only a once has: its result, which everybody who waited hears of, and the end of remembering it.

use crate::command::Timer;
use crate::event::{Event, Note};
use crate::hold::End;
use crate::ids::{Generation, SessionId, Token};
use crate::limits::{RETENTION_MS_MIN, VALUES_BYTES_MAX};
use crate::machine::{Entry, Machine, draw, draw_version};
use crate::name::Name;
use crate::outcome::{Kind, Limit, Refusal};
use crate::record::Recorded;
use crate::state::{Done, State};
use crate::value::Value;

impl Machine {
    pub(crate) fn complete(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        value: Value,
        retention_ms: u64,
    ) -> Result<Recorded, Refusal> {
        let hold = self.session_known(id).usable(token).ok_or(Refusal::NotHolder)?;
        if hold.items.first().demand.kind() != Kind::Once {
            return Err(Refusal::NotHolder);
        }
        let name = hold.items.first().name.clone();
        self.check_values(0, value.len() as u64)?;
        self.end_hold(entry, id, token, End::Completed);
        let version = draw_version(&mut self.counter);
        let timer = Generation(draw(&mut self.counter));
        let retention_ms = retention_ms.max(RETENTION_MS_MIN);
        self.counts.value_bytes += value.len() as u64;
        let object = self.objects.edit(&name).expect("a hold's object exists");
        let done = Some(Done { version, value, timer, retention_ms });
        object.state = State::Once { attempts: 0, done };
        entry.timer(Timer::Retention(name), timer, retention_ms);
        Ok(Recorded::Completed { version })
    }

    /// Whether there is room for a value of `after` bytes in the place of one of `before`.
    pub(crate) fn check_values(&self, before: u64, after: u64) -> Result<(), Refusal> {
        if self.counts.value_bytes - before + after > VALUES_BYTES_MAX {
            return Err(Refusal::Limit { what: Limit::Values, max: VALUES_BYTES_MAX });
        }
        Ok(())
    }

    /// The time to remember the result is over. Nobody holds what is done, and nobody waits for it.
    pub(crate) fn forget(&mut self, entry: &mut Entry<'_>, name: &Name) {
        self.remove_object(name);
        entry.note(name, Note::Gone { kind: Kind::Once });
    }

    /// The generation of the running retention timer.
    pub(crate) fn retention_of(&self, name: &Name) -> Option<&Done> {
        match &self.objects.get(name)?.state {
            State::Once { done, .. } => done.as_ref(),
            State::Mutex
            | State::RwLock
            | State::Semaphore(_)
            | State::Election { .. }
            | State::Latch(_)
            | State::Gate { .. }
            | State::Barrier { .. }
            | State::Register(_)
            | State::Counter { .. } => None,
        }
    }

    pub(crate) fn stop_retention(&self, entry: &mut Entry<'_>, name: &Name) {
        if self.retention_of(name).is_some() {
            let timer = Timer::Retention(name.clone());
            entry.events.push(Event::TimerStopped { timer });
        }
    }
}
