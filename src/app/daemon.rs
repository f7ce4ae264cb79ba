//! The daemon: everything that it is made of, opened, set to work, and ended in good order.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

#[cfg(debug_assertions)]
use super::failpoint::{self, Failpoint};
use super::inventory::{Asked, Inventories};
use super::jobs::Jobs;
use super::listeners::Listeners;
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
    /// What ends when `closing` is cancelled, by its name.
    parts: Vec<(&'static str, JoinHandle<()>)>,
    /// Ends when `silence` is cancelled: it shows the stop to its end.
    listener: JoinHandle<()>,
    couriers: JoinSet<()>,
    /// Ends the couriers, before the engine writes its last record.
    hush: CancellationToken,
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
        let kept = Arc::new(Kept { engine: Arc::clone(&engine), store: Arc::clone(&store), refused: refused_now });
        let notebook = Arc::clone(&kept) as Arc<dyn Notebook>;
        let listeners = Listeners::open(settings, &clock).await?;
        let jobs = Jobs::start(Arc::clone(&clock)).await?;
        let cut_off = ledger::was_cut_off(&store).await;
        let runbook = settings.runbook.as_deref();
        let couriers = couriers::all(&config.receivers, runbook, &clock, &notebook, &metrics, cut_off)?;
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
            archive: Arc::clone(&store) as Arc<dyn Archive>,
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
        let address = listeners.address();
        tracing::info!(%address, state_dir = %settings.state_dir.display(), "listening on {}://{address}", listeners.scheme());
        let (control, listener) = listeners.serve(orders, routes, &closing, &silence);
        store.check_in_background(settings.ledger.checkpoint_file.clone());
        let housekeeping = housekeeping::run(notebook, rules_now, tidings, jobs.housekeeping(), closing.clone());
        let parts = vec![
            ("the engine", tokio::spawn(Arc::clone(&engine).run(jobs.sweep(), closing.clone(), GRACE))),
            ("the housekeeping", tokio::spawn(housekeeping)),
            ("the inventory of API keys", tokio::spawn(inventories.run(jobs.inventory(), closing.clone()))),
            ("the control socket", control),
            ("the reports to the service manager", tokio::spawn(service::run(engine, clock, closing.clone()))),
        ];
        Ok(Self {
            address,
            parts,
            listener,
            couriers: couriers::spawn(couriers, &latest, &hush),
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
        let part = poll_fn(|context| {
            let mut parts = self.parts.iter_mut();
            let ended = parts.find_map(|(part, handle)| Pin::new(handle).poll(context).is_ready().then_some(*part));
            ended.map_or(Poll::Pending, Poll::Ready)
        });
        tokio::select! {
            part = part => part,
            _ = &mut self.listener => "the listener",
            Some(_) = self.couriers.join_next() => "a courier of alerts",
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
        for (part, handle) in self.parts {
            ended(part, handle).await;
        }
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
