//! Carries a plan out: looks, rotates, confirms, recovers. It decides nothing; `policy` does.
//!
//! One loop ([`Engine::run`]) asks the planner what is to be done, starts a task for each thing, and plans again when a
//! task changed something, when time alone changes the plan, or when it is woken. Killing a task at any point is safe: what it
//! had made durable is what the next plan sees, and every attempt begins by looking. A restart is nothing else.

mod discover;
mod listings;
mod look;
mod observe;
mod orders;
mod rotate;
mod run;
mod scribe;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::domain::{ManagerName, Period};
use crate::policy::{Breaker, Rules};
use crate::ports::{Clock, Journal, KeyService, Observer};

/// A manager as the engine knows it.
pub struct Manager {
    /// Its keys.
    pub service: Arc<dyn KeyService>,
    /// The time between two listings of its targets.
    pub discover_every: Period,
    /// How many looks may be under way at once.
    pub max_concurrent: usize,
}

/// What the configuration gives the engine to work with. A task keeps to the ones that it began with.
pub struct Parts {
    /// The managers, by name.
    pub managers: BTreeMap<ManagerName, Manager>,
    /// What is to be done when.
    pub rules: Arc<Rules>,
}

/// What the engine works with.
pub struct Engine {
    parts: RwLock<Arc<Parts>>,
    orders: orders::Inbox,
    clock: Arc<dyn Clock>,
    scribe: scribe::Scribe,
    state: state::State,
    /// Held while an outage is told.
    outages: tokio::sync::Mutex<()>,
    breakers: Mutex<BTreeMap<ManagerName, Breaker>>,
}

impl Engine {
    /// Wires an engine; nothing happens until [`Engine::run`].
    pub fn new(
        managers: BTreeMap<ManagerName, Manager>,
        rules: Arc<Rules>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let state = state::State::new(clock.as_ref());
        let scribe = scribe::Scribe::new(journal, Arc::clone(&clock), observer);
        let (outages, breakers) = (tokio::sync::Mutex::default(), Mutex::default());
        let parts = RwLock::new(Arc::new(Parts { managers, rules }));
        let orders = orders::Inbox::default();
        Self { parts, orders, clock, scribe, state, outages, breakers }
    }

    /// Puts other managers and rules in force from the next plan on.
    pub fn reconfigure(&self, parts: Parts) {
        *self.parts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parts);
        self.orders.wake();
    }

    /// Returns when every manager has answered or failed at least once.
    pub async fn contacted(&self) {
        let parts = self.parts();
        self.state.heard_of_all(parts.managers.keys()).await;
    }

    /// Counts the sweeps: plans that were made, or found to hold still. For whoever watches that they go on.
    pub fn sweeps(&self) -> tokio::sync::watch::Receiver<u64> {
        self.state.sweeps()
    }

    fn parts(&self) -> Arc<Parts> {
        Arc::clone(&self.parts.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn breakers(&self) -> MutexGuard<'_, BTreeMap<ManagerName, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
