//! The one queue behind every primitive that is granted: by priority, then by arrival. Insertion, removal and position
//! cost about the same with ten waiters and with a hundred thousand.
//!
//! It is a sorted list in chunks behind `Arc`. A position is the sum of the chunks before it, and a write after a snapshot
//! began copies one chunk, not the queue.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::record::WaiterRecord;

/// Moving half a chunk costs about as much as summing up the chunks of the longest queue allowed.
const CHUNK_MAX: usize = 256;

/// Where a waiter stands; smaller is served earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    priority: Reverse<i32>,
    arrival: u64,
}

impl Place {
    pub(crate) const fn new(priority: i32, arrival: u64) -> Self {
        Self { priority: Reverse(priority), arrival }
    }

    pub(crate) const fn of(waiter: &WaiterRecord) -> Self {
        Self::new(waiter.priority, waiter.arrival)
    }

    /// Behind every waiter of the same priority.
    const fn end_of(priority: i32) -> Self {
        Self::new(priority, u64::MAX)
    }
}

type Chunk = Vec<(Place, Arc<WaiterRecord>)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// None is empty; each is sorted, and so are they.
    chunks: Vec<Arc<Chunk>>,
    len: u32,
}

impl Queue {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<&WaiterRecord> {
        self.chunks.first().and_then(|chunk| chunk.first()).map(|(_, waiter)| &**waiter)
    }

    /// Where the last one stands.
    pub(crate) fn last_place(&self) -> Option<Place> {
        self.chunks.last().and_then(|chunk| chunk.last()).map(|(place, _)| *place)
    }

    /// In the order in which they will be served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<WaiterRecord>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(_, waiter)| waiter))
    }

    pub(crate) fn get(&self, place: Place) -> Option<&WaiterRecord> {
        let (chunk, index) = self.find(place)?;
        Some(&self.chunks[chunk][index].1)
    }

    /// Counts from 1.
    pub(crate) fn position(&self, place: Place) -> Option<u32> {
        let (chunk, index) = self.find(place)?;
        let before: usize = self.chunks[..chunk].iter().map(|chunk| chunk.len()).sum();
        Some((before + index + 1) as u32)
    }

    /// The first waiter of each priority, highest first.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = &WaiterRecord> {
        let mut next = self.first();
        core::iter::from_fn(move || {
            let found = next?;
            let (chunk, index) = self.lower_bound(Place::end_of(found.priority));
            next = self.chunks.get(chunk).map(|chunk| &*chunk[index].1);
            Some(found)
        })
    }

    pub(crate) fn insert(&mut self, waiter: Arc<WaiterRecord>) {
        let place = Place::of(&waiter);
        let (at, index) = self.lower_bound(place);
        self.len += 1;
        if at == self.chunks.len() {
            return self.append(place, waiter);
        }
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        assert!(chunk[index].0 != place, "two waiters in one place");
        chunk.insert(index, (place, waiter));
        if chunk.len() > CHUNK_MAX {
            let tail = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, Arc::new(tail));
        }
    }

    /// The usual case: behind everybody. Chunks that grow at the end stay full.
    fn append(&mut self, place: Place, waiter: Arc<WaiterRecord>) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_MAX => Arc::make_mut(last).push((place, waiter)),
            Some(_) | None => self.chunks.push(Arc::new(alloc::vec![(place, waiter)])),
        }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Arc<WaiterRecord>> {
        let (at, index) = self.find(place)?;
        let (_, waiter) = Arc::make_mut(&mut self.chunks[at]).remove(index);
        self.len -= 1;
        self.shrink(at);
        Some(waiter)
    }

    /// Drops an empty chunk and joins two small neighbours, so that the number of chunks follows the number of waiters.
    fn shrink(&mut self, at: usize) {
        if self.chunks[at].is_empty() {
            self.chunks.remove(at);
            return;
        }
        let first = at.saturating_sub(1);
        for left in first..=at {
            let Some(right) = self.chunks.get(left + 1) else { return };
            if self.chunks[left].len() + right.len() <= CHUNK_MAX / 2 {
                let right = self.chunks.remove(left + 1);
                Arc::make_mut(&mut self.chunks[left]).extend(right.iter().cloned());
                return;
            }
        }
    }

    /// Sorted, counted, each in its place, and no chunk empty or too long.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut counted = 0;
        let mut before = None;
        for chunk in &self.chunks {
            if chunk.is_empty() || chunk.len() > CHUNK_MAX {
                return Err(format!("a chunk of {} waiters", chunk.len()));
            }
            for (place, waiter) in chunk.iter() {
                if before >= Some(*place) || *place != Place::of(waiter) {
                    return Err(format!("{place:?} after {before:?}"));
                }
                before = Some(*place);
                counted += 1;
            }
        }
        if counted != self.len {
            return Err(format!("{counted} waiters, {} kept", self.len));
        }
        Ok(())
    }

    fn find(&self, place: Place) -> Option<(usize, usize)> {
        let (chunk, index) = self.lower_bound(place);
        (self.chunks.get(chunk)?.get(index)?.0 == place).then_some((chunk, index))
    }

    /// The first entry at or behind `place`; behind the last chunk if there is none.
    fn lower_bound(&self, place: Place) -> (usize, usize) {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.last().is_some_and(|(last, _)| *last < place));
        let index = self
            .chunks
            .get(chunk)
            .map_or(0, |entries| entries.partition_point(|(other, _)| *other < place));
        (chunk, index)
    }
}
