//! The state of affairs as the listener, the control socket and the alerts see it: what the engine shows, and what the daemon
//! knows beside it of its ledger and its configuration.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::domain::Event;
use crate::engine::Engine;
use crate::ports::{Gauge, JournalError, Notebook, Refusal, Situation, Upkeep};
use crate::store::Store;

/// The engine, as it is shown to all but itself.
pub(super) struct Kept {
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<Store>,
    pub(super) refused: watch::Receiver<Option<Refusal>>,
}

impl Gauge for Kept {
    fn read(&self) -> Situation {
        let (check, anchor) = (self.store.check(), self.store.anchor());
        let upkeep = Upkeep { check, anchor, refused: self.refused.borrow().clone() };
        Situation { upkeep: Some(upkeep), ..self.engine.read() }
    }
}

#[async_trait]
impl Notebook for Kept {
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.engine.note(events).await
    }
}
