//! Log-scaled buckets for times, so that percentiles of any window can be had by adding up counts.
//!
//! Sixteen buckets to each doubling of whole microseconds, made by shifts alone: the same on every machine, and easy to
//! write in SQL (`docs/read-models.md`, "Histogram"). The middle of a bucket is at most 1/31 off, under the 5 % that
//! is promised.

use std::collections::BTreeMap;

use serde::Serialize;

/// Buckets to a doubling, as a power of two.
const SUBDIVISION_BITS: u32 = 4;

/// The number of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of a time in microseconds.
    #[must_use]
    pub fn of_micros(micros: u64) -> Self {
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(SUBDIVISION_BITS + 1);
        let number = (u64::from(shift) << SUBDIVISION_BITS) + (micros >> shift);
        Self(u16::try_from(number).unwrap_or(u16::MAX))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The middle of the bucket in microseconds: what all times in it stand for.
    #[must_use]
    pub fn middle_micros(self) -> f64 {
        let (doubling, step) = (self.0 >> SUBDIVISION_BITS, self.0 & ((1 << SUBDIVISION_BITS) - 1));
        let Some(shift) = doubling.checked_sub(1) else {
            return f64::from(step);
        };
        let width = 2_f64.powi(i32::from(shift));
        f64::from((1 << SUBDIVISION_BITS) + step) * width + (width - 1.0) / 2.0
    }
}

/// How many times fell into each bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<Bucket, u64>);

impl Histogram {
    /// Counts a time in microseconds.
    pub fn add_micros(&mut self, micros: u64) {
        *self.0.entry(Bucket::of_micros(micros)).or_default() += 1;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// The time, in microseconds, that a share of all times does not exceed, by nearest rank; `None` without any.
    /// `percent` is from 0 to 100.
    #[must_use]
    pub fn percentile_micros(&self, percent: u8) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
        let mut counted = 0_u128;
        let bucket = self.0.iter().find_map(|(bucket, count)| {
            counted += u128::from(*count);
            (counted >= rank).then_some(*bucket)
        });
        bucket.map(Bucket::middle_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_numbered_without_a_hole_and_in_order() {
        let mut last = 0;
        for micros in 0..100_000 {
            let bucket = Bucket::of_micros(micros).number();
            assert!(
                bucket == last || bucket == last + 1,
                "{micros} µs is in bucket {bucket} after {last}"
            );
            last = bucket;
        }
        assert_eq!(Bucket::of_micros(u64::MAX).number(), 975);
    }

    #[test]
    fn small_times_are_exact() {
        for micros in 0..32_u8 {
            let middle = Bucket::of_micros(u64::from(micros)).middle_micros();
            assert!((middle - f64::from(micros)).abs() < f64::EPSILON);
        }
    }

    proptest! {
        #[test]
        fn the_middle_of_a_bucket_is_within_five_percent(micros in 1..1_u64 << 53) {
            #[allow(clippy::cast_precision_loss, reason = "below 2^53 it is exact")]
            let time = micros as f64;
            let error = (Bucket::of_micros(micros).middle_micros() - time).abs() / time;
            prop_assert!(error <= 0.05, "{micros} µs is {error} off");
        }

        #[test]
        fn a_percentile_is_the_nearest_rank_within_five_percent(
            mut times in prop::collection::vec(1..10_000_000_u32, 1..200),
            percent in 0..=100_u8,
        ) {
            let mut histogram = Histogram::default();
            for time in &times {
                histogram.add_micros(u64::from(*time));
            }
            times.sort_unstable();
            let rank = (times.len() * usize::from(percent)).div_ceil(100).max(1);
            let exact = f64::from(times[rank - 1]);
            let found = histogram.percentile_micros(percent).unwrap();
            prop_assert!((found - exact).abs() / exact <= 0.05, "p{percent} is {found}, exactly {exact}");
        }

        #[test]
        fn histograms_add_up(left in prop::collection::vec(any::<u64>(), 0..50), right in prop::collection::vec(any::<u64>(), 0..50)) {
            let of = |times: &[u64]| {
                let mut histogram = Histogram::default();
                times.iter().for_each(|t| histogram.add_micros(*t));
                histogram
            };
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(merged, of(&[left, right].concat()));
        }
    }

    #[test]
    fn nothing_counted_has_no_percentile() {
        assert_eq!(Histogram::default().percentile_micros(50), None);
    }
}
