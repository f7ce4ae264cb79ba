//! The daemon: everything that it is made of, opened, set to work, and ended in good order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::doors::Doors;
#[cfg(debug_assertions)]
use super::failpoint::{self, Failpoint};
use super::inventory::{Asked, Inventories};
use super::jobs::Jobs;
use super::reload::{Read, Reloader, Reloading};
use super::upkeep::Kept;
use super::{
    StartError, SystemClock, VERSION, checkpoints, couriers, housekeeping, ledger, managers, observers, opening,
    service,
};
use crate::alerts::delivery::Tidings;
use crate::config::Config;
use crate::control;
use crate::engine::Engine;
use crate::http;
use crate::ports::{Archive, Clock, Gauge, Journal, Notebook, Observer, Orders, Reload, RequestObserver};
use crate::store::Store;
use crate::telemetry::{Metrics, Narrator};

/// How long a stop waits for rotations in hand: shorter than the 90 seconds after which systemd kills.
const GRACE: Duration = Duration::from_secs(25);

/// A running daemon.
pub struct Daemon {
    address: SocketAddr,
    store: Arc<Store>,
    closing: CancellationToken,
    silence: CancellationToken,
    jobs: Jobs,
    engine: JoinHandle<()>,
    housekeeping: JoinHandle<()>,
    inventory: JoinHandle<()>,
    couriers: JoinSet<()>,
    /// Ends the couriers, before the engine writes its last record.
    hush: CancellationToken,
    listener: JoinHandle<()>,
    control: JoinHandle<()>,
    service: JoinHandle<()>,
    reloader: Arc<dyn Reload>,
}

/// What a daemon is given beside its configuration.
#[derive(Default)]
pub struct Extras {
    /// Is told of everything that is recorded, beside the log.
    pub witness: Option<Arc<dyn Observer>>,
    /// How the configuration is read again.
    pub read: Option<Arc<Read>>,
    /// Where to die.
    #[cfg(debug_assertions)]
    pub failpoint: Option<Failpoint>,
}

