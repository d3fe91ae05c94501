//! An ordered map in shards behind `Arc`: a clone of the whole is cheap, and the first write to a shard afterwards copies
//! that shard alone. It never iterates in an order that depends on anything but the keys.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Reverse;
use core::ops::Bound;

use crate::digest::Fnv;
use crate::ids::{Secret, SessionId};
use crate::limits::SHARDS;
use crate::name::Name;

/// Where a key lives. Fixed for ever within one build; no record and no digest depends on it.
pub(crate) trait ShardKey: Ord + Clone {
    fn shard(&self) -> usize;
}

const _: () = assert!(SHARDS.is_power_of_two(), "shards are chosen by the top bits of a hash");

/// Spreads numbers that were drawn in a row, or with a stride, over all shards (Fibonacci hashing).
const fn spread(number: u64) -> usize {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SHARDS.trailing_zeros())) as usize
}

impl ShardKey for SessionId {
    fn shard(&self) -> usize {
        spread(self.0)
    }
}

impl ShardKey for Secret {
    fn shard(&self) -> usize {
        spread((self.0 >> 64) as u64 ^ self.0 as u64)
    }
}

impl ShardKey for Name {
    fn shard(&self) -> usize {
        spread(Fnv::of(self.as_str().as_bytes()))
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Sharded<K, V> {
    shards: Vec<Arc<BTreeMap<K, V>>>,
}

impl<K: ShardKey, V: Clone> Sharded<K, V> {
    /// All shards are one and the same empty map until written to.
    pub(crate) fn new() -> Self {
        let empty = Arc::new(BTreeMap::new());
        Self { shards: vec![empty; SHARDS] }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.shards[key.shard()].get(key)
    }

    /// Does not copy the shard for a key that is not there.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let shard = &mut self.shards[key.shard()];
        match Arc::get_mut(shard).is_some() || shard.contains_key(key) {
            true => Arc::make_mut(shard).get_mut(key),
            false => None,
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        Arc::make_mut(&mut self.shards[key.shard()]).insert(key, value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        Arc::make_mut(&mut self.shards[key.shard()]).remove(key)
    }

    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.len() as u64).sum()
    }

    /// Shard by shard: for questions whose answer does not depend on the order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// The keys from `from` on for as long as `wanted` says so; each shard in order, shard by shard.
    pub(crate) fn range<'a, Q>(
        &'a self,
        from: &'a Q,
        wanted: impl Fn(&K) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = (&'a K, &'a V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.shards.iter().flat_map(move |shard| {
            shard
                .range::<Q, _>((Bound::Included(from), Bound::Unbounded))
                .take_while(move |(key, _)| wanted(key))
        })
    }

    /// All in the order of the keys: the shards merged.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut shards: Vec<_> = self.shards.iter().map(|shard| shard.iter()).collect();
        let mut next: Vec<Option<(&K, &V)>> = shards.iter_mut().map(Iterator::next).collect();
        let mut heads: BinaryHeap<Reverse<(&K, usize)>> = next
            .iter()
            .enumerate()
            .filter_map(|(index, head)| head.map(|(key, _)| Reverse((key, index))))
            .collect();
        core::iter::from_fn(move || {
            let Reverse((_, index)) = heads.pop()?;
            let found = next[index].take();
            next[index] = shards[index].next();
            if let Some((key, _)) = next[index] {
                heads.push(Reverse((key, index)));
            }
            found
        })
    }
}

impl<K: ShardKey, V: Clone> Sharded<K, Arc<V>> {
    /// The value for writing, copied first if a clone of the machine still shares it.
    pub(crate) fn edit(&mut self, key: &K) -> Option<&mut V> {
        self.get_mut(key).map(Arc::make_mut)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn sorted_merges_all_shards_in_order() {
        let mut map = Sharded::new();
        for number in (0..5_000_u64).rev() {
            assert!(map.insert(SessionId(number * 3), number).is_none());
        }
        assert_eq!(map.len(), 5_000);
        assert!(
            map.sorted().map(|(id, number)| (id.0, *number)).eq((0..5_000).map(|n| (n * 3, n)))
        );
        assert_eq!(map.sorted().count(), map.iter().count());
    }

    /// Numbers drawn with a stride, as sessions are, and names that differ in one digit use all shards about alike.
    #[test]
    fn keys_spread_over_the_shards() {
        let longest = |shards: &mut dyn Iterator<Item = usize>| {
            let mut counts = vec![0; SHARDS];
            shards.for_each(|shard| counts[shard] += 1);
            counts.into_iter().max().expect("shards")
        };
        let many = SHARDS as u64 * 16;
        for stride in [1, 2, 3, 4, 1024] {
            let most = longest(&mut (0..many).map(|n| SessionId(n * stride).shard()));
            assert!(most < 16 * 4, "stride {stride}: {most} in one shard");
        }
        let name = |n| Name::new(&format!("job/{n}")).expect("a name").shard();
        let most = longest(&mut (0..many).map(name));
        assert!(most < 16 * 4, "names: {most} in one shard");
    }

    #[test]
    fn a_write_after_a_clone_copies_one_shard() {
        let mut map = Sharded::new();
        for number in 0..5_000 {
            map.insert(SessionId(number), Arc::new(number));
        }
        let snapshot = map.clone();
        *map.edit(&SessionId(7)).expect("it is there") = 70;
        assert!(map.edit(&SessionId(9_999)).is_none());
        let copied = map.shards.iter().filter(|shard| Arc::strong_count(shard) == 1).count();
        assert_eq!(copied, 1);
        assert_eq!(snapshot.get(&SessionId(7)).map(|number| **number), Some(7));
        assert_eq!(map.get(&SessionId(7)).map(|number| **number), Some(70));
    }
}
