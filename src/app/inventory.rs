//! Lists the API keys of each manager now and then, and records who came, who left, and whose roles changed.
//!
//! What is known is in the ledger; when to look next is not, since a look too many does no harm: each start begins with one.

mod news;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
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
        loop {
            let now = inventories.clock.monotonic();
            let asked = Arc::clone(&inventories.asked.borrow());
            due.retain(|name, _| asked.managers.contains_key(name));
            let mut under_way = JoinSet::new();
            for name in asked.managers.keys().filter(|name| due.get(*name).is_none_or(|due| *due <= now)) {
                let (inventories, asked, name) = (Arc::clone(&inventories), Arc::clone(&asked), name.clone());
                under_way.spawn(async move { (inventories.take(&asked, &name).await, name) });
            }
            while let Some(taken) = tokio::select! {
                taken = under_way.join_next() => taken,
                () = closing.cancelled() => return,
            } {
                if let Ok((next, name)) = taken {
                    due.insert(name, inventories.clock.monotonic() + next);
                }
            }
            let now = inventories.clock.monotonic();
            let next = due.values().min().map_or(RETRY, |due| due.saturating_sub(now));
            tokio::select! {
                () = wake.notified() => {}
                () = inventories.clock.sleep(next) => {}
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
