//! The standing jobs: a cron scheduler whose jobs only wake loops. Due times live in the database, not here.
//!
//! The scheduler goes by the wall clock, and is silent until one that was set back has caught up. Something that goes by the
//! monotonic clock wakes the loops meanwhile.
//!
//! A job that only wakes can not overlap, panic, or be lost to any purpose: what it would have found, the next one finds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

/// In UTC: every five seconds the engine looks around.
const SWEEP: &str = "*/5 * * * * *";
/// In UTC: four times a minute alerts are weighed.
const HOUSEKEEPING: &str = "*/15 * * * * *";

/// The loops are woken at least this often, whatever the wall clock does. Less than what makes the daemon look stalled.
const AT_LEAST: Duration = Duration::from_secs(20);

pub(super) struct Jobs {
    scheduler: JobScheduler,
    sweep: Arc<Notify>,
    housekeeping: Arc<Notify>,
    steady: JoinHandle<()>,
}

impl Jobs {
    pub(super) async fn start() -> Result<Self, JobSchedulerError> {
        let scheduler = JobScheduler::new().await?;
        let (sweep, housekeeping) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        scheduler.add(waking(SWEEP, &sweep)?).await?;
        scheduler.add(waking(HOUSEKEEPING, &housekeeping)?).await?;
        scheduler.start().await?;
        let steady = tokio::spawn(steadily_waking(Arc::clone(&sweep), Arc::clone(&housekeeping)));
        Ok(Self { scheduler, sweep, housekeeping, steady })
    }

    pub(super) fn sweep(&self) -> Arc<Notify> {
        Arc::clone(&self.sweep)
    }

    pub(super) fn housekeeping(&self) -> Arc<Notify> {
        Arc::clone(&self.housekeeping)
    }

    pub(super) async fn stop(mut self) {
        self.steady.abort();
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop: {error}");
        }
    }
}

async fn steadily_waking(sweep: Arc<Notify>, housekeeping: Arc<Notify>) {
    loop {
        tokio::time::sleep(AT_LEAST).await;
        sweep.notify_one();
        housekeeping.notify_one();
    }
}

fn waking(cron: &str, wake: &Arc<Notify>) -> Result<Job, JobSchedulerError> {
    let wake = Arc::clone(wake);
    Job::new_async(cron, move |_, _| {
        wake.notify_one();
        Box::pin(async {})
    })
}
