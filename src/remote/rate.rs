//! Keeps a manager from being asked too often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ports::Clock;

/// A token bucket that holds one second's worth of requests: short bursts pass, a steady stream is evened out.
pub(super) struct Rate {
    interval: Duration,
    burst: Duration,
    /// When, by the monotonic clock, the bucket will be full again.
    full_at: Mutex<Duration>,
}

impl Rate {
    /// At most this many requests a second; 0 is taken as 1.
    pub(super) fn per_second(requests: u32) -> Self {
        let interval = Duration::from_secs(1) / requests.max(1);
        Self { interval, burst: Duration::from_secs(1) - interval, full_at: Mutex::default() }
    }

    /// Waits for this request's turn. Turns are given in the order of asking.
    pub(super) async fn wait(&self, clock: &dyn Clock) {
        let now = clock.monotonic();
        let turn = self.take(now);
        if turn > now {
            clock.sleep(turn - now).await;
        }
    }

    /// Counts a request that must leave at once; later ones wait for it.
    pub(super) fn count(&self, clock: &dyn Clock) {
        self.take(clock.monotonic());
    }

    /// Lets nothing leave for this long, and no burst afterwards.
    pub(super) fn hold(&self, now: Duration, length: Duration) {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        *full_at = (*full_at).max(now + length + self.burst);
    }

    fn take(&self, now: Duration) -> Duration {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (*full_at).max(now);
        *full_at = before + self.interval;
        before.saturating_sub(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_stream_is_evened_out() {
        let rate = Rate::per_second(4);
        let start = Duration::from_secs(100);
        let turns: Vec<Duration> = (0..8).map(|_| rate.take(start).max(start) - start).collect();
        let quarter = Duration::from_millis(250);
        assert_eq!(turns, [0, 0, 0, 0, 1, 2, 3, 4].map(|n| quarter * n));
        let later = start + Duration::from_secs(60);
        assert!((0..4).all(|_| rate.take(later) <= later), "idle time fills the bucket again, and no further");
        assert!(rate.take(later) > later);
    }

    #[test]
    fn a_hold_is_kept_by_all_and_never_shortened() {
        let rate = Rate::per_second(4);
        let start = Duration::from_secs(100);
        rate.hold(start, Duration::from_secs(30));
        rate.hold(start, Duration::from_secs(10));
        let turns: Vec<Duration> = (0..3).map(|_| rate.take(start) - start).collect();
        assert_eq!(turns, [30_000, 30_250, 30_500].map(Duration::from_millis));
    }

    #[test]
    fn any_number_of_requests_a_second_is_a_rate() {
        for requests in [0, 1, 7, 1_000_000, u32::MAX] {
            Rate::per_second(requests).take(Duration::ZERO);
        }
    }
}
