//! Buckets of very many clients in memory that never grows and is never locked.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Rate;

/// Places that one client's bucket may stand in.
const WAYS: usize = 4;

/// Buckets by key. A full set forgets the bucket that is nearest to being empty, and an empty one says
/// nothing anyhow. Two that come at the same moment for one place may be counted as one; a limit is no
/// account.
#[derive(Debug)]
pub struct Buckets {
    /// Its keys are random, so nobody can choose addresses that fall together.
    hasher: RandomState,
    sets: Box<[[Bucket; WAYS]]>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Hash of the key; zero is free.
    tag: AtomicU64,
    empty_at: AtomicU64,
}

impl Buckets {
    /// Makes room for so many.
    #[must_use]
    pub fn new(places: usize) -> Self {
        let sets = (0..places.div_ceil(WAYS).max(1)).map(|_| Default::default()).collect();
        Self { hasher: RandomState::new(), sets }
    }

    /// Takes one out of the bucket of a key, see [`Rate::take`].
    ///
    /// # Errors
    /// How long until there is one again.
    pub fn take(&self, key: impl Hash, rate: Rate, now: u64) -> Result<(), Duration> {
        rate.take(self.bucket(key), now)
    }

    /// Gives back what was taken.
    pub fn give_back(&self, key: impl Hash, rate: Rate) {
        rate.give_back(self.bucket(key));
    }

    fn bucket(&self, key: impl Hash) -> &AtomicU64 {
        let tag = self.hasher.hash_one(key) | 1;
        // The remainder is less than the number of sets, which is a `usize`.
        let set = &self.sets[((tag >> 1) % self.sets.len() as u64) as usize];
        if let Some(own) = set.iter().find(|bucket| bucket.tag.load(Ordering::Relaxed) == tag) {
            return &own.empty_at;
        }
        let emptiest = |bucket: &&Bucket| bucket.empty_at.load(Ordering::Relaxed);
        let free = set.iter().min_by_key(emptiest).expect("a set has places");
        free.tag.store(tag, Ordering::Relaxed);
        free.empty_at.store(0, Ordering::Relaxed);
        &free.empty_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_minute(2);

    #[test]
    fn each_key_has_its_own_bucket() {
        let buckets = Buckets::new(1024);
        for key in ["a", "b"] {
            assert_eq!([buckets.take(key, RATE, 1), buckets.take(key, RATE, 1)], [Ok(()); 2]);
            assert_eq!(buckets.take(key, RATE, 1), Err(Duration::from_secs(30)));
        }
        buckets.give_back("a", RATE);
        assert_eq!(buckets.take("a", RATE, 1), Ok(()));
    }

    #[test]
    fn the_most_indebted_is_remembered_longest() {
        let buckets = Buckets::new(1);
        for _ in 0..3 {
            let _ = buckets.take("guesser", RATE, 1);
        }
        for other in 0..1000 {
            assert_eq!(buckets.take(other, RATE, 1), Ok(()));
        }
        assert!(buckets.take("guesser", RATE, 1).is_err());
    }
}
