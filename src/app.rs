//! The one place that knows every part and wires them.

mod checkpoints;
mod clock;
mod couriers;
#[cfg(debug_assertions)]
mod failpoint;
mod housekeeping;
mod inventory;
mod jobs;
mod observers;
mod rehearsal;
mod reload;
mod review;
mod service;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::alerts::delivery::{self, Tidings};
use crate::config::{self, Config};
use crate::control::{self, Authority, AuthorityError, ListenError};
use crate::domain::{Actor, Entry, Event, Fleet, KeyId, ManagerName, ReceiverName, Target};
use crate::engine::{Engine, Manager};
use crate::http::{self, WebConfig, WebConfigError};
use crate::policy::Rules;
use crate::ports::{
    Access, Archive, Clock, Gauge, Journal, JournalError, Notebook, Observer, Orders, Reload, RequestObserver,
};
use crate::remote::ops_manager::{OpsManager, Settings};
use crate::remote::{SetupError, second_reader};
use crate::store::{OpenError, ReadError, Store};
use crate::telemetry::{Metrics, Narrator};

pub use crate::alerts::against as advice_against;
pub use clock::SystemClock;
#[cfg(debug_assertions)]
pub use failpoint::Failpoint;
pub use rehearsal::{Line, Outcome, Rehearsal, Rehearsed, Step, rehearse};
pub use reload::Read;
pub use review::{Review, Reviewed, recorded, review};
pub use view::View;

/// How long a stop waits for rotations in hand: shorter than the 90 seconds after which systemd kills.
const GRACE: Duration = Duration::from_secs(25);
/// The running version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The running version, the commit that it was built from, and how.
pub const BUILD: &str = env!("REKEYD_BUILD");

