//! Weighs the alerts whenever it is woken, tells the couriers what fires, and records which begin and which end.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
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
    // Not waited for: on a disk that hangs it takes for ever, and what fires meanwhile is to be told.
    let mut noting: Option<JoinHandle<()>> = None;
    loop {
        tokio::select! {
            () = wake.notified() => {}
            () = closing.cancelled() => break,
        }
        let situation = engine.read();
        let rules = Arc::clone(&rules.borrow());
        let fired = alerts::fire(&situation, &rules);
        let events = alerts::transitions(&fired, &situation.fleet.alerts);
        // Told before it is recorded: that nothing can be recorded is news, too.
        let next = tidings.borrow().after(&situation, &rules, fired);
        tidings.send_replace(Arc::new(next));
        // What can not be recorded now is news again the next time.
        if noting.as_ref().is_none_or(JoinHandle::is_finished) {
            let engine = Arc::clone(&engine);
            noting = Some(tokio::spawn(async move { drop(engine.note(events).await) }));
        }
    }
    if let Some(noting) = noting {
        let _ = noting.await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{AlertKind, AlertSubject, Event};
    use crate::ports::{Gauge, Head, JournalError, Situation};

    /// An engine that stands still, with a disk that hangs.
    #[derive(Default)]
    struct Stuck {
        weighed: AtomicUsize,
        notes: AtomicUsize,
    }

    impl Gauge for Stuck {
        fn read(&self) -> Situation {
            // A minute lies between two looks at it.
            let minutes = self.weighed.fetch_add(1, Ordering::Relaxed) as u64;
            let passed = Duration::from_secs(60 * minutes);
            Situation {
                now: Timestamp::UNIX_EPOCH + passed,
                fleet: Arc::default(),
                head: Head { seq: 1, hash: [0; 32] },
                unwritable: None,
                started_at: Timestamp::UNIX_EPOCH,
                recovered: BTreeMap::new(),
                last_sweep: Some(Timestamp::UNIX_EPOCH),
                since_sweep: passed,
                upkeep: None,
            }
        }
    }

    #[async_trait]
    impl Notebook for Stuck {
        async fn note(&self, _: Vec<Event>) -> Result<(), JournalError> {
            self.notes.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        }
    }

    /// That nothing is done any more is told when it has lasted, though that it began cannot be put on record.
    #[tokio::test]
    async fn what_fires_is_told_though_the_record_hangs() {
        let (stuck, wake, closing) = (Arc::new(Stuck::default()), Arc::new(Notify::new()), CancellationToken::new());
        let (_rules, rules) = watch::channel(Arc::new(Rules::default()));
        let (tidings, mut told) = watch::channel(Arc::new(Tidings::default()));
        let engine = Arc::clone(&stuck) as Arc<dyn Notebook>;
        let task = tokio::spawn(run(engine, rules, tidings, Arc::clone(&wake), closing));
        let key = (AlertKind::SchedulerStalled, AlertSubject::Daemon);
        for minute in 0..=4 {
            wake.notify_one();
            let firing = tokio::time::timeout(Duration::from_secs(10), told.changed()).await.map(|changed| {
                changed.unwrap();
                told.borrow().firing.contains_key(&key)
            });
            // It is stuck after a minute, and told two later.
            assert_eq!(firing, Ok(minute >= 3), "minute {minute}");
        }
        assert_eq!(stuck.notes.load(Ordering::Relaxed), 1, "and no queue grows");
        task.abort();
    }
}
