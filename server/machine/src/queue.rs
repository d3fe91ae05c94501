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

/// How many of a read-write lock wait for each mode.
type ByMode = [u32; 3];

const MODES: [Mode; 3] = [Mode::Read, Mode::Upgradable, Mode::Write];

#[derive(Debug, Clone, Default)]
struct Chunk {
    /// Sorted.
    entries: Vec<(Place, Waiting)>,
    by_mode: ByMode,
}

impl Chunk {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn insert(&mut self, index: usize, place: Place, waiting: Waiting) {
        count(&mut self.by_mode, &waiting, |count| *count += 1);
        self.entries.insert(index, (place, waiting));
    }

    fn remove(&mut self, index: usize) -> Waiting {
        let (_, waiting) = self.entries.remove(index);
        count(&mut self.by_mode, &waiting, |count| *count -= 1);
        waiting
    }

    /// Everything from `index` on, which leaves it.
    fn split_off(&mut self, index: usize) -> Self {
        let mut tail = Self { entries: self.entries.split_off(index), by_mode: [0; 3] };
        for (_, waiting) in &tail.entries {
            count(&mut tail.by_mode, waiting, |count| *count += 1);
            count(&mut self.by_mode, waiting, |count| *count -= 1);
        }
        tail
    }

    fn append(&mut self, other: &Self) {
        self.entries.extend_from_slice(&other.entries);
        for (sum, more) in self.by_mode.iter_mut().zip(other.by_mode) {
            *sum += more;
        }
    }
}

