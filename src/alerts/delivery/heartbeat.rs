//! The sign of life for a dead man's switch: a GET of an address, as long as plans are made and can be recorded.
//!
//! The service at that address raises the alarm when the requests cease. No daemon can report its own death.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::line::Line;
use super::{Address, Desk, SetupError, Tidings};
use crate::domain::{Period, ReceiverName};

/// Sends the sign of life.
pub struct Heartbeat {
    line: Line,
    every: Period,
    due: Duration,
}

impl Heartbeat {
    /// What the record and the metrics call it; no receiver may have this name.
    pub const NAME: &str = "heartbeat";

    /// One that asks for `address` at most once in `every`.
    ///
    /// # Errors
    /// If the address can never be reached as it is configured.
    pub fn new(address: &Address, every: Period, desk: Desk) -> Result<Self, SetupError> {
        let line = Line::new(ReceiverName::new(Self::NAME), address, desk)?;
        Ok(Self { line, every, due: Duration::ZERO })
    }

    /// Works until `closing` is cancelled.
    pub async fn run(mut self, mut latest: watch::Receiver<Arc<Tidings>>, closing: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = closing.cancelled() => return,
                changed = latest.changed() => if changed.is_err() { return },
            }
            let well = latest.borrow_and_update().well;
            let now = self.line.desk.clock.monotonic();
            if well && now >= self.due.max(self.line.not_before) {
                tokio::select! {
                    taken = self.line.send(None) => if taken { self.due = now + self.every.as_duration() },
                    () = closing.cancelled() => {}
                }
            }
            self.line.settle().await;
        }
    }
}
