//! What fires at one moment, as housekeeping publishes it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Key;
use crate::alerts::Alert;
use crate::alerts::patience::has_lasted;
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
    /// What `fired` in `situation`, and has lasted. An alert that was told before keeps its beginning; on record that survives a
    /// restart.
    pub fn after(&self, situation: &Situation, rules: &Rules, fired: Vec<Alert>) -> Self {
        let lasting = fired.into_iter().filter(|alert| has_lasted(alert, situation.now));
        let firing = lasting.map(|alert| {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::alerts::Severity;
    use crate::domain::{AlertKind, AlertSubject};
    use crate::ports::Head;

    /// An outage that passes by itself wakes nobody, and what has no patience is told at once.
    #[test]
    fn only_what_has_lasted_is_told() {
        let begun: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let alert = |kind| Alert {
            kind,
            subject: AlertSubject::Manager("emea".into()),
            name: "emea".to_owned(),
            severity: Severity::of(kind),
            since: Some(begun),
            words: "emea fails".to_owned(),
        };
        let told = |minutes: u64| {
            let situation = Situation {
                now: begun + Duration::from_secs(60 * minutes),
                fleet: Arc::default(),
                head: Head { seq: 1, hash: [0; 32] },
                unwritable: None,
                started_at: begun,
                recovered: BTreeMap::new(),
                last_sweep: Some(begun),
                since_sweep: Duration::ZERO,
                upkeep: None,
            };
            let fired = vec![alert(AlertKind::ManagerFailing), alert(AlertKind::KeyTooOld)];
            let tidings = Tidings::default().after(&situation, &Rules::default(), fired);
            tidings.firing.into_keys().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        assert_eq!(told(14), [AlertKind::KeyTooOld]);
        assert_eq!(told(15), [AlertKind::KeyTooOld, AlertKind::ManagerFailing]);
    }
}
