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

use crate::demand::{Demand, Mode};
use crate::ids::{Seq, SessionId, Token};
use crate::record::WaiterRecord;

/// Moving half a chunk costs about as much as summing up the chunks of the longest queue allowed.
const CHUNK_MAX: usize = 256;

/// Where a waiter stands, in each of its queues; smaller is served earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    rank: Reverse<i64>,
    arrival: u64,
}

impl Place {
    pub(crate) const fn new(priority: i32, arrival: u64) -> Self {
        Self { rank: Reverse(priority as i64), arrival }
    }

    /// An upgrade goes before everyone, since nobody else can be granted while its hold stays.
    pub(crate) const fn of(waiter: &WaiterRecord) -> Self {
        match waiter.upgrades {
            Some(_) => Self { rank: Reverse(i64::MAX), arrival: waiter.arrival },
            None => Self::new(waiter.priority, waiter.arrival),
        }
    }

    /// Behind every waiter of the same rank.
    const fn end_of(self) -> Self {
        Self { rank: self.rank, arrival: u64::MAX }
    }
}

/// A waiter as its queue knows it; the request itself is with its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    /// What it wants of this object.
    pub(crate) demand: Demand,
    pub(crate) upgrades: Option<Token>,
    pub(crate) priority: i32,
    /// It waits in other queues as well.
    pub(crate) of_several: bool,
}

impl Waiting {
    pub(crate) const fn of(waiter: &WaiterRecord, demand: Demand) -> Self {
        Self {
            session: waiter.session,
            seq: waiter.seq,
            demand,
            upgrades: waiter.upgrades,
            priority: waiter.priority,
            of_several: waiter.items.single().is_none(),
        }
    }
}

type Chunk = Vec<(Place, Waiting)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// None is empty; each is sorted, and so are they.
    chunks: Vec<Arc<Chunk>>,
    len: u32,
    /// Of a read-write lock: how many wait for each mode.
    by_mode: [u32; 3],
}

impl Queue {
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many wait for this mode of a read-write lock.
    pub(crate) const fn count_of(&self, mode: Mode) -> u32 {
        self.by_mode[mode as usize]
    }

    pub(crate) fn first(&self) -> Option<(Place, &Waiting)> {
        self.chunks
            .first()
            .and_then(|chunk| chunk.first())
            .map(|(place, waiting)| (*place, waiting))
    }

    /// In the order in which they will be served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &Waiting)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(place, waiting)| (*place, waiting)))
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Waiting> {
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
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (Place, &Waiting)> {
        let mut next = self.first();
        core::iter::from_fn(move || {
            let found = next?;
            let (chunk, index) = self.lower_bound(found.0.end_of());
            next = self.chunks.get(chunk).map(|chunk| (chunk[index].0, &chunk[index].1));
            Some(found)
        })
    }

    pub(crate) fn insert(&mut self, place: Place, waiting: Waiting) {
        let (at, index) = self.lower_bound(place);
        self.len += 1;
        if let Demand::RwLock(mode) = waiting.demand {
            self.by_mode[mode as usize] += 1;
        }
        if at == self.chunks.len() {
            return self.append(place, waiting);
        }
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        assert!(chunk[index].0 != place, "two waiters in one place");
        chunk.insert(index, (place, waiting));
        if chunk.len() > CHUNK_MAX {
            let tail = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, Arc::new(tail));
        }
    }

