//! The limit on requests: a bucket of tokens that fills by one each interval.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The bucket, kept as the moment at which it would be full again.
pub(super) struct Limit {
    interval: Duration,
    burst: u32,
    full_at: Mutex<Duration>,
}

impl Limit {
    /// One request each `interval`, and at most `burst` at once.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: Mutex::default() }
    }

    /// Takes a token if there is one; `now` is of a clock that never steps back.
    pub(super) fn admits(&self, now: Duration) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now).saturating_add(self.interval);
        let admitted = next <= now.saturating_add(self.interval.saturating_mul(self.burst));
        if admitted {
            *full_at = next;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A burst is let through, then one each interval; a rest fills the bucket and no more than that.
    #[test]
    fn a_bucket_holds_a_burst() {
        let limit = Limit::new(Duration::from_secs(1), 3);
        let admitted = |at: u64, asked: u32| (0..asked).filter(|_| limit.admits(Duration::from_secs(at))).count();
        assert_eq!(admitted(0, 10), 3);
        assert_eq!(admitted(1, 10), 1);
        assert_eq!(admitted(3, 10), 2);
        assert_eq!(admitted(1_000, 10), 3);
        assert_eq!((0..10).filter(|_| Limit::new(Duration::from_secs(1), 0).admits(Duration::ZERO)).count(), 0);
    }
}
