//! What an operator does to objects as such: change a limit, delete what stays. Taking a hold away is in `hold`, handing over a
//! leadership in `election`.

use alloc::vec::Vec;

use crate::demand::Demand;
use crate::event::{Note, WaitEnd};
use crate::ids::{Seq, SessionId, Version};
use crate::machine::{Entry, Machine, draw_version};
use crate::name::Name;
use crate::outcome::{Kind, Outcome, Refusal};
use crate::planted::planted;
use crate::record::Recorded;
use crate::state::{State, too_heavy};

impl Machine {
    pub(crate) fn resize(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
        limit: u32,
        version: Version,
    ) -> Result<Outcome, Refusal> {
        let object = self.objects.edit(name).ok_or(Refusal::NotFound)?;
        let kind = object.kind();
        let pressure = object.pressure();
        let State::Semaphore(semaphore) = &mut object.state else {
            return Err(Refusal::WrongKind { kind });
        };
        if semaphore.version != version {
            return Err(Refusal::Conflict { version: semaphore.version });
        }
        let version = draw_version(&mut self.counter);
        semaphore.version = version;
        semaphore.limit = match planted("permits leak on resize") {
            true => semaphore.limit.max(limit),
            false => limit,
        };
        semaphore.resized = true;
        entry.touched.insert(name.clone(), pressure);
        entry.unsettled.insert(name.clone());
        entry.note(name, Note::Resized { limit, version });
        self.fail_too_heavy(entry, name, limit);
        self.settle(entry);
        Ok(Outcome::Resized { version })
    }

    fn fail_too_heavy(&mut self, entry: &mut Entry<'_>, name: &Name, limit: u32) {
        let object = self.objects.get(name).expect("it was just changed");
        let too_heavy = |demand| match demand {
            Demand::Permits { weight, .. } => too_heavy(weight, limit),
            _ => None,
        };
        let failed: Vec<(SessionId, Seq, Refusal)> = object
            .queue
            .iter()
            .filter_map(|(_, waiting)| {
                Some((waiting.session, waiting.seq, too_heavy(waiting.demand)?))
            })
            .collect();
        for (session, seq, refusal) in failed {
            let became = Recorded::Refused(refusal.clone().into());
            self.end_wait(entry, session, seq, became, WaitEnd::Refused(refusal));
        }
    }

    pub(crate) fn delete(
        &mut self,
        entry: &mut Entry<'_>,
        name: &Name,
    ) -> Result<Outcome, Refusal> {
        let object = self.objects.get(name).ok_or(Refusal::NotFound)?;
        let kind = object.kind();
        // Of the kinds that vanish by themselves there is none without anybody.
        if !object.is_deserted() {
            return Err(Refusal::Busy);
        }
        self.stop_retention(entry, name);
        match kind {
            Kind::Register => self.remove_register(entry, name),
            Kind::Semaphore
            | Kind::Once
            | Kind::Latch
            | Kind::Gate
            | Kind::Counter
            | Kind::Mutex
            | Kind::RwLock
            | Kind::Election
            | Kind::Barrier => {
                self.remove_object(name);
                entry.note(name, Note::Gone { kind });
            }
        }
        Ok(Outcome::Deleted)
    }
}
