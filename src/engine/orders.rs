//! What operators order: recorded as theirs, and the loop woken. The planner does the rest.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::Notify;

use super::Engine;
use crate::domain::{Actor, Caller, Event, TargetId};
use crate::ports::{JournalError, Orders};

/// What the loop is to see to at its next turn.
#[derive(Default)]
pub(super) struct Inbox {
    wake: Notify,
    looks: Mutex<BTreeSet<TargetId>>,
}

impl Inbox {
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns when something has come in since it last returned.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The targets to look at; whoever takes them sees to them.
    pub(super) fn take_looks(&self) -> BTreeSet<TargetId> {
        std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn look_at(&self, targets: impl IntoIterator<Item = TargetId>) {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).extend(targets);
    }
}

#[async_trait]
impl Orders for Engine {
    async fn order(&self, by: &Caller, events: Vec<Event>) -> Result<(), JournalError> {
        self.scribe.write(Actor::Operator(by.uid), events).await?;
        self.orders.wake();
        Ok(())
    }

    fn look_at(&self, targets: Vec<TargetId>) {
        self.orders.look_at(targets);
        self.orders.wake();
    }
}
