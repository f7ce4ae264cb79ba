//! The engine's pen: writes events durably, tells the observer, and remembers when the ledger cannot be written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::domain::{Actor, Entry, Event, Fleet, KeyId, KeyRecord, TargetId};
use crate::ports::{Clock, Head, Journal, JournalError, Observer};

pub(super) struct Scribe {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    pub(super) observer: Arc<dyn Observer>,
    unwritable: Mutex<Option<(Timestamp, String)>>,
    /// Keys that were seen unchanged and when, not noted yet.
    seen: Mutex<BTreeMap<TargetId, Timestamp>>,
}

impl Scribe {
    pub(super) fn new(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        Self { journal, clock, observer, unwritable: Mutex::default(), seen: Mutex::default() }
    }

    /// Makes the events durable, all or none, as of now.
    pub(super) async fn write(&self, actor: Actor, events: Vec<Event>) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        self.forget(&events);
        let at = self.clock.now();
        let entries: Vec<Entry> = events.into_iter().map(|event| Entry { at, actor, event }).collect();
        match self.journal.record(entries.clone()).await {
            Ok(()) => {
                self.observer.recorded(&entries);
                Ok(())
            }
            Err(error) => {
                self.failed(&error);
                Err(error)
            }
        }
    }

    /// Remembers that a key was seen unchanged; [`Scribe::note_seen`] notes it. Until then it passes for seen earlier, which
    /// makes no key younger.
    pub(super) fn seen_again(&self, target: TargetId, at: Timestamp) {
        self.seen().insert(target, at);
    }

    /// What was seen of a key before it is rotated is no news of the next one.
    fn forget(&self, events: &[Event]) {
        for event in events {
            if let Event::RotationIntended { target, .. }
            | Event::RotationDone { target, .. }
            | Event::KeyChanged { target, .. } = event
            {
                self.seen().remove(target);
            }
        }
    }

    /// Notes what was seen unchanged, by one commit.
    pub(super) async fn note_seen(&self) {
        let seen = std::mem::take(&mut *self.seen());
        if !seen.is_empty()
            && let Err(error) = self.journal.seen_again(seen.into_iter().collect()).await
        {
            // They are looked at again.
            self.failed(&error);
        }
    }

    pub(super) async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError> {
        self.journal.past_key(target, key).await.inspect_err(|error| self.failed(error))
    }

    /// Tries whether the ledger can be written again, by recording that it could not. True if it can.
    pub(super) async fn try_again(&self) -> bool {
        let Some((since, error)) = self.unwritable() else { return true };
        let written = self.write(Actor::Daemon, vec![Event::LedgerRecovered { since, error }]).await.is_ok();
        if written {
            *self.lock() = None;
        }
        written
    }

    /// Since when, and why, the ledger cannot be written.
    pub(super) fn unwritable(&self) -> Option<(Timestamp, String)> {
        self.lock().clone()
    }

    pub(super) fn fleet(&self) -> Arc<Fleet> {
        self.journal.fleet()
    }

    pub(super) fn head(&self) -> Head {
        self.journal.head()
    }

    fn failed(&self, error: &JournalError) {
        match error {
            // The ledger is sound; the event was not.
            JournalError::Impossible(_) => self.observer.record_failed(error),
            JournalError::Full(_) | JournalError::ReadOnly(_) | JournalError::Io(_) | JournalError::Closed => {
                let mut unwritable = self.lock();
                if unwritable.is_none() {
                    *unwritable = Some((self.clock.now(), error.to_string()));
                    self.observer.record_failed(error);
                }
            }
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, BTreeMap<TargetId, Timestamp>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Timestamp, String)>> {
        self.unwritable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
