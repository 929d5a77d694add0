//! [`Sampler`]: which samples this process reads in an epoch, and in which order.
//!
//! One permutation of the whole data set is made per epoch, from the seed and the epoch's number alone, so that every
//! rank on every machine makes the same one. Rank `r` of `w` takes the positions `r`, `r + w`, `r + 2w` and so on: together
//! the ranks take every sample exactly once.
//!
//! # The permutation
//! A contract, since the order of an epoch has to survive an upgrade in the middle of a training run:
//!
//! 1. SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) started at `seed` gives one
//!    number; SplitMix64 started at that number plus `epoch` gives the four words of the generator's state.
//! 2. The generator is xoshiro256** (Blackman, Vigna: "Scrambled linear pseudorandom number generators", 2021).
//! 3. A number below `n` is the upper half of the 128-bit product of the next output and `n`; an output whose lower half
//!    is below `2^64 mod n` is thrown away (Lemire: "Fast random integer generation in an interval", 2019).
//! 4. Fisher-Yates, from the end: for `i` from `len - 1` down to 1, element `i` changes places with element `j`, a number
//!    below `i + 1`.

use s3dlio_store::{Result, UnifiedLoaderConfig};

/// Says which samples this process reads in an epoch, and in which order.
///
/// ```
/// use s3dlio_data::Sampler;
/// use s3dlio_store::UnifiedLoaderConfig;
///
/// let config = UnifiedLoaderConfig { shuffle: true, seed: 7, ..Default::default() };
/// let sampler = Sampler::new(&config, 1000)?;
/// let order = |epoch| sampler.order(epoch).iter().collect::<Vec<_>>();
/// assert_eq!(order(0), order(0));
/// assert_ne!(order(0), order(1));
/// # Ok::<(), s3dlio_store::Error>(())
/// ```
///
/// # Ranks, and a last batch that is not full
/// By default nothing is dropped and nothing is given twice: where the samples do not divide by `world_size`, the first
/// ranks have one sample more than the others, which may make one batch more; a rank may have none at all. A training
/// step that all ranks must take part in wants the same number of batches everywhere: that is what `drop_last` gives.
/// With it each rank has `samples / (world_size × batch_size)` full batches, and the samples at the end of the epoch's
/// order, fewer than `world_size × batch_size`, are left out; with `shuffle`, other ones in each epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampler {
    samples: usize,
    /// Samples per epoch of this rank.
    own: usize,
    shuffle: bool,
    seed: u64,
    rank: usize,
    world_size: usize,
    batch_size: usize,
}

impl Sampler {
    /// A sampler for a data set of `samples` samples, by `shuffle`, `seed`, `rank`, `world_size`, `batch_size` and
    /// `drop_last`.
    ///
    /// # Errors
    /// As [`UnifiedLoaderConfig::validate`].
    ///
    /// # Panics
    /// If there are more than 4,294,967,295 samples; no [`Dataset`](crate::Dataset) has.
    pub fn new(config: &UnifiedLoaderConfig, samples: usize) -> Result<Self> {
        config.validate()?;
        assert!(u32::try_from(samples).is_ok(), "a data set has at most {} samples", u32::MAX);
        let (rank, world_size, batch_size) = (config.rank, config.world_size, config.batch_size);
        let own = if config.drop_last {
            samples / world_size / batch_size * batch_size
        } else {
            samples / world_size + usize::from(rank < samples % world_size)
        };
        Ok(Self { samples, own, shuffle: config.shuffle, seed: config.seed, rank, world_size, batch_size })
    }

    /// Samples that this rank reads in every epoch.
    pub fn samples_per_epoch(&self) -> usize {
        self.own
    }

    /// Batches that this rank reads in every epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.own.div_ceil(self.batch_size)
    }

    /// The order of an epoch. Shuffling ten million samples takes some tenths of a second, in the
    /// calling thread, and 40 MB.
    pub fn order(&self, epoch: u64) -> Order {
        let (first, step) = (self.rank, self.world_size);
        let shuffled = self.shuffle.then(|| {
            let all = permutation(self.seed, epoch, self.samples as u32);
            if step == 1 {
                return all;
            }
            all.into_iter().skip(first).step_by(step).take(self.own).collect()
        });
        Order { first, step, len: self.own, shuffled }
    }
}

/// The samples of one epoch, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    first: usize,
    step: usize,
    len: usize,
    /// The samples by position; without a shuffle they are counted off.
    shuffled: Option<Vec<u32>>,
}

impl Order {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether this rank has nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sample at a position, as an index into the data set.
    pub fn get(&self, position: usize) -> Option<usize> {
        (position < self.len).then(|| match &self.shuffled {
            Some(samples) => samples[position] as usize,
            None => self.first + position * self.step,
        })
    }

