//! Looking at values and elections: what registers, counters and results hold, who leads and who would be next.

use alloc::vec::Vec;

use crate::ids::Version;
use crate::machine::Machine;
use crate::name::Name;
use crate::outcome::Kind;
use crate::query::{Candidate, ElectionView, ValueView};
use crate::queue::Waiting;
use crate::state::State;

impl Machine {
    /// The kind of the object of that name; none: there is none.
    #[must_use]
    pub fn kind(&self, name: &Name) -> Option<Kind> {
        Some(self.objects.get(name)?.kind())
    }

    /// The value of a register; none: there is no register of that name.
    #[must_use]
    pub fn register_value(&self, name: &Name) -> Option<ValueView> {
        match &self.objects.get(name)?.state {
            State::Register(register) => Some(ValueView {
                version: register.version,
                value: register.value.clone(),
                session: register.bound_to,
            }),
            _ => None,
        }
    }

    /// The result of a once; none: it is not done, or its result was forgotten.
    #[must_use]
    pub fn once_value(&self, name: &Name) -> Option<ValueView> {
        let done = self.retention_of(name)?;
        Some(ValueView { version: done.version, value: done.value.clone(), session: None })
    }

    /// The value of a counter; none: there is no counter of that name.
    #[must_use]
    pub fn counter_value(&self, name: &Name) -> Option<i64> {
        match self.objects.get(name)?.state {
            State::Counter { value } => Some(value),
            _ => None,
        }
    }

    /// An election with at most `candidates_max` candidates in line and as many who stand aside; none: nobody leads or campaigns.
    #[must_use]
    pub fn election(&self, name: &Name, candidates_max: usize) -> Option<ElectionView> {
        let object = self.objects.get(name).filter(|object| object.kind() == Kind::Election)?;
        let candidate = |waiting: &Waiting, position| {
            let waiter = &self.live(waiting.session)?.waits[&waiting.seq];
            let value = waiter.campaign.as_ref()?.value.clone();
            Some(Candidate { waiter: self.waiter_view(waiting, position), value })
        };
        let line = object.queue.iter().take(candidates_max).zip(1..);
        let line = line.filter_map(|((_, waiting), at)| candidate(waiting, at));
        let aside = object.aside.iter().take(candidates_max);
        let aside = aside.filter_map(|(_, waiting)| candidate(waiting, 0));
        Some(ElectionView {
            leader: self.holders_of(object).next(),
            candidates: line.chain(aside).collect::<Vec<_>>(),
            queue_len: object.queue.len(),
        })
    }

    /// The version of a semaphore, for a resize; none: there is no semaphore of that name.
    #[must_use]
    pub fn semaphore_version(&self, name: &Name) -> Option<Version> {
        match &self.objects.get(name)?.state {
            State::Semaphore(semaphore) => Some(semaphore.version),
            _ => None,
        }
    }
}
