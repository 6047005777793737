//! How many took how long.

use std::fmt::{self, Write};
use std::time::Duration;

use super::Counter;

/// Upper bounds in microseconds, and how they are written in seconds.
const BOUNDS: [(u64, &str); 12] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (5_000, "0.005"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
    (60_000_000, "60"),
];

/// Counts by bound; the last is beyond all of them.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub(super) fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| us <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }

    pub(super) fn write(&self, name: &str, to: &mut String) -> fmt::Result {
        writeln!(to, "# TYPE {name} histogram")?;
        let mut below = 0;
        for (bucket, (_, bound)) in self.buckets.iter().zip(BOUNDS) {
            below += bucket.get();
            writeln!(to, "{name}_bucket{{le=\"{bound}\"}} {below}")?;
        }
        let all = below + self.buckets[BOUNDS.len()].get();
        writeln!(to, "{name}_bucket{{le=\"+Inf\"}} {all}")?;
        let us = self.sum_us.get();
        writeln!(to, "{name}_sum {}.{:06}", us / 1_000_000, us % 1_000_000)?;
        writeln!(to, "{name}_count {all}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_below_them() {
        let histogram = Histogram::default();
        for us in [0, 50, 51, 3_000, 90_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let mut text = String::new();
        histogram.write("x", &mut text).unwrap();
        for line in [
            "# TYPE x histogram",
            "x_bucket{le=\"0.00005\"} 2",
            "x_bucket{le=\"0.0001\"} 3",
            "x_bucket{le=\"0.001\"} 3",
            "x_bucket{le=\"0.005\"} 4",
            "x_bucket{le=\"60\"} 4",
            "x_bucket{le=\"+Inf\"} 5",
            "x_sum 90.003101",
            "x_count 5",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}
