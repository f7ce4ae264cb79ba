//! The standing jobs: a cron scheduler whose jobs only wake loops. Due times live in the database, not here.
//!
//! A job that only wakes can not overlap, panic, or be lost to any purpose: what it would have found, the next one finds.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// In UTC: every five seconds the engine looks around.
const SWEEP: &str = "*/5 * * * * *";
/// In UTC: four times a minute alerts are weighed.
const HOUSEKEEPING: &str = "*/15 * * * * *";

/// In UTC: every minute it is seen whether an inventory of API keys is due.
const INVENTORY: &str = "0 * * * * *";

pub(super) struct Jobs {
    scheduler: JobScheduler,
    sweep: Arc<Notify>,
    housekeeping: Arc<Notify>,
    inventory: Arc<Notify>,
}

impl Jobs {
    pub(super) async fn start() -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let [sweep, housekeeping, inventory] = std::array::from_fn(|_| Arc::new(Notify::new()));
        scheduler.add(waking(SWEEP, &sweep)?).await?;
        scheduler.add(waking(HOUSEKEEPING, &housekeeping)?).await?;
        scheduler.add(waking(INVENTORY, &inventory)?).await?;
        scheduler.start().await?;
        Ok(Self { scheduler, sweep, housekeeping, inventory })
    }

    pub(super) fn sweep(&self) -> Arc<Notify> {
        Arc::clone(&self.sweep)
    }

    pub(super) fn housekeeping(&self) -> Arc<Notify> {
        Arc::clone(&self.housekeeping)
    }

    pub(super) fn inventory(&self) -> Arc<Notify> {
        Arc::clone(&self.inventory)
    }

    pub(super) async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop: {error}");
        }
    }
}

fn waking(cron: &str, wake: &Arc<Notify>) -> Result<Job, JobSchedulerError> {
    let wake = Arc::clone(wake);
    Job::new_async(cron, move |_, _| {
        wake.notify_one();
        Box::pin(async {})
    })
}
