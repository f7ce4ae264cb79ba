//! The simulator's one window on real time.
//!
//! A simulator is a server of its own: like the real one it lives in wall-clock time, and nothing that must be
//! repeatable depends on it. Everything else in this folder asks here.

use std::time::Duration;

use jiff::Timestamp;

#[expect(clippy::disallowed_methods, reason = "the far end has its own clock, as a real server has")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "a slow server is slow in real time")]
pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
