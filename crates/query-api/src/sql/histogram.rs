//! Percentiles from the log-scaled buckets of the tables, as `docs/read-models.md` defines them.

use std::collections::BTreeMap;

/// How many times fell into each bucket; the keys are bucket numbers.
pub(crate) type Buckets = BTreeMap<u16, u64>;

/// The middle of a bucket in milliseconds.
fn middle_ms(bucket: u16) -> f64 {
    let (doubling, step) = (bucket / 16, bucket % 16);
    let micros = match doubling.checked_sub(1) {
        None => f64::from(step),
        Some(shift) => {
            let width = 2_f64.powi(i32::from(shift));
            f64::from(16 + step) * width + (width - 1.0) / 2.0
        }
    };
    micros / 1000.0
}

/// The nearest rank: the middle of the bucket in which the `ceil(percent · n / 100)`-th smallest of `n` times lies.
pub(crate) fn percentile_ms(buckets: &Buckets, percent: u8) -> Option<f64> {
    let total: u64 = buckets.values().sum();
    let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
    let mut counted = 0_u128;
    let bucket = buckets.iter().find_map(|(bucket, count)| {
        counted += u128::from(*count);
        (counted >= rank).then_some(*bucket)
    });
    bucket.map(middle_ms)
}

/// Adds the counts of `other`.
pub(crate) fn merge(buckets: &mut Buckets, other: &Buckets) {
    for (bucket, count) in other {
        *buckets.entry(*bucket).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(micros: u64) -> u16 {
        let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(5);
        u16::try_from((u64::from(shift) << 4) + (micros >> shift)).unwrap()
    }

    #[test]
    fn a_percentile_is_within_five_percent_of_the_nearest_rank() {
        let times: Vec<u64> = (1..=1000).map(|n| n * n * 7).collect();
        let mut buckets = Buckets::new();
        for time in &times {
            *buckets.entry(bucket(*time)).or_default() += 1;
        }
        for percent in [1, 50, 95, 99, 100] {
            let exact = times[usize::from(percent) * 10 - 1] as f64 / 1000.0;
            let found = percentile_ms(&buckets, percent).unwrap();
            assert!((found - exact).abs() / exact < 0.05, "p{percent} {found} {exact}");
        }
    }

    #[test]
    fn nothing_has_no_percentile_and_one_time_is_all_of_them() {
        assert_eq!(percentile_ms(&Buckets::new(), 50), None);
        let one = Buckets::from([(bucket(12), 1)]);
        assert_eq!(percentile_ms(&one, 1), Some(0.012));
        assert_eq!(percentile_ms(&one, 99), Some(0.012));
    }

    #[test]
    fn buckets_add_up() {
        let mut left = Buckets::from([(1, 2), (3, 4)]);
        merge(&mut left, &Buckets::from([(3, 1), (5, 6)]));
        assert_eq!(left, Buckets::from([(1, 2), (3, 5), (5, 6)]));
    }
}
