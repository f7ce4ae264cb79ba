//! What fires at one moment, as housekeeping publishes it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Key;
use crate::alerts::Alert;
use crate::policy::Rules;
use crate::ports::Situation;

/// What fires at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tidings {
    /// When this was weighed; none before the first time.
    pub at: Option<Timestamp>,
    /// What fires.
    pub firing: BTreeMap<Key, Firing>,
    /// Whether plans are made and can be recorded: what the heartbeat says.
    pub well: bool,
}

/// An alert that fires.
#[derive(Clone, Debug)]
pub struct Firing {
    /// Since when.
    pub since: Timestamp,
    /// The alert.
    pub alert: Alert,
}

impl Tidings {
    /// What `fired` in `situation`. An alert that fired before keeps its beginning; on record that survives a restart.
    pub fn after(&self, situation: &Situation, rules: &Rules, fired: Vec<Alert>) -> Self {
        let firing = fired.into_iter().map(|alert| {
            let key = (alert.kind, alert.subject.clone());
            let before = self.firing.get(&key).map(|firing| firing.since);
            let since = before.or_else(|| situation.fleet.alerts.get(&key).copied()).unwrap_or(situation.now);
            (key, Firing { since, alert })
        });
        Self {
            at: Some(situation.now),
            firing: firing.collect(),
            well: situation.last_sweep.is_some()
                && !rules.is_stalled(situation.since_sweep)
                && situation.unwritable.is_none(),
        }
    }
}
