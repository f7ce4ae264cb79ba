//! What the engine shows of itself: when it last planned, or saw that its plan still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use super::Engine;
use crate::domain::{Actor, Event, ManagerName};
use crate::ports::{Clock, Gauge, JournalError, Notebook, Situation};

pub(super) struct State {
    started_at: Timestamp,
    /// By the wall clock, none before the first; and by the monotonic clock, the start before the first.
    swept: Mutex<(Option<Timestamp>, Duration)>,
    sweeps: watch::Sender<u64>,
    /// When each manager last came back from an outage.
    recovered: Mutex<BTreeMap<ManagerName, Timestamp>>,
    /// The managers that have answered or failed since the start.
    heard_of: watch::Sender<BTreeSet<ManagerName>>,
}

impl State {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            started_at: clock.now(),
            swept: Mutex::new((None, clock.monotonic())),
            sweeps: watch::Sender::new(0),
            recovered: Mutex::default(),
            heard_of: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// Since when this process has been there to see.
    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) fn swept(&self, clock: &dyn Clock) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = (Some(clock.now()), clock.monotonic());
        self.sweeps.send_modify(|count| *count += 1);
    }

    pub(super) fn sweeps(&self) -> watch::Receiver<u64> {
        self.sweeps.subscribe()
    }

    pub(super) fn recovered(&self, manager: &ManagerName, at: Timestamp) {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).insert(manager.clone(), at);
    }

    pub(super) fn heard_of(&self, manager: &ManagerName) {
        self.heard_of.send_if_modified(|heard_of| heard_of.insert(manager.clone()));
    }

    /// Returns when all of these have been heard of.
    pub(super) async fn heard_of_all<'a>(&self, managers: impl Iterator<Item = &'a ManagerName> + Clone) {
        let mut heard_of = self.heard_of.subscribe();
        let all = heard_of.wait_for(|heard_of| managers.clone().all(|manager| heard_of.contains(manager)));
        all.await.map(drop).expect("the sender is a part of this");
    }
}

impl Gauge for Engine {
    fn read(&self) -> Situation {
        let (last_sweep, swept) = *self.state.swept.lock().unwrap_or_else(PoisonError::into_inner);
        Situation {
            now: self.clock.now(),
            fleet: self.scribe.fleet(),
            head: self.scribe.head(),
            unwritable: self.scribe.unwritable(),
            started_at: self.state.started_at,
            recovered: self.state.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            last_sweep,
            since_sweep: self.clock.monotonic().saturating_sub(swept),
            upkeep: None,
        }
    }
}

#[async_trait]
impl Notebook for Engine {
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.scribe.write(Actor::Daemon, events).await
    }
}
