//! Turns what was recorded into log lines and counters, so that nothing else has to log or count.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::lines::{self, Subject};
use super::metrics::Metrics;
use crate::domain::{Entry, Event, Fleet, ManagerName, RotationId, Target, TargetId, TargetName, TargetRecord};
use crate::ports::{JournalError, Observer};

/// Logs each recorded entry as one line and counts it.
#[derive(Debug)]
pub struct Narrator {
    metrics: Arc<Metrics>,
    /// Entries carry ids; people read names. Held only while one entry is looked up.
    known: Mutex<HashMap<TargetId, Known>>,
}

/// What there is to know of a target for its lines and counters.
#[derive(Clone, Debug)]
struct Known {
    name: TargetName,
    manager: ManagerName,
    /// The newest attempt that was counted: an attempt moves through several entries.
    counted: Option<RotationId>,
}

impl Known {
    fn of(target: &Target) -> Self {
        Self { name: target.name(), manager: target.manager.clone(), counted: None }
    }

    fn of_record(record: &TargetRecord) -> Self {
        Self { counted: record.rotation.as_ref().map(|rotation| rotation.id), ..Self::of(&record.target) }
    }
}

impl Narrator {
    /// One that knows the targets of `fleet` by name and learns of others by their entries. An attempt that is open in
    /// `fleet` was counted in an earlier life.
    pub fn new(metrics: Arc<Metrics>, fleet: &Fleet) -> Self {
        let known = fleet.targets.iter().map(|(id, record)| (id.clone(), Known::of_record(record))).collect();
        Self { metrics, known: Mutex::new(known) }
    }

    /// What is known of the entry's target, after the entry; and whether an attempt begins with it.
    fn learn(&self, event: &Event) -> Option<(TargetId, Known, bool)> {
        let id = event.target()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Event::TargetFound { description, .. } | Event::TargetChanged { description, .. } = event {
            let counted = known.get(&id).and_then(|known| known.counted);
            known.insert(id.clone(), Known { counted, ..Known::of(description) });
        }
        let known = known.get_mut(&id)?;
        let begins = event.transition().map(|transition| transition.id).filter(|id| known.counted != Some(*id));
        if begins.is_some() {
            known.counted = begins;
        }
        Some((id, known.clone(), begins.is_some()))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds are not counted")]
    fn count(&self, event: &Event, manager: &ManagerName) {
        match event {
            Event::KeyChanged { .. } => self.metrics.foreign_key_changed(manager),
            Event::RotationFailed { failure, .. } | Event::RotationUnconfirmed { failure, .. } => {
                self.metrics.rotation_failed(manager, failure.reason);
            }
            _ => {}
        }
    }
}

impl Observer for Narrator {
    fn recorded(&self, entries: &[Entry]) {
        for entry in entries {
            match self.learn(&entry.event) {
                Some((id, known, attempt_begins)) => {
                    if attempt_begins {
                        self.metrics.rotation_attempted(&known.manager);
                    }
                    self.count(&entry.event, &known.manager);
                    lines::write(entry, Some(&Subject { id: &id, name: &known.name, manager: &known.manager }));
                }
                None => lines::write(entry, None),
            }
        }
    }

    fn record_failed(&self, error: &JournalError) {
        tracing::error!(error = %error, "nothing can be recorded, so nothing is rotated: {error}");
    }

    fn rotation_took(&self, length: Duration) {
        self.metrics.rotation_took(length);
    }
}

#[cfg(test)]
mod tests;
