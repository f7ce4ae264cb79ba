//! A world for the real planner and engine: virtual time, a far end that keeps the truth, a journal that outlives crashes.
//! Whole months pass in milliseconds; the same seed gives the same run.

mod book;
mod clock;
mod far_end;
mod fired;
mod kill;
pub(crate) mod simulation;
mod truth;
pub(crate) mod year;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rekeyd::domain::Entry;
use rekeyd::engine::{Engine, Manager, Parts};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Clock, Journal, JournalError, KeyService, Observer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use book::Book;
pub(crate) use clock::{Chance, VirtualClock};
pub(crate) use far_end::{FarEnd, Fate};
pub(crate) use fired::Fired;
pub(crate) use kill::{Kill, Moment};

struct Silent;

impl Observer for Silent {
    fn recorded(&self, _: &[Entry]) {}
    fn record_failed(&self, _: &JournalError) {}
    fn rotation_took(&self, _: Duration) {}
}

/// Everything that outlives a crash of the daemon, and the means to start it again.
pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) journal: Arc<Book>,
    pub(crate) far_end: Arc<FarEnd>,
    pub(crate) kill: Arc<Kill>,
    pub(crate) fired: Arc<Fired>,
    pub(crate) policy: Arc<Policy>,
    /// What the next daemon reads from its configuration.
    pub(crate) rules: Mutex<Arc<Rules>>,
    pub(crate) discover_every: rekeyd::domain::Period,
}

impl World {
    /// So many targets, two to a cluster, each with a first key; must be called within a paused runtime.
    pub(crate) fn new(seed: u64, targets: usize, policy: Policy, max_concurrent: usize, fates: &[Fate]) -> Self {
        Self::on(None, seed, targets, policy, max_concurrent, fates)
    }

    /// The same with its journal in the real database, in this folder.
    pub(crate) fn on(
        folder: Option<PathBuf>,
        seed: u64,
        targets: usize,
        policy: Policy,
        max_concurrent: usize,
        fates: &[Fate],
    ) -> Self {
        let (clock, kill, fired) = (Arc::new(VirtualClock::new()), Arc::default(), Arc::default());
        let journal = Arc::new(Book::new(Arc::clone(&clock), Arc::clone(&kill), Arc::clone(&fired), folder));
        let policy = Arc::new(policy);
        let far_end = Arc::new(FarEnd::new(
            Arc::clone(&clock),
            Arc::clone(&journal),
            Arc::clone(&kill),
            Arc::clone(&fired),
            policy.settle.as_duration(),
            far_end::targets("emea", targets),
            Chance(seed),
        ));
        far_end.truth().fates = fates.to_vec();
        let manager = ManagerRules::new(max_concurrent, Arc::clone(&policy));
        let rules =
            Mutex::new(Arc::new(Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() }));
        let discover_every = rekeyd::domain::Period::minutes(60);
        Self { clock, journal, far_end, kill, fired, policy, rules, discover_every }
    }

    /// Starts a daemon; dropping what this returns is a crash.
    pub(crate) fn start(&self) -> Daemon {
        let Parts { managers, rules } = self.parts();
        let engine = Arc::new(Engine::new(
            managers,
            rules,
            Arc::clone(&self.journal) as Arc<dyn Journal>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::new(Silent),
        ));
        let (closing, plans) = (CancellationToken::new(), engine.sweeps());
        let run =
            tokio::spawn(Arc::clone(&engine).run(Arc::new(Notify::new()), closing.clone(), Duration::from_secs(25)));
        Daemon { engine, run: Some(run), closing, plans }
    }

    /// What the configuration gives a daemon.
    pub(crate) fn parts(&self) -> Parts {
        let rules = Arc::clone(&self.rules.lock().unwrap());
        let manager = || Manager {
            service: Arc::clone(&self.far_end) as Arc<dyn KeyService>,
            discover_every: self.discover_every,
            max_concurrent: 8,
        };
        Parts { managers: rules.managers.keys().map(|name| (name.clone(), manager())).collect(), rules }
    }

    /// Lets virtual time pass.
    pub(crate) async fn pass(&self, length: Duration) {
        self.clock.sleep(length).await;
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    pub(crate) engine: Arc<Engine>,
    run: Option<tokio::task::JoinHandle<()>>,
    closing: CancellationToken,
    /// How many plans it has made.
    pub(crate) plans: tokio::sync::watch::Receiver<u64>,
}

impl Daemon {
    /// Ends it in good order.
    pub(crate) async fn stop(mut self) {
        self.closing.cancel();
        if let Some(run) = self.run.take() {
            run.await.unwrap();
        }
    }

    /// Kills it where it stands.
    pub(crate) async fn crash(mut self) {
        if let Some(run) = self.run.take() {
            run.abort();
            let _ = run.await;
        }
    }
}
