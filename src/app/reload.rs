//! Reading the configuration again, while the daemon runs: all of it or nothing.
//!
//! The engine, the ledger and the listeners stay; the engine is given other managers and rules. A rotation in hand ends with
//! the ones that it began with, so nothing has to be parked, and the watchdog notices nothing.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::inventory::Asked;
use super::opening::{set_policies, use_credentials};
use super::{managers, service};
use crate::config::{self, Config};
use crate::domain::{Caller, Event};
use crate::engine::{Engine, Parts};
use crate::policy::Rules;
use crate::ports::{Clock, Gauge, Notebook, Orders, Refusal, Reload, ReloadError, RequestObserver};
use crate::telemetry::Metrics;

/// Reads the configuration and everything that it names, or says in words what is wrong with it.
pub type Read = dyn Fn() -> Result<Config, String> + Send + Sync;

pub(super) struct Reloader {
    pub(super) read: Option<Arc<Read>>,
    /// In force. Held while another is read, so that two do not cross.
    pub(super) config: Mutex<Config>,
    pub(super) engine: Arc<Engine>,
    pub(super) rules: watch::Sender<Arc<Rules>>,
    pub(super) asked: watch::Sender<Arc<Asked>>,
    pub(super) metrics: Arc<Metrics>,
    /// Why the newest reading was refused.
    pub(super) refused: watch::Sender<Option<Refusal>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The way to have it read again. What has begun is carried to its end, also if whoever asked goes away: a change that is
/// on record is in force.
pub(super) struct Reloading(pub(super) Arc<Reloader>);

#[async_trait]
impl Reload for Reloading {
    async fn reload(&self, by: Option<Caller>) -> Result<Vec<String>, ReloadError> {
        let reloader = Arc::clone(&self.0);
        let reloaded = tokio::spawn(async move { reloader.reload(by).await }).await;
        reloaded.unwrap_or(Err(ReloadError::Panicked))
    }
}

impl Reloader {
    async fn reload(&self, by: Option<Caller>) -> Result<Vec<String>, ReloadError> {
        let mut config = self.config.lock().await;
        service::reloading();
        let reloaded = match self.read().await {
            Ok(next) => self.put_in_force(&mut config, next, by.as_ref()).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &reloaded {
            self.metrics.config_refused();
            self.refused.send_replace(Some(Refusal::from(error)));
            // Told to whoever asked, and to the log and the metrics, whatever becomes of the ledger.
            let told = Event::ConfigRefused { error: error.to_string(), by: by.clone() };
            let _ = self.record(vec![told], by.as_ref()).await;
        }
        service::reloaded();
        reloaded
    }

    async fn read(&self) -> Result<Config, ReloadError> {
        let read = self.read.clone();
        let read = read.ok_or_else(|| ReloadError::Invalid("this daemon was not started from a file".to_owned()))?;
        let read = tokio::task::spawn_blocking(move || read()).await.map_err(|_| ReloadError::Panicked)?;
        read.map_err(ReloadError::Invalid)
    }

    async fn put_in_force(
        &self,
        config: &mut Config,
        next: Config,
        by: Option<&Caller>,
    ) -> Result<Vec<String>, ReloadError> {
        if next.managers.is_empty() {
            let words = "it names no manager, so there would be nothing to rotate";
            return Err(ReloadError::Invalid(words.to_owned()));
        }
        let changes = config::changes(config, &next);
        let fixed = config::fixed(config, &next);
        if !fixed.is_empty() {
            let what = format!("{} can only be changed by a restart: `systemctl restart rekeyd`", fixed.join(", "));
            return Err(ReloadError::WantsRestart(what));
        }
        let observer = Arc::clone(&self.metrics) as Arc<dyn RequestObserver>;
        let (managers, accesses) =
            managers::all(&next, &self.clock, &observer).map_err(|error| ReloadError::Invalid(error.to_string()))?;
        let rules = Arc::new(next.settings.rules.clone());
        let told = Event::ConfigReloaded { changes: changes.clone(), by: by.cloned() };
        let fleet = self.engine.read().fleet;
        let policies = set_policies(&fleet, &rules);
        let credentials = use_credentials(&fleet, &next);
        self.record([told].into_iter().chain(policies).chain(credentials).collect(), by).await?;
        next.managers.iter().for_each(|manager| self.metrics.know(&manager.name));
        self.engine.reconfigure(Parts { managers, rules: Arc::clone(&rules) });
        self.rules.send_replace(rules);
        self.asked.send_replace(Arc::new(Asked { managers: accesses, every: next.settings.inventory.every }));
        self.metrics.config_loaded(self.clock.now());
        self.refused.send_replace(None);
        next.settings.warnings.iter().for_each(|warning| tracing::warn!("{}", warning.what));
        *config = next;
        Ok(changes)
    }

    async fn record(&self, events: Vec<Event>, by: Option<&Caller>) -> Result<(), crate::ports::JournalError> {
        match by {
            Some(by) => self.engine.order(by, events).await,
            None => self.engine.note(events).await,
        }
    }
}
