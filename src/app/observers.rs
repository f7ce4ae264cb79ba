//! Telling several observers of the same thing.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::Entry;
use crate::ports::{JournalError, Observer};

/// All of them, in order.
pub(super) struct Everyone(pub(super) Vec<Arc<dyn Observer>>);

impl Observer for Everyone {
    fn recorded(&self, entries: &[Entry]) {
        self.0.iter().for_each(|observer| observer.recorded(entries));
    }

    fn record_failed(&self, error: &JournalError) {
        self.0.iter().for_each(|observer| observer.record_failed(error));
    }

    fn rotation_took(&self, length: Duration) {
        self.0.iter().for_each(|observer| observer.rotation_took(length));
    }
}
