//! How far back the log must reach: to the older of the two snapshots that are kept, so that the newest may turn out damaged.

use std::sync::{Arc, Mutex, PoisonError};

use conclave_store::LogPosition;

/// A cheap handle; all clones say the same.
#[derive(Debug, Clone)]
pub struct Retained {
    needed: Arc<Mutex<Needed>>,
}

#[derive(Debug, Clone, Copy)]
enum Needed {
    Nothing,
    Everything,
    After(LogPosition),
}

impl Retained {
    /// Every purge is carried out as asked.
    #[must_use]
    pub fn nothing() -> Self {
        Self { needed: Arc::new(Mutex::new(Needed::Nothing)) }
    }

    pub(crate) fn everything() -> Self {
        Self { needed: Arc::new(Mutex::new(Needed::Everything)) }
    }

    /// The older of two good snapshots ends here.
    pub(crate) fn only_after(&self, older: LogPosition) {
        *self.needed.lock().unwrap_or_else(PoisonError::into_inner) = Needed::After(older);
    }

    /// How far a purge that was asked for goes; none: nowhere. `last` is the last entry of the log.
    pub(crate) fn purge_to(
        &self,
        asked: LogPosition,
        last: Option<LogPosition>,
    ) -> Option<LogPosition> {
        if last.is_none_or(|last| last.index < asked.index) {
            // An installed snapshot lies ahead of the whole log: what follows would leave a hole.
            return Some(asked);
        }
        match *self.needed.lock().unwrap_or_else(PoisonError::into_inner) {
            Needed::Nothing => Some(asked),
            Needed::Everything => None,
            Needed::After(older) => Some(asked.min(older)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> LogPosition {
        LogPosition { term, index }
    }

    #[test]
    fn the_log_reaches_back_to_the_older_snapshot() {
        let retained = Retained::everything();
        assert_eq!(retained.purge_to(at(1, 50), Some(at(1, 90))), None);
        retained.only_after(at(1, 30));
        assert_eq!(retained.purge_to(at(1, 50), Some(at(1, 90))), Some(at(1, 30)));
        assert_eq!(retained.purge_to(at(1, 20), Some(at(1, 90))), Some(at(1, 20)));
    }

    #[test]
    fn a_snapshot_ahead_of_the_log_takes_all_of_it() {
        let retained = Retained::everything();
        assert_eq!(retained.purge_to(at(2, 100), Some(at(1, 90))), Some(at(2, 100)));
        assert_eq!(retained.purge_to(at(2, 100), None), Some(at(2, 100)));
    }
}
