//! Lists the API keys of each manager now and then, and records who came, who left, and whose roles changed.
//!
//! What is known is in the ledger; when to look next is not, since a look too many does no harm: each start begins with one.

mod news;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::managers::Accesses;
use crate::domain::{ManagerName, Period};
use crate::ports::{Clock, Notebook};

/// How soon a manager that could not be asked is asked again.
const RETRY: Duration = Duration::from_secs(600);

/// Who is asked, and how often; a reload may change both.
pub(super) struct Asked {
    pub(super) managers: Accesses,
    pub(super) every: Period,
}

/// What the inventory works with.
pub(super) struct Inventories {
    pub(super) notebook: Arc<dyn Notebook>,
    pub(super) asked: watch::Receiver<Arc<Asked>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Inventories {
    /// Runs until `closing` is cancelled; looks whether an inventory is due whenever it is woken.
    pub(super) async fn run(self, wake: Arc<Notify>, closing: CancellationToken) {
        let inventories = Arc::new(self);
        let mut due: BTreeMap<ManagerName, Duration> = BTreeMap::new();
        // One a manager, and none waits for another's.
        let mut under_way = JoinSet::new();
        let mut busy: HashMap<Id, ManagerName> = HashMap::new();
        loop {
            let now = inventories.clock.monotonic();
            let asked = Arc::clone(&inventories.asked.borrow());
            due.retain(|name, _| asked.managers.contains_key(name));
            let idle = |name: &ManagerName| busy.values().all(|busy| busy != name);
            let is_due = |name: &ManagerName| due.get(name).is_none_or(|due| *due <= now) && idle(name);
            let now_due: Vec<_> = asked.managers.keys().filter(|name| is_due(name)).cloned().collect();
            let next = due.iter().filter(|(name, due)| **due > now && idle(name)).map(|(_, due)| *due - now).min();
            for name in now_due {
                let (inventories, asked, of) = (Arc::clone(&inventories), Arc::clone(&asked), name.clone());
                let task = under_way.spawn(async move { inventories.take(&asked, &of).await });
                busy.insert(task.id(), name);
            }
            tokio::select! {
                Some(taken) = under_way.join_next_with_id() => {
                    let (id, again) = taken.unwrap_or_else(|panicked| (panicked.id(), RETRY));
                    if let Some(name) = busy.remove(&id) {
                        due.insert(name, inventories.clock.monotonic() + again);
                    }
                }
                () = wake.notified() => {}
                () = inventories.clock.sleep(next.unwrap_or(RETRY)) => {}
                () = closing.cancelled() => return,
            }
        }
    }

    /// Asks one manager and records what is new. Returns after what time it is to be asked again.
    async fn take(&self, asked: &Asked, name: &ManagerName) -> Duration {
        let Some(access) = asked.managers.get(name) else { return RETRY };
        match access.api_keys().await {
            Ok(inventory) => {
                let events = news::news(&self.notebook.read().fleet, name, &inventory);
                // Were it not recorded, the next inventory would bring the same news.
                if self.notebook.note(events).await.is_ok() { asked.every.as_duration() } else { RETRY }
            }
            Err(failure) => {
                // That the manager fails is seen, told and recorded by the engine.
                tracing::debug!(manager = name.as_str(), "the API keys of {name} cannot be listed now: {failure}");
                RETRY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::domain::{ApiKey, Event, Failure};
    use crate::ports::{Access, Gauge, Greeting, Head, Inventory, JournalError, Situation};

    /// Time passes by sleeping, and for whoever sleeps at once.
    #[derive(Default)]
    struct Hasty(Mutex<Duration>);

    #[async_trait]
    impl Clock for Hasty {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH + self.monotonic()
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        async fn sleep(&self, length: Duration) {
            tokio::task::yield_now().await;
            *self.0.lock().unwrap() += length;
        }
    }

    /// Answers, or never does; and counts how often it was asked.
    struct Manager(bool, watch::Sender<u32>);

    #[async_trait]
    impl Access for Manager {
        async fn greet(&self) -> Result<Greeting, Failure> {
            unreachable!("an inventory does not greet")
        }

        async fn api_keys(&self) -> Result<Inventory, Failure> {
            self.1.send_modify(|asked| *asked += 1);
            if self.0 { Ok(Inventory::default()) } else { std::future::pending().await }
        }

        async fn access_list(&self, _: &ApiKey) -> Result<Vec<String>, Failure> {
            unreachable!("an inventory does not read access lists")
        }
    }

    struct Blank;

    impl Gauge for Blank {
        fn read(&self) -> Situation {
            Situation {
                now: Timestamp::UNIX_EPOCH,
                fleet: Arc::default(),
                head: Head { seq: 1, hash: [0; 32] },
                unwritable: None,
                started_at: Timestamp::UNIX_EPOCH,
                recovered: BTreeMap::new(),
                last_sweep: None,
                since_sweep: Duration::ZERO,
                upkeep: None,
            }
        }
    }

    #[async_trait]
    impl Notebook for Blank {
        async fn note(&self, _: Vec<Event>) -> Result<(), JournalError> {
            Ok(())
        }
    }

    /// A manager whose lists take for ever keeps no other manager's from being read again, and is asked once.
    #[tokio::test]
    async fn one_slow_manager_keeps_nobody_waiting() {
        let (slow, quick) = (watch::Sender::new(0), watch::Sender::new(0));
        let mut asked = quick.subscribe();
        let managers = [("slow", Manager(false, slow.clone())), ("quick", Manager(true, quick))];
        let managers = managers.into_iter().map(|(name, it)| (name.into(), Arc::new(it) as Arc<dyn Access>)).collect();
        let (_asked, now_asked) = watch::channel(Arc::new(Asked { managers, every: Period::days(1) }));
        let clock = Arc::new(Hasty::default());
        let inventories = Inventories { notebook: Arc::new(Blank), asked: now_asked, clock };
        let task = tokio::spawn(inventories.run(Arc::default(), CancellationToken::new()));
        let again = tokio::time::timeout(Duration::from_secs(10), asked.wait_for(|asked| *asked == 5)).await.is_ok();
        assert!(again, "the quick one was asked {} times", asked.borrow().to_owned());
        assert_eq!(*slow.borrow(), 1);
        task.abort();
    }
}