    /// The samples, as indices into the data set.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.len).map_while(|position| self.get(position))
    }
}

fn permutation(seed: u64, epoch: u64, len: u32) -> Vec<u32> {
    let mut generator = Generator::new(seed, epoch);
    let mut all: Vec<u32> = (0..len).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, generator.below(last as u64 + 1) as usize);
    }
    all
}

/// xoshiro256**.
struct Generator([u64; 4]);

impl Generator {
    fn new(seed: u64, epoch: u64) -> Self {
        let mut state = seed;
        // Mixed first, so that seed 1 in epoch 0 is not seed 0 in epoch 1.
        let mut state = split_mix(&mut state).wrapping_add(epoch);
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let (c_mixed, d_mixed) = (c ^ a, d ^ b);
        self.0 = [a ^ d_mixed, b ^ c_mixed, c_mixed ^ (b << 17), d_mixed.rotate_left(45)];
        b.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
    }

    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            let low = product as u64;
            // The division is only needed when the lower half is small, which it hardly ever is.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(shuffle: bool, seed: u64, rank: usize, world_size: usize) -> UnifiedLoaderConfig {
        UnifiedLoaderConfig { shuffle, seed, rank, world_size, ..Default::default() }
    }

    #[test]
    fn the_generators_give_the_numbers_of_their_papers() {
        let mut state = 1_234_567;
        let numbers = [(); 3].map(|()| split_mix(&mut state));
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        let mut generator = Generator([1, 2, 3, 4]);
        let numbers = [(); 4].map(|()| generator.next());
        assert_eq!(numbers, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);
    }

    #[test]
    fn the_order_of_an_epoch_never_changes_between_versions() {
        // By a separate implementation of the module's header in Python.
        assert_eq!(permutation(0, 0, 10), [5, 3, 8, 2, 0, 6, 7, 1, 4, 9]);
        assert_eq!(permutation(42, 3, 10), [8, 5, 0, 4, 9, 6, 7, 1, 3, 2]);
    }

    #[test]
    fn every_permutation_of_a_few_samples_is_as_likely() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(5, epoch, 4)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        // 1,000 each are expected; five standard deviations are 155.
        assert!(counts.values().all(|count| (845..=1155).contains(count)), "{counts:?}");
    }

    #[test]
    fn seed_and_epoch_both_matter() {
        let order = |seed, epoch| permutation(seed, epoch, 100);
        assert_ne!(order(1, 0), order(0, 0));
        assert_ne!(order(0, 1), order(0, 0));
        assert_ne!(order(1, 0), order(0, 1));
    }

    #[test]
    fn without_a_shuffle_the_order_is_the_data_sets() {
        let samples = |rank| Sampler::new(&config(false, 0, rank, 3), 8).unwrap().order(9).iter().collect::<Vec<_>>();
        assert_eq!([samples(0), samples(1), samples(2)], [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    }

    #[test]
    fn a_rank_that_cannot_be_is_refused() {
        let error = Sampler::new(&config(false, 0, 3, 3), 8).unwrap_err();
        assert_eq!(error.kind(), s3dlio_store::ErrorKind::Config);
    }

    proptest! {
        #[test]
        fn the_ranks_share_every_sample_exactly_once(
            samples in 0_usize..400,
            world_size in 1_usize..12,
            seed: u64,
            epoch: u64,
            shuffle: bool,
        ) {
            let mut seen = vec![0; samples];
            let mut sizes = Vec::new();
            for rank in 0..world_size {
                let sampler = Sampler::new(&config(shuffle, seed, rank, world_size), samples).unwrap();
                let order = sampler.order(epoch);
                prop_assert_eq!(order.len(), sampler.samples_per_epoch());
                prop_assert_eq!(order.iter().count(), order.len());
                order.iter().for_each(|sample| seen[sample] += 1);
                sizes.push(order.len());
            }
            prop_assert!(seen.iter().all(|count| *count == 1));
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }

        #[test]
        fn drop_last_gives_every_rank_as_many_full_batches(
            samples in 0_usize..400,
            world_size in 1_usize..9,
            batch_size in 1_usize..20,
            seed: u64,
        ) {
            let mut seen = vec![0; samples];
            for rank in 0..world_size {
                let config = UnifiedLoaderConfig { drop_last: true, batch_size, ..config(true, seed, rank, world_size) };
                let sampler = Sampler::new(&config, samples).unwrap();
                prop_assert_eq!(sampler.samples_per_epoch() % batch_size, 0);
                prop_assert_eq!(sampler.batches_per_epoch(), samples / (world_size * batch_size));
                sampler.order(1).iter().for_each(|sample| seen[sample] += 1);
            }
            prop_assert!(seen.iter().all(|count| *count <= 1));
            prop_assert!(seen.iter().filter(|count| **count == 0).count() < world_size * batch_size);
        }
    }
}
