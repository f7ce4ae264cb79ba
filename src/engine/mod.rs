//! Carries a plan out: looks, rotates, confirms, recovers. It decides nothing; `policy` does.
//!
//! One loop ([`Engine::run`]) asks the planner what is to be done, starts a task for each thing, and plans again when a
//! task ends, when time alone changes the plan, or when it is woken. Killing a task at any point is safe: what it had made durable is what the
//! next plan sees, and every attempt begins by looking. A restart is nothing else.

mod discover;
mod look;
mod rotate;
mod run;
mod scribe;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What the engine works with.
pub struct Engine {
    managers: BTreeMap<ManagerName, Manager>,
    rules: Arc<Rules>,
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
        Self { managers, rules, clock, scribe, state, outages, breakers }
    }

    fn breakers(&self) -> MutexGuard<'_, BTreeMap<ManagerName, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