fn count(by_mode: &mut ByMode, waiting: &Waiting, change: impl Fn(&mut u32)) {
    if let Demand::RwLock(mode) = waiting.demand {
        change(&mut by_mode[mode as usize]);
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    /// None is empty; each is sorted, and so are they.
    chunks: Vec<Arc<Chunk>>,
    len: u32,
    by_mode: ByMode,
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
            .and_then(|chunk| chunk.entries.first())
            .map(|(place, waiting)| (*place, waiting))
    }

    /// In the order in which they will be served.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &Waiting)> {
        let entries = self.chunks.iter().flat_map(|chunk| &chunk.entries);
        entries.map(|(place, waiting)| (*place, waiting))
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Waiting> {
        let (chunk, index) = self.find(place)?;
        Some(&self.chunks[chunk].entries[index].1)
    }

    /// Counts from 1.
    pub(crate) fn position(&self, place: Place) -> Option<u32> {
        let (chunk, index) = self.find(place)?;
        let before: usize = self.chunks[..chunk].iter().map(|chunk| chunk.len()).sum();
        Some((before + index + 1) as u32)
    }

    /// Whether somebody before this place waits for such a mode of a read-write lock. Chunks without such a waiter are not
    /// walked: a lock that thousands wait for in one mode must not cost their number with each of them.
    pub(crate) fn waits_before(&self, place: Place, wanted: impl Fn(Mode) -> bool) -> bool {
        let some = |by_mode: &ByMode| {
            MODES.into_iter().any(|mode| by_mode[mode as usize] > 0 && wanted(mode))
        };
        if !some(&self.by_mode) {
            return false;
        }
        let (last, index) = self.lower_bound(place);
        if self.chunks[..last].iter().any(|chunk| some(&chunk.by_mode)) {
            return true;
        }
        let Some(chunk) = self.chunks.get(last).filter(|chunk| some(&chunk.by_mode)) else {
            return false;
        };
        let mut before = chunk.entries[..index].iter();
        before.any(|(_, waiting)| matches!(waiting.demand, Demand::RwLock(mode) if wanted(mode)))
    }

    /// The first waiter of each priority, highest first.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (Place, &Waiting)> {
        let mut next = self.first();
        core::iter::from_fn(move || {
            let found = next?;
            let (chunk, index) = self.lower_bound(found.0.end_of());
            let entry = self.chunks.get(chunk).map(|chunk| &chunk.entries[index]);
            next = entry.map(|(place, waiting)| (*place, waiting));
            Some(found)
        })
    }

    pub(crate) fn insert(&mut self, place: Place, waiting: Waiting) {
        let (at, index) = self.lower_bound(place);
        self.len += 1;
        count(&mut self.by_mode, &waiting, |count| *count += 1);
        if at == self.chunks.len() {
            return self.append(place, waiting);
        }
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        assert!(chunk.entries[index].0 != place, "two waiters in one place");
        chunk.insert(index, place, waiting);
        if chunk.len() > CHUNK_MAX {
            let tail = chunk.split_off(CHUNK_MAX / 2);
            self.chunks.insert(at + 1, Arc::new(tail));
        }
    }

    /// The usual case: behind everybody. Chunks that grow at the end stay full.
    fn append(&mut self, place: Place, waiting: Waiting) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_MAX => {
                let end = last.len();
                Arc::make_mut(last).insert(end, place, waiting);
            }
            Some(_) | None => {
                let mut chunk = Chunk::default();
                chunk.insert(0, place, waiting);
                self.chunks.push(Arc::new(chunk));
            }
        }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Waiting> {
        let (at, index) = self.find(place)?;
        let waiting = Arc::make_mut(&mut self.chunks[at]).remove(index);
        self.len -= 1;
        count(&mut self.by_mode, &waiting, |count| *count -= 1);
        self.shrink(at);
        Some(waiting)
    }

    /// Drops an empty chunk and joins two small neighbours, so that the number of chunks follows the number of waiters.
    fn shrink(&mut self, at: usize) {
        if self.chunks[at].len() == 0 {
            self.chunks.remove(at);
            return;
        }
        let first = at.saturating_sub(1);
        for left in first..=at {
            let Some(right) = self.chunks.get(left + 1) else { return };
            if self.chunks[left].len() + right.len() <= CHUNK_MAX / 2 {
                let right = self.chunks.remove(left + 1);
                Arc::make_mut(&mut self.chunks[left]).append(&right);
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
            if chunk.len() == 0 || chunk.len() > CHUNK_MAX {
                return Err(format!("a chunk of {} waiters", chunk.len()));
            }
            let mut of_chunk = [0; 3];
            for (place, waiting) in &chunk.entries {
                if before >= Some(*place) {
                    return Err(format!("{place:?} after {before:?}"));
                }
                count(&mut of_chunk, waiting, |count| *count += 1);
                count(&mut by_mode, waiting, |count| *count += 1);
                before = Some(*place);
                counted += 1;
            }
            if of_chunk != chunk.by_mode {
                return Err(format!("a chunk of {of_chunk:?} kept as {:?}", chunk.by_mode));
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
        (self.chunks.get(chunk)?.entries.get(index)?.0 == place).then_some((chunk, index))
    }

    /// The first entry at or behind `place`; behind the last chunk if there is none.
    fn lower_bound(&self, place: Place) -> (usize, usize) {
        let chunk = self
            .chunks
            .partition_point(|chunk| chunk.entries.last().is_some_and(|(last, _)| *last < place));
        let index = self
            .chunks
            .get(chunk)
            .map_or(0, |chunk| chunk.entries.partition_point(|(other, _)| *other < place));
        (chunk, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mostly readers, so that whole chunks have nobody else.
    fn waiter(arrival: u64) -> Waiting {
        let mode = match arrival % 701 {
            0 => Mode::Write,
            1 => Mode::Upgradable,
            _ => Mode::Read,
        };
        Waiting {
            session: SessionId(1),
            seq: Seq(arrival),
            demand: Demand::RwLock(mode),
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
        for mode in MODES {
            let wanted = |place: &Place| waiter(place.arrival).demand == Demand::RwLock(mode);
            let first = plain.iter().position(wanted).unwrap_or(plain.len());
            for (index, place) in plain.iter().enumerate() {
                assert_eq!(queue.waits_before(*place, |other| other == mode), first < index);
            }
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
