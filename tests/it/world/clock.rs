//! Virtual time and seeded chance: whole years pass in milliseconds, and the same seed gives the same run.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekeyd::ports::Clock;

/// Tokio's paused clock as both clocks; the wall clock can also be made to step.
pub(crate) struct VirtualClock {
    start: Timestamp,
    zero: tokio::time::Instant,
    ahead: Mutex<SignedDuration>,
}

impl VirtualClock {
    /// Must be called within a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    pub(crate) fn new() -> Self {
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        Self { start, zero: tokio::time::Instant::now(), ahead: Mutex::default() }
    }

    /// Sets the wall clock forward, or back.
    pub(crate) fn step(&self, by: SignedDuration) {
        *self.ahead.lock().unwrap() += by;
    }

    /// What the wall clock would have shown then, had it never stepped.
    pub(crate) fn true_time(&self, monotonic: Duration) -> Timestamp {
        self.start + SignedDuration::try_from(monotonic).unwrap()
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.true_time(self.monotonic()) + *self.ahead.lock().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    fn monotonic(&self) -> Duration {
        tokio::time::Instant::now() - self.zero
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// A small generator with a seed (SplitMix64): chance as a parameter.
#[derive(Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True so many times in a thousand.
    pub(crate) fn per_mille(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }

    pub(crate) fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u64) as usize].clone()
    }

    /// Up to so many seconds, the short ones as likely as the long ones.
    pub(crate) fn seconds(&mut self, longest: u64) -> Duration {
        let ceiling = 1 << self.below(64 - u64::from(longest.leading_zeros()) + 1);
        Duration::from_millis(self.below(1000 * longest.min(ceiling).max(1)))
    }
}