/// A running daemon.
pub struct Daemon {
    address: SocketAddr,
    store: Arc<Store>,
    closing: CancellationToken,
    silence: CancellationToken,
    jobs: jobs::Jobs,
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

/// Why the daemon can not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing to rotate.
    #[error("the configuration names no manager, so there is nothing to rotate; add an [[ops_manager]] section")]
    NoManager,
    /// The state directory can not be worked in.
    #[error("cannot work in the state directory {}: {source}", dir.display())]
    State {
        /// Which one.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// What is known can not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new ledger's id: {0}")]
    Random(getrandom::Error),
    /// There is no key to sign checkpoints with.
    #[error(transparent)]
    CheckpointKey(#[from] crate::store::KeyError),
    /// A manager's client can not be made.
    #[error("manager {name}: {source}")]
    Manager {
        /// Which one.
        name: ManagerName,
        /// Why.
        source: SetupError,
    },
    /// A receiver of alerts can not be reached as it is configured.
    #[error("receiver {name}: {source}")]
    Receiver {
        /// Which one.
        name: ReceiverName,
        /// Why.
        source: delivery::SetupError,
    },
    /// The address can not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The socket for orders can not be opened.
    #[error("cannot take orders on {}: {source}; `socket` in [control] names another place", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: ListenError,
    },
    /// The group that may give orders can not be used.
    #[error("`group` in [control]: {0}")]
    Group(#[from] AuthorityError),
    /// The listener's web configuration can not be followed.
    #[error("{}: {source}", path.display())]
    WebConfig {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: WebConfigError,
    },
    /// The start could not be recorded: no record, no rotation.
    #[error("the start cannot be recorded, and what cannot be recorded is not begun: {0}")]
    Ledger(#[from] JournalError),
    /// The scheduler of the standing jobs did not start.
    #[error("the scheduler cannot be started: {0}")]
    Scheduler(#[from] tokio_cron_scheduler::JobSchedulerError),
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
        let (managers, accesses) = managers(config, &clock, &(Arc::clone(&metrics) as Arc<dyn RequestObserver>))?;
        let store = Arc::new(open_store(settings.state_dir.clone()).await?);
        let checkpoint_key = checkpoints::begin(&config.settings, config.checkpoint_key.as_ref(), &store).await?;
        let counted = Arc::clone(&metrics);
        store.on_commit(Arc::clone(&clock), move |took| counted.ledger_committed(took));
        let fleet = store.fleet();
        let narrator: Arc<dyn Observer> = Arc::new(Narrator::new(Arc::clone(&metrics), &fleet));
        let observer: Arc<dyn Observer> =
            Arc::new(observers::Everyone([narrator].into_iter().chain(extras.witness).collect()));
        let authority = Authority::new(settings.control.group.as_deref())?;
        let rules = Arc::new(settings.rules.clone());
        let journal = Arc::clone(&store) as Arc<dyn Journal>;
        #[cfg(debug_assertions)]
        let journal = match extras.failpoint {
            Some(failpoint) => Arc::new(failpoint::Deadly::new(journal, failpoint)) as Arc<dyn Journal>,
            None => journal,
        };
        let engine = Arc::new(Engine::new(managers, Arc::clone(&rules), journal, Arc::clone(&clock), observer));
        let path = &settings.control.socket;
        let orders = control::Socket::open(path, &authority)
            .map_err(|source| StartError::Control { path: path.clone(), source })?;
        let address = settings.http.listen;
        let listen = |source| StartError::Listen { address, source };
        let web = settings.http.web_config_file.as_ref().map(|path| {
            WebConfig::open(path, Arc::clone(&clock))
                .map_err(|source| StartError::WebConfig { path: path.clone(), source })
        });
        let web = web.transpose()?;
        let scheme = if web.as_ref().is_some_and(|web| web.is_tls()) { "https" } else { "http" };
        let socket = TcpListener::bind(address).await.map_err(listen)?;
        let address = socket.local_addr().map_err(listen)?;
        // Recorded when nothing else can fail: a start that is tried again and again must not fill the ledger.
        let jobs = jobs::Jobs::start(Arc::clone(&clock)).await?;
        let notebook = Arc::clone(&engine) as Arc<dyn Notebook>;
        let couriers = couriers::all(&config.receivers, &clock, &notebook, &metrics)?;
        engine.note(opening(&fleet, config, checkpoint_key)).await?;
        let (rules, rules_now) = watch::channel(rules);
        let asked = inventory::Asked { managers: accesses, every: settings.inventory.every };
        let (asked, asked_now) = watch::channel(Arc::new(asked));
        let routes = http::router(http::Inputs {
            gauge: Arc::clone(&engine) as Arc<dyn Gauge>,
            archive: Arc::clone(&store) as Arc<dyn Archive>,
            rules: rules_now.clone(),
            metrics: Arc::clone(&metrics),
            hosts: settings.http.allowed_hosts.clone(),
        });
        let (closing, hush, silence) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let reloader: Arc<dyn Reload> = Arc::new(reload::Reloader {
            read: extras.read,
            config: tokio::sync::Mutex::new(config.clone()),
            engine: Arc::clone(&engine),
            rules,
            asked,
            metrics,
            clock: Arc::clone(&clock),
        });
        let inputs = control::Inputs {
            gauge: Arc::clone(&engine) as Arc<dyn Gauge>,
            rules: rules_now.clone(),
            orders: Arc::clone(&engine) as Arc<dyn Orders>,
            reload: Arc::clone(&reloader),
        };
        let control = tokio::spawn(orders.serve(authority, inputs, closing.clone()));
        let service = tokio::spawn(service::run(Arc::clone(&engine), Arc::clone(&clock), closing.clone()));
        let listener = tokio::spawn(http::serve_by(socket, routes, web, silence.clone()));
        let (tidings, latest) = watch::channel(Arc::new(Tidings::default()));
        let couriers = couriers::set_out(couriers, &latest, &hush);
        let housekeeping =
            tokio::spawn(housekeeping::run(notebook, rules_now, tidings, jobs.housekeeping(), closing.clone()));
        let inventories =
            inventory::Inventories { notebook: Arc::clone(&engine) as Arc<dyn Notebook>, asked: asked_now, clock };
        let inventory = tokio::spawn(inventories.run(jobs.inventory(), closing.clone()));
        let engine = tokio::spawn(engine.run(jobs.sweep(), closing.clone(), GRACE));
        store.check_in_background(settings.ledger.checkpoint_file.clone());
        tracing::info!(%address, state_dir = %settings.state_dir.display(), "listening on {scheme}://{address}");
        Ok(Self {
            address,
            store,
            closing,
            silence,
            jobs,
            engine,
            housekeeping,
            inventory,
            couriers,
            hush,
            listener,
            control,
            service,
            reloader,
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

    /// Reads the configuration again. What came of it is in the log, the ledger and the metrics.
    pub async fn reload(&self) {
        let _ = self.reloader.reload(None).await;
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

/// What came of a record that was made while no daemon ran.
pub struct ByHand {
    /// What was known before it.
    pub fleet: Arc<Fleet>,
    /// What was recorded.
    pub events: Vec<Event>,
    /// Why no signed checkpoint covers it; none if one does.
    pub unsigned: Option<String>,
}

/// Records what an operator decided while no daemon runs; the lock sees to that. Signs a checkpoint of it with `key`, or with
/// the key in the state directory if the configuration names none.
pub async fn record_by_hand(
    settings: &config::Settings,
    key: Result<Option<SecretString>, String>,
    actor: Actor,
    decide: impl FnOnce(&Fleet) -> Vec<Event>,
) -> Result<ByHand, StartError> {
    let store = open_store(settings.state_dir.clone()).await?;
    let fleet = store.fleet();
    let events = decide(&fleet);
    let mut told = Vec::new();
    let mut unsigned = None;
    if !events.is_empty() {
        let began = match &key {
            Ok(key) => checkpoints::begin(settings, key.as_ref(), &store).await.map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        match began {
            Ok(new) => told.extend(new.map(|key| (Actor::Daemon, Event::CheckpointKeySet { key }))),
            Err(why) => unsigned = Some(why),
        }
    }
    told.extend(events.iter().map(|event| (actor, event.clone())));
    let at = SystemClock::now();
    store.record(told.into_iter().map(|(actor, event)| Entry { at, actor, event }).collect()).await?;
    let unsigned = unsigned.or(store.anchor().failure);
    store.close().await?;
    Ok(ByHand { fleet, events, unsigned })
}

/// Waits, by the real clock.
pub async fn pause(length: Duration) {
    SystemClock::new().sleep(length).await;
}

/// Reads one target's key with a client that shares no code with the daemon's.
pub async fn second_opinion(config: &Config, target: &Target) -> Option<KeyId> {
    let manager = config.managers.iter().find(|manager| manager.name == target.manager)?;
    second_reader::read_key(&connection(manager), target).await.ok()
}

/// Opens the ledger beside the runtime's threads: a migration may take its time.
async fn open_store(dir: PathBuf) -> Result<Store, StartError> {
    let mut id = [0; 32];
    getrandom::fill(&mut id).map_err(StartError::Random)?;
    let path = dir.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, id)).await;
    opened.expect("opening a store returns its errors").map_err(|source| StartError::State { dir, source })
}

/// What the ledger is told first: that we are here, who signs, by which rules, with which API keys, and whom we tell no more.
fn opening(fleet: &Fleet, config: &Config, checkpoint_key: Option<String>) -> Vec<Event> {
    let started = Event::DaemonStarted { version: VERSION.to_owned(), pid: std::process::id(), host: hostname() };
    let key = checkpoint_key.map(|key| Event::CheckpointKeySet { key });
    let policies = set_policies(fleet, &config.settings.rules);
    let configured = |name: &ReceiverName| config.receivers.iter().any(|receiver| receiver.name == *name);
    let dropped = fleet.receivers.keys().filter(|name| !configured(name));
    let dropped = dropped.map(|name| Event::ReceiverDropped { receiver: name.clone() });
    let credentials = use_credentials(fleet, config);
    [started].into_iter().chain(key).chain(policies).chain(credentials).chain(dropped).collect()
}

/// The API keys that come into use with this configuration.
fn use_credentials(fleet: &Fleet, config: &Config) -> Vec<Event> {
    let credentials = config.managers.iter().filter_map(|config::Manager { name, public_key, .. }| {
        let known = fleet.managers.get(name).and_then(|record| record.credential.as_ref());
        let (manager, public_key) = (name.clone(), public_key.clone());
        (known.map(|known| &known.public_key) != Some(&public_key))
            .then_some(Event::CredentialUsed { manager, public_key })
    });
    credentials.collect()
}

/// The policies that come into force with these rules.
fn set_policies(fleet: &Fleet, rules: &Rules) -> Vec<Event> {
    let policies = rules.policies().into_iter().filter_map(|(policy, settings)| {
        let words = settings.to_string();
        (fleet.policies.get(&policy) != Some(&words)).then_some(Event::PolicySet { policy, words })
    });
    policies.collect()
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// Who may come in, by manager.
type Accesses = BTreeMap<ManagerName, Arc<dyn Access>>;

fn managers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    observer: &Arc<dyn RequestObserver>,
) -> Result<(BTreeMap<ManagerName, Manager>, Accesses), StartError> {
    let (mut managers, mut accesses) = (BTreeMap::new(), BTreeMap::new());
    for settings in &config.managers {
        let service = ops_manager(settings, clock, observer)?;
        accesses.insert(settings.name.clone(), Arc::clone(&service) as Arc<dyn Access>);
        let (discover_every, max_concurrent) = (settings.discover_every, settings.max_concurrent);
        managers.insert(settings.name.clone(), Manager { service, discover_every, max_concurrent });
    }
    Ok((managers, accesses))
}

fn ops_manager(
    manager: &config::Manager,
    clock: &Arc<dyn Clock>,
    observer: &Arc<dyn RequestObserver>,
) -> Result<Arc<OpsManager>, StartError> {
    // Another part of the process may have chosen the same already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    OpsManager::new(connection(manager), Arc::clone(clock), Arc::clone(observer))
        .map(Arc::new)
        .map_err(|source| StartError::Manager { name: manager.name.clone(), source })
}

fn connection(manager: &config::Manager) -> Settings {
    Settings {
        name: manager.name.clone(),
        url: manager.url.to_string(),
        public_key: manager.public_key.clone(),
        private_key: manager.private_key.clone(),
        ca_pem: manager.ca_pem.clone(),
        identity_pem: manager.client_identity.as_ref().map(config::ClientIdentity::to_pem),
        proxy: manager.proxy.as_ref().map(ToString::to_string),
        request_timeout: manager.request_timeout.as_duration(),
        requests_per_second: manager.requests_per_second,
        max_concurrent: manager.max_concurrent,
        projects: manager.projects.clone(),
    }
}
