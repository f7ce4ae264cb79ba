//! The standing jobs: a cron scheduler whose jobs only wake loops. Due times live in the database, not here.
//!
//! The scheduler goes by the wall clock, and is silent until one that was set back has caught up. Something that goes by the
//! monotonic clock wakes the loops meanwhile.
//!
//! A job that only wakes cannot overlap, panic, or be lost to any purpose: what it would have found, the next one finds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::ports::Clock;

/// In UTC: every five seconds the engine looks around.
const SWEEP: &str = "*/5 * * * * *";
/// In UTC: four times a minute alerts are weighed.
const HOUSEKEEPING: &str = "*/15 * * * * *";

/// In UTC: every minute it is seen whether an inventory of API keys is due.
const INVENTORY: &str = "0 * * * * *";

/// The loops are woken at least this often, whatever the wall clock does. Less than what makes the daemon look stalled.
const AT_LEAST: Duration = Duration::from_secs(20);

pub(super) struct Jobs {
    scheduler: JobScheduler,
    sweep: Arc<Notify>,
    housekeeping: Arc<Notify>,
    steady: JoinHandle<()>,
    inventory: Arc<Notify>,
}

impl Jobs {
    pub(super) async fn start(clock: Arc<dyn Clock>) -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let [sweep, housekeeping, inventory] = std::array::from_fn(|_| Arc::new(Notify::new()));
        scheduler.add(waking(SWEEP, &sweep)?).await?;
        scheduler.add(waking(HOUSEKEEPING, &housekeeping)?).await?;
        scheduler.add(waking(INVENTORY, &inventory)?).await?;
        scheduler.start().await?;
        let woken = [&sweep, &housekeeping, &inventory].map(Arc::clone);
        let steady = tokio::spawn(steadily_waking(clock, woken));
        Ok(Self { scheduler, sweep, housekeeping, inventory, steady })
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
        self.steady.abort();
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop: {error}");
        }
    }
}

async fn steadily_waking(clock: Arc<dyn Clock>, loops: [Arc<Notify>; 3]) {
    loop {
        clock.sleep(AT_LEAST).await;
        loops.iter().for_each(|woken| woken.notify_one());
    }
}

fn waking(cron: &str, wake: &Arc<Notify>) -> Result<Job, JobSchedulerError> {
    let wake = Arc::clone(wake);
    Job::new_async(cron, move |_, _| {
        wake.notify_one();
        Box::pin(async {})
    })
}
