//! The machine as everybody but apply sees it: readable at any time, between two entries.

use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use conclave_machine::Machine;
use tokio::sync::watch;

use crate::apply_times::ApplyTimes;

/// A cheap handle; all clones are the same machine.
#[derive(Debug, Clone)]
pub(crate) struct View {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    machine: RwLock<Machine>,
    /// The term of the last applied entry.
    term: watch::Sender<u64>,
    apply_times: ApplyTimes,
}

impl View {
    pub(crate) fn new(machine: Machine) -> Self {
        let (machine, term) = (RwLock::new(machine), watch::Sender::new(0));
        let shared = Shared { machine, term, apply_times: ApplyTimes::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Keep it short: apply waits meanwhile.
    pub(crate) fn look<T>(&self, query: impl FnOnce(&Machine) -> T) -> T {
        let machine = self.shared.machine.read().unwrap_or_else(PoisonError::into_inner);
        query(&machine)
    }

    /// Only apply writes. A panic in apply ends the node, so a poisoned lock is never read for long.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Machine> {
        self.shared.machine.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything up to an entry of this term is applied.
    pub(crate) fn applied_term(&self, term: u64) {
        self.shared.term.send_if_modified(|known| std::mem::replace(known, term) != term);
    }

    /// What held up apply so far.
    pub(crate) fn apply_times(&self) -> &ApplyTimes {
        &self.shared.apply_times
    }

    pub(crate) fn watch_term(&self) -> watch::Receiver<u64> {
        self.shared.term.subscribe()
    }
}