impl Daemon {
    /// Opens everything, records the start, and begins to work.
    pub async fn start(config: &Config, extras: Extras) -> Result<Self, StartError> {
        if config.managers.is_empty() {
            return Err(StartError::NoManager);
        }
        let settings = &config.settings;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Arc::new(Metrics::new(VERSION, clock.now(), config.managers.iter().map(|manager| &manager.name)));
        let requests = Arc::clone(&metrics) as Arc<dyn RequestObserver>;
        let (managers, accesses) = managers::all(config, &clock, &requests)?;
        let store = Arc::new(ledger::open(settings.state_dir.clone()).await?);
        let signer = checkpoints::signer(settings, config.checkpoint_key.as_ref(), &store)?;
        let counted = Arc::clone(&metrics);
        store.on_commit(Arc::clone(&clock), move |took| counted.ledger_committed(took));
        let fleet = store.fleet();
        let narrator: Arc<dyn Observer> = Arc::new(Narrator::new(Arc::clone(&metrics), &fleet));
        let observer = Arc::new(observers::Everyone([narrator].into_iter().chain(extras.witness).collect()));
        let journal = Arc::clone(&store) as Arc<dyn Journal>;
        #[cfg(debug_assertions)]
        let journal = match extras.failpoint {
            Some(failpoint) => Arc::new(failpoint::Deadly::new(journal, failpoint)) as Arc<dyn Journal>,
            None => journal,
        };
        let rules = Arc::new(settings.rules.clone());
        let engine = Arc::new(Engine::new(managers, Arc::clone(&rules), journal, Arc::clone(&clock), observer));
        let (refused, refused_now) = watch::channel(None);
        let archive = Arc::clone(&store) as Arc<dyn Archive>;
        let kept = Arc::new(Kept { engine: Arc::clone(&engine), archive: Arc::clone(&archive), refused: refused_now });
        let notebook = Arc::clone(&kept) as Arc<dyn Notebook>;
        let doors = Doors::open(settings, &clock).await?;
        let jobs = Jobs::start(Arc::clone(&clock)).await?;
        let couriers = couriers::all(&config.receivers, settings.runbook.as_deref(), &clock, &notebook, &metrics)?;
        // Recorded when nothing else can fail: a start that is tried again and again must not fill the ledger.
        engine.note(opening::events(&fleet, config, signer.unnamed)).await?;
        store.keep_checkpoints(signer.keeping).await?;

        let (rules, rules_now) = watch::channel(rules);
        let (asked, asked_now) =
            watch::channel(Arc::new(Asked { managers: accesses, every: settings.inventory.every }));
        let (tidings, latest) = watch::channel(Arc::new(Tidings::default()));
        let (closing, hush, silence) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let routes = http::router(http::Inputs {
            gauge: Arc::clone(&kept) as Arc<dyn Gauge>,
            archive,
            rules: rules_now.clone(),
            metrics: Arc::clone(&metrics),
            hosts: settings.http.allowed_hosts.clone(),
        });
        let reloader = Arc::new(Reloader {
            read: extras.read,
            config: tokio::sync::Mutex::new(config.clone()),
            engine: Arc::clone(&engine),
            rules,
            asked,
            metrics,
            refused,
            clock: Arc::clone(&clock),
        });
        let reloader: Arc<dyn Reload> = Arc::new(Reloading(reloader));
        let orders = control::Inputs {
            gauge: kept,
            rules: rules_now.clone(),
            orders: Arc::clone(&engine) as Arc<dyn Orders>,
            reload: Arc::clone(&reloader),
        };
        let inventories = Inventories { notebook: Arc::clone(&notebook), asked: asked_now, clock: Arc::clone(&clock) };
        let address = doors.address();
        tracing::info!(%address, state_dir = %settings.state_dir.display(), "listening on {}://{address}", doors.scheme());
        let (control, listener) = doors.serve(orders, routes, &closing, &silence);
        store.check_in_background(settings.ledger.checkpoint_file.clone());
        Ok(Self {
            address,
            control,
            listener,
            service: tokio::spawn(service::run(Arc::clone(&engine), clock, closing.clone())),
            couriers: couriers::set_out(couriers, &latest, &hush),
            housekeeping: tokio::spawn(housekeeping::run(
                notebook,
                rules_now,
                tidings,
                jobs.housekeeping(),
                closing.clone(),
            )),
            inventory: tokio::spawn(inventories.run(jobs.inventory(), closing.clone())),
            engine: tokio::spawn(engine.run(jobs.sweep(), closing.clone(), GRACE)),
            store,
            jobs,
            reloader,
            closing,
            silence,
            hush,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns when a part of it has ended that never should: by a panic, which is a bug. Stop it then, and start anew.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.engine => "the engine",
            _ = &mut self.housekeeping => "the housekeeping",
            _ = &mut self.inventory => "the inventory of API keys",
            Some(_) = self.couriers.join_next() => "a courier of alerts",
            _ = &mut self.listener => "the listener",
            _ = &mut self.control => "the control socket",
            _ = &mut self.service => "the reports to the service manager",
            () = self.store.ended() => "the ledger's writer",
        }
    }

    /// Has the configuration read again, beside everything else. What came of it is in the log, the ledger and the metrics.
    pub fn reload(&self) {
        let reloader = Arc::clone(&self.reloader);
        drop(tokio::spawn(async move { reloader.reload(None).await }));
    }

    /// Ends in good order: starts nothing new, lets rotations in hand finish for a while, parks the rest, records the stop.
    pub async fn stop(mut self) {
        self.hush.cancel();
        while self.couriers.join_next().await.is_some() {}
        self.closing.cancel();
        self.jobs.stop().await;
        ended("the engine", self.engine).await;
        ended("the housekeeping", self.housekeeping).await;
        ended("the inventory of API keys", self.inventory).await;
        ended("the control socket", self.control).await;
        ended("the reports to the service manager", self.service).await;
        self.silence.cancel();
        ended("the listener", self.listener).await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the ledger was not closed in good order; the next start sees to it: {error}");
        }
    }
}

/// Waits for a part to end. One that has ended before, by a panic, is not waited for again.
async fn ended(part: &str, handle: JoinHandle<()>) {
    if handle.is_finished() {
        return;
    }
    if let Err(error) = handle.await {
        tracing::error!(%error, "{part} ended by a panic: this is a bug");
    }
}
