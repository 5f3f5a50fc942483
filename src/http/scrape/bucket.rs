//! A rate: so many at once, and one more each interval.

use std::time::Duration;

use tokio::time::Instant;

/// How much may still come at once.
#[derive(Debug)]
pub(super) struct Bucket {
    interval: Duration,
    burst: u32,
    left: u32,
    /// Up to when `left` counts.
    counted: Instant,
}

impl Bucket {
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            burst,
            left: burst,
            counted: Instant::now(),
        }
    }

    /// Whether one more may come now.
    pub(super) fn take(&mut self) -> bool {
        let passed = self.counted.elapsed();
        let more = passed.as_nanos() / self.interval.as_nanos().max(1);
        if more >= u128::from(self.burst - self.left) {
            self.left = self.burst;
            self.counted = Instant::now();
        } else if let Ok(more) = u32::try_from(more) {
            self.left += more;
            self.counted += self.interval * more;
        }
        let allowed = self.left > 0;
        self.left -= u32::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_each_interval() {
        let mut bucket = Bucket::new(Duration::from_secs(1), 3);
        let taken = |bucket: &mut Bucket| (0..10).filter(|_| bucket.take()).count();
        assert_eq!(taken(&mut bucket), 3);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(taken(&mut bucket), 0);
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert_eq!(taken(&mut bucket), 2);
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(taken(&mut bucket), 3);
    }
}
