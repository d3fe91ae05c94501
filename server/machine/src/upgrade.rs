//! Changing the mode of a read-write lock while holding it: down at once, up before everyone who waits.

use crate::call::Caller;
use crate::demand::{Demand, Item, Items, Mode};
use crate::grant::Replacing;
use crate::ids::{SessionId, Token};
use crate::machine::{Entry, Machine};
use crate::name::Labels;
use crate::outcome::{Invalid, Refusal};
use crate::record::{HoldRecord, Recorded, WaiterRecord};

/// The mode of a hold of one read-write lock alone.
fn mode_of(hold: &HoldRecord) -> Option<Mode> {
    match hold.items.single()?.demand {
        Demand::RwLock(mode) => Some(mode),
        Demand::Mutex
        | Demand::Permits { .. }
        | Demand::Lead
        | Demand::Run { .. }
        | Demand::Latch
        | Demand::Gate
        | Demand::Arrive { .. } => None,
    }
}

impl Machine {
    pub(crate) fn downgrade(
        &mut self,
        entry: &mut Entry<'_>,
        id: SessionId,
        token: Token,
        to: Mode,
    ) -> Result<Recorded, Refusal> {
        let hold = self.session_known(id).usable(token).ok_or(Refusal::NotHolder)?;
        let name = hold.items.first().name.clone();
        if mode_of(hold).is_none_or(|mode| mode <= to) {
            return Err(Refusal::Invalid { what: Invalid::Mode });
        }
        self.end_upgrade(entry, &name, token);
        self.change_hold(entry, id, token, Demand::RwLock(to));
        Ok(Recorded::Downgraded)
    }

    pub(crate) fn upgrade(
        &mut self,
        entry: &mut Entry<'_>,
        caller: Caller,
        token: Token,
        wait: bool,
    ) -> Result<Recorded, Refusal> {
        let hold = self.session_known(caller.id).usable(token).ok_or(Refusal::NotHolder)?;
        let hold = hold.clone();
        let name = hold.items.first().name.clone();
        let object = self.objects.get(&name).expect("a hold's object exists");
        let pending = object.queue.first().is_some_and(|(_, first)| first.upgrades == Some(token));
        let reads = match mode_of(&hold) {
            Some(Mode::Read) if !wait => true,
            Some(Mode::Upgradable) if !pending => false,
            Some(Mode::Read | Mode::Upgradable | Mode::Write) | None => {
                return Err(Refusal::NotUpgradable);
            }
        };
        let write = Demand::RwLock(Mode::Write);
        let free = object.fits(write, Some(token));
        let items = Items::one(Item { name: name.clone(), demand: write });
        if free {
            let (seq, fingerprint) = (caller.seq, caller.fingerprint);
            let new = Replacing { seq, fingerprint, items: Some(items) };
            let token = self.replace_hold(entry, caller.id, token, &new);
            return Ok(Recorded::Granted { token });
        }
        if reads {
            return Err(Refusal::WouldDeadlock);
        }
        if !wait {
            return Ok(Recorded::Held { name });
        }
        let wait = WaiterRecord {
            session: caller.id,
            seq: caller.seq,
            fingerprint: caller.fingerprint,
            items,
            upgrades: Some(token),
            priority: hold.priority,
            arrival: entry.revision.0,
            max_hold_ms: hold.max_hold_ms,
            owner: hold.owner,
            metadata: Labels::default(),
            campaign: None,
            since_stamp_ms: entry.context.stamp_ms,
        };
        self.check_queues(&wait)?;
        self.enqueue(entry, wait);
        Ok(Recorded::Queued)
    }
}
