//! The real clock: the only one in the house.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::ports::Clock;

/// The time of this machine.
pub struct SystemClock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is given")]
impl SystemClock {
    /// Its monotonic time starts now.
    #[expect(clippy::new_without_default, reason = "a clock that starts is no default value")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The time of day.
    pub fn now() -> Timestamp {
        Timestamp::now()
    }
}

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everyone else is given")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// Waits, by the real clock.
pub async fn pause(length: Duration) {
    SystemClock::new().sleep(length).await;
}
