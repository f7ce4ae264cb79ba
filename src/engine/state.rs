//! What the engine keeps in memory and may lose: when it last planned. Everything else is in the journal.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Engine;
use crate::domain::{Actor, Event};
use crate::ports::{Clock, Gauge, JournalError, Notebook, Situation};

pub(super) struct State {
    started_at: Timestamp,
    /// By the wall clock, none before the first; and by the monotonic clock, the start before the first.
    swept: Mutex<(Option<Timestamp>, Duration)>,
}

impl State {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self { started_at: clock.now(), swept: Mutex::new((None, clock.monotonic())) }
    }

    /// Since when this process has been there to see.
    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) fn swept(&self, clock: &dyn Clock) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = (Some(clock.now()), clock.monotonic());
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
            last_sweep,
            since_sweep: self.clock.monotonic().saturating_sub(swept),
        }
    }
}

#[async_trait]
impl Notebook for Engine {
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.scribe.write(Actor::Daemon, events).await
    }
}
