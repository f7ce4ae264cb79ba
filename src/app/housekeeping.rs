//! Weighs the alerts whenever it is woken, and records which begin and which end.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::alerts;
use crate::engine::Engine;
use crate::policy::Rules;
use crate::ports::Gauge;

/// Runs until `closing` is cancelled.
pub(super) async fn run(engine: Arc<Engine>, rules: Arc<Rules>, wake: Arc<Notify>, closing: CancellationToken) {
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = closing.cancelled() => return,
        }
        let situation = engine.read();
        let fired = alerts::fire(&situation, &rules);
        // What can not be recorded now is news again the next time.
        let _ = engine.note(alerts::transitions(&fired, &situation.fleet.alerts)).await;
    }
}
