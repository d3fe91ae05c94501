//! When an entry took effect in the time of the history: not later than the first time that any node was seen to have
//! applied it.

use std::collections::BTreeMap;

use crate::history::{History, Micros};

pub(crate) struct Moments {
    /// The earliest time at which any node was seen at this entry or a later one.
    by_index: BTreeMap<u64, Micros>,
}

impl Moments {
    pub(crate) fn of(history: &History) -> Self {
        let mut by_index: BTreeMap<u64, Micros> = BTreeMap::new();
        for applied in &history.applied {
            let at = by_index.entry(applied.index).or_insert(applied.at_us);
            *at = applied.at_us.min(*at);
        }
        let mut earliest = Micros::MAX;
        for at in by_index.values_mut().rev() {
            earliest = earliest.min(*at);
            *at = earliest;
        }
        Self { by_index }
    }

    /// None: nobody was seen to apply it.
    pub(crate) fn of_entry(&self, index: u64) -> Option<Micros> {
        self.by_index.range(index..).next().map(|(_, at)| *at)
    }
}