    /// The usual case: behind everybody. Chunks that grow at the end stay full.
    fn append(&mut self, place: Place, waiting: Waiting) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_MAX => Arc::make_mut(last).push((place, waiting)),
            Some(_) | None => self.chunks.push(Arc::new(alloc::vec![(place, waiting)])),
        }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Waiting> {
        let (at, index) = self.find(place)?;
        let (_, waiting) = Arc::make_mut(&mut self.chunks[at]).remove(index);
        self.len -= 1;
        if let Demand::RwLock(mode) = waiting.demand {
            self.by_mode[mode as usize] -= 1;
        }
        self.shrink(at);
        Some(waiting)
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
        let mut by_mode = [0; 3];
        let mut before = None;
        for chunk in &self.chunks {
            if chunk.is_empty() || chunk.len() > CHUNK_MAX {
                return Err(format!("a chunk of {} waiters", chunk.len()));
            }
            for (place, waiting) in chunk.iter() {
                if before >= Some(*place) {
                    return Err(format!("{place:?} after {before:?}"));
                }
                if let Demand::RwLock(mode) = waiting.demand {
                    by_mode[mode as usize] += 1;
                }
                before = Some(*place);
                counted += 1;
            }
        }
        if (counted, by_mode) != (self.len, self.by_mode) {
            return Err(format!(
                "{counted} waiters {by_mode:?}, kept {} {:?}",
                self.len, self.by_mode
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(arrival: u64) -> Waiting {
        Waiting {
            session: SessionId(1),
            seq: Seq(arrival),
            demand: Demand::Mutex,
            upgrades: None,
            priority: 0,
            of_several: false,
        }
    }

    /// Against a plain sorted list, over enough waiters to split and join chunks; seeded, so the same every time.
    #[test]
    fn it_behaves_like_a_sorted_list() {
        for (seed, priorities) in [(1_u64, 1), (2, 3), (3, 1_000)] {
            let (mut queue, mut plain) = (Queue::default(), Vec::<Place>::new());
            let mut random = seed;
            let mut draw = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            for arrival in 0..6_000 {
                // Grows to some thousands, then shrinks to nothing.
                let grows = draw(100) < if arrival < 4_000 { 80 } else { 20 };
                if grows || plain.is_empty() {
                    let priority = draw(priorities) as i32;
                    let place = Place::new(priority, arrival);
                    queue.insert(place, waiter(arrival));
                    plain.push(place);
                    plain.sort_unstable();
                } else {
                    let place = plain.remove(draw(plain.len() as u64) as usize);
                    assert_eq!(queue.remove(place).unwrap().seq, Seq(place.arrival));
                    assert!(queue.remove(place).is_none());
                    assert!(queue.get(place).is_none() && queue.position(place).is_none());
                }
                if arrival % 97 == 0 {
                    agree(&queue, &plain);
                }
            }
            agree(&queue, &plain);
        }
    }

    fn agree(queue: &Queue, plain: &[Place]) {
        queue.check().unwrap();
        assert!(queue.iter().map(|(place, _)| place).eq(plain.iter().copied()));
        assert_eq!(queue.first().map(|(place, _)| place), plain.first().copied());
        for (place, position) in plain.iter().zip(1..) {
            assert_eq!(queue.position(*place), Some(position));
        }
        let mut leaders = plain.to_vec();
        leaders.dedup_by_key(|place| place.rank);
        assert!(queue.leaders().map(|(place, _)| place).eq(leaders));
    }

    /// Neither a long line nor one that was thinned out keeps more chunks than its waiters need.
    #[test]
    fn chunks_follow_the_waiters() {
        let mut queue = Queue::default();
        for arrival in 0..10_000 {
            queue.insert(Place::new(0, arrival), waiter(arrival));
        }
        assert_eq!(queue.chunks.len(), 10_000_usize.div_ceil(CHUNK_MAX));
        for arrival in (0..10_000).filter(|arrival| arrival % 50 != 0) {
            queue.remove(Place::new(0, arrival));
        }
        assert!(queue.chunks.len() <= 1 + 200 / (CHUNK_MAX / 4), "{}", queue.chunks.len());
        queue.check().unwrap();
    }

    /// A write after a clone copies one chunk; the clone keeps what it had.
    #[test]
    fn a_clone_shares_all_other_chunks() {
        let mut queue = Queue::default();
        for arrival in 0..10_000 {
            queue.insert(Place::new(0, arrival), waiter(arrival));
        }
        let snapshot = queue.clone();
        queue.remove(Place::new(0, 5_000));
        let shared = queue.chunks.iter().filter(|chunk| Arc::strong_count(chunk) == 2).count();
        assert_eq!(shared, queue.chunks.len() - 1);
        assert_eq!((queue.len(), snapshot.len()), (9_999, 10_000));
        assert!(snapshot.get(Place::new(0, 5_000)).is_some());
        snapshot.check().unwrap();
    }
}
