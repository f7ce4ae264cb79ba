//! How often each fault really fired: a quiet run is not a safe one.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// The counts, by the fault's name.
#[derive(Default)]
pub(crate) struct Fired(Mutex<BTreeMap<&'static str, u64>>);

impl Fired {
    pub(crate) fn count(&self, fault: &'static str) {
        *self.0.lock().unwrap().entry(fault).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0.lock().unwrap().clone()
    }
}
