//! Weighs the alerts whenever it is woken, tells the couriers what fires, and records which begin and which end.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::alerts;
use crate::alerts::delivery::Tidings;
use crate::policy::Rules;
use crate::ports::Notebook;

/// Runs until `closing` is cancelled.
pub(super) async fn run(
    engine: Arc<dyn Notebook>,
    rules: watch::Receiver<Arc<Rules>>,
    tidings: watch::Sender<Arc<Tidings>>,
    wake: Arc<Notify>,
    closing: CancellationToken,
) {
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = closing.cancelled() => return,
        }
        let situation = engine.read();
        let rules = Arc::clone(&rules.borrow());
        let fired = alerts::fire(&situation, &rules);
        let events = alerts::transitions(&fired, &situation.fleet.alerts);
        // Told before it is recorded: that nothing can be recorded is news, too.
        let next = tidings.borrow().after(&situation, &rules, fired);
        tidings.send_replace(Arc::new(next));
        // What can not be recorded now is news again the next time.
        let _ = engine.note(events).await;
    }
}
